"""The folder of EPCIS documents: `in` is read piece by piece, `done` and `error` keep it.

Owns files, and when one is complete. Does not know what an event says. Nothing is ever deleted or
overwritten; links, folders, hidden files and whatever has no suffix of a format are left alone.
"""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from bridges.epcis.config import EpcisSettings
from bridges.epcis.document import Entry, read_json
from bridges.epcis.errors import FolderLost
from bridges.epcis.xml_document import read_xml

INBOX: Final = "in"
DONE: Final = "done"
ERROR: Final = "error"
SUFFIXES: Final = (".json", ".jsonld", ".xml")
FILES_A_SCAN_MAX: Final = 1_000
CHUNK_BYTES: Final = 65_536


class Look(NamedTuple):
    """What a file looked like; a file that looks the same has not been written to."""

    size: int
    modified_ns: int


class Arrived(NamedTuple):
    """A complete file."""

    path: Path
    look: Look

    @property
    def name(self) -> str:
        """Its name as it can be written and sent: what is not UTF-8 in it is a `?`."""
        return self.path.name.encode(errors="replace").decode()


def read(path: Path) -> Iterator[Entry | dict[str, Any]]:
    """The events of a file as they come, at the end its document without them.

    Raises BrokenDocument, OSError, and UnicodeDecodeError (a ValueError, as the first).
    """
    if path.suffix.lower() == ".xml":
        with path.open("rb") as file:
            yield from read_xml(iter(lambda: file.read(CHUNK_BYTES), b""))
    else:
        with path.open(encoding="utf-8-sig") as text:
            yield from read_json(iter(lambda: text.read(CHUNK_BYTES), ""))


def last_of(path: Path) -> dict[str, Any]:
    """Read a file to its end, and give its document without the events. Raises as `read`."""
    document: Any = {}
    for document in read(path):  # noqa: B007 - the last one is what is wanted
        pass
    return dict(document)


class EventFolder:
    """One folder; every method may raise FolderLost."""

    def __init__(self, root: Path, settings: EpcisSettings) -> None:
        self._root = root
        self._settle_s = settings.settle_ms / 1000
        self._since: dict[Arrived, float] = {}

    def prepare(self) -> None:
        """Make what is missing of the three folders."""
        with guarded():
            for name in (INBOX, DONE, ERROR):
                (self._root / name).mkdir(parents=True, exist_ok=True)

    def complete(self, now_s: float) -> list[Arrived]:
        """The files that nobody writes to any more, the oldest first."""
        with guarded():
            there = sorted(_files(self._root / INBOX), key=lambda one: (one.look[1], one.name))
        self._since = {one: self._since.get(one, now_s) for one in there[:FILES_A_SCAN_MAX]}
        return [one for one, since_s in self._since.items() if now_s - since_s >= self._settle_s]

    def put_away(self, arrived: Arrived, folder: str, note: str) -> None:
        """Move a file to `done` or `error`, with a note beside it if there is one."""
        with guarded():
            target = free_name(self._root / folder / arrived.path.name)
            if note:
                beside = ".reason.txt" if folder == ERROR else ".note.txt"
                target.with_name(target.name + beside).write_text(f"{note}\n", encoding="utf-8")
            arrived.path.rename(target)


def _files(folder: Path) -> Iterator[Arrived]:
    for path in folder.iterdir():
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISREG(found.st_mode):
            yield Arrived(path, Look(found.st_size, found.st_mtime_ns))


def free_name(path: Path) -> Path:
    """The path, or with the first number that makes it new: a.json, a.2.json."""
    fresh, number = path, 1
    while fresh.exists():
        number += 1
        fresh = path.with_name(f"{path.stem}.{number}{path.suffix}")
    return fresh


@contextmanager
def guarded() -> Iterator[None]:
    """What the operating system refuses is FolderLost."""
    try:
        yield
    except OSError as error:
        raise FolderLost(f"{error.strerror or error}: {error.filename}") from None
