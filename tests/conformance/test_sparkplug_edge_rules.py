"""Rules of an edge node that need no line: seq wraps, names do not differ by case."""

from collections.abc import Callable

import pytest

from uns.model.path import TopicError, parse_topic
from uns.sparkplug.datatype import DataType
from uns.sparkplug.edge import Change, EdgeNode
from uns.sparkplug.outputs import Publish
from uns.sparkplug.payload import decode
from uns.sparkplug.values import Metric, Payload

AT_MS = 1_765_432_100_123
LEVEL = Metric("level", 1, DataType.INT16)


def data(device: str | None) -> Callable[[EdgeNode], Publish]:
    return lambda node: node.data([Change("level", 2, AT_MS)], AT_MS, device)


def seq_of(message: Publish) -> int | None:
    payload = decode(message.payload)
    assert isinstance(payload, Payload)
    return payload.seq


def node_at(seq: int) -> EdgeNode:
    """An edge node with device d, whose next message has this seq."""
    node = EdgeNode("g", "e", 0)
    node.node_birth([LEVEL], AT_MS)
    node.device_birth("d", [LEVEL], AT_MS)
    for _ in range(seq - 2):
        data(None)(node)
    return node


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            lambda node: node.device_birth("new", [LEVEL], AT_MS),
            marks=pytest.mark.tck("payloads-dbirth-seq-inc"),
            id="DBIRTH",
        ),
        pytest.param(data(None), marks=pytest.mark.tck("payloads-ndata-seq-inc"), id="NDATA"),
        pytest.param(data("d"), marks=pytest.mark.tck("payloads-ddata-seq-inc"), id="DDATA"),
        pytest.param(
            lambda node: node.device_death("d", AT_MS),
            marks=pytest.mark.tck("payloads-ddeath-seq-inc"),
            id="DDEATH",
        ),
    ],
)
@pytest.mark.tck("payloads-sequence-num-incrementing")
@pytest.mark.parametrize("seq", [200, 255, 256])
def test_seq_is_one_more_and_0_after_255(make: Callable[[EdgeNode], Publish], seq: int) -> None:
    assert seq_of(make(node_at(seq))) == seq % 256


@pytest.mark.tck("case-sensitivity-sparkplug-ids", "case-sensitivity-metric-names")
@pytest.mark.parametrize("topic", ["acme/site/area/Line/_tag/level", "acme/site/_tag/Level"])
def test_the_names_that_the_hub_publishes_have_one_case_only(topic: str) -> None:
    assert parse_topic(topic.lower())
    with pytest.raises(TopicError):
        parse_topic(topic)
