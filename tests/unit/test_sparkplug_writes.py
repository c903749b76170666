"""Set-points as commands, and when they count as written."""

from typing import Any

import pytest

from bridges.sparkplug.directory import Directory
from bridges.sparkplug.rules import Leaf, Origin
from bridges.sparkplug.writes import PENDING_MAX, Writes
from uns.model.observation import SetPoint, Written
from uns.sparkplug.datatype import DataType
from uns.sparkplug.errors import DecodeError
from uns.sparkplug.outputs import MetricValue, Online, Publish, Stale
from uns.sparkplug.payload import decode
from uns.sparkplug.values import Metric

CELL = "acme/b/a/l/c"
BOOK = Directory(
    {
        Origin("g", "e", None, "Cabinet/Speed"): Leaf(CELL, "speed"),
        Origin("g", "e", "d", "Set"): Leaf(CELL, "set"),
    }
)
NOW_MS = 1_765_432_100_000
START_MS = 70
"""Of the monotonic clock; TIMEOUT_MS later a write is over."""
TIMEOUT_MS = 1_000


def asked(value: Any, tag: str = "set") -> SetPoint:
    return SetPoint("r1", CELL, tag, value)


def writes(datatype: DataType = DataType.INT16) -> Writes:
    made = Writes(BOOK, TIMEOUT_MS)
    made.answers([
        Online("g", "e", None, NOW_MS, (Metric("Cabinet/Speed", 1, DataType.INT32),)),
        Online("g", "e", "d", NOW_MS, (Metric("Set", None, datatype),)),
    ])  # fmt: skip
    return made


def shown(
    value: Any, at_ms: int = NOW_MS + 5, *, quality: int = 192, old: bool = False
) -> MetricValue:
    return MetricValue("g", "e", "d", "Set", value, at_ms, DataType.INT16, old, quality)


def over(made: Writes) -> list[Written]:
    """What the time-out says."""
    return made.expired(NOW_MS + 60_000, START_MS + TIMEOUT_MS)


def sent(told: Publish | Written) -> Metric:
    assert isinstance(told, Publish)
    payload = decode(told.payload)
    assert not isinstance(payload, DecodeError)
    assert (payload.seq, payload.timestamp_ms, told.qos, told.retain) == (None, NOW_MS, 0, False)
    (metric,) = payload.metrics
    return metric


@pytest.mark.tck(
    "topics-ncmd-topic",
    "topics-ncmd-payload",
    "payloads-ncmd-qos",
    "payloads-ncmd-retain",
    "topics-ncmd-mqtt",
    "topics-ncmd-timestamp",
    "payloads-ncmd-timestamp",
    "payloads-ncmd-seq",
    "operational-behavior-data-commands-ncmd-verb",
    "operational-behavior-data-commands-ncmd-metric-name",
    "operational-behavior-data-commands-ncmd-metric-value",
)
def test_a_tag_of_the_node_is_written_by_ncmd() -> None:
    told = writes().command(asked(7, "speed"), NOW_MS, START_MS)
    assert isinstance(told, Publish)
    assert told.topic == "spBv1.0/g/NCMD/e"
    metric = sent(told)
    assert (metric.name, metric.alias, metric.value) == ("Cabinet/Speed", None, 7)
    assert metric.datatype is DataType.INT32


@pytest.mark.tck(
    "topics-dcmd-timestamp",
    "payloads-dcmd-qos",
    "payloads-dcmd-retain",
    "operational-behavior-data-commands-dcmd-metric-name",
    "operational-behavior-data-commands-dcmd-metric-value",
)
def test_a_tag_of_a_device_is_written_by_dcmd() -> None:
    told = writes().command(asked(-7), NOW_MS, START_MS)
    assert isinstance(told, Publish)
    assert told.topic == "spBv1.0/g/DCMD/e/d"
    assert (sent(told).name, sent(told).value) == ("Set", -7)


@pytest.mark.parametrize(
    ("datatype", "value", "becomes"),
    [
        (DataType.INT16, 5.0, 5),
        (DataType.UINT64, 2.0**53, 2**53),
        (DataType.DOUBLE, 5, 5.0),
        (DataType.FLOAT, 0.1, 0.10000000149011612),
        (DataType.BOOLEAN, True, True),
        (DataType.STRING, "A", "A"),
    ],
)
def test_a_value_takes_the_type_of_the_birth(datatype: DataType, value: Any, becomes: Any) -> None:
    made = writes(datatype)
    assert sent(made.command(asked(value), NOW_MS, START_MS)).value == becomes
    (written,) = made.answers([shown(becomes)])
    assert written == Written("r1", CELL, "set", NOW_MS + 5, becomes)


@pytest.mark.parametrize(
    ("datatype", "value", "says"),
    [
        (DataType.INT16, 40_000, "40000"),
        (DataType.INT16, 5.5, "5.5"),
        (DataType.INT16, True, "True"),
        (DataType.UINT8, -1, "-1"),
        (DataType.BOOLEAN, 1, "1"),
        (DataType.STRING, 1, "1"),
        (DataType.DOUBLE, "x", "x"),
        (DataType.FLOAT, 1e39, "too large for a FLOAT"),
        (DataType.BYTES, "x", "a BYTES cannot be written"),
    ],
)
def test_a_value_that_does_not_fit_is_not_sent(datatype: DataType, value: Any, says: str) -> None:
    told = writes(datatype).command(asked(value), NOW_MS, START_MS)
    assert isinstance(told, Written)
    assert says in (told.reason or "")


def test_only_a_live_good_equal_value_confirms() -> None:
    made = writes()
    made.command(asked(5), NOW_MS, START_MS)
    assert made.answers([shown(4), shown(5, old=True), shown(5, quality=0), shown(None)]) == []
    assert [w.reason for w in made.answers([shown(5)])] == [None]
    assert made.answers([shown(5)]) == over(made) == []


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ([], "nothing was shown"),
        ([shown(4)], "4 was shown"),
        ([shown(5, quality=0)], "5 of quality 0 was shown"),
        ([shown(4), Stale("g", "e", "d", NOW_MS, "the device died")], "the device died"),
    ],
)
def test_what_is_not_confirmed_in_time_failed_and_says_why(told: list[Any], says: str) -> None:
    made = writes()
    made.command(asked(5), NOW_MS, START_MS)
    assert made.answers(told) == []
    (written,) = over(made)
    assert written.reason == f"not confirmed within 1000 ms: {says}"
    assert made.answers([shown(5)]) == []


def test_the_time_out_is_of_the_monotonic_clock_however_fast_plant_time_runs() -> None:
    made = writes()
    made.command(asked(5), NOW_MS, START_MS)
    assert made.expired(NOW_MS + 60 * TIMEOUT_MS, START_MS + TIMEOUT_MS - 1) == []
    (written,) = made.expired(NOW_MS + 1, START_MS + TIMEOUT_MS)
    assert written.at_ms == NOW_MS + 1


BIRTH = Online("g", "e", "d", NOW_MS, (Metric("Set", None, DataType.INT16),))


@pytest.mark.parametrize("reason", ["born again", "the device died", "the host lost the broker"])
def test_a_birth_in_time_confirms_whatever_went_before(reason: str) -> None:
    made = writes()
    made.answers([shown(3)])
    made.command(asked(5), NOW_MS, START_MS)
    lost = Stale("g", "e", "d", NOW_MS + 7, reason)
    assert made.answers([lost, BIRTH, shown(5, NOW_MS + 8)]) == [
        Written("r1", CELL, "set", NOW_MS + 8, 5)
    ]
    assert over(made) == []


def test_a_value_that_came_before_a_death_in_the_same_batch_confirms() -> None:
    made = writes()
    made.command(asked(5), NOW_MS, START_MS)
    lost = Stale("g", "e", "d", NOW_MS + 7, "the device died")
    assert [w.reason for w in made.answers([shown(5), lost])] == [None]


def test_a_value_older_than_the_last_one_known_is_no_answer() -> None:
    made = writes()
    made.answers([shown(3, NOW_MS)])
    made.command(asked(5), NOW_MS, START_MS)
    assert made.answers([shown(5, NOW_MS - 1), shown(4, NOW_MS - 1)]) == []
    (written,) = over(made)
    assert written.reason == "not confirmed within 1000 ms: nothing was shown"


def test_a_birth_that_tells_an_older_value_is_no_answer_either() -> None:
    made = writes()
    made.answers([shown(3, NOW_MS)])
    made.command(asked(5), NOW_MS, START_MS)
    reborn = Stale("g", "e", "d", NOW_MS + 7, "born again")
    assert made.answers([reborn, BIRTH, shown(5, NOW_MS - 1)]) == []
    (written,) = over(made)
    assert written.reason == "not confirmed within 1000 ms: born again"


def test_what_came_late_does_not_hide_the_last_value_known() -> None:
    made = writes()
    made.answers([shown(3, NOW_MS), shown(4, NOW_MS - 2)])
    made.command(asked(5), NOW_MS, START_MS)
    assert made.answers([shown(5, NOW_MS - 1)]) == []


def test_a_new_value_with_the_time_of_the_last_one_is_an_answer() -> None:
    made = writes()
    made.answers([shown(3, NOW_MS)])
    made.command(asked(5), NOW_MS, START_MS)
    assert [w.reason for w in made.answers([shown(5, NOW_MS)])] == [None]


def test_a_value_that_is_there_already_is_sent_and_written_when_it_still_is_there() -> None:
    made = writes()
    made.answers([shown(5)])
    assert isinstance(made.command(asked(5), NOW_MS, START_MS), Publish)
    assert made.answers([shown(5)]) == []
    assert over(made) == [Written("r1", CELL, "set", NOW_MS + 5, 5)]
    made.command(asked(5), NOW_MS, START_MS)
    assert made.answers([shown(5, NOW_MS + 6)]) == [Written("r1", CELL, "set", NOW_MS + 6, 5)]


@pytest.mark.parametrize(
    ("then", "says"),
    [
        (shown(4), "4 was shown"),
        (shown(5, quality=0), "5 of quality 0 was shown"),
        (Stale("g", "e", "d", NOW_MS, "the device died"), "the device died"),
    ],
)
def test_a_value_that_was_there_and_is_not_any_more_is_not_written(then: Any, says: str) -> None:
    made = writes()
    made.answers([shown(5)])
    made.command(asked(5), NOW_MS, START_MS)
    assert made.answers([then]) == []
    (written,) = over(made)
    assert written.reason == f"not confirmed within 1000 ms: {says}"


def test_without_a_birth_a_metric_or_a_living_device_nothing_is_sent() -> None:
    def reason(made: Writes, tag: str = "set") -> str | None:
        told = made.command(asked(5, tag), NOW_MS, START_MS)
        assert isinstance(told, Written)
        return told.reason

    assert reason(Writes(BOOK, TIMEOUT_MS)) == "g/e/d is not online"
    assert reason(writes(), "other") == "no metric feeds this tag"
    made = writes()
    made.answers([Online("g", "e", "d", NOW_MS, (Metric("Other", 1, DataType.INT8),))])
    assert reason(made) == "no metric 'Set' in the birth"
    made = writes()
    made.answers([Stale("g", "e", "d", NOW_MS + 1, "the device died")])
    assert reason(made) == "g/e/d is not online"
    assert isinstance(made.command(asked(5, "speed"), NOW_MS, START_MS), Publish)


def test_the_writes_that_wait_are_bounded() -> None:
    made = writes()
    for _ in range(PENDING_MAX):
        assert isinstance(made.command(asked(5), NOW_MS, START_MS), Publish)
    told = made.command(asked(5), NOW_MS, START_MS)
    assert isinstance(told, Written)
    assert told.reason == f"{PENDING_MAX} writes wait already"
    assert len(made.answers([shown(5)])) == PENDING_MAX
