"""Births kept across restarts: one file a birth, in a folder of the bridge.

Owns the files. Knows no session: a birth is a topic and its bytes. A file bears its own checksum,
so that one cut short by a crash is known; losing one costs no more than a rebirth.
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
    """The kept births of one bridge, at most BIRTHS_MAX; the folder is made when it is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self) -> list[KeepBirth]:
        """Every kept birth, those of nodes before those of devices; what is corrupted goes."""
        births = [birth for path in sorted(self._files()) if (birth := _read(path))]
        return sorted(births, key=lambda birth: f"/{MessageType.DBIRTH}/" in birth.topic)

    def keep(self, birth: KeepBirth) -> None:
        """Write a birth in place of an earlier one of its topic."""
        path = self._path(birth.topic)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if len(self._files()) >= BIRTHS_MAX and not path.exists():
                log.warning("%s is not kept: %d births are", birth.topic, BIRTHS_MAX)
                return
            new = path.with_suffix(".new")
            new.write_bytes(_checksum(birth.raw) + birth.raw)
            new.replace(path)
        except OSError as error:
            log.warning("%s is not kept: %s", birth.topic, error.strerror)

    def drop(self, what: DropBirths) -> None:
        """Forget a device's birth, or a node's and those of all its devices."""
        for path in self._files():
            where = parse(_topic(path))
            if isinstance(where, Topic) and what in (
                DropBirths(where.group, where.edge_node, None),
                DropBirths(where.group, where.edge_node, where.device),
            ):
                path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return list(self._folder.glob(f"*{SUFFIX}")) if self._folder.is_dir() else []

    def _path(self, topic: str) -> Path:
        return self._folder / (quote(topic, safe=" :") + SUFFIX)


def _topic(path: Path) -> str:
    return unquote(path.name.removesuffix(SUFFIX))


def _checksum(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()


def _read(path: Path) -> KeepBirth | None:
    content = path.read_bytes()
    size = hashlib.sha256().digest_size
    if content[:size] == _checksum(content[size:]):
        return KeepBirth(_topic(path), content[size:])
    log.warning("a kept birth is damaged and removed: %s", _topic(path))
    path.unlink(missing_ok=True)
    return None
