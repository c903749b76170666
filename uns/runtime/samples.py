"""Every value of the tags that say so, on its way to the record through the outbox.

Owns how values are put into events, up to when each tag is recorded, and what gives way when the
disk is full: samples, the oldest first, and never a fact. How many went is on record.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from uns.codec import encode_document, tag_document
from uns.fold import Draft
from uns.model.events import SAMPLES_MAX, Sampled
from uns.model.observation import Reading
from uns.model.plant import Place
from uns.runtime.outbox import Entry, Outbox

AGE_MS_MAX: Final = 7 * 86_400_000
GIVE_WAY: Final = 200
"""Entries that give way at once when the disk is full."""
TOPIC_END: Final = f"/_event/{Sampled.type_name}"
MEMORY: Final = "sampled:"
EMPTIED: Final = "emptied"


class Samples:
    """The samples of one bridge; its memory is that of the outbox."""

    def __init__(self, places: Mapping[str, Place], outbox: Outbox) -> None:
        self._outbox = outbox
        self._units = {
            (path, name): tag.unit
            for path, place in places.items()
            for name, tag in place.cell.tags.items()
            if tag.record == "every"
        }
        self._known: dict[str, dict[str, int]] = {
            path: json.loads(outbox.recall(f"{MEMORY}{path}") or "{}") for path in places
        }

    @property
    def known(self) -> dict[tuple[str, str], int]:
        """Up to when (the source's time) each tag is recorded with a value."""
        return {(c, tag): at_ms for c, tags in self._known.items() for tag, at_ms in tags.items()}

    def drafts(self, readings: Iterable[Reading]) -> list[Draft]:
        """The events that keep these values, in their order."""
        by_cell: dict[str, list[Reading]] = {}
        for reading in readings:
            if (reading.cell, reading.tag) in self._units:
                by_cell.setdefault(reading.cell, []).append(reading)
        return [
            self._draft(path, some) for path, taken in by_cell.items() for some in _parts(taken)
        ]

    def memory(self, drafts: Iterable[Draft]) -> dict[str, str]:
        """What to remember in the transaction of these events."""
        cells = dict.fromkeys(d.path for d in drafts if d.type == Sampled.type_name)
        return {f"{MEMORY}{path}": json.dumps(self._known[path]) for path in cells}

    def give_way(self) -> bool:
        """Let the oldest samples go; whether there were any."""
        return self._empty(self._outbox.oldest(TOPIC_END, self._emptied, GIVE_WAY))

    def age(self, now_ms: int) -> bool:
        """Let samples go that wait longer than AGE_MS_MAX (wall time); whether there were any."""
        before_ms = now_ms - AGE_MS_MAX
        return self._empty(self._outbox.oldest(TOPIC_END, self._emptied, GIVE_WAY, before_ms))

    @property
    def _emptied(self) -> int:
        return int(self._outbox.recall(EMPTIED) or 0)

    def _empty(self, entries: Iterable[Entry]) -> bool:
        payloads = dict(_emptied(entries))
        if payloads:
            self._outbox.rewrite(payloads, {EMPTIED: str(max(payloads))})
        return bool(payloads)

    def _draft(self, path: str, readings: Iterable[Reading]) -> Draft:
        samples, known = list[dict[str, object]](), self._known[path]
        for r in readings:
            unit = self._units[path, r.tag]
            shown = tag_document(r.value, r.at_ms, r.quality, unit, r.reason)
            samples.append({"tag": r.tag, "at_ms": shown.pop("timestamp_ms"), **shown})
            if r.quality != "bad":
                known[r.tag] = max(known.get(r.tag, 0), r.at_ms)
        at_ms = max(int(str(sample["at_ms"])) for sample in samples)
        return Draft(path, Sampled.type_name, at_ms, {"samples": samples})


def _parts(readings: list[Reading]) -> Iterator[list[Reading]]:
    for start in range(0, len(readings), SAMPLES_MAX):
        yield readings[start : start + SAMPLES_MAX]


def _emptied(entries: Iterable[Entry]) -> Iterator[tuple[int, bytes]]:
    for entry in entries:
        event = json.loads(entry.payload)
        yield (
            entry.position,
            encode_document({**event, "samples": [], "dropped": len(event["samples"])}),
        )
