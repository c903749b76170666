"""Owns the protobuf messages of Sparkplug B; knows fields and numbers, not what they mean.

The field table follows the schema section of the specification (3.0, 6.4.1). The descriptor is
built at import into a pool of its own, so another Sparkplug library in the same process cannot
clash with it. Presence is explicit (as proto2: a seq of 0 differs from no seq) and strings are
checked to be UTF-8 while they are parsed.

Most DATA says only alias, time and value of a metric. To ask each metric for what it does not say
would double the cost of reading it, so a payload is first parsed as a terse one. There a metric's
alias shares a oneof with everything that is seldom said beside it. A oneof keeps its last member,
so bytes that said more come out shorter when they are measured again, and are parsed anew in full.
The proof holds because nothing here can come out longer than it came in: the two fields that hold
a list of numbers, which has two encodings, are opaque bytes in the terse schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal import api_implementation

from uns.sparkplug.errors import SchemaError

if TYPE_CHECKING:
    from google.protobuf.message import Message

Wire: TypeAlias = Any
"""A protobuf message: the descriptor knows its fields, the type checker cannot."""

_PACKAGE: Final = "uns.spb.v1"
_VALUE: Final = "value"
_SAID: Final = "said"
_Field = descriptor_pb2.FieldDescriptorProto

_SCALARS: Final = {
    "bool": _Field.TYPE_BOOL,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
    "float": _Field.TYPE_FLOAT,
    "double": _Field.TYPE_DOUBLE,
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
}


class _Row(NamedTuple):
    name: str
    number: int
    kind: str
    repeated: bool = False
    oneof: str | None = None


_Messages: TypeAlias = dict[str, tuple[_Row, ...]]


def _scalars_from(first: int) -> tuple[_Row, ...]:
    """List the six scalar fields of a `value` oneof, numbered from `first`."""
    kinds = ("uint32", "uint64", "float", "double", "bool", "string")
    names = ("int", "long", "float", "double", "boolean", "string")
    return tuple(
        _Row(f"{name}_value", first + place, kind, oneof=_VALUE)
        for place, (name, kind) in enumerate(zip(names, kinds, strict=True))
    )


_MESSAGES: Final[_Messages] = {
    "Payload": (
        _Row("timestamp", 1, "uint64"),
        _Row("metrics", 2, "Metric", repeated=True),
        _Row("seq", 3, "uint64"),
        _Row("uuid", 4, "string"),
        _Row("body", 5, "bytes"),
    ),
    "Metric": (
        _Row("name", 1, "string"),
        _Row("alias", 2, "uint64"),
        _Row("timestamp", 3, "uint64"),
        _Row("datatype", 4, "uint32"),
        _Row("is_historical", 5, "bool"),
        _Row("is_transient", 6, "bool"),
        _Row("is_null", 7, "bool"),
        _Row("metadata", 8, "MetaData"),
        _Row("properties", 9, "PropertySet"),
        *_scalars_from(10),
        _Row("bytes_value", 16, "bytes", oneof=_VALUE),
        _Row("dataset_value", 17, "DataSet", oneof=_VALUE),
        _Row("template_value", 18, "Template", oneof=_VALUE),
    ),
    "MetaData": (
        _Row("is_multi_part", 1, "bool"),
        _Row("content_type", 2, "string"),
        _Row("size", 3, "uint64"),
        _Row("seq", 4, "uint64"),
        _Row("file_name", 5, "string"),
        _Row("file_type", 6, "string"),
        _Row("md5", 7, "string"),
        _Row("description", 8, "string"),
    ),
    "DataSet": (
        _Row("num_of_columns", 1, "uint64"),
        _Row("columns", 2, "string", repeated=True),
        _Row("types", 3, "uint32", repeated=True),
        _Row("rows", 4, "Row", repeated=True),
    ),
    "Row": (_Row("elements", 1, "DataSetValue", repeated=True),),
    "DataSetValue": _scalars_from(1),
    "Template": (
        _Row("version", 1, "string"),
        _Row("metrics", 2, "Metric", repeated=True),
        _Row("parameters", 3, "Parameter", repeated=True),
        _Row("template_ref", 4, "string"),
        _Row("is_definition", 5, "bool"),
    ),
    "Parameter": (
        _Row("name", 1, "string"),
        _Row("type", 2, "uint32"),
        *_scalars_from(3),
    ),
    "PropertyValue": (
        _Row("type", 1, "uint32"),
        _Row("is_null", 2, "bool"),
        *_scalars_from(3),
        _Row("propertyset_value", 9, "PropertySet", oneof=_VALUE),
        _Row("propertysets_value", 10, "PropertySetList", oneof=_VALUE),
    ),
    "PropertySet": (
        _Row("keys", 1, "string", repeated=True),
        _Row("values", 2, "PropertyValue", repeated=True),
    ),
    "PropertySetList": (_Row("propertyset", 1, "PropertySet", repeated=True),),
}


def _tersely(row: _Row) -> _Row:
    if row.name == "timestamp" or (row.oneof and row.kind in _SCALARS):
        return row
    kind = "bytes" if row.oneof else row.kind
    return row._replace(kind=kind, oneof=_SAID)


_TERSE_MESSAGES: Final = {**_MESSAGES, "Metric": tuple(map(_tersely, _MESSAGES["Metric"]))}


def _describe(messages: _Messages) -> descriptor_pb2.FileDescriptorProto:
    described = descriptor_pb2.FileDescriptorProto(
        name="uns_spb_v1.proto",
        package=_PACKAGE,
        syntax="editions",
        edition=descriptor_pb2.EDITION_2023,
    )
    features = described.options.features
    features.field_presence = descriptor_pb2.FeatureSet.EXPLICIT
    features.utf8_validation = descriptor_pb2.FeatureSet.VERIFY
    features.repeated_field_encoding = descriptor_pb2.FeatureSet.EXPANDED
    for name, rows in messages.items():
        message = described.message_type.add(name=name)
        oneofs = sorted({row.oneof for row in rows if row.oneof})
        for oneof in oneofs:
            message.oneof_decl.add(name=oneof)
        message.field.extend(_field(row, oneofs) for row in rows)
    return described


def _field(row: _Row, oneofs: list[str]) -> descriptor_pb2.FieldDescriptorProto:
    field = _Field(
        name=row.name,
        number=row.number,
        label=_Field.LABEL_REPEATED if row.repeated else _Field.LABEL_OPTIONAL,
    )
    if row.kind in _SCALARS:
        field.type = _SCALARS[row.kind]
    else:
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{row.kind}"
    if row.oneof:
        field.oneof_index = oneofs.index(row.oneof)
    return field


def _build(messages: _Messages) -> type[Message]:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(_describe(messages).SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Payload"))


def require_upb(backend: str) -> None:
    """Refuse, with SchemaError, a protobuf backend other than upb (up to 20 times slower)."""
    if backend != "upb":
        raise SchemaError(
            f"protobuf runs on the {backend!r} backend, 'upb' is needed: install a binary wheel "
            "and unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"
        )


require_upb(api_implementation.Type())
_PAYLOAD_CLASS: Final = _build(_MESSAGES)
_TERSE_CLASS: Final = _build(_TERSE_MESSAGES)


def new_payload() -> Wire:
    """Make an empty Payload message."""
    return _PAYLOAD_CLASS()


def parse_payload(raw: bytes) -> Wire:
    """Parse bytes into a Payload message, a terse one if that loses nothing.

    Both have the same fields. Raises google.protobuf.message.DecodeError.
    """
    wire = _TERSE_CLASS()
    wire.ParseFromString(raw)
    if wire.ByteSize() == len(raw):
        return wire
    wire = _PAYLOAD_CLASS()
    wire.ParseFromString(raw)
    return wire


def is_terse(wire: Wire) -> bool:
    """Tell whether a metric with an alias has nothing else but its time and its scalar value."""
    return type(wire) is _TERSE_CLASS
