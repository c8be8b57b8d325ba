# SPDX-License-Identifier: GPL-3.0-only
"""Show which folders under a path take up the most room, as a small tree."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field


@dataclass
class Folder:
    name: str
    own_bytes: int = 0
    children: list[Folder] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.own_bytes + sum(child.total for child in self.children)


def scan(path: str) -> Folder:
    folder = Folder(os.path.basename(path) or path)
    try:
        entries = list(os.scandir(path))
    except PermissionError:
        print(f"cannot open {path}", file=sys.stderr)
        return folder
    for entry in entries:
        if entry.is_symlink():
            continue
        if entry.is_dir():
            folder.children.append(scan(entry.path))
        else:
            folder.own_bytes += entry.stat().st_size
    return folder


def human(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def show(folder: Folder, smallest_share: float, whole: int, indent: str = "") -> None:
    print(f"{indent}{human(folder.total):>10}  {folder.name}")
    for child in sorted(folder.children, key=lambda item: item.total, reverse=True):
        if child.total >= smallest_share * whole:
            show(child, smallest_share, whole, indent + "  ")


if __name__ == "__main__":
    root = scan(sys.argv[1] if len(sys.argv) > 1 else ".")
    show(root, 0.02, max(root.total, 1))
