"""Every value that a data type can hold survives; nothing that arrives raises."""

import math
import resource
import zlib
from collections.abc import Collection
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from uns.sparkplug.catalogue import Place, declare, values_of_data
from uns.sparkplug.datatype import PLAIN_READERS, QUICK_FIELDS, DataType
from uns.sparkplug.edge import EdgeNode
from uns.sparkplug.errors import DecodeError, TopicError
from uns.sparkplug.host import HostSession
from uns.sparkplug.outputs import MetricValue
from uns.sparkplug.payload import METRICS_MAX, NESTING_MAX, PAYLOAD_BYTES_MAX, decode, encode
from uns.sparkplug.schema import Wire, new_payload, parse_payload
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
from uns.sparkplug.writing import write_value

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


# --- DATA, read by its birth

NAMED = {kind: f"metric of {kind.name}" for kind in PLAIN}
ALIASES = {kind: place for place, kind in enumerate(PLAIN, 1)}
CATALOGUE = declare(Metric(NAMED[kind], None, kind, AT_MS, alias=ALIASES[kind]) for kind in PLAIN)
PLACE = Place("g", "e", "d")
TIMES = st.none() | integers(0, 2**64 - 1)


def changes_of(
    kinds: Collection[DataType], null: st.SearchStrategy[None]
) -> st.SearchStrategy[tuple[DataType, Any, int | None]]:
    return st.sampled_from(list(kinds)).flatmap(
        lambda kind: st.tuples(st.just(kind), null | PLAIN[kind], TIMES)
    )


QUICK = changes_of(QUICK_FIELDS, st.nothing())
CHANGES = st.lists(QUICK, max_size=4) | st.lists(changes_of(PLAIN, st.none()), max_size=4)


def write_change(wire: Wire, change: tuple[DataType, Any, int | None]) -> None:
    kind, value, at_ms = change
    wire.alias = ALIASES[kind]
    write_value(wire, kind, value)
    if at_ms is not None:
        wire.timestamp = at_ms


def in_full(raw: bytes) -> Wire:
    wire = new_payload()
    wire.ParseFromString(raw)
    return wire


@given(changes=CHANGES, old=st.booleans())
def test_data_by_alias_means_what_the_birth_says(
    changes: list[tuple[DataType, Any, int | None]], *, old: bool
) -> None:
    wire = new_payload()
    for change in changes:
        write_change(metric := wire.metrics.add(), change)
        if old:
            metric.is_historical = True
    read = values_of_data(PLACE, CATALOGUE, parse_payload(wire.SerializeToString()), AT_MS)
    for one, (kind, value, at_ms) in zip(read, changes, strict=True):
        assert isinstance(one, MetricValue)
        assert (*one[:4], one.datatype) == (*PLACE, NAMED[kind], kind)
        assert same(one.value, value)
        assert (one.timestamp_ms, one.is_historical) == (at_ms or AT_MS, old)


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from([*NAMED.values(), "unknown"]),
        "alias": st.integers(0, len(PLAIN)),
        "timestamp": UINT64,
        "datatype": st.integers(0, 35),
        "is_historical": st.booleans(),
        "is_transient": st.booleans(),
        "is_null": st.booleans(),
        "int_value": integers(0, 2**32 - 1),
        "long_value": integers(0, 2**64 - 1),
        "float_value": st.floats(width=32),
        "double_value": st.floats(),
        "boolean_value": st.booleans(),
        "string_value": TEXT,
        "bytes_value": st.binary(max_size=9),
    },
)


EXTRAS = st.fixed_dictionaries(
    {}, optional={field: st.booleans() for field in ("is_historical", "is_transient", "is_null")}
)


@st.composite
def plain_fields(draw: st.DrawFn) -> dict[str, Any]:
    """Give the fields of a readable metric, some with more to say."""
    wire = new_payload().metrics.add()
    write_change(wire, draw(QUICK))
    return {field.name: value for field, value in wire.ListFields()} | draw(EXTRAS)


@given(
    st.lists(FIELDS | plain_fields() | plain_fields(), max_size=3),
    st.randoms(use_true_random=False),
)
@example([{"alias": ALIASES[DataType.INT8], "int_value": 300}], Random(0))
@example([{"alias": ALIASES[DataType.INT8], "int_value": 0xA9}], Random(0))
@example([{"alias": ALIASES[DataType.UINT8], "int_value": 0xFFFFFFA9}], Random(0))
@settings(max_examples=500)
def test_the_terse_reading_says_what_the_full_one_says(
    metrics: list[dict[str, Any]], random: Random
) -> None:
    raw = b"".join(_shuffled(fields, random) for fields in metrics)
    said = [_said(parse_payload(raw)), _said(in_full(raw))]
    assert same(*said)


def _shuffled(fields: dict[str, Any], random: Random) -> bytes:
    """Encode one metric with its fields in any order, as some encoders do."""
    pieces = [new_payload().metrics.add(**{name: value}) for name, value in fields.items()]
    encoded = [piece.SerializeToString() for piece in pieces]
    random.shuffle(encoded)
    body = b"".join(encoded)
    return b"\x12" + _varint(len(body)) + body


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _said(wire: Wire) -> tuple[Any, ...]:
    try:
        return tuple(values_of_data(PLACE, CATALOGUE, wire, AT_MS))
    except DecodeError as error:
        return (error.reason,)


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


@given(damaged(), st.binary(max_size=9), st.sampled_from(["DEFLATE", "GZIP", "LZ4"]))
def test_a_compressed_payload_gives_a_payload_or_the_designed_error(
    raw: bytes, tail: bytes, algorithm: str
) -> None:
    packed = (zlib.compress(raw) + tail)[: 40 + len(tail)]
    said = (Metric("algorithm", algorithm, DataType.STRING),)
    envelope = encode(Payload(said, uuid="SPBV1.0_COMPRESSED", body=packed))
    assert isinstance(decode(envelope), Payload | DecodeError)


@pytest.mark.parametrize(
    "piece", [b"\x12\x00", b"\x12\x02\x4a\x00", b"\x12\x03\x92\x01\x00", b"\x22\x00"]
)
def test_the_worst_payloads_take_bounded_memory(piece: bytes) -> None:
    """Many empty metrics, property sets, templates or uuids: two bytes that cost the most each."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for count in (METRICS_MAX, PAYLOAD_BYTES_MAX // len(piece)):
        assert isinstance(decode(piece * count), Payload | DecodeError)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 128 * 1024


@pytest.mark.parametrize("levels", [NESTING_MAX, 60, 10_000])
@pytest.mark.parametrize("step", [b"\x92\x01", b"\x4a"], ids=["templates", "property sets"])
def test_any_depth_gives_a_payload_or_the_designed_error(step: bytes, levels: int) -> None:
    raw = b""
    for _ in range(levels):
        inner = step + _varint(len(raw)) + raw
        raw = b"\x12" + _varint(len(inner)) + inner
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
