"""The PLC's own log and the state beside it: what a restart, or a kill, continues from.

Law: a commit writes the log first, then the state (whole or not at all), and only then may a
server show anything of it. The state says how long the log was; what a kill left behind that,
nobody has seen, and it is cut off. So no counter, serial, lot or order number ever goes back.
"""

import json
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from uns.demo.errors import StateUnreadable
from uns.demo.state import Finished, PlantState

LOG: Final = "plc.jsonl"
STATE: Final = "state.json"
_ADAPTER: Final = TypeAdapter(PlantState)


class Journal:
    """The files of one plant; `state` is what an earlier run left, or that of a new plant."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / STATE
        self._saved = self._path.read_bytes() if self._path.exists() else b""
        self.state = _restore(self._saved, self._path)
        self._log = (folder / LOG).open("ab", buffering=0)
        self._log.truncate(self.state.log_bytes)

    def commit(self, finished: list[Finished]) -> None:
        """Make what happened durable: one log line a piece, then the state if it has changed."""
        if finished:
            lines = b"".join(json.dumps(one._asdict()).encode() + b"\n" for one in finished)
            self._log.write(lines)
            self.state.log_bytes += len(lines)
        fresh = _ADAPTER.dump_json(self.state)
        if fresh != self._saved:
            aside = self._path.with_suffix(".tmp")
            aside.write_bytes(fresh)
            aside.replace(self._path)
            self._saved = fresh

    def close(self) -> None:
        """Close the log."""
        self._log.close()


def _restore(saved: bytes, path: Path) -> PlantState:
    if not saved:
        return PlantState()
    try:
        return _ADAPTER.validate_json(saved)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]["msg"]
        raise StateUnreadable(f"{path}: {first}; remove its folder to begin anew") from None
