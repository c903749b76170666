"""Values of asyncua as plain Python, so that nothing beyond knows the library.

Owns the way from a data value to a `Sample`: texts, names, times and numbers as such, arrays as
lists, structures as mappings. Does not know what a value says about a tag (mapping.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Final

from asyncua import ua

from bridges.opcua.mapping import Sample

CODE_MASK: Final = 0xFFFF_0000
"""The part of a status code that has a name; below it are info bits (part 4, 7.38.1)."""


def status_name(status: ua.StatusCode) -> str:
    """The name in the standard, whatever the info bits say."""
    return ua.StatusCode(ua.UInt32(int(status.value) & CODE_MASK)).name


_AS_THEY_ARE: Final = frozenset(
    kind
    for kind in ua.VariantType
    if kind.name not in {
        "NodeId", "ExpandedNodeId", "StatusCode", "QualifiedName", "LocalizedText",
        "ExtensionObject", "DataValue", "Variant", "DiagnosticInfo",
    }
)  # fmt: skip
Decode = Callable[[ua.ExtensionObject], Any]
_PLAIN: Final[Mapping[type, Callable[[Any], Any]]] = {
    ua.StatusCode: status_name,
    ua.LocalizedText: lambda text: text.Text or "",
    ua.QualifiedName: lambda name: name.Name or "",
    ua.NodeId: lambda node: node.to_string(),
    ua.ExpandedNodeId: lambda node: node.to_string(),
}


def sample(data: ua.DataValue, decode: Decode) -> Sample:
    """A data value taken apart; `decode` makes a mapping of a structure of the server's own."""
    status = data.StatusCode or ua.StatusCode()
    variant = data.Value
    empty = variant is None or variant.VariantType is ua.VariantType.Null
    as_it_is = variant is None or variant.VariantType in _AS_THEY_ARE
    value = variant.Value if variant else None
    return Sample(
        value=value if as_it_is else plain(value, decode),
        type_name=None if variant is None or empty else variant.VariantType.name,
        status=int(status.value),
        status_name=status_name(status),
        source_at=data.SourceTimestamp,
        server_at=data.ServerTimestamp,
    )


def plain(value: Any, decode: Decode) -> Any:
    """A value without asyncua's classes; what has no plain form stays."""
    if isinstance(value, list | tuple):
        return [plain(element, decode) for element in value]
    if isinstance(value, ua.Variant | ua.DataValue):
        return plain(value.Value, decode)
    if isinstance(value, ua.ExtensionObject):
        return decode(value)
    if isinstance(value, Enum):
        return value.value
    known = _PLAIN.get(type(value))
    if known is None and is_dataclass(value):
        return {f.name: plain(getattr(value, f.name), decode) for f in fields(value)}
    return known(value) if known else value
