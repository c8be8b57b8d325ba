"""Which licence a file of the shared real data's licences is of, and what two licences are to one another."""

from __future__ import annotations

import re

RELATIONS = ("the same", "a version or variant", "another family")
_SAME = {
    "bitstream": "bitstream-vera",
    "bsd-0-clause": "0bsd",
    "bsd-2-clause-flex": "bsd-3-clause-flex",
    "business-source-license-1.1": "busl-1.1",
    "gnu-all-permissive-copying-license": "fsfap",
    "htmltidy": "jtidy",
    "inner-net-2.0": "innernet",
    "linux-syscall-note": "gpl-2.0",
    "mit-khronos-old": "khronos",
    "openldap": "oldap-2.7",
    "png": "libpng",
    "psf-2.0": "python-2.0",
    "standardml-nj": "smlnj",
    "tcl_tk": "tcl",
    "ubuntu-font-1.0": "ufl-1.0",
}
"""One licence under two names."""
_GNU = frozenset(("agpl", "gpl", "lgpl"))
_OWN_EXCEPTIONS = frozenset(("apache", "cal", "mpl"))


def licence(path: str) -> str:
    """The licence that a file is of, in lower case and by one name; empty for files that test a classifier."""
    parts = path.split("/")
    if parts[:2] == ["google", "v2"]:
        name = parts[4] if parts[2] == "assets" else ""
    else:
        name = re.sub(r"(\.header)?\.(txt|xml|md)$", "", parts[-1])
    name = name.lower().removeprefix("depreciate_").removeprefix("licenseref-")
    name = re.sub(r"-(only|or-later)$|\+$", "", name)
    return _SAME.get(name, name)


def relation(one: str, two: str) -> str:
    """Which of `RELATIONS` two names are in; a file that tests a classifier is told from none."""
    if one == two or not one or not two:
        return RELATIONS[0]
    return RELATIONS[1] if _family(one) == _family(two) else RELATIONS[2]


def _family(licence: str) -> str:
    """What its name begins with; exceptions to the GNU licences are one family with them."""
    stem = re.split(r"[-_]", licence)[0]
    return "gpl" if stem in _GNU or ("-exception" in licence and stem not in _OWN_EXCEPTIONS) else stem
