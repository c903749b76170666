"""The data folder: where a hub keeps everything, and how other programs find it.

Owns file names inside the folder, `connection.json` and the note of the folder used last.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from uns.cli.errors import CommandError, UsageError
from uns.model.plant import Plant
from uns.mqtt.broker import write_private
from uns.mqtt.message import Address
from uns.runtime.errors import AlreadyRunning

DEFAULT: Final = Path(".uns")
DUCKDB: Final = "duckdb"
LOOKED_AT_S_MAX: Final = 0.5
LOOK_AGAIN_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths below one data folder."""

    root: Path

    @property
    def connection(self) -> Path:
        """URLs and credentials for other programs (mode 600)."""
        return self.root / "connection.json"

    @property
    def passwords(self) -> Path:
        """The broker's users (mode 600)."""
        return self.root / "passwords.json"

    @property
    def plant(self) -> Path:
        """The checked namespace, as the hub's processes read it."""
        return self.root / "plant.json"

    @property
    def broker(self) -> Path:
        """The broker's configuration and persistence."""
        return self.root / "broker"

    @property
    def logs(self) -> Path:
        """One log file a process."""
        return self.root / "log"

    @property
    def database(self) -> Path:
        """The embedded store."""
        return self.root / "store.duckdb"

    def outbox(self, name: str) -> Path:
        """The outbox file of one source of events."""
        return self.root / "outbox" / f"{name}.sqlite"

    def load_plant(self) -> Plant:
        """The plant that the hub on this folder runs."""
        return Plant.model_validate_json(self.plant.read_bytes())

    def load_connection(self) -> dict[str, Any]:
        """The content of connection.json."""
        document: dict[str, Any] = json.loads(self.connection.read_text())
        return document

    def address(self, user: str) -> Address:
        """Where the broker is, as one of its users."""
        connection = self.load_connection()
        passwords = json.loads(self.passwords.read_text())
        return Address(connection["host"], connection["port"], user, passwords[user])

    @property
    def running(self) -> bool:
        """Whether a hub holds the folder now."""
        lock = self.root / "lock"
        if not lock.exists():
            return False
        with lock.open() as file:
            return not _taken(file, fcntl.LOCK_SH)  # others may look at the same time


def open_folder(root: Path) -> Folder:
    """Make a data folder for a hub, private to its owner; UsageError where that cannot be."""
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--data {root}: {error.strerror}") from None
    folder = Folder(root.resolve())
    with suppress(OSError):  # a machine without a home for us has no last folder
        remember(folder)
    return folder


def find_folder(root: Path | None) -> Folder:
    """The folder asked for, or the one used last; CommandError if no hub was ever there."""
    folder = Folder((root or _last_used()).resolve())
    if not folder.connection.exists():
        raise CommandError(
            f"{folder.root} holds no hub: start one with `uns demo --data {folder.root}`"
        )
    return folder


def _last_used() -> Path:
    note = _note()
    if note.exists() and (last := Path(note.read_text().strip())).is_dir():
        return last
    if DEFAULT.is_dir():
        return DEFAULT
    raise CommandError("no data folder yet: start a hub with `uns demo`, or name one with --data")


def remember(folder: Folder) -> None:
    """Note the folder as the one used last."""
    note = _note()
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(f"{folder.root}\n")


def _note() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "uns" / "last-data-folder"


@contextmanager
def locked(folder: Folder, worker: str | None = None) -> Iterator[None]:
    """Hold the folder for one hub, or a worker's name beside it; AlreadyRunning when it is held."""
    who, name = ("a worker of this name", f"{worker}.lock") if worker else ("a hub", "lock")
    with (folder.root / name).open("w") as file:
        end_s = time.monotonic() + LOOKED_AT_S_MAX  # who looks holds it for a moment, too
        while not _taken(file, fcntl.LOCK_EX):
            if time.monotonic() > end_s:
                raise AlreadyRunning(f"{who} runs on {folder.root} already: stop it first")
            time.sleep(LOOK_AGAIN_S)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _taken(file: IO[str], lock: int) -> bool:
    """Whether a lock of a kind could be had."""
    try:
        fcntl.flock(file, lock | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def write_connection(folder: Folder, document: dict[str, Any]) -> None:
    """Publish where the hub can be reached; readable by the owner only."""
    write_private(folder.connection, json.dumps(document, indent=2) + "\n")
