"""PURE: what was refused: its row, its count by class, and the newest of each class to tell.

Owns how often and why input was refused. Does not know what follows for its source.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from uns.codec import Reject
from uns.historian.rows import RejectRow
from uns.model.events import Rejected


class RejectNote(NamedTuple):
    """The newest reject of a class. `origin`: where a bridge got it; None for a message."""

    reject_class: str
    reason: str
    topic: str
    origin: str | None
    total: int
    original_base64: str
    original_sha256: str
    at_ms: int


class Quarantine:
    """Counts since the record began, and what has not been told yet."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._counts = Counter(counts)
        self._notes: dict[str, RejectNote] = {}

    def refuse(self, reject: Reject, *, repeated: bool, at_ms: int) -> RejectRow:
        """The row of a message, counted and noted."""
        original = base64.b64encode(reject.original).decode()
        sha256 = hashlib.sha256(reject.original).hexdigest()
        reason, topic = _plain(reject.reason), _plain(reject.topic)
        self._note(reject.reject_class, reason, topic, None, (original, sha256, at_ms))
        return RejectRow(
            reject.reject_class, reason, topic, at_ms, original, sha256, repeated=repeated
        )

    def heard(self, topic: str, event: Rejected) -> None:
        """Count and note what a bridge refused; its row is that of the event."""
        original = (event.original_base64, event.original_sha256, event.at_ms)
        self._note(event.reject_class, event.reason, topic, event.origin, original)

    def take_notes(self) -> list[RejectNote]:
        """The newest reject of each class since the last call."""
        notes, self._notes = list(self._notes.values()), {}
        return notes

    def _note(
        self,
        reject_class: str,
        reason: str,
        topic: str,
        origin: str | None,
        original: tuple[str, str, int],
    ) -> None:
        self._counts[reject_class] += 1
        total = self._counts[reject_class]
        note = RejectNote(reject_class, reason, topic, origin, total, *original)
        self._notes[reject_class] = note


def _plain(text: str) -> str:
    """Text that every store takes: no NUL, no half characters."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
