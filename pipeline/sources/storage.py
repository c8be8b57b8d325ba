"""Bytes of an input file at any position, from a local disk or from any store that fsspec knows.

Reads go through one block at a time, so that a walk from the beginning to the end costs one request a block and
memory for one block. Stores answer "slow down" now and then (Common Crawl: 503, sometimes 403): a block is asked for
again after a growing pause before the file counts as unreadable.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Any

from corpusmill.documents.errors import InputError
from corpusmill.pipeline.sources.contract import SourceFile

LOCAL_BLOCK_BYTES = 1 << 18  # 64 KB and 1 MB are as fast within the noise
REMOTE_BLOCK_BYTES = 1 << 22  # a request takes some 50 ms whatever its size
_PAUSES = (0.5, 2.0, 8.0, 30.0)  # seconds before another attempt, each times 0.5 to 1.5


def is_remote(uri: str) -> bool:
    """Whether `uri` names a store (`s3://…`, `memory://…`) and not a path."""
    return "://" in uri and not uri.startswith("file://")


def file_system(uri: str) -> tuple[Any, str]:
    """The fsspec file system of `uri` and the path there.

    Raises:
        InputError: if the protocol is unknown or its library is not installed.
    """
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(uri)
    except ImportError as error:
        protocol = uri.split("://")[0]
        mend = "pip install corpusmill[s3]" if protocol in ("s3", "s3a") else f"install what fsspec asks for: {error}"
        raise InputError(f"{uri}: reading {protocol}:// needs a library that is not installed; {mend}") from error
    except ValueError as error:
        raise InputError(f"{uri}: {error}; paths are local, or URLs such as s3://, https:// or memory://") from error
    return system, path


class StoredFile:
    """An input file, open for reading anywhere. A context manager.

    Raises:
        InputError: from any method, if the file cannot be opened or read (any more).
    """

    def __init__(self, file: SourceFile) -> None:
        self.file = file
        self._system: Any = None
        self._block_bytes = b""
        self._block = memoryview(self._block_bytes)
        self._block_start = 0
        self._spool: IO[bytes] | None = None
        if is_remote(file.uri):
            self._system, self._path = file_system(file.uri)
        else:
            try:
                self._spool = open(local_path(file.uri), "rb")  # noqa: SIM115  closed by __exit__
            except OSError as error:
                raise InputError(f"{file.uri}: cannot be opened any more: {error.strerror}") from error

    def __enter__(self) -> StoredFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._spool is not None:
            self._spool.close()

    def view(self, position: int) -> memoryview:
        """Some bytes from `position` on, at least one; none at the end of the file."""
        within = position - self._block_start
        if not 0 <= within < len(self._block):
            self._block_bytes = self._read(position)
            self._block = memoryview(self._block_bytes)
            self._block_start = position
            within = 0
        return self._block[within:]

    def bytes_at(self, position: int, size: int) -> bytes:
        """`size` bytes from `position` on; fewer at the end of the file."""
        parts = []
        while size > 0 and (view := self.view(position)):
            parts.append(bytes(view[:size]))
            position += len(parts[-1])
            size -= len(parts[-1])
        return b"".join(parts)

    def whole(self) -> bytes:
        """The file's bytes, held once."""
        if self._spool is None:
            return self._patiently(0, lambda: self._system.cat_file(self._path))
        try:
            self._spool.seek(0)
            return self._spool.read()
        except OSError as error:
            raise InputError(f"{self.file.uri}: cannot be read: {error.strerror}") from error

    def find(self, pattern: bytes, position: int, stop: int | None = None) -> int | None:
        """Where `pattern` stands next: it begins at `position` or after, and before `stop`."""
        while (stop is None or position < stop) and (view := self.view(position)):
            # The block itself is searched, without a copy; what goes over its end is looked at apart.
            before = len(self._block) - len(view)
            found = self._block_bytes.find(pattern, before) - before
            if found < 0:
                found = max(0, len(view) - len(pattern) + 1)
                beyond = self.bytes_at(position + found, 2 * len(pattern) - 2).find(pattern)
                if beyond < 0:
                    position += len(view)
                    continue
                found += beyond
            return position + found if stop is None or position + found < stop else None
        return None

    def _read(self, position: int) -> bytes:
        if self._spool is None:
            return self._fetch(position)
        try:
            return os.pread(self._spool.fileno(), LOCAL_BLOCK_BYTES, position)
        except OSError as error:
            raise InputError(f"{self.file.uri}: cannot be read at byte {position}: {error.strerror}") from error

    def _fetch(self, position: int) -> bytes:
        size = min(REMOTE_BLOCK_BYTES, self.file.size - position)
        if size <= 0:
            return b""
        block = self._patiently(position, lambda: self._system.cat_file(self._path, position, position + size))
        if len(block) <= size:
            return block
        # A server that does not know ranges sends the whole file each time: keep it.
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115  closed by __exit__
        self._spool.write(block)
        self._spool.flush()
        return block[position : position + size]

    def _patiently(self, position: int, fetch: Callable[[], bytes]) -> bytes:
        pauses = iter(_PAUSES)
        while True:
            try:
                return fetch()
            except FileNotFoundError as error:
                raise InputError(f"{self.file.uri}: is not there any more") from error
            except Exception as error:  # each store has exceptions of its own
                pause = next(pauses, None)
                if pause is None:
                    raise InputError(
                        f"{self.file.uri}: cannot be read at byte {position}, {len(_PAUSES) + 1} attempts: {error!r}"
                    ) from error
                time.sleep(pause * random.uniform(0.5, 1.5))  # so that workers do not come back all at once


def local_path(uri: str) -> str:
    """A local URI as a path."""
    return uri.removeprefix("file://")
