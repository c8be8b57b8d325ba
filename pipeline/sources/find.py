"""From what a recipe says (`paths`) to the files that are there.

A path is a file, a folder (searched for the reader's suffixes), a glob (`**` too), or a URL that fsspec knows.
`${NAME}` stands for an environment variable. Relative paths begin at the recipe's folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from corpusmill.documents.errors import InputError, nearest
from corpusmill.pipeline.sources.contract import SourceFile
from corpusmill.pipeline.sources.storage import file_system, is_remote, local_path

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_GLOB = re.compile(r"[*?\[]")


def find_files(paths: Sequence[str], *, base: Path, root: str | None, suffixes: Sequence[str]) -> list[SourceFile]:
    """The files that `paths` name, sorted by name, each once.

    Args:
        paths: files, folders, globs and URLs.
        base: what relative local paths are relative to.
        root: file names are relative to it where they lie below it; None: `base`.
        suffixes: of the files that are taken from a folder (lower case).

    Raises:
        InputError: if a path names nothing, or a variable is not set, or a store cannot be reached.
    """
    start = expanded(root) if root is not None else str(base)
    if is_remote(start):
        system, path = file_system(start)
        start = str(system.unstrip_protocol(path))
    else:
        start = os.path.abspath(os.path.join(base, local_path(start)))
    found: dict[str, SourceFile] = {}
    for named in paths:
        whole = expanded(named)
        files = _remote(whole, suffixes) if is_remote(whole) else _local(whole, base, suffixes)
        count = 0
        for uri, size, identity in files:
            count += 1
            found.setdefault(uri, SourceFile(uri, _name(uri, start), size, identity))
        if count == 0:
            raise InputError(_nothing_at(named, whole, base, suffixes))
    return sorted(found.values(), key=lambda file: (file.name, file.uri))


def expanded(path: str) -> str:
    """`path` with environment variables in place of `${NAME}`.

    Raises:
        InputError: if one is not set.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            near = nearest(name, os.environ)
            hint = f'; did you mean "${{{near}}}"?' if near else ""
            raise InputError(f"{path}: the environment variable {name} is not set; export it, or write the path{hint}")
        return os.environ[name]

    return _VARIABLE.sub(value, path)


def _local(path: str, base: Path, suffixes: Sequence[str]) -> Iterator[tuple[str, int, str]]:
    full = os.path.abspath(os.path.join(base, os.path.expanduser(local_path(path))))
    if os.path.isdir(full):
        names: Iterator[str] = _below(full, suffixes)
    elif os.path.exists(full):
        names = iter([full])
    elif _GLOB.search(full):
        names = _globbed(full)
    else:
        return
    for name in names:
        status = os.stat(name)
        yield name, status.st_size, f"{status.st_size}-{status.st_mtime_ns}"


def _below(folder: str, suffixes: Sequence[str]) -> Iterator[str]:
    for parent, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            full = os.path.join(parent, name)
            if _wanted(name, suffixes) and os.path.isfile(full):
                yield full


def _wanted(name: str, suffixes: Sequence[str]) -> bool:
    if name.startswith(".") or ".partial-" in name:
        return False
    # A suffix without a dot is a whole name, such as "makefile".
    return any(name.lower().endswith(end) if end.startswith(".") else name.lower() == end for end in suffixes)


def _globbed(pattern: str) -> Iterator[str]:
    import glob

    for name in sorted(glob.iglob(pattern, recursive=True)):
        if os.path.isfile(name) and ".partial-" not in os.path.basename(name):
            yield name


def _remote(uri: str, suffixes: Sequence[str]) -> Iterator[tuple[str, int, str]]:
    system, path = file_system(uri)
    try:
        if _GLOB.search(path) and not uri.startswith(("http://", "https://")):
            found = system.glob(path, detail=True)
        elif uri.startswith(("http://", "https://")) or system.isfile(path):
            found = {path: system.info(path)}  # a web server's folders cannot be listed for certain
        else:
            listed = system.find(path, detail=True)
            found = {
                name: info
                for name, info in listed.items()
                if _wanted(name.rsplit("/", 1)[-1], suffixes) and not _hidden(name.removeprefix(path))
            }
    except FileNotFoundError:
        return
    except Exception as error:  # each store has exceptions of its own
        raise InputError(f"{uri}: the store cannot be reached or read: {error!r}") from error
    for name, info in sorted(found.items()):
        if info.get("type", "file") == "file":
            yield _entry(str(system.unstrip_protocol(name)), info)


def _hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def _entry(uri: str, info: dict[str, Any]) -> tuple[str, int, str]:
    size = info.get("size")
    if size is None:
        raise InputError(f"{uri}: its server does not say how large it is; download it and name the local file")
    tag = info.get("ETag") or info.get("etag") or info.get("md5Hash") or info.get("LastModified") or info.get("mtime")
    return uri, int(size), f"{size}-{tag}" if tag else str(size)


def _name(uri: str, start: str) -> str:
    if uri.startswith(start.rstrip("/") + "/"):
        uri = uri[len(start.rstrip("/")) + 1 :]
    # A file name on Linux is bytes, and names stand in the ledger: what is no UTF-8 is written as \xff. With U+FFFD for
    # it, two files could have one name, and so their documents the same ids.
    return os.fsencode(uri).decode("utf-8", "backslashreplace")


def _nothing_at(path: str, whole: str, base: Path, suffixes: Sequence[str]) -> str:
    message = f"{path}: matches no file"
    if is_remote(whole):
        return f"{message} at {whole}; check its spelling and that it may be read"
    full = os.path.abspath(os.path.join(base, os.path.expanduser(local_path(whole))))
    if os.path.isdir(full):
        return f"{message}: the folder {full} has none that ends in {', '.join(suffixes)}; name the files by a glob"
    folder, missing = os.path.split(full)
    while not os.path.isdir(folder):
        folder, missing = os.path.split(folder)
    there = {name.lower(): name for name in sorted(os.listdir(folder))}
    near = nearest(missing.lower(), there)
    hint = f'; did you mean "{there[near]}"?' if near else ""
    return f'{message}: there is no "{missing}" in {folder}{hint}'
