# SPDX-License-Identifier: CC0-1.0
"""Turn a CSV file with a header into newline-delimited JSON, guessing types by column.

A column is written as integers only when every one of its values is an integer, so
that a single stray word leaves the whole column as text.
"""

import argparse
import csv
import json
from pathlib import Path


def narrowest_type(values: list[str]) -> type:
    for candidate in (int, float):
        try:
            for value in values:
                if value != "":
                    candidate(value)
        except ValueError:
            continue
        return candidate
    return str


def convert(source: Path, target: Path) -> int:
    with source.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        rows = list(reader)
        names = reader.fieldnames or []
    types = {name: narrowest_type([row[name] or "" for row in rows]) for name in names}
    with target.open("w", encoding="utf-8") as stream:
        for row in rows:
            record = {
                name: None if row[name] in ("", None) and types[name] is not str else types[name](row[name] or "")
                for name in names
            }
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")
    return len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    count = convert(arguments.source, arguments.target)
    print(f"{count} rows written to {arguments.target}")


if __name__ == "__main__":
    main()
