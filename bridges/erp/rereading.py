"""A file that may be corrected while the bridge runs: read when it changes. Owns when, not what."""

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from bridges.erp.errors import FolderLost

T = TypeVar("T")


class Rereading(Generic[T]):
    """What a file says; `nothing` where no file is named."""

    def __init__(self, path: Path | None, read: Callable[[Path], T], nothing: T) -> None:
        self._path = path
        self._read = read
        self._said = nothing
        self._seen: tuple[int, int] | None = None

    def current(self) -> T:
        """What the file says now. Raises what reading it raises, and FolderLost."""
        if self._path is None:
            return self._said
        try:
            found = self._path.stat()
        except OSError as error:
            raise FolderLost(f"{error.strerror}: {self._path}") from None
        look = (found.st_mtime_ns, found.st_size)
        if look != self._seen:
            self._said = self._read(self._path)
            self._seen = look
        return self._said
