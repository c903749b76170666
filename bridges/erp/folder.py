"""The order folder: `in` is read, `done` and `error` keep what was read.

Owns files and when one is complete. Does not know what an order says. Nothing is ever deleted or
overwritten. Links, folders, hidden files and whatever has no suffix of a format are left alone.
"""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from bridges.erp.config import ErpSettings
from bridges.erp.errors import FolderLost
from bridges.erp.formats import FORMATS

INBOX: Final = "in"
DONE: Final = "done"
ERROR: Final = "error"
FILES_A_SCAN_MAX: Final = 1_000


class Look(NamedTuple):
    """What a file looked like; a file that looks the same has not been written to."""

    size: int
    modified_ns: int


class Arrived(NamedTuple):
    """A complete file. `raw` is cut at the largest size that is read; `too_big` says so.

    trouble: why it cannot be read, empty if it was.
    """

    path: Path
    raw: bytes
    too_big: bool
    trouble: str = ""

    @property
    def name(self) -> str:
        """Its name as it can be written and sent: what is not UTF-8 in it is a `?`."""
        return self.path.name.encode(errors="replace").decode()

    @property
    def suffix(self) -> str:
        """Which format it is in."""
        return self.path.suffix.lower()


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

    def complete(self, now_s: float) -> Iterator[Arrived]:
        """The files that nobody writes to any more, the oldest first; each is read in its turn."""
        with _guarded():
            looks = dict(_looks(self._root / INBOX))
        self._watched = {
            path: self._watch(path, look, now_s)
            for path, look in sorted(looks.items(), key=_by_age)[:FILES_A_SCAN_MAX]
        }
        settled = [path for path, one in self._watched.items() if self._is_still(one, now_s)]
        for path in settled:
            arrived = self._read(path)
            if arrived and not self._may_grow(arrived, now_s):
                yield arrived

    def done(self, path: Path, note: str = "") -> None:
        """Put a file away as done, with a note beside it if there is one."""
        self._move(path, DONE, f"{note}\n" if note else "", ".note.txt")

    def refused(self, path: Path, reason: str) -> None:
        """Put a file away as refused, the reason beside it."""
        self._move(path, ERROR, f"{reason}\n", ".reason.txt")

    def bad_rows(self, path: Path, text: str, encoding: str) -> None:
        """Put the rows of a file that were refused beside it, as CSV; after a crash not again."""
        content = text.encode(encoding, "backslashreplace")
        with _guarded():
            target = _free_name((self._root / ERROR / path.name).with_suffix(".csv"), content)
            target.write_bytes(content)

    def _watch(self, path: Path, look: Look, now_s: float) -> _Watched:
        before = self._watched.get(path)
        return before if before and before.look == look else _Watched(look, now_s)

    def _is_still(self, watched: _Watched, now_s: float) -> bool:
        return now_s - watched.since_s >= self._settle_s

    def _may_grow(self, arrived: Arrived, now_s: float) -> bool:
        waited_s = now_s - self._watched[arrived.path].since_s
        is_half = FORMATS[arrived.suffix].is_half
        is_whole = arrived.too_big or bool(arrived.trouble)
        return not is_whole and waited_s < self._half_s and is_half(arrived.raw)

    def _read(self, path: Path) -> Arrived | None:
        """The file as it was looked at; None when it changed since, or is gone."""
        with _guarded():
            try:
                with path.open("rb") as file:
                    raw = file.read(self._bytes_max + 1)
                if _look(path) != self._watched[path].look:
                    return None
            except FileNotFoundError:
                return None
            except PermissionError as error:
                return Arrived(
                    path, b"", too_big=False, trouble=f"cannot be read: {error.strerror}"
                )
        return Arrived(path, raw[: self._bytes_max], len(raw) > self._bytes_max)

    def _move(self, path: Path, folder: str, text: str, suffix: str) -> None:
        with _guarded():
            target = _free_name(self._root / folder / path.name)
            if text:
                target.with_name(target.name + suffix).write_text(text, encoding="utf-8")
            path.rename(target)
        self._watched.pop(path, None)


def _looks(folder: Path) -> Iterator[tuple[Path, Look]]:
    for path in folder.iterdir():
        if path.suffix.lower() not in FORMATS or path.name.startswith("."):
            continue
        try:
            look = _look(path)
        except FileNotFoundError:
            continue
        if look:
            yield path, look


def _look(path: Path) -> Look | None:
    found = path.lstat()
    return Look(found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def _by_age(item: tuple[Path, Look]) -> tuple[int, str]:
    path, look = item
    return look.modified_ns, path.name


def _free_name(path: Path, content: bytes | None = None) -> Path:
    """The path, or with the first number that makes it new: PO-1.json, PO-1.2.json.

    A file that has the content already will do.
    """
    fresh, number = path, 1
    while fresh.exists() and (content is None or fresh.read_bytes() != content):
        number += 1
        fresh = path.with_name(f"{path.stem}.{number}{path.suffix}")
    return fresh


@contextmanager
def _guarded() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FolderLost(f"{error.strerror or error}: {error.filename}") from None
