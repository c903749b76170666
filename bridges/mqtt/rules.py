"""PURE: the rules of what contradicts itself in a foreign namespace, each with what to do.

Owns two tables: of what one value says after another (STEPS), and of what values with one parent
say beside each other (RELATIONS). Knows neither messages nor times; what a rule must remember
stands in the group it is given.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from bridges.mqtt.payload import shown
from bridges.mqtt.points import COUNTERS, FIGURES, NUMERIC, Address, Kind, Point

RESET_SHARE: Final = 0.1
"""A counter that falls below this share of its value was reset to 0."""
FASTER: Final = 1.05
OEE_TOLERANCE: Final = 0.01
ORDERS_MAX: Final = 10_000
"""Orders and codes of a place that are remembered."""
BY_THE_HUB: Final = "do not map it: the hub makes its own of states and counts"
RESET_MAX: Final = "`reset_max`"


class Sight(NamedTuple):
    """A contradiction as it was seen once: where, what was seen, what to do."""

    address: Address
    evidence: str
    fix: str


class Step(NamedTuple):
    """A value after the one before."""

    point: Point
    before: Any
    now: Any


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def as_number(value: Any) -> float | None:
    """A number, also one in a text; None for anything else."""
    if _is_number(value):
        return float(value)
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


def told(value: float) -> str:
    """A number in a sentence."""
    return f"{value:g}" if abs(value) < 1e6 else f"{value:.0f}"  # noqa: PLR2004 - as far as %g is exact


# --- what one value says after another


def _number_as_text(step: Step) -> Iterator[Sight]:
    is_text = isinstance(step.now, str) and as_number(step.now) is not None
    if step.point.kind in NUMERIC and is_text:
        fix = "`type: number`; counters and quantities are read as numbers anyhow"
        yield Sight(step.point.address, f"the text {shown(step.now)}", fix)


def _type_changes(step: Step) -> Iterator[Sight]:
    if step.before is None or step.now is None or _type(step.before) == _type(step.now):
        return
    evidence = f"{shown(step.before)}, then {shown(step.now)}"
    word = step.now if isinstance(step.now, str) else step.before
    is_word = isinstance(word, str) and as_number(word) is None
    fix = f"`absent: [{shown(word)}]`" if is_word else "`type: number`, or `type: text`"
    yield Sight(step.point.address, evidence, fix)


def _type(value: Any) -> str:
    return "number" if _is_number(value) else type(value).__name__


def _counter_falls(step: Step) -> Iterator[Sight]:
    before, now = as_number(step.before), as_number(step.now)
    if step.point.kind not in COUNTERS - {"made"} or now is None:
        return
    if now < 0:
        yield Sight(step.point.address, told(now), "no counter is negative: it is passed over")
    elif before is not None and now < before:
        fix = "a reset: nothing to map, it goes on from 0"
        if now > before * RESET_SHARE:
            fix = f"not a reset to 0: {RESET_MAX}, the most that it shows after one"
        elif (turn := _turn(before)) is not None:
            fix = f"`rollover: {turn}`, if that is where it turns over"
        yield Sight(step.point.address, f"{told(before)}, then {told(now)}", fix)


def _turn(value: float) -> int | None:
    """The number of values of a counter that may just have come to its end."""
    ends = (10**4, 2**15, 2**16, 10**5, 10**6, 10**9, 2**31, 2**32)
    return next((end for end in ends if end * 0.99 <= value < end), None)


def _beyond_100(step: Step) -> Iterator[Sight]:
    value = as_number(step.now)
    if step.point.kind not in FIGURES or value is None:
        return
    if value < 0 or 1 < value <= 2 or value > 100:  # noqa: PLR2004 - a share, or per cent
        yield Sight(step.point.address, told(value), BY_THE_HUB)


def _no_standard(step: Step) -> Iterator[Sight]:
    if step.point.kind == "standard" and as_number(step.now) == 0:
        fix = "`absent: [0]`; the ideal cycle of the item is said in namespace.yaml"
        yield Sight(step.point.address, "0", fix)


def _no_target(step: Step) -> Iterator[Sight]:
    if step.point.kind == "target" and as_number(step.now) == 0:
        fix = "`absent: [0]` at `quantity`: then it is no order yet"
        yield Sight(step.point.address, "0", fix)


def _unknown_code(step: Step) -> Iterator[Sight]:
    codes = step.point.codes
    if codes is not None and str(step.now) not in codes:
        fix = f"add {shown(str(step.now))} to `values`: until then the state is UNKNOWN"
        yield Sight(step.point.address, shown(step.now), fix)


STEPS: Final[dict[str, Callable[[Step], Iterator[Sight]]]] = {
    "counter-falls": _counter_falls,
    "standard-rate-zero": _no_standard,
    "no-target": _no_target,
    "beyond-100": _beyond_100,
    "unknown-code": _unknown_code,
    "number-as-text": _number_as_text,
    "type-changes": _type_changes,
}


# --- what values say beside each other


@dataclass(slots=True)
class Group:
    """Values with one parent, by kind; and what was seen of its orders and states before."""

    points: dict[Kind, Point] = field(default_factory=dict)
    orders: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    changed_ms: int = 0

    def number_of(self, kind: Kind) -> float | None:
        """What stands there as a number; None without one."""
        return as_number(self.points[kind].value) if kind in self.points else None

    def text_of(self, kind: Kind) -> str | None:
        """What stands there as a text; None without a value."""
        return str(self.points[kind].value) if kind in self.points else None


def _counts_disagree(group: Group) -> Iterator[Sight]:
    good, scrap = group.number_of("good"), group.number_of("scrap")
    if good is None or scrap is None:
        return
    total, infeed = group.number_of("total"), group.number_of("infeed")
    address = group.points["good"].address
    sum_of = f"good {told(good)} + scrap {told(scrap)}"
    fix = "map good and scrap, and nothing that is their sum"
    if total is not None and total != good + scrap:
        yield Sight(address, f"{sum_of} is not total {told(total)}", fix)
    if infeed is not None and infeed < good + scrap:
        yield Sight(address, f"{sum_of} is more than infeed {told(infeed)}", fix)


def _id_made_anew(group: Group) -> Iterator[Sight]:
    key, number = group.text_of("key"), group.text_of("number")
    if key is None or number is None:
        return
    said = (key, group.text_of("target"))
    before = group.orders.get(number, said)
    if len(group.orders) < ORDERS_MAX:
        group.orders[number] = said
    if before[0] != key:
        evidence = f"{number} had {before[0]}, has {key}"
        name = group.points["number"].address.topic.rpartition("/")[2]
        fix = f"`order_id` of the number ({name}), never of this id"
        yield Sight(group.points["key"].address, evidence, fix)
    if before[1] != said[1]:
        evidence = f"{number} had target {before[1]}, has {said[1]}"
        fix = "it becomes a revision; where it is another order, add its lot to `order_id`"
        yield Sight(group.points["number"].address, evidence, fix)


def _target_exceeded(group: Group) -> Iterator[Sight]:
    made, target = group.number_of("made"), group.number_of("target")
    if made is not None and target and made > target:
        evidence = f"{told(made)} of {told(target)}"
        fix = "nothing to map: what is made counts, and the order is flagged over-completed"
        yield Sight(group.points["made"].address, evidence, fix)


def _faster(group: Group) -> Iterator[Sight]:
    rate, standard = group.number_of("rate"), group.number_of("standard")
    if rate is not None and standard and rate > standard * FASTER:
        evidence = f"rate {told(rate)}, standard {told(standard)}"
        cycle_ms = round(60_000 / rate)
        fix = f"`ideal_cycle_ms` of at most {cycle_ms}, if these are pieces a minute"
        yield Sight(group.points["standard"].address, evidence, fix)


def _no_product(group: Group) -> Iterator[Sight]:
    oee, availability = group.number_of("oee"), group.number_of("availability")
    performance, quality = group.number_of("performance"), group.number_of("quality")
    if oee is None or availability is None or performance is None or quality is None:
        return
    per = 100.0 if max(oee, availability, performance, quality) > 2 else 1.0  # noqa: PLR2004 - per cent
    product = availability * performance * quality / per**2
    if abs(product - oee) > OEE_TOLERANCE * per:
        factors = " x ".join(map(told, (availability, performance, quality)))
        evidence = f"{told(oee)}, but {factors} = {told(round(product, 3))}"
        yield Sight(group.points["oee"].address, evidence, BY_THE_HUB)


def _two_names(group: Group) -> Iterator[Sight]:
    code, name = group.text_of("code"), group.text_of("state")
    if code is None or name is None:
        return
    before = group.names.get(code, name)
    if len(group.names) < ORDERS_MAX:
        group.names[code] = before
    if before != name:
        evidence = f"{code} is {before} and {name}"
        yield Sight(group.points["code"].address, evidence, "map the name, not the code")


RELATIONS: Final[dict[str, Callable[[Group], Iterator[Sight]]]] = {
    "counts-disagree": _counts_disagree,
    "order-id-made-anew": _id_made_anew,
    "target-exceeded": _target_exceeded,
    "faster-than-standard": _faster,
    "oee-is-not-its-product": _no_product,
    "one-code-two-names": _two_names,
}
