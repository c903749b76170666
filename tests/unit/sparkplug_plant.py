"""One edge node and the host that hears it, for the tests of the host session."""

from collections.abc import Iterable

from uns.sparkplug.datatype import DataType
from uns.sparkplug.edge import Change, EdgeNode
from uns.sparkplug.host import HostLimits, HostSession
from uns.sparkplug.node import Phase
from uns.sparkplug.outputs import (
    DropBirths,
    HostOutput,
    KeepBirth,
    MetricValue,
    Publish,
    Rejected,
)
from uns.sparkplug.values import Metric

AT_MS = 1_765_432_100_000
LIMITS = HostLimits(start_jitter_ms_max=0)
NODE_METRICS = (
    Metric("count", 0, DataType.INT32),
    Metric("run", value=False, datatype=DataType.BOOLEAN),
)
DEVICE_METRICS = (Metric("temp", 20.5, DataType.DOUBLE),)


class Plant:
    """One edge node with one device, and the host that hears it; `clock` moves by hand."""

    def __init__(self, limits: HostLimits = LIMITS) -> None:
        self.host = HostSession(limits)
        self.edge = EdgeNode("g", "e", 3)
        self.clock = AT_MS

    def hear(self, message: Publish, *, retained: bool = False) -> list[HostOutput]:
        return self.host.receive(message.topic, message.payload, self.clock, retained=retained)

    def birth(self) -> list[HostOutput]:
        return [*self.node_birth(), *self.device_birth()]

    def node_birth(self) -> list[HostOutput]:
        return self.hear(self.edge.node_birth(NODE_METRICS, self.clock))

    def device_birth(self) -> list[HostOutput]:
        return self.hear(self.edge.device_birth("d", DEVICE_METRICS, self.clock))

    def count(self, value: int) -> Publish:
        self.clock += 1
        return self.edge.data([Change("count", value, self.clock)], self.clock)

    def temp(self, value: float) -> Publish:
        self.clock += 1
        return self.edge.data([Change("temp", value, self.clock)], self.clock, "d")

    @property
    def phase(self) -> Phase:
        return self.host.nodes["g", "e"].phase


class Keeper:
    """What a shell keeps, as the outputs say."""

    def __init__(self) -> None:
        self.births: dict[str, bytes] = {}

    def take(self, outputs: Iterable[HostOutput]) -> None:
        for output in outputs:
            match output:
                case KeepBirth(topic, raw):
                    self.births[topic] = raw
                case DropBirths():
                    self._drop(output)

    def _drop(self, what: DropBirths) -> None:
        group, node, device = what
        gone = {f"spBv1.0/{group}/DBIRTH/{node}/{device}"}
        if device is None:
            every = f"spBv1.0/{group}/DBIRTH/{node}/"
            gone = {topic for topic in self.births if topic.startswith(every)}
            gone.add(f"spBv1.0/{group}/NBIRTH/{node}")
        self.births = {topic: raw for topic, raw in self.births.items() if topic not in gone}

    def feed(self, host: HostSession, now_ms: int) -> list[HostOutput]:
        return [
            output
            for topic, raw in self.births.items()
            for output in host.receive(topic, raw, now_ms, retained=True)
        ]


def keeps(outputs: Iterable[HostOutput]) -> list[HostOutput]:
    return [each for each in outputs if isinstance(each, KeepBirth | DropBirths)]


def told(outputs: Iterable[HostOutput]) -> list[HostOutput]:
    """The outputs without what is to be kept or dropped."""
    return [each for each in outputs if not isinstance(each, KeepBirth | DropBirths)]


def values(outputs: Iterable[HostOutput]) -> list[object]:
    return [each.value for each in outputs if isinstance(each, MetricValue)]


def kinds(outputs: Iterable[HostOutput]) -> list[type]:
    return [type(each) for each in told(outputs)]


def reject_reason(outputs: Iterable[HostOutput]) -> str:
    (rejected,) = [each for each in outputs if isinstance(each, Rejected)]
    return rejected.reason
