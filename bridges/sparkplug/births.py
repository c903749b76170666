"""Births kept across restarts: one file a birth, in a folder of the bridge.

Owns the files, and which of them there are: the folder is read once, by `load`, and nobody else
writes there. Knows no session: a birth is a topic and its bytes. A file bears its own checksum, so
that one cut short by a crash is known. Losing a birth costs no more than a rebirth, so a file that
cannot be read, written or removed is told in the log and never an error.
"""

import hashlib
import logging
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from uns.sparkplug.outputs import DropBirths, KeepBirth
from uns.sparkplug.topic import MessageType, Topic, parse

BIRTHS_MAX: Final = 10_000
SUFFIX: Final = ".birth"

log = logging.getLogger(__name__)


class BirthFolder:
    """The kept births of one bridge, at most BIRTHS_MAX; the folder is made when it is needed.

    Call `load` first. `keep` and `drop` cost as much with many births as with few.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[tuple[str, str], dict[str | None, Path]] = {}
        self._count = 0

    def load(self) -> list[KeepBirth]:
        """Every kept birth, those of nodes before those of devices; what is corrupted goes."""
        births = [birth for path in self._found() if (birth := self._load(path))]
        return sorted(births, key=lambda birth: f"/{MessageType.DBIRTH}/" in birth.topic)

    def keep(self, birth: KeepBirth) -> None:
        """Write a birth in place of an earlier one of its topic."""
        where = parse(birth.topic)
        if not isinstance(where, Topic):
            return
        path = self._folder / (quote(birth.topic, safe=" :") + SUFFIX)
        if self._count >= BIRTHS_MAX and path not in self._of(where).values():
            log.warning("%s is not kept: %d births are", path, BIRTHS_MAX)
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            new = path.with_suffix(".new")
            new.write_bytes(_checksum(birth.raw) + birth.raw)
            new.replace(path)
        except OSError as error:
            log.warning("%s is not kept: %s", path, error.strerror)
            if path in self._of(where).values():
                _remove(path)  # the birth before it no longer holds
        else:
            self._enter(where, path)

    def drop(self, what: DropBirths) -> None:
        """Forget a device's birth, or a node's and those of all its devices."""
        files = self._files.get((what.group, what.edge_node), {})
        for device in [what.device] if what.device is not None else list(files):
            path = files.pop(device, None)
            if path is not None:
                self._count -= 1
                _remove(path)
        if not files:
            self._files.pop((what.group, what.edge_node), None)

    def _found(self) -> list[Path]:
        try:
            return sorted(path for path in self._folder.iterdir() if path.suffix == SUFFIX)
        except FileNotFoundError:
            return []
        except OSError as error:
            log.warning("no kept birth is read: %s: %s", self._folder, error.strerror)
            return []

    def _load(self, path: Path) -> KeepBirth | None:
        topic = unquote(path.name.removesuffix(SUFFIX))
        where = parse(topic)
        if not isinstance(where, Topic):
            return None
        self._enter(where, path)
        raw = _read(path)
        return None if raw is None else KeepBirth(topic, raw)

    def _of(self, where: Topic) -> dict[str | None, Path]:
        return self._files.get((where.group, where.edge_node), {})

    def _enter(self, where: Topic, path: Path) -> None:
        self._count += where.device not in self._of(where)
        self._files.setdefault((where.group, where.edge_node), {})[where.device] = path


def _checksum(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()


def _read(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError as error:
        log.warning("a kept birth is not read: %s: %s", path, error.strerror)
        return None
    size = hashlib.sha256().digest_size
    if content[:size] == _checksum(content[size:]):
        return content[size:]
    log.warning("a kept birth is damaged and removed: %s", path)
    _remove(path)
    return None


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("a kept birth is not removed: %s: %s", path, error.strerror)
