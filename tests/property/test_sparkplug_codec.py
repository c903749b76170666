"""Every value that a data type can hold survives; nothing that arrives raises."""

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from uns.sparkplug.datatype import PLAIN_READERS, DataType
from uns.sparkplug.edge import EdgeNode
from uns.sparkplug.errors import DecodeError, TopicError
from uns.sparkplug.host import HostSession
from uns.sparkplug.payload import decode, encode
from uns.sparkplug.schema import new_payload
from uns.sparkplug.topic import MessageType, StateTopic, Topic, parse
from uns.sparkplug.values import (
    DataSet,
    MetaData,
    Metric,
    Parameter,
    Payload,
    Property,
    Template,
)

AT_MS = 1_765_432_100_000
UINT64 = st.integers(0, 2**64 - 1)
TEXT = st.text(max_size=20)
NAMES = st.text(min_size=1, max_size=20)


def integers(low: int, high: int) -> st.SearchStrategy[int]:
    return st.sampled_from([low, high, 0, min(1, high)]) | st.integers(low, high)


SCALARS: dict[DataType, st.SearchStrategy[Any]] = {
    DataType.INT8: integers(-(2**7), 2**7 - 1),
    DataType.INT16: integers(-(2**15), 2**15 - 1),
    DataType.INT32: integers(-(2**31), 2**31 - 1),
    DataType.INT64: integers(-(2**63), 2**63 - 1),
    DataType.UINT8: integers(0, 2**8 - 1),
    DataType.UINT16: integers(0, 2**16 - 1),
    DataType.UINT32: integers(0, 2**32 - 1),
    DataType.UINT64: integers(0, 2**64 - 1),
    DataType.FLOAT: st.floats(width=32),
    DataType.DOUBLE: st.floats(),
    DataType.BOOLEAN: st.booleans(),
    DataType.STRING: TEXT,
    DataType.DATETIME: integers(0, 2**64 - 1),
    DataType.TEXT: TEXT,
    DataType.UUID: st.uuids().map(str),
}
PLAIN: dict[DataType, st.SearchStrategy[Any]] = {
    **SCALARS,
    DataType.BYTES: st.binary(max_size=50),
    DataType.FILE: st.binary(max_size=50),
    **{
        DataType[f"{name}_ARRAY"]: st.lists(SCALARS[DataType[name]], max_size=20).map(tuple)
        for name in (
            *("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"),
            *("FLOAT", "DOUBLE", "BOOLEAN", "DATETIME"),
        )
    },
    DataType.STRING_ARRAY: st.lists(
        st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=9), max_size=9
    ).map(tuple),
}


def same(left: Any, right: Any) -> bool:
    """Compare with NaN equal to NaN, and 0 unlike 0.0 or False."""
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and math.isnan(left):
        return isinstance(right, float) and math.isnan(right)
    return type(left) is type(right) and bool(left == right)


def there_and_back(payload: Payload) -> Payload:
    decoded = decode(encode(payload))
    assert isinstance(decoded, Payload), decoded
    return decoded


def test_every_plain_type_is_covered() -> None:
    assert PLAIN.keys() == PLAIN_READERS.keys()


@pytest.mark.parametrize("datatype", PLAIN, ids=lambda datatype: datatype.name)
@given(data=st.data())
def test_a_value_survives(datatype: DataType, data: st.DataObject) -> None:
    value = data.draw(PLAIN[datatype])
    metric = Metric("m", value, datatype, AT_MS)
    (read,) = there_and_back(Payload((metric,))).metrics
    assert same(read.value, value)


SIGNED_BITS = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}


@pytest.mark.parametrize("datatype", SIGNED_BITS, ids=lambda datatype: datatype.name)
@given(data=st.data())
def test_a_signed_integer_is_read_from_every_width_that_encoders_use(
    datatype: DataType, data: st.DataObject
) -> None:
    value = data.draw(SCALARS[datatype])
    bits = SIGNED_BITS[datatype]
    forms = {("long_value", value % 2**64), ("long_value", value % 2**bits)}
    if bits <= 32:
        forms |= {("int_value", value % 2**bits), ("int_value", value % 2**32)}
    for field, raw in forms:
        wire = new_payload()
        setattr(wire.metrics.add(name="m", datatype=datatype), field, raw)
        payload = decode(wire.SerializeToString())
        assert isinstance(payload, Payload)
        assert payload.metrics[0].value == value


# --- whole payloads

BASIC = st.sampled_from(list(SCALARS)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.none() | SCALARS[kind])
)


@st.composite
def data_sets(draw: st.DrawFn) -> DataSet:
    types = tuple(draw(st.lists(st.sampled_from(list(SCALARS)), max_size=4)))
    cells = [st.none() | SCALARS[kind] for kind in types]
    rows = draw(st.lists(st.tuples(*cells), max_size=4))
    return DataSet(tuple(f"c{place}" for place in range(len(types))), types, tuple(rows))


def properties(depth: int) -> st.SearchStrategy[dict[str, Property]]:
    values = BASIC.map(lambda pair: Property(*pair))
    if depth:
        nested = properties(depth - 1)
        values |= nested.map(lambda each: Property(DataType.PROPERTY_SET, each))
        values |= st.lists(nested, max_size=2).map(
            lambda each: Property(DataType.PROPERTY_SET_LIST, tuple(each))
        )
    return st.dictionaries(TEXT, values, max_size=3)


METADATA = st.builds(
    MetaData,
    *(st.none() | kind for kind in (st.booleans(), TEXT, UINT64, UINT64, TEXT, TEXT, TEXT, TEXT)),
)


@st.composite
def metrics(draw: st.DrawFn, depth: int = 2) -> Metric:
    plain = st.sampled_from(list(PLAIN)).flatmap(
        lambda kind: st.tuples(st.just(kind), st.none() | PLAIN[kind])
    )
    tables = data_sets().map(lambda table: (DataType.DATASET, table))
    choices = [plain, tables, *([templates(depth - 1)] if depth else [])]
    datatype, value = draw(st.one_of(choices))
    return Metric(
        name=draw(st.none() | NAMES),
        value=value,
        datatype=datatype,
        timestamp_ms=draw(st.none() | UINT64),
        alias=draw(st.none() | UINT64),
        is_historical=draw(st.booleans()),
        is_transient=draw(st.booleans()),
        properties=draw(st.none() | properties(1)),
        metadata=draw(st.none() | METADATA),
    )


def templates(depth: int) -> st.SearchStrategy[tuple[DataType, Template]]:
    parameters = st.tuples(TEXT, BASIC).map(lambda pair: Parameter(pair[0], *pair[1]))
    return st.builds(
        Template,
        metrics=st.lists(metrics(depth), max_size=2).map(tuple),
        parameters=st.lists(parameters, max_size=2).map(tuple),
        template_ref=st.none() | TEXT,
        version=st.none() | TEXT,
        is_definition=st.booleans(),
    ).map(lambda template: (DataType.TEMPLATE, template))


PAYLOADS = st.builds(
    Payload,
    metrics=st.lists(metrics(), max_size=4).map(tuple),
    timestamp_ms=st.none() | UINT64,
    seq=st.none() | UINT64,
    uuid=st.none() | TEXT,
    body=st.none() | st.binary(max_size=20),
)


@given(PAYLOADS)
def test_a_payload_survives(payload: Payload) -> None:
    assert repr(there_and_back(payload)) == repr(payload)


# --- what arrives

TYPES = st.sampled_from(list(MessageType))
TOPICS = TYPES.map(lambda kind: f"spBv1.0/g/{kind}/e{'/d' if kind.of_device else ''}")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    raw = bytearray(encode(draw(PAYLOADS)))
    for place, byte in draw(st.lists(st.tuples(UINT64, st.integers(0, 255)), max_size=4)):
        if raw:
            raw[place % len(raw)] = byte
    return bytes(raw[: draw(st.integers(0, len(raw)))])


@given(st.binary(max_size=300) | damaged())
@example(b"")
def test_decoding_gives_a_payload_or_the_designed_error(raw: bytes) -> None:
    assert isinstance(decode(raw), Payload | DecodeError)


@given(st.text() | TOPICS)
def test_parsing_a_topic_gives_a_topic_or_the_designed_error(text: str) -> None:
    assert isinstance(parse(text), Topic | StateTopic | TopicError)


@given(st.lists(st.tuples(TOPICS | st.text(), st.binary(max_size=60) | damaged()), max_size=8))
def test_a_host_session_never_raises(messages: list[tuple[str, bytes]]) -> None:
    host = HostSession()
    birth = EdgeNode("g", "e", 0).node_birth((Metric("m", 1, DataType.INT8),), AT_MS)
    host.receive(birth.topic, birth.payload, AT_MS)
    for topic, raw in messages:
        host.receive(topic, raw, AT_MS)
        if (wake := host.wake_at_ms) is not None:
            host.tick(wake)


@given(TOPICS | st.text(), st.binary(max_size=60) | damaged())
def test_an_edge_node_reads_any_command_without_raising(topic: str, raw: bytes) -> None:
    edge = EdgeNode("g", "e", 0)
    edge.node_birth((Metric("m", 1, DataType.INT8),), AT_MS)
    edge.command(topic, raw)
