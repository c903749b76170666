"""Which readings of a tag are worth a message, and when: dead bands, least and greatest intervals.

Owns what each tag shows. Does no I/O and asks no clock: times are monotonic seconds, given.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from uns.model.observation import Reading, Scalar
from uns.model.plant import TagSpec

Key = tuple[str, str]
"""A tag: its cell and its name."""
Group = tuple[str, str]
"""What one source feeds of one cell: the cell and the endpoint."""
_NUMBERS: Final = frozenset({int, float})
SWEEP_S: Final = 1.0
"""How often the greatest interval is looked at: it is a matter of many seconds."""


@dataclass(slots=True)
class _Shown:
    """What a tag shows, and since when."""

    reading: Reading
    at_s: float


class Publishing:
    """What the tags of a bridge show; a tag is published on change, and when it was long silent.

    `newest` is the last reading of each tag, shown or not.

    A change within `interval_ms_min` of the last message is held back until that time is over;
    only the newest is. A change of quality or of its reason is never held back.
    """

    def __init__(self, specs: Mapping[Key, TagSpec]) -> None:
        self.newest: dict[Key, Reading] = {}
        self._specs = specs
        self._shown: dict[Key, _Shown] = {}
        self._held: dict[Key, float] = {}
        self._sweep_s = 0.0

    def take(self, reading: Reading, now_s: float) -> bool:
        """Take a reading in; tells whether to publish it now."""
        key = (reading.cell, reading.tag)
        spec, shown = self._specs[key], self._shown.get(key)
        self.newest[key] = reading
        if shown is None or _kind(shown.reading) != _kind(reading):
            self._show(key, reading, now_s)
            return True
        if _within(spec, shown.reading.value, reading.value):
            self._held.pop(key, None)
            return False
        due_s = shown.at_s + spec.interval_ms_min / 1000
        if due_s > now_s:
            self._held[key] = due_s
            return False
        self._show(key, reading, now_s)
        return True

    def due(self, now_s: float) -> list[Reading]:
        """Readings to publish now: those held back long enough, and those of silent tags."""
        keys = [key for key, due_s in self._held.items() if due_s <= now_s]
        if now_s >= self._sweep_s:
            self._sweep_s = now_s + SWEEP_S
            keys += [key for key in self._shown if self._is_silent(key, now_s)]
        due = [self.newest[key] for key in dict.fromkeys(keys)]
        for reading in due:
            self._show((reading.cell, reading.tag), reading, now_s)
        return due

    def _is_silent(self, key: Key, now_s: float) -> bool:
        interval_ms = self._specs[key].interval_ms_max
        return interval_ms is not None and self._shown[key].at_s + interval_ms / 1000 <= now_s

    def _show(self, key: Key, reading: Reading, now_s: float) -> None:
        self._shown[key] = _Shown(reading, now_s)
        self._held.pop(key, None)


def _kind(reading: Reading) -> tuple[str, str | None]:
    return reading.quality, reading.reason


def _within(spec: TagSpec, shown: Scalar, new: Scalar) -> bool:
    """Whether a value is within the dead band of what is shown (OPC UA part 8, 7.2)."""
    if type(shown) in _NUMBERS and type(new) in _NUMBERS:
        change = abs(float(new or 0) - float(shown or 0))
        return shown == new or 0 < change <= dead_band_of(spec)
    return type(shown) is type(new) and shown == new


def dead_band_of(spec: TagSpec) -> float:
    """The dead band in the tag's unit: the wider of the two that may be stated."""
    if not spec.dead_band_percent:
        return spec.dead_band
    low, high = spec.range or (0.0, 0.0)
    return max(spec.dead_band, (high - low) * spec.dead_band_percent / 100)


class Pulses:
    """Which sources are alive, by tags that must change: a link may be up and say nothing new.

    A group is what one source feeds of one cell. It is stuck while one of its tags is late.
    Times are monotonic seconds, given.
    """

    def __init__(self, specs: Mapping[Key, TagSpec]) -> None:
        self._bounds_s = {
            key: spec.heartbeat_ms_max / 1000
            for key, spec in specs.items()
            if spec.heartbeat_ms_max is not None
        }
        self._values: dict[Key, Scalar] = {}
        self._beat_s: dict[Key, float] = {}
        self._groups: dict[Key, Group] = {}
        self._late: dict[Group, set[Key]] = {}

    def expect(self, source: str, keys: Iterable[Key], now_s: float) -> None:
        """The source of these tags is there: from now on they must change."""
        for key in keys:
            self._groups[key] = (key[0], source)
            if key in self._bounds_s:
                self._beat_s[key] = now_s

    def forget(self, keys: Iterable[Key]) -> list[Group]:
        """The source of these tags is gone, which is told otherwise; the groups not stuck by it."""
        gone = [key for key in keys if self._beat_s.pop(key, None) is not None]
        return [group for key in gone for group in self._beat(key)]

    def take(self, reading: Reading, now_s: float) -> list[Group]:
        """Take a reading in; the group that is alive again by it, if one is."""
        key = (reading.cell, reading.tag)
        if key not in self._bounds_s or reading.quality == "bad":
            return []
        if key in self._values and self._values[key] == reading.value:
            return []
        self._values[key], self._beat_s[key] = reading.value, now_s
        return self._beat(key)

    def stuck(self, key: Key) -> Group | None:
        """The group of a tag, if it is stuck."""
        group = self._groups.get(key)
        return group if group in self._late else None

    def members(self, group: Group) -> list[Key]:
        """The tags of a group."""
        return [key for key, own in self._groups.items() if own == group]

    def stopped(self, now_s: float) -> dict[Group, str]:
        """The groups that are stuck since the last look, and why."""
        stopped = dict[Group, str]()
        for key, beat_s in self._beat_s.items():
            if beat_s + self._bounds_s[key] < now_s and (group := self._groups.get(key)):
                if group not in self._late:
                    stopped[group] = f"{key[1]} is stuck for {self._bounds_s[key] * 1000:.0f} ms"
                self._late.setdefault(group, set()).add(key)
        return stopped

    def _beat(self, key: Key) -> list[Group]:
        group = self._groups.get(key)
        late = self._late.get(group) if group else None
        if group is None or late is None:
            return []
        late.discard(key)
        if late:
            return []
        del self._late[group]
        return [group]
