"""Set-points on their way to a metric and back: NCMD or DCMD out, `Written` when it is shown.

Owns what waits for its answer. Pure: it knows neither MQTT nor the time, both are given. A write
has succeeded when the edge node tells the new value, or when at the time-out it is still what a
living edge node has told before: one that reports changes only says nothing then. A death or a
lost broker ends no write, for the births that follow may show the value. So the value or the
time-out ends it, once.

`now_ms` is plant time, for what is told; `steady_ms` are milliseconds of a monotonic clock, for
what is waited for: plant time may run fast.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from bridges.sparkplug.directory import Directory, Endpoint
from bridges.sparkplug.rules import Leaf, Origin
from uns.model.observation import Scalar, SetPoint, Written
from uns.sparkplug.datatype import DataType
from uns.sparkplug.errors import EncodeError
from uns.sparkplug.outputs import HostOutput, MetricValue, Online, Publish, Stale
from uns.sparkplug.payload import encode
from uns.sparkplug.topic import MessageType, device_topic, node_topic
from uns.sparkplug.values import QUALITY_GOOD, Metric, Payload

PENDING_MAX: Final = 1_000
_TEXTS: Final = frozenset({DataType.STRING, DataType.TEXT, DataType.UUID})
_REALS: Final = frozenset({DataType.FLOAT, DataType.DOUBLE})
_INTEGERS: Final = frozenset(
    {DataType(n) for n in range(DataType.INT8, DataType.UINT64 + 1)} | {DataType.DATETIME}
)
_WRITABLE: Final = _TEXTS | _REALS | _INTEGERS | {DataType.BOOLEAN}


@dataclass(slots=True)
class _Pending:
    """`before` was the metric's last value when the command left; `trouble` is why it failed."""

    set_point: SetPoint
    value: Scalar
    until_steady_ms: int
    before: MetricValue | None
    trouble: str = "nothing was shown"

    def is_shown_by(self, metric: MetricValue) -> bool:
        is_asked = metric.value == self.value and metric.quality == QUALITY_GOOD
        return is_asked and not _is_older(metric, self.before)


class Writes:
    """The writes of one bridge; at most PENDING_MAX wait.

    Feed every output of the session to `answers` and call `expired` now and then.
    """

    def __init__(self, directory: Directory, timeout_ms: int) -> None:
        self._directory = directory
        self._timeout_ms = timeout_ms
        self._born: dict[Endpoint, dict[str, DataType]] = {}
        self._last: dict[Origin, MetricValue] = {}
        self._pending: dict[Origin, list[_Pending]] = {}

    def command(self, asked: SetPoint, now_ms: int, steady_ms: int) -> Publish | Written:
        """The command that asks for a value, or why there is none."""
        origin = self._directory.origins.get(Leaf(asked.cell, asked.tag))
        if origin is None:
            return refused(asked, "no metric feeds this tag", now_ms)
        born = self._born.get(Endpoint(*origin[:3]))
        if born is None:
            return refused(asked, f"{_name(origin)} is not online", now_ms)
        datatype = born.get(origin.metric)
        if datatype is None:
            return refused(asked, f"no metric {origin.metric!r} in the birth", now_ms)
        if sum(map(len, self._pending.values())) >= PENDING_MAX:
            return refused(asked, f"{PENDING_MAX} writes wait already", now_ms)
        try:
            value = _fitting(asked.value, datatype)
            message = _message(origin, Metric(origin.metric, value, datatype, now_ms), now_ms)
        except EncodeError as error:
            return refused(asked, str(error), now_ms)
        until_steady_ms = steady_ms + self._timeout_ms
        waiting = _Pending(asked, value, until_steady_ms, self._last.get(origin))
        self._pending.setdefault(origin, []).append(waiting)
        return message

    def answers(self, outputs: Iterable[HostOutput]) -> list[Written]:
        """What the edge nodes said about writes."""
        told = list[Written]()
        for output in outputs:
            match output:
                case MetricValue():
                    told += self._shown(output)
                case Online():
                    place = Endpoint(output.group, output.edge_node, output.device)
                    self._born[place] = {
                        m.name: m.datatype for m in output.metrics if m.name and m.datatype
                    }
                case Stale():
                    self._lost(output)
        return told

    def expired(self, now_ms: int, steady_ms: int) -> list[Written]:
        """The writes whose time is over: of a value that is there all along, or in vain."""
        told = list[Written]()
        for origin, waiting in list(self._pending.items()):
            last = self._last.get(origin)
            for each in waiting:
                if each.until_steady_ms > steady_ms:
                    continue
                if last and each.is_shown_by(last):
                    told.append(_written(each, last))
                else:
                    reason = f"not confirmed within {self._timeout_ms} ms: {each.trouble}"
                    told.append(refused(each.set_point, reason, now_ms))
            self._keep(origin, [each for each in waiting if each.until_steady_ms > steady_ms])
        return told

    def _shown(self, metric: MetricValue) -> Iterator[Written]:
        """A live value; older than what was known at the command, or the same, is no answer."""
        origin = Origin(metric.group, metric.edge_node, metric.device, metric.name)
        if metric.is_historical or origin not in self._directory.tags:
            return
        if not _is_older(metric, self._last.get(origin)):
            self._last[origin] = metric
        kept = list[_Pending]()
        for each in self._pending.get(origin, ()):
            is_news = metric != each.before and not _is_older(metric, each.before)
            if is_news and each.is_shown_by(metric):
                yield _written(each, metric)
                continue
            if is_news:
                each.trouble = _said(metric)
            kept.append(each)
        self._keep(origin, kept)

    def _lost(self, stale: Stale) -> None:
        """Believe no value of a place any more; its writes wait for the next birth."""
        place = Endpoint(stale.group, stale.edge_node, stale.device)
        self._born.pop(place, None)
        for metric in self._directory.by_endpoint.get(place, ()):
            origin = Origin(*place, metric)
            self._last.pop(origin, None)
            for each in self._pending.get(origin, ()):
                each.trouble = stale.reason

    def _keep(self, origin: Origin, waiting: list[_Pending]) -> None:
        if waiting:
            self._pending[origin] = waiting
        else:
            self._pending.pop(origin, None)


def refused(asked: SetPoint, reason: str, at_ms: int) -> Written:
    """A set-point that was not written."""
    return Written(asked.request_id, asked.cell, asked.tag, at_ms, reason=reason)


def _written(pending: _Pending, shown: MetricValue) -> Written:
    asked = pending.set_point
    return Written(asked.request_id, asked.cell, asked.tag, shown.timestamp_ms, pending.value)


def _is_older(metric: MetricValue, than: MetricValue | None) -> bool:
    return than is not None and metric.timestamp_ms < than.timestamp_ms


def _said(metric: MetricValue) -> str:
    if metric.quality == QUALITY_GOOD:
        return f"{metric.value!r} was shown"
    return f"{metric.value!r} of quality {metric.quality} was shown"


def _message(origin: Origin, metric: Metric, now_ms: int) -> Publish:
    """By name, with its time and no seq (`tck-id-payloads-ncmd-*`, `tck-id-payloads-dcmd-*`)."""
    if origin.device is None:
        topic = node_topic(origin.group, MessageType.NCMD, origin.edge_node)
    else:
        topic = device_topic(origin.group, MessageType.DCMD, origin.edge_node, origin.device)
    return Publish(topic, encode(Payload((metric,), now_ms)), qos=0, retain=False)


def _fitting(value: float | str | bool, datatype: DataType) -> Scalar:  # noqa: FBT001 - a value
    """The value as the device will show it, or EncodeError."""
    if datatype not in _WRITABLE:
        raise EncodeError(f"a {datatype.name} cannot be written")
    if datatype in _INTEGERS and isinstance(value, float) and value.is_integer():
        return int(value)
    if (
        datatype is DataType.FLOAT
        and isinstance(value, int | float)
        and not isinstance(value, bool)
    ):
        try:
            single: float = struct.unpack("<f", struct.pack("<f", value))[0]
        except OverflowError:
            raise EncodeError(f"{value!r} is too large for a FLOAT") from None
        return single
    return value


def _name(origin: Origin) -> str:
    return str(Endpoint(*origin[:3]))
