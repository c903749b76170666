import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from uns.sparkplug.datatype import DataType
from uns.sparkplug.errors import DecodeError, EncodeError, SchemaError
from uns.sparkplug.payload import (
    METRICS_MAX,
    NESTING_MAX,
    PAYLOAD_BYTES_MAX,
    decode,
    encode,
    parse,
)
from uns.sparkplug.schema import Wire, is_terse, new_payload, require_upb
from uns.sparkplug.values import (
    DataSet,
    MetaData,
    Metric,
    Parameter,
    Payload,
    Property,
    Template,
    Value,
)


def decoded(raw: bytes) -> Payload:
    payload = decode(raw)
    assert isinstance(payload, Payload), payload
    return payload


def refusal(raw: bytes) -> str:
    error = decode(raw)
    assert isinstance(error, DecodeError)
    return error.reason


def wire_of(datatype: DataType, **fields: object) -> Wire:
    wire = new_payload()
    metric = wire.metrics.add(name="m", datatype=datatype)
    for field, value in fields.items():
        setattr(metric, field, value)
    return wire


# --- values


@pytest.mark.parametrize(
    ("datatype", "packed", "value"),
    [
        (DataType.INT8_ARRAY, "e97b", (-23, 123)),
        (DataType.INT16_ARRAY, "d08a3075", (-30000, 30000)),
        (DataType.INT32_ARRAY, "fffffffffaafcb12", (-1, 315338746)),
        (DataType.UINT8_ARRAY, "17fa", (23, 250)),
        (DataType.UINT16_ARRAY, "1e0088cc", (30, 52360)),
        (DataType.UINT32_ARRAY, "3400000049fb55c4", (52, 3293969225)),
        (
            DataType.BOOLEAN_ARRAY,
            "0c00000034d0",
            tuple(map(bool, (0, 0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1))),
        ),
        (DataType.STRING_ARRAY, "41424300" + "68656c6c6f00", ("ABC", "hello")),
        (
            DataType.DATETIME_ARRAY,
            "c7d0907524010000b8bab89781010000",
            (1256102875335, 1656107875000),
        ),
    ],
)
def test_arrays_are_packed_as_in_the_examples_of_the_specification(
    datatype: DataType, packed: str, value: Value
) -> None:
    raw = encode(Payload((Metric("m", value, datatype),)))
    wire = new_payload()
    wire.ParseFromString(raw)
    assert wire.metrics[0].bytes_value.hex() == packed
    assert decoded(raw).metrics[0].value == value


@pytest.mark.parametrize(
    ("datatype", "field", "raw", "value"),
    [
        (DataType.INT8, "int_value", 0xA9, -87),
        (DataType.INT8, "int_value", 0xFFFFFFA9, -87),
        (DataType.INT8, "long_value", 0xFFFFFFFFFFFFFFA9, -87),
        (DataType.INT16, "int_value", 0xFFFF, -1),
        (DataType.INT32, "long_value", 0xFFFFFFFFFFFFFFFF, -1),
        (DataType.INT64, "long_value", 2**63, -(2**63)),
        (DataType.INT64, "int_value", 7, 7),
        (DataType.UINT32, "int_value", 2**32 - 1, 2**32 - 1),
        (DataType.UINT32, "long_value", 2**32 - 1, 2**32 - 1),
        (DataType.UINT8, "int_value", 0, 0),
    ],
)
def test_integers_of_foreign_encoders_are_read(
    datatype: DataType, field: str, raw: int, value: int
) -> None:
    wire = wire_of(datatype, **{field: raw})
    assert decoded(wire.SerializeToString()).metrics[0].value == value


def test_a_negative_integer_is_written_sign_extended_to_its_field() -> None:
    wire = new_payload()
    wire.ParseFromString(encode(Payload((Metric("m", -87, DataType.INT8),))))
    assert wire.metrics[0].int_value == 0xFFFFFFA9


def test_null_history_and_quality_are_kept() -> None:
    stale = {"Quality": Property(DataType.INT32, 500)}
    payload = Payload(
        (
            Metric("null", None, DataType.DOUBLE, 1),
            Metric("old", 1.5, DataType.DOUBLE, 1, is_historical=True),
            Metric("stale", 1.5, DataType.DOUBLE, 1, properties=stale),
        ),
        timestamp_ms=9,
        seq=0,
    )
    assert decoded(encode(payload)) == payload
    assert [metric.quality for metric in payload.metrics] == [192, 192, 500]


def test_a_sequence_number_of_zero_is_not_the_absence_of_one() -> None:
    assert decoded(encode(Payload(seq=0))).seq == 0
    assert decoded(encode(Payload())).seq is None


def test_a_value_without_datatype_stays_raw() -> None:
    wire = new_payload()
    wire.metrics.add(alias=3, int_value=0xA9)
    assert decoded(wire.SerializeToString()).metrics == (Metric(None, 0xA9, alias=3),)


def test_composed_values_are_read_back() -> None:
    table = DataSet(("id", "name"), (DataType.INT16, DataType.STRING), ((-1, "a"), (None, None)))
    inner = Template((Metric("x", None, DataType.INT8),), template_ref="inner")
    parameter = Parameter("gain", DataType.FLOAT, 1.5)
    outer = Template(
        (Metric("inner", inner, DataType.TEMPLATE), Metric("rows", table, DataType.DATASET)),
        (parameter, Parameter("unset", DataType.STRING, None)),
        version="2",
        is_definition=True,
    )
    nested = {"low": Property(DataType.DOUBLE, 1.0), "none": Property(DataType.TEXT, None)}
    properties = {
        "limits": Property(DataType.PROPERTY_SET, nested),
        "alarms": Property(DataType.PROPERTY_SET_LIST, (nested, {})),
    }
    metadata = MetaData(is_multi_part=False, file_name="a.csv", size=0)
    payload = Payload(
        (Metric("t", outer, DataType.TEMPLATE, properties=properties, metadata=metadata),),
        uuid="u",
        body=b"",
    )
    assert decoded(encode(payload)) == payload


def test_a_member_of_a_template_may_lack_a_value() -> None:
    wire = wire_of(DataType.TEMPLATE)
    wire.metrics[0].template_value.metrics.add(name="x", datatype=DataType.INT8)
    (metric,) = decoded(wire.SerializeToString()).metrics
    assert metric.value == Template((Metric("x", None, DataType.INT8),))


# --- what is refused


@pytest.mark.parametrize(
    ("datatype", "fields", "reason"),
    [
        (DataType.INT8, {}, "metric 'm': needs an integer, carries no value"),
        (DataType.INT8, {"int_value": 300}, "300 is not in -128..127"),
        (DataType.UINT8, {"int_value": 256}, "256 is not in 0..255"),
        (DataType.UINT8, {"int_value": 0xFFFFFFA9}, "is not in 0..255"),
        (DataType.INT32, {"float_value": 1.0}, "needs an integer, carries float_value"),
        (DataType.DOUBLE, {"float_value": 1.0}, "needs double_value, carries float_value"),
        (DataType.BOOLEAN, {"int_value": 1}, "needs boolean_value, carries int_value"),
        (DataType.INT16_ARRAY, {"bytes_value": b"abc"}, "3 bytes are no array of 2 byte elements"),
        (DataType.BOOLEAN_ARRAY, {"bytes_value": b"\x09\0\0\0\xff"}, "no array of 9 booleans"),
        (DataType.BOOLEAN_ARRAY, {"bytes_value": b"\0"}, "no array of 0 booleans"),
        (DataType.STRING_ARRAY, {"bytes_value": b"abc"}, "not ended by NUL"),
        (DataType.STRING_ARRAY, {"bytes_value": b"\xff\0"}, "not UTF-8"),
        (DataType.DATASET, {"int_value": 1}, "DATASET does not go with int_value"),
        (DataType.PROPERTY_SET, {"int_value": 1}, "PROPERTY_SET does not go with int_value"),
    ],
)
def test_a_value_that_its_datatype_cannot_be_is_refused(
    datatype: DataType, fields: dict[str, object], reason: str
) -> None:
    assert reason in refusal(wire_of(datatype, **fields).SerializeToString())


@pytest.mark.tck("payloads-metric-datatype-value", "payloads-metric-datatype-value-type")
def test_an_unknown_datatype_is_refused() -> None:
    wire = new_payload()
    wire.metrics.add(name="m", datatype=99, int_value=1)
    assert refusal(wire.SerializeToString()) == "metric 'm': 99 is no data type"


@pytest.mark.tck(
    "payloads-template-version",
    "payloads-template-ref-instance",
    "payloads-template-parameter-name-type",
)
@pytest.mark.parametrize(
    "metric",
    [
        Metric("mm", 1, DataType.INT8),
        Metric("t", Template((), version="mm"), DataType.TEMPLATE),
        Metric("t", Template((), template_ref="mm"), DataType.TEMPLATE),
        Metric("t", Template((), (Parameter("mm", DataType.INT8, 1),)), DataType.TEMPLATE),
    ],
)
def test_text_that_is_not_utf8_is_refused(metric: Metric) -> None:
    raw = encode(Payload((metric,)))
    assert decoded(raw).metrics == (metric,)
    assert "UTF-8" in refusal(raw.replace(b"mm", b"\xff\xfe"))


@pytest.mark.tck(
    "payloads-dataset-column-size",
    "payloads-dataset-column-num-headers",
    "payloads-dataset-types-def",
    "payloads-dataset-types-num",
    "payloads-dataset-types-value",
)
def test_data_sets_must_be_rectangular() -> None:
    wire = wire_of(DataType.DATASET)
    table = wire.metrics[0].dataset_value
    table.num_of_columns = 2
    table.columns.extend(["a", "b"])
    table.types.extend([DataType.INT8])
    assert "2 columns has 2 names, 1 types" in refusal(wire.SerializeToString())
    table.types.extend([DataType.INT8])
    table.rows.add().elements.add(int_value=1)
    assert "row of 1 cells, not 2" in refusal(wire.SerializeToString())
    table.types[1] = DataType.DATASET
    assert "DATASET is no basic type" in refusal(wire.SerializeToString())


@pytest.mark.tck("payloads-propertyset-keys-array-size", "payloads-propertyset-values-array-size")
def test_property_sets_must_pair_keys_and_values_and_name_each_once() -> None:
    wire = wire_of(DataType.INT8, int_value=1)
    properties = wire.metrics[0].properties
    properties.keys.append("a")
    assert "1 property keys, 0 values" in refusal(wire.SerializeToString())
    properties.keys.append("a")
    properties.values.add(type=DataType.INT8, int_value=1)
    properties.values.add(type=DataType.INT8, int_value=2)
    assert "given twice" in refusal(wire.SerializeToString())


def test_nesting_is_bounded_both_ways() -> None:
    wire = new_payload()
    level = wire
    for _ in range(NESTING_MAX + 1):
        level = level.metrics.add(name="t", datatype=DataType.TEMPLATE).template_value
    assert f"deeper than {NESTING_MAX}" in refusal(wire.SerializeToString())
    value: Value = None
    for _ in range(NESTING_MAX + 1):
        value = Template((Metric("t", value, DataType.TEMPLATE),))
    with pytest.raises(EncodeError, match="deeper"):
        encode(Payload((Metric("t", value, DataType.TEMPLATE),)))


def test_nested_properties_are_bounded() -> None:
    wire = wire_of(DataType.INT8, int_value=1)
    level = wire.metrics[0].properties
    for _ in range(NESTING_MAX):
        level.keys.append("p")
        level = level.values.add(type=DataType.PROPERTY_SET).propertyset_value
    level.SetInParent()
    assert f"deeper than {NESTING_MAX}" in refusal(wire.SerializeToString())


def test_size_and_number_of_metrics_are_bounded_both_ways() -> None:
    assert "1048577 bytes" in refusal(b"\0" * (PAYLOAD_BYTES_MAX + 1))
    assert "10001 metrics" in refusal(b"\x12\0" * (METRICS_MAX + 1))
    with pytest.raises(EncodeError, match="10001 metrics"):
        encode(Payload((Metric("m", 1, DataType.INT8),) * (METRICS_MAX + 1)))
    with pytest.raises(EncodeError, match="bytes"):
        encode(Payload((Metric("m", b"\0" * PAYLOAD_BYTES_MAX, DataType.BYTES),)))


# --- compression


INNER = Payload((Metric("m", -7, DataType.INT16, 5),), timestamp_ms=5, seq=9)


def envelope(body: bytes, algorithm: str | None = None, **stated: int) -> bytes:
    named = (Metric("algorithm", algorithm, DataType.STRING),) if algorithm else ()
    return encode(Payload(named, uuid="SPBV1.0_COMPRESSED", body=body, **stated))


@pytest.mark.parametrize(
    ("algorithm", "compress"),
    [(None, zlib.compress), ("DEFLATE", zlib.compress), ("gzip", gzip.compress)],
)
def test_a_compressed_payload_is_the_one_inside(
    algorithm: str | None, compress: Callable[[bytes], bytes]
) -> None:
    assert decoded(envelope(compress(encode(INNER)), algorithm)) == INNER


def test_time_and_seq_of_the_envelope_stand_in_for_those_that_the_inner_payload_lacks() -> None:
    bare = zlib.compress(encode(INNER._replace(timestamp_ms=None, seq=None)))
    assert decoded(envelope(bare, seq=0, timestamp_ms=4)) == INNER._replace(seq=0, timestamp_ms=4)
    whole = zlib.compress(encode(INNER))
    assert decoded(envelope(whole, seq=0, timestamp_ms=4)) == INNER


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (envelope(zlib.compress(b""), "LZ4"), "compression 'LZ4' is not known"),
        (envelope(b"abc"), "no DEFLATE"),
        (envelope(zlib.compress(b"a"), "GZIP"), "no GZIP"),
        (envelope(b""), "ends early"),
        (envelope(zlib.compress(encode(INNER))[:-1]), "ends early"),
        (envelope(zlib.compress(b"\xff")), "no Sparkplug B payload"),
        (envelope(zlib.compress(envelope(zlib.compress(b"")))), "inside another"),
    ],
)
def test_a_broken_envelope_is_refused(raw: bytes, reason: str) -> None:
    assert reason in refusal(raw)


@pytest.mark.parametrize("compress", [zlib.compress, gzip.compress])
def test_a_small_body_that_unpacks_to_much_costs_no_more_than_the_bound(
    compress: Callable[[bytes], bytes],
) -> None:
    algorithm = "GZIP" if compress is gzip.compress else "DEFLATE"
    raw = envelope(compress(bytes(200 * PAYLOAD_BYTES_MAX)), algorithm)
    tracemalloc.start()
    try:
        reason = refusal(raw)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "larger than 1048576 bytes" in reason
    assert most < 4 * PAYLOAD_BYTES_MAX


# --- terse payloads


def test_a_payload_is_read_tersely_only_if_that_loses_nothing() -> None:
    wire = new_payload()
    metric = wire.metrics.add(alias=3, timestamp=5, int_value=7)
    assert is_terse(parse(wire.SerializeToString()))
    for field, value in (
        ("name", "m"),
        ("datatype", 3),
        ("is_historical", True),
        ("is_transient", True),
        ("is_null", True),
    ):
        setattr(metric, field, value)
        parsed = parse(wire.SerializeToString())
        assert not is_terse(parsed)
        assert parsed == wire
        metric.ClearField(field)
    metric.properties.SetInParent()
    assert not is_terse(parse(wire.SerializeToString()))
    metric.ClearField("properties")
    metric.metadata.SetInParent()
    assert not is_terse(parse(wire.SerializeToString()))
    metric.ClearField("metadata")
    metric.dataset_value.types.extend([1, 2, 3])
    assert not is_terse(parse(wire.SerializeToString()))
    metric.template_value.SetInParent()
    assert not is_terse(parse(wire.SerializeToString()))


def test_a_field_before_the_alias_is_not_lost() -> None:
    """An encoder may write the fields in any order: here is_historical (5) before alias (2)."""
    wire = parse(b"\x12\x06" + b"\x28\x01" + b"\x10\x03" + b"\x50\x07")
    assert not is_terse(wire)
    assert (wire.metrics[0].is_historical, wire.metrics[0].alias) == (True, 3)


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        (DataType.INT8, 128),
        (DataType.UINT8, -1),
        (DataType.INT32, True),
        (DataType.INT32, 1.0),
        (DataType.FLOAT, 1e300),
        (DataType.DOUBLE, "1"),
        (DataType.DOUBLE, 10**400),
        (DataType.BOOLEAN, 1),
        (DataType.STRING, b"a"),
        (DataType.STRING, "\ud800"),
        (DataType.BYTES, "a"),
        (DataType.INT8_ARRAY, (128,)),
        (DataType.INT8_ARRAY, [1]),
        (DataType.BOOLEAN_ARRAY, (1,)),
        (DataType.STRING_ARRAY, ("a\0b",)),
        (DataType.DATASET, 1),
        (DataType.DATASET, DataSet(("a",), (), ())),
        (DataType.DATASET, DataSet(("a",), (DataType.INT8,), ((1, 2),))),
        (DataType.DATASET, DataSet(("a",), (DataType.BYTES,), ())),
        (DataType.TEMPLATE, 1),
        (DataType.PROPERTY_SET, {}),
        (None, 1),
    ],
)
def test_a_value_that_does_not_fit_is_not_sent(datatype: DataType | None, value: Any) -> None:
    with pytest.raises(EncodeError, match="metric 'm'"):
        encode(Payload((Metric("m", value, datatype),)))


def test_a_time_that_is_negative_is_not_sent() -> None:
    with pytest.raises(EncodeError):
        encode(Payload(timestamp_ms=-1))
    with pytest.raises(EncodeError):
        encode(Payload((Metric("m", 1, DataType.INT8, -1),)))


def test_a_slow_protobuf_backend_is_refused() -> None:
    require_upb("upb")
    with pytest.raises(SchemaError, match="'python' backend"):
        require_upb("python")
