"""Makes filters/license_prints.npz from a checkout of spdx/license-list-XML: `make_license_prints.py FOLDER`.

FOLDER holds the XML files of the list (`src/`). Of each licence that is not deprecated, its text and its standard
notice give a print each: hashes of the runs of five words within the parts that are the same for every user. Parts that
the list marks as replaceable or optional, titles, copyright lines and bullets are left out. Of a text with more than
`ALL` runs, `SAMPLE` are kept, half of them those that the fewest other texts have. The list's data are CC0.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from corpusmill.filters.licenses import CHECK, runs_of

TARGET = Path(__file__).parent.parent / "filters" / "license_prints.npz"
ALL, SAMPLE, LEAST = 256, 128, 12
_SPACE = "{http://www.spdx.org/license}"
_LEFT_OUT = {
    _SPACE + name for name in ("alt", "optional", "bullet", "copyrightText", "titleText", "crossRefs", "notes")
}
_NOTICE = _SPACE + "standardLicenseHeader"


def segments(element: ElementTree.Element) -> list[str]:
    """The parts of a text between those that are left out."""
    found = [""]

    def walk(node: ElementTree.Element) -> None:
        found[-1] += f" {node.text or ''}"
        for child in node:
            if child.tag in _LEFT_OUT or child.tag == _NOTICE:
                found.append("")
            else:
                walk(child)
            found[-1] += f" {child.tail or ''}"

    walk(element)
    return found


def main(folder: Path) -> None:
    texts: dict[frozenset[int], str] = {}
    # Of licences with the same text, such as GPL-2.0-only and -or-later, the one with the shortest name has it.
    for path in sorted(folder.glob("*.xml"), key=lambda path: (len(path.stem), path.stem)):
        for license_ in ElementTree.parse(path).getroot().iter(_SPACE + "license"):
            if license_.get("deprecatedVersion"):
                continue
            for element in (*license_.iter(_SPACE + "text"), *license_.iter(_NOTICE)):
                runs = frozenset(int(run) for part in segments(element) for run in runs_of(part))
                if len(runs) >= LEAST:
                    texts.setdefault(runs, str(license_.get("licenseId")))
    common = Counter(run for runs in texts for run in runs)
    owners: dict[int, list[int]] = {}
    totals, lengths, names = [], [], []
    for index, (runs, name) in enumerate(sorted(texts.items(), key=lambda item: (item[1], len(item[0])))):
        kept = sorted(runs)
        if len(kept) > ALL:
            rarest = sorted(kept, key=lambda run: (common[run], run))[: SAMPLE // 2]
            kept = sorted({*rarest, *kept[: SAMPLE // 2]})
        for run in kept:
            owners.setdefault(run, []).append(index)
        totals.append(sum(common[run] ** -0.5 for run in kept))
        lengths.append(len(runs))
        names.append(name)
    keys = sorted(owners)
    np.savez_compressed(
        TARGET,
        names=np.frombuffer("\n".join(names).encode(), np.uint8),
        totals=np.array(totals, np.float64),
        lengths=np.array(lengths, np.int32),
        keys=np.array(keys, np.uint32),
        weights=np.array([common[key] ** -0.5 for key in keys], np.float64),
        firsts=np.cumsum([0, *(len(owners[key]) for key in keys)], dtype=np.int32),
        owners=np.array([index for key in keys for index in owners[key]], np.int32),
        check=runs_of(CHECK)[0],
    )
    print(f"{len(names)} prints of {len(set(names))} licences, {len(keys):,} runs, {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
