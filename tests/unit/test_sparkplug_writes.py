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


def asked(value: Any, tag: str = "set") -> SetPoint:
    return SetPoint("r1", CELL, tag, value)


def writes(datatype: DataType = DataType.INT16) -> Writes:
    made = Writes(BOOK, timeout_ms=1_000)
    made.answers([
        Online("g", "e", None, NOW_MS, (Metric("Cabinet/Speed", 1, DataType.INT32),)),
        Online("g", "e", "d", NOW_MS, (Metric("Set", None, datatype),)),
    ])  # fmt: skip
    return made


def shown(value: Any, *, quality: int = 192, old: bool = False) -> MetricValue:
    return MetricValue("g", "e", "d", "Set", value, NOW_MS + 5, DataType.INT16, old, quality)


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
    told = writes().command(asked(7, "speed"), NOW_MS)
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
    told = writes().command(asked(-7), NOW_MS)
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
    assert sent(made.command(asked(value), NOW_MS)).value == becomes
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
    told = writes(datatype).command(asked(value), NOW_MS)
    assert isinstance(told, Written)
    assert says in (told.reason or "")


def test_only_a_live_good_equal_value_confirms() -> None:
    made = writes()
    made.command(asked(5), NOW_MS)
    assert made.answers([shown(4), shown(5, old=True), shown(5, quality=0), shown(None)]) == []
    assert [w.reason for w in made.answers([shown(5)])] == [None]
    assert made.answers([shown(5)]) == made.expired(NOW_MS + 9_000) == []


def test_what_is_not_confirmed_in_time_failed_and_says_what_was_shown() -> None:
    made = writes()
    made.command(asked(5), NOW_MS)
    made.answers([shown(4)])
    assert made.expired(NOW_MS + 999) == []
    (written,) = made.expired(NOW_MS + 1_000)
    assert written.reason == "not confirmed within 1000 ms: 4 was shown"
    assert made.answers([shown(5)]) == []


def test_without_a_birth_a_metric_or_a_living_device_nothing_is_sent() -> None:
    def reason(made: Writes, tag: str = "set") -> str | None:
        told = made.command(asked(5, tag), NOW_MS)
        assert isinstance(told, Written)
        return told.reason

    assert reason(Writes(BOOK, 1_000)) == "g/e/d is not online"
    assert reason(writes(), "other") == "no metric feeds this tag"
    made = writes()
    made.answers([Online("g", "e", "d", NOW_MS, (Metric("Other", 1, DataType.INT8),))])
    assert reason(made) == "no metric 'Set' in the birth"
    made = writes()
    made.command(asked(5), NOW_MS)
    (lost,) = made.answers([Stale("g", "e", "d", NOW_MS + 1, "the device died")])
    assert (lost.reason, lost.at_ms) == ("not confirmed: the device died", NOW_MS + 1)
    assert reason(made) == "g/e/d is not online"
    assert isinstance(made.command(asked(5, "speed"), NOW_MS), Publish)


def test_the_writes_that_wait_are_bounded() -> None:
    made = writes()
    for _ in range(PENDING_MAX):
        assert isinstance(made.command(asked(5), NOW_MS), Publish)
    told = made.command(asked(5), NOW_MS)
    assert isinstance(told, Written)
    assert told.reason == f"{PENDING_MAX} writes wait already"
    assert len(made.answers([shown(5)])) == PENDING_MAX
