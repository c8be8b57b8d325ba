"""Licences of source files: cases, expressions, prints against plain Python and against Google's labelled variants."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.filters import licenses
from corpusmill.filters.code_license import PERMISSIVE, CodeLicense, Reason
from corpusmill.filters.licenses import is_allowed, mention_of, parsed, prints, runs_of, tag_of, texts_told

sys.path.insert(0, str(Path(__file__).parent))
from stage_cases import cases, document_of, stage_of, verdicts_of

CASES = cases("code_license")
REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_a_case_is_judged_as_it_says(case: dict[str, Any]) -> None:
    batch = document_of(case).with_column("license", pa.array([case.get("license")], pa.string()))
    stage = stage_of(CodeLicense, case)
    stage.prepare()
    assert verdicts_of(stage, batch) == [case["reason"]]


def test_every_reason_has_a_case() -> None:
    assert {case["reason"] for case in CASES} - {None} == set(Reason)


@pytest.mark.parametrize(
    ("expression", "tree"),
    [
        ("MIT", "MIT"),
        ("GPL-2.0+", "GPL-2.0+"),
        ("(MIT)", "MIT"),
        ("A OR B AND C", ("OR", ("A", ("AND", ("B", "C"))))),
        ("(A or B) and C", ("AND", (("OR", ("A", "B")), "C"))),
        ("A WITH x OR B", ("OR", ("A WITH x", "B"))),
        *((broken, None) for broken in ("", "OR", "A OR", "A B", "(A", "A)", "()", "A WITH", "A & B", "A" * 201)),
    ],
)
def test_expressions_are_read_as_spdx_has_them(expression: str, tree: object) -> None:
    assert parsed(expression) == tree


def test_an_expression_is_judged_by_its_parts() -> None:
    assert is_allowed("mit", {"MIT"})
    assert is_allowed("GPL-2.0-only WITH Classpath-exception-2.0", {"GPL-2.0-only WITH Classpath-exception-2.0"})
    assert not is_allowed("GPL-2.0-only", {"GPL-2.0-only WITH Classpath-exception-2.0"})
    assert not is_allowed("not an expression", {"MIT"})


@given(st.text("AOR ()WITHND+-.é", max_size=60))
@settings(max_examples=300)
def test_no_expression_ends_in_an_exception(text: str) -> None:
    assert is_allowed(text, {"A"}) in (True, False)
    assert tag_of(f"SPDX-License-Identifier: {text}") is None or parsed(str(tag_of(f"SPDX-License-Identifier: {text}")))


@pytest.mark.parametrize(
    ("line", "tag"),
    [
        ("<!-- SPDX-License-Identifier: MIT -->", "MIT"),
        ('"SPDX-License-Identifier: MIT"', "MIT"),
        ("/* SPDX-License-Identifier: GPL-2.0 or MIT */ int a;", "GPL-2.0 OR MIT"),
        ("SPDX-License-Identifier:Apache-2.0\r", "Apache-2.0"),
        ("SPDX-License-Identifier:", None),
    ],
)
def test_a_tag_ends_with_its_comment(line: str, tag: str | None) -> None:
    assert tag_of(line) == tag


@pytest.mark.parametrize(
    ("sentence", "name"),
    [
        ("distributed under the Apache License, Version 2.0", "Apache-2.0"),
        ("subject to the terms of the Mozilla Public License, v. 2.0", "MPL-2.0"),
        ("the GNU General Public License version 2 as published by", "GPL-2.0-only"),
        ("the GNU General Public License as published; either version 3 of it, or (at your option) any later version",
         "GPL-3.0-or-later"),
        ("GNU Affero General Public License, version 3", "AGPL-3.0-only"),
        ("under the Boost Software License", "BSL-1.0"),
        ("under the ISC licence", "ISC"),
        ("under a BSD-style license that can be found elsewhere", None),
        ("The MIT press", None),
    ],
)  # fmt: skip
def test_a_sentence_names_its_licence(sentence: str, name: str | None) -> None:
    assert mention_of(f"// {sentence}.") == name


def test_the_projects_own_licence_is_told_by_its_text() -> None:
    text = (REPOSITORY / "LICENSE").read_text(encoding="utf-8")
    commented = "".join(f" * {line}\n" for line in text.upper().splitlines())
    (plain, starred) = CodeLicense().measure(TextBatch.of_texts([text, commented])).to_pylist()
    assert (plain["license"], plain["evidence"]) == ("Apache-2.0", "text")
    assert (starred["license"], starred["evidence"]) == ("Apache-2.0", "text")
    assert CodeLicense(max_words=100).measure(TextBatch.of_texts([text])).column("evidence").to_pylist() != ["text"]


def test_every_permissive_licence_is_a_name_that_can_be_told_or_stated() -> None:
    assert len(set(PERMISSIVE)) == len(PERMISSIVE)
    assert all(parsed(name) == name for name in PERMISSIVE)
    told = set(prints().names)
    assert len(told & set(PERMISSIVE)) > 35


def test_prints_are_sound() -> None:
    known = prints()
    assert (np.diff(known.keys.astype(np.int64)) > 0).all()
    assert known.firsts[-1] == len(known.owners)
    totals = np.zeros(len(known.names))
    for key in range(len(known.keys)):
        totals[known.owners[known.firsts[key] : known.firsts[key + 1]]] += known.weights[key]
    assert np.allclose(totals, known.totals)


def told_by_python(text: str) -> tuple[int, float]:
    """What `tell_licenses` finds, by sets."""
    known = prints()
    found = np.zeros(len(known.names))
    for key in np.flatnonzero(np.isin(known.keys, runs_of(text))):
        found[known.owners[known.firsts[key] : known.firsts[key + 1]]] += known.weights[key]
    share = found / known.totals
    score = known.lengths * share**5
    best = int(score.argmax())
    return (best, float(share[best])) if score[best] > 0 else (-1, 0.0)


@given(st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 300)), max_size=4))
@settings(max_examples=60)
def test_texts_are_told_as_the_twin_tells_them(pieces: list[tuple[int, int]]) -> None:
    words = (REPOSITORY / "LICENSE").read_text(encoding="utf-8").split()
    texts = [" ".join(words[start : start + count]) for start, count in pieces]
    best, share = texts_told(TextBatch.of_texts(texts), 10_000)
    for row, text in enumerate(texts):
        twin = told_by_python(text)
        assert share[row] == pytest.approx(twin[1])
        assert best[row] == twin[0] or share[row] == pytest.approx(told_by_python(text)[1])


def test_prints_of_another_segmentation_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(licenses, "CHECK", "other words than those that were hashed")
    prints.cache_clear()
    try:
        with pytest.raises(InputError, match="made by another version; make it anew"):
            CodeLicense().prepare()
    finally:
        prints.cache_clear()


def test_a_name_that_is_no_id_is_refused() -> None:
    with pytest.raises(RecipeError, match='"MIT OR ISC" must be one SPDX id'):
        CodeLicense(allow=("MIT OR ISC",))


def family(name: str) -> str:
    """A licence without the question of later versions and exceptions, which Google's labels leave open."""
    name = name.lower().partition("-with-")[0].replace("bsd-0-clause", "0bsd")
    return name.removesuffix("-only").removesuffix("-or-later")


@pytest.mark.realdata
def test_labelled_variants_of_texts_and_notices_are_told(realdata: Path) -> None:
    """Google's licence classifier has variants of texts (docs/accuracy.md has the figures); names differ for some."""
    known = {family(name) for name in prints().names}
    for kind, least, at_most in (("License", 0.84, 0.09), ("Header", 0.74, 0.05)):
        paths = [
            path
            for path in sorted((realdata / "neardup/license_texts_spdx_google/google/v2/assets" / kind).rglob("*.txt"))
            if family(path.parent.name) in known
        ]
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in paths]
        told = CodeLicense().measure(TextBatch.of_texts(texts)).column("license").to_pylist()
        outcomes = Counter(
            "none" if name is None else "right" if family(name) == family(path.parent.name) else "wrong"
            for path, name in zip(paths, told, strict=True)
        )
        assert outcomes["right"] / len(paths) >= least, kind
        assert outcomes["wrong"] / len(paths) <= at_most, kind


@pytest.mark.realdata
def test_labelled_source_files_are_told(realdata: Path) -> None:
    folder = realdata / "neardup/license_texts_spdx_google/google/v2/scenarios"
    right = wrong = 0
    for path in sorted(folder.iterdir()):
        label = re.search(r"^EXPECTED:(.*)$", text := path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
        expected = {family(name) for name in label[1].strip().split(",")} - {"", "copyright"} if label else set()
        if not label or not expected:
            continue
        (found,) = CodeLicense().measure(TextBatch.of_texts([text[label.end() :]])).column("license").to_pylist()
        names = {family(name) for name in re.findall(r"[\w.+-]+", found or "")}
        right += bool(names & expected)
        wrong += bool(names) and not names & expected
    assert right >= 34
    assert wrong <= 1
