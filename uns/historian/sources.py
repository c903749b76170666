"""PURE: how far every epoch of every source is on record; bounded.

Owns which epochs are followed. Does not know readers, rows or messages.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from uns.historian.owners import PROCESSOR
from uns.historian.progress import Progress

EPOCHS_MAX: Final = 10_000
"""Of all sources; the events of further ones are stored, and no watermark follows them."""
OUTPUT_EPOCHS_KEPT: Final = 2
"""Of a processor's own source: older owners are fenced, the last one's events may come again."""


class Sources:
    """Progress by source and epoch."""

    def __init__(self, known: Iterable[tuple[str, int, Progress]]) -> None:
        self._epochs: dict[str, dict[int, Progress]] = {}
        self._count = 0
        for source, epoch, progress in known:
            if self._count < EPOCHS_MAX:
                self._add(source, epoch, progress)

    def find(self, source: str, epoch: int) -> Progress | None:
        """The progress of an epoch that is followed."""
        return self._epochs.get(source, {}).get(epoch)

    def follow(self, source: str, epoch: int) -> Progress | None:
        """The progress of an epoch; None for a new one that is not followed (see the bounds)."""
        if known := self.find(source, epoch):
            return known
        is_output = source.startswith(f"{PROCESSOR}:")
        if is_output and self._make_room(source, epoch):
            return self._add(source, epoch, Progress())
        if not is_output and self._count < EPOCHS_MAX:
            return self._add(source, epoch, Progress())
        return None

    def newest(self) -> Iterator[tuple[str, int, Progress]]:
        """The newest epoch of every source."""
        for source, epochs in self._epochs.items():
            epoch = max(epochs)
            yield source, epoch, epochs[epoch]

    def _make_room(self, source: str, epoch: int) -> bool:
        """Let the oldest epoch of a processor go for a newer one."""
        epochs = self._epochs.get(source, {})
        if len(epochs) < OUTPUT_EPOCHS_KEPT:
            return self._count < EPOCHS_MAX
        oldest = min(epochs)
        if epoch < oldest:
            return False
        del epochs[oldest]
        self._count -= 1
        return True

    def _add(self, source: str, epoch: int, progress: Progress) -> Progress:
        self._epochs.setdefault(source, {})[epoch] = progress
        self._count += 1
        return progress
