"""The generator's own log: what it made, on disk before the hub hears of it.

One JSON line an event: `n` (its number on its line, from 1), line, id, type, path, at_ms, body.
The auditor reads the same file with code of its own.
"""

import json
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Journal:
    """The file, open for writing; a line that a crash cut short is taken off at the start."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("ab+")
        self._file.truncate(_whole(self._path))
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _tb: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, events: Iterable[dict[str, Any]]) -> None:
        """Durable on return."""
        self._file.write(b"".join(json.dumps(event).encode() + b"\n" for event in events))
        self._file.flush()
        os.fsync(self._file.fileno())


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Every event in the file, in the order of its making."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)


class Heads:
    """How far each line is in a journal that is being written; `read` goes on where it was."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._made: Counter[str] = Counter()
        self._turn = threading.Lock()

    def read(self) -> Counter[str]:
        """The number of the newest event of each line, as of now."""
        with self._turn:
            if self._path.exists():
                self._go_on()
            return self._made.copy()

    def _go_on(self) -> None:
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                event = json.loads(line)
                self._made[event["line"]] = event["n"]


def _whole(path: Path) -> int:
    """The length up to the end of the last whole line."""
    with path.open("rb") as file:
        length = 0
        for line in file:
            length += len(line) if line.endswith(b"\n") else 0
    return length
