"""PURE: messages of a foreign namespace -> its contradictions, with evidence and what to do.

Owns what was heard: values by their place, the groups they stand in, and how often a contradiction
was seen. What contradicts is rules.py's. Knows no client and no clock: messages come with their
times, live or recorded.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from bridges.mqtt.mapping import Heard
from bridges.mqtt.payload import parsed, shown
from bridges.mqtt.points import (
    COUNTERS,
    MOVING,
    Address,
    Known,
    Point,
    point_at,
    time_in,
    values_in,
)
from bridges.mqtt.rules import RELATIONS, RESET_MAX, STEPS, Group, Sight, Step, as_number, told

POINTS_MAX: Final = 20_000
TOGETHER_MS: Final = 1_000
"""Values are compared once none of theirs has come for so long."""
LISTENED_MS_MIN: Final = 60_000
STEPS_MISSED: Final = 100
"""A `reset_max` leaves room for so many messages that did not come."""


@dataclass(slots=True)
class Finding:
    """A contradiction: the rule, where, how often, the first and the last evidence, the fix."""

    rule: str
    where: str
    times: int
    first: str
    last: str
    fix: str
    at_ms: int


OTHERS: Final = ("time-goes-back", "never-said-live")
RULES: Final = (*STEPS, *RELATIONS, *OTHERS)


class Linter:
    """Hears a namespace; `findings` says what contradicts itself in it, in the order of RULES."""

    def __init__(self, known: Iterable[Known] = ()) -> None:
        self._known = list(known)
        self._points: dict[Address, Point] = {}
        self._groups: dict[str, Group] = {}
        self._changed: dict[str, Group] = {}
        self._times: dict[str, int] = {}
        self._found: dict[tuple[str, str], Finding] = {}
        self._steps: dict[Address, float] = {}
        self._began_ms: int | None = None
        self._now_ms = 0
        self.messages = 0
        self.passed_over = 0

    @property
    def values(self) -> int:
        """Values that were heard of, each where it stands."""
        return len(self._points)

    def hear(self, message: Heard) -> None:
        """A message, in the order of their times."""
        self.messages += 1
        self._now_ms = max(self._now_ms, message.at_ms)
        self._began_ms = message.at_ms if self._began_ms is None else self._began_ms
        self._compare(self._now_ms - TOGETHER_MS)
        document = parsed(message.payload)
        self._time(message, time_in(document))
        for pointer, value in values_in(document):
            self._value(Address(message.topic, pointer), value, message)

    def findings(self) -> list[Finding]:
        """What was found so far."""
        self._compare(self._now_ms)
        self._silent()
        order = {rule: n for n, rule in enumerate(RULES)}
        return sorted(self._found.values(), key=lambda one: (order[one.rule], one.where))

    def _value(self, address: Address, value: Any, message: Heard) -> None:
        point = self._points.get(address)
        if point is None:
            if len(self._points) >= POINTS_MAX:
                self.passed_over += 1
                return
            point = self._points[address] = point_at(address, self._known)
            self._join(point)
        step = Step(point, point.value, value)
        point.value, point.at_ms = value, message.at_ms
        point.said_live = point.said_live or not message.is_retained
        self._measure(step)
        for rule, check in STEPS.items():
            self._see(rule, check(step), message.at_ms)
        if (group := self._groups.get(address.parent)) and point.kind in group.points:
            group.changed_ms = message.at_ms
            self._changed[address.parent] = group

    def _join(self, point: Point) -> None:
        if point.kind is not None:
            group = self._groups.setdefault(point.address.parent, Group())
            group.points.setdefault(point.kind, point)

    def _measure(self, step: Step) -> None:
        """The largest step that a counter takes upwards."""
        before, now = as_number(step.before), as_number(step.now)
        if step.point.kind in COUNTERS and before is not None and now is not None and now > before:
            largest = self._steps.get(step.point.address, 0.0)
            self._steps[step.point.address] = max(largest, now - before)

    def _compare(self, before_ms: int) -> None:
        """What values say beside each other, where none has changed since."""
        quiet = {p: group for p, group in self._changed.items() if group.changed_ms <= before_ms}
        for parent, group in quiet.items():
            del self._changed[parent]
            for rule, check in RELATIONS.items():
                self._see(rule, check(group), group.changed_ms)

    def _time(self, message: Heard, at_ms: int | None) -> None:
        if at_ms is None or message.is_retained or len(self._times) >= POINTS_MAX:
            return
        before_ms = self._times.get(message.topic, at_ms)
        self._times[message.topic] = at_ms
        if at_ms < before_ms:
            evidence = f"back by {told((before_ms - at_ms) / 1_000)} s"
            fix = "leave `time` out where it is a recording's: then what comes is of now"
            sight = Sight(Address(message.topic), evidence, fix)
            self._see("time-goes-back", [sight], message.at_ms)

    def _silent(self) -> None:
        if self._began_ms is None or self._now_ms - self._began_ms < LISTENED_MS_MIN:
            return
        for point in self._points.values():
            if point.kind in MOVING and not point.said_live:
                fix = "it is shown as uncertain; a `heartbeat_ms_max` turns it bad"
                evidence = f"{shown(point.value)}, retained"
                sight = Sight(point.address, evidence, fix)
                self._see("never-said-live", [sight], point.at_ms)

    def _see(self, rule: str, sights: Iterable[Sight], at_ms: int) -> None:
        for address, evidence, fix in sights:
            key, what = (rule, str(address)), self._with_figure(fix, address)
            one = self._found.get(key)
            if one is None:
                one = Finding(rule, str(address), 0, evidence, evidence, what, at_ms)
                self._found[key] = one
            one.times, one.last, one.fix = one.times + 1, evidence, what

    def _with_figure(self, fix: str, address: Address) -> str:
        """The fix with a figure: far above the largest step seen, and below the value set."""
        largest = self._steps.get(address)
        if RESET_MAX not in fix or not largest:
            return fix
        most = int(as_number(self._points[address].value) or 0) // 2
        most_shown = max(ceil(largest), min(ceil(largest) * STEPS_MISSED, most))
        return fix.replace(RESET_MAX, f"`reset_max: {most_shown}`")
