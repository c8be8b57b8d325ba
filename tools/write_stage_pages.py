"""Writes the sections of docs/filters/*.md and docs/dedup/*.md that the code knows: a stage's thresholds and reasons.

Run it after a field or a reason has changed; tests/test_stage_pages.py fails until then. The rest of a page, its table
of measures included, is written by hand.

    python tools/write_stage_pages.py
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from corpusmill.documents.shards import atomic_text
from corpusmill.pipeline import registry
from corpusmill.pipeline.schema import field_docs

DOCS = Path(__file__).resolve().parents[1] / "docs"


def page_of(name: str) -> Path:
    """The page of a stage: docs/filters/ and docs/dedup/ hold those of the packages of that name."""
    return DOCS / registry.STAGES[name].split(".")[1] / f"{name}.md"


def with_sections(text: str, kind: Any) -> str:
    """A page with the sections of its stage renewed."""
    for heading, body in (("Thresholds", thresholds(kind)), ("Reasons", reasons(kind))):
        text = re.sub(
            rf"(^## {heading}\n).*?(?=^## |\Z)",
            lambda found, body=body: f"{found[1]}\n{body}\n\n",
            text,
            flags=re.M | re.S,
        )
    return text


def thresholds(kind: Any) -> str:
    """The table of a stage's fields."""
    docs = field_docs(kind)
    rows = [
        f"| `{item.name}` | {_shown(item)} | {docs.get(item.name, '').replace('|', chr(92) + '|')} |"
        for item in dataclasses.fields(kind)
        if item.init
    ]
    return "\n".join(["| field | default | meaning |", "|---|---|---|", *rows]) if rows else "None."


def reasons(kind: Any) -> str:
    """A stage's reasons in the order in which they are judged."""
    named = ", ".join(f"`{reason}`" for reason in getattr(kind, "reasons", ()))
    return named or ("None: it measures." if hasattr(kind, "reasons") else "None: it rewrites.")


def _shown(item: dataclasses.Field[Any]) -> str:
    made = item.default_factory is not dataclasses.MISSING
    value = item.default_factory() if made else item.default  # type: ignore[misc]
    if value is dataclasses.MISSING:
        return "(needed)"
    if value is None:
        return "off"
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {of_it}" for key, of_it in value.items()) or "none"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def main() -> None:
    for name in sorted(registry.STAGES):
        page = page_of(name)
        text = page.read_text()
        if (new := with_sections(text, registry.stage_class(name))) != text:
            atomic_text(page, new)
            print(f"wrote {page.relative_to(DOCS.parent)}")


if __name__ == "__main__":
    main()
