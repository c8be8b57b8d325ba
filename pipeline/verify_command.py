"""What `corpusmill verify` says: what was looked at, and what is wrong with its mend."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from corpusmill.documents.printable import printable
from corpusmill.mix.verify import Verification


def verification_as_text(told: Sequence[Verification], width: int) -> str:
    """One paragraph for each dataset; a list of what is wrong where something is."""
    return "\n\n".join("\n".join(_lines(one, width)) for one in told)


def _lines(told: Verification, width: int) -> list[str]:
    wrong = len(told.problems) + sum(told.left_out.values())
    verdict = f"{wrong} problem{'s' * (wrong > 1)}" if wrong else "all is as its manifest says"
    lines = [f"{told.dataset}: {verdict}{', as far as --quick looks' if told.quick and not wrong else ''}"]
    if told.files:
        lines.append(f"  files   {told.files:,}{'' if told.quick else ' and their SHA-256'}")
    if told.rows:
        rows = ", ".join(f"{split} {rows:,}" for split, rows in told.rows.items())
        lines.append(f"  rows    {rows}")
    if told.text_bytes:
        lines.append(f"  text    {told.text_bytes / 1e6:,.1f} MB")
    if told.recounted_rows:
        lines.append(f"  tokens  counted again in {told.recounted_rows:,} rows")
    if told.near is False:
        lines.append("  near    not looked for, as shards are not what they should be")
    elif told.near and not any(problem.check == "near" for problem in told.problems):
        lines.append("  near    no near-duplicates in two splits")
    if told.shares:
        longest = max(len("component"), *map(len, told.shares))
        lines.append(f"  {'component':<{longest}}  {'asked':>9}  {'achieved':>9}")
    for name, share in sorted(told.shares.items(), key=lambda item: (-told.asked[item[0]], item[0])):
        lines.append(f"  {printable(name):<{longest}}  {told.asked[name]:>9.3%}  {share:>9.3%}")
    for problem in told.problems:
        lines += textwrap.wrap(
            f"{problem.check}: {printable(problem.place)}: {printable(problem.told)}",
            width,
            initial_indent="- ",
            subsequent_indent="  ",
        )
        lines += textwrap.wrap(f"mend: {problem.mend}", width, initial_indent="    ", subsequent_indent="    ")
    lines += [f"- {check}: and {count:,} more" for check, count in sorted(told.left_out.items())]
    return lines
