#!/usr/bin/env python3
"""Build the sample corpora: `python3 sample_corpora/build.py [OUT]` (default OUT: `sample_corpora/built`).

Only the standard library is used, and the same sources always give the same bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def build(out_dir: str | Path = HERE / "built") -> list[Path]:
    """Write everything that has to be built into `out_dir`, and return the files written."""
    sys.path.insert(0, str(HERE / "web"))
    try:
        import build_web
    finally:
        sys.path.pop(0)
    return build_web.build(out_dir)


if __name__ == "__main__":
    for path in build(*sys.argv[1:2]):
        print(path)
