# SPDX-License-Identifier: Apache-2.0
"""Print rows of text as a table whose cells are wrapped to fit a given width."""

import sys
import textwrap


def column_widths(rows: list[list[str]], available: int) -> list[int]:
    """Shrink the widest column, one character at a time, until the table fits."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    separators = 3 * (len(widths) - 1)
    while sum(widths) + separators > available:
        widest = widths.index(max(widths))
        if widths[widest] <= 8:
            break
        widths[widest] -= 1
    return widths


def render(rows: list[list[str]], available: int = 79) -> str:
    widths = column_widths(rows, available)
    lines = []
    for number, row in enumerate(rows):
        wrapped = [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
        for level in range(max(map(len, wrapped))):
            cells = []
            for parts, width in zip(wrapped, widths, strict=True):
                piece = parts[level] if level < len(parts) else ""
                cells.append(piece.ljust(width))
            lines.append(" | ".join(cells).rstrip())
        if number == 0:
            lines.append("-+-".join("-" * width for width in widths))
    return "\n".join(lines)


def main() -> int:
    rows = [line.rstrip("\n").split("\t") for line in sys.stdin if line.strip()]
    if not rows:
        print("no rows on standard input", file=sys.stderr)
        return 1
    longest = max(map(len, rows))
    print(render([row + [""] * (longest - len(row)) for row in rows]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
