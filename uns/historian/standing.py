"""PURE: which `_state` documents stand on record, and whose: what a former owner left is not there.

A new owner says all that a processor shows before its first resume document. A document of an
older owner that was not said again is gone, though nobody may have heard that it was cleared: the
broker may have lost that together with whoever cleared it. Owns this rule; knows no rows.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Stood(NamedTuple):
    """Where a document stands: its topic, and the resume topic of the processor that writes it."""

    topic: str
    writer: str


class Standing:
    """The documents that stand, by writer; bounded by the tree."""

    def __init__(self, stood: Iterable[tuple[Stood, int]] = ()) -> None:
        self._owners: dict[str, dict[str, int]] = {}
        self._swept: dict[str, int] = {}
        for one, owner_epoch in stood:
            self.say(one, owner_epoch)

    def say(self, stood: Stood, owner_epoch: int) -> None:
        """An owner said a document."""
        self._owners.setdefault(stood.writer, {})[stood.topic] = owner_epoch
        if owner_epoch < self._swept.get(stood.writer, 0):
            del self._swept[stood.writer]

    def clear(self, stood: Stood) -> None:
        """A topic was cleared."""
        self._owners.get(stood.writer, {}).pop(stood.topic, None)

    def left_behind(self, writer: str, owner_epoch: int) -> list[str]:
        """The topics that an owner, who has said everything, does not show; they stand no more."""
        if self._swept.get(writer) == owner_epoch:
            return []
        self._swept[writer] = owner_epoch
        owners = self._owners.get(writer, {})
        left = [topic for topic, owner in owners.items() if owner < owner_epoch]
        for topic in left:
            del owners[topic]
        return left
