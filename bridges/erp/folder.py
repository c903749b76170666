"""The order folder: `in` is read, `done` and `error` keep what was read.

Owns files and when one is complete. Does not know what an order says. Nothing is ever deleted or
overwritten. Links, folders and whatever is not named *.json are left alone.
"""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from bridges.erp.config import ErpSettings
from bridges.erp.errors import FolderLost
from bridges.erp.mapping import is_half

INBOX: Final = "in"
DONE: Final = "done"
ERROR: Final = "error"
SUFFIX: Final = ".json"
FILES_A_SCAN_MAX: Final = 1_000


class Look(NamedTuple):
    """What a file looked like; a file that looks the same has not been written to."""

    size: int
    modified_ns: int


class Arrived(NamedTuple):
    """A complete file. `raw` is cut at the largest size that is read; `too_big` says so."""

    path: Path
    raw: bytes
    too_big: bool


@dataclass(slots=True)
class _Watched:
    """A file in `in`: how it looks, and since when."""

    look: Look
    since_s: float


class OrderFolder:
    """One folder; every method may raise FolderLost."""

    def __init__(self, root: Path, settings: ErpSettings) -> None:
        self._root = root
        self._settle_s = settings.settle_ms / 1000
        self._half_s = max(settings.half_ms_max, settings.settle_ms) / 1000
        self._bytes_max = settings.file_bytes_max
        self._watched: dict[Path, _Watched] = {}

    def prepare(self) -> None:
        """Make what is missing of the three folders."""
        with _guarded():
            for name in (INBOX, DONE, ERROR):
                (self._root / name).mkdir(parents=True, exist_ok=True)

    def complete(self, now_s: float) -> list[Arrived]:
        """The files that nobody writes to any more, the oldest first."""
        with _guarded():
            looks = dict(_looks(self._root / INBOX))
            self._watched = {
                path: self._watch(path, look, now_s)
                for path, look in sorted(looks.items(), key=_by_age)[:FILES_A_SCAN_MAX]
            }
            settled = [path for path, one in self._watched.items() if self._is_still(one, now_s)]
            arrived = [self._read(path) for path in settled]
        return [one for one in arrived if not self._may_grow(one, now_s)]

    def done(self, path: Path, note: str = "") -> None:
        """Put a file away as done, with a note beside it if there is one."""
        self._move(path, DONE, f"{note}\n" if note else "", ".note.txt")

    def refused(self, path: Path, reason: str) -> None:
        """Put a file away as refused, the reason beside it."""
        self._move(path, ERROR, f"{reason}\n", ".reason.txt")

    def _watch(self, path: Path, look: Look, now_s: float) -> _Watched:
        before = self._watched.get(path)
        return before if before and before.look == look else _Watched(look, now_s)

    def _is_still(self, watched: _Watched, now_s: float) -> bool:
        return now_s - watched.since_s >= self._settle_s

    def _may_grow(self, arrived: Arrived, now_s: float) -> bool:
        waited_s = now_s - self._watched[arrived.path].since_s
        return not arrived.too_big and waited_s < self._half_s and is_half(arrived.raw)

    def _read(self, path: Path) -> Arrived:
        with path.open("rb") as file:
            raw = file.read(self._bytes_max + 1)
        return Arrived(path, raw[: self._bytes_max], len(raw) > self._bytes_max)

    def _move(self, path: Path, folder: str, text: str, suffix: str) -> None:
        with _guarded():
            target = _free_name(self._root / folder / path.name)
            if text:
                target.with_name(target.name + suffix).write_text(text)
            path.rename(target)
        self._watched.pop(path, None)


def _looks(folder: Path) -> Iterator[tuple[Path, Look]]:
    for path in folder.iterdir():
        if path.suffix.lower() != SUFFIX or path.name.startswith("."):
            continue
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISREG(found.st_mode):
            yield path, Look(found.st_size, found.st_mtime_ns)


def _by_age(item: tuple[Path, Look]) -> tuple[int, str]:
    path, look = item
    return look.modified_ns, path.name


def _free_name(path: Path) -> Path:
    """The path, or with the first number that makes it new: PO-1.json, PO-1.2.json."""
    fresh, number = path, 1
    while fresh.exists():
        number += 1
        fresh = path.with_name(f"{path.stem}.{number}{path.suffix}")
    return fresh


@contextmanager
def _guarded() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FolderLost(f"{error.strerror or error}: {error.filename}") from None
