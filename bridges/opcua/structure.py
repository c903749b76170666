"""Structures of a server's own: their definitions asked for, and bodies decoded by them.

Owns OPC UA part 6, 5.2.5 to 5.2.8 (arrays, structures, optional fields, unions) and the questions
that lead from an encoding to its definition (part 3, 8.48). asyncua's own registry of types is not
used: it is one for the whole process, while the same node id is another type on another server,
and one type that it cannot decode costs the whole publish. Does not know tags.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from math import prod
from typing import Any, Final, NamedTuple, Protocol

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.ua_binary import unpack_uatype
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from bridges.opcua.calls import CALL_TIMEOUT_S, within
from bridges.opcua.errors import UnreadableError
from bridges.opcua.mapping import Single
from bridges.opcua.values import plain

DEPTH_MAX: Final = 16
TYPES_MAX: Final = 1_000
_SUBTYPED: Final = frozenset(
    {ua.StructureType.StructureWithSubtypedValues, ua.StructureType.UnionWithSubtypedValues}
)
_FOREIGN_BYTES: Final = (
    UaError, struct.error, ValueError, TypeError, LookupError, OverflowError, RecursionError,
)  # fmt: skip


def _standard(identifier: int) -> ua.NodeId:
    return ua.NodeId(ua.Int32(identifier))


_STRUCTURE: Final = _standard(ObjectIds.Structure)
_BASES: Final[dict[ua.NodeId, ua.VariantType]] = {
    **{_standard(kind.value): kind for kind in ua.VariantType if kind.value},
    **dict.fromkeys(
        map(_standard, (ObjectIds.Number, ObjectIds.Integer, ObjectIds.UInteger)),
        ua.VariantType.Variant,
    ),
    _standard(ObjectIds.Enumeration): ua.VariantType.Int32,
}
"""What the types of namespace 0 are on the wire: built-in, any of some, or an enumeration."""


class Server(Protocol):
    """What is asked: the two services of asyncua's client that are needed here."""

    async def read_attributes(
        self, nodeids: list[ua.NodeId], attr: AttributeIds
    ) -> list[ua.DataValue]:
        """One attribute of some nodes."""

    async def browse(self, parameters: ua.BrowseParameters) -> list[ua.BrowseResult]:
        """References of some nodes."""


@dataclass
class Layout:
    """How a structure lies in its body; `fields` is None while they are not all known."""

    name: str
    shape: ua.StructureType
    fields: list["Field"] | None = field(default=None, repr=False)


class Field(NamedTuple):
    """One field; `bit` is its place in the mask of optional fields, 0 for one always there."""

    name: str
    kind: ua.VariantType | Layout
    rank: int
    bit: int


class Structures:
    """The structure types of one connection, learnt when a value of one is first seen.

    `wanted` are the encodings that were met and are not known yet; `missed` is how often a value
    had one of them.
    """

    def __init__(self, server: Server) -> None:
        self.wanted: set[ua.NodeId] = set()
        self.missed = 0
        self._server = server
        self._encodings: dict[ua.NodeId, Layout | UnreadableError] = {}
        self._kinds: dict[ua.NodeId, ua.VariantType | Layout] = {}

    async def learn(self) -> None:
        """Ask for what is wanted; a type that cannot be known is remembered with the reason.

        Each question is bounded in time, not their sum; what was learnt before one failed is kept.
        """
        for encoding in tuple(self.wanted):
            try:
                data_type = await self._target(encoding, ObjectIds.HasEncoding)
                kind = await self._kind(data_type, 0)
            except UnreadableError as error:
                self._encodings[encoding] = error
            except UaStatusCodeError as error:
                self._encodings[encoding] = UnreadableError(f"no definition of its type: {error}")
            else:
                self._encodings[encoding] = (
                    kind if isinstance(kind, Layout) else UnreadableError("no structure type")
                )
            self.wanted.discard(encoding)

    def decode(self, value: ua.ExtensionObject) -> Any:
        """A structure as a mapping of its fields; UnreadableError, returned, where it cannot be."""
        if value.Body is None:
            return None
        layout = self._encodings.get(value.TypeId)
        if layout is None and len(self._encodings) < TYPES_MAX:
            self.wanted.add(value.TypeId)
            self.missed += 1
        if not isinstance(layout, Layout):
            return layout or UnreadableError("its type is not known")
        return self._decoded(layout, Buffer(value.Body))

    def _decoded(self, layout: Layout, body: Buffer) -> dict[str, Any] | UnreadableError:
        try:
            fields = self._structure(layout, body, 0)
        except _FOREIGN_BYTES as error:
            return UnreadableError(f"the {layout.name} does not follow its definition: {error}")
        if body:
            return UnreadableError(f"the {layout.name} is longer than its definition")
        return fields

    def _structure(self, layout: Layout, body: Buffer, depth: int) -> dict[str, Any]:
        if depth > DEPTH_MAX or layout.fields is None:
            raise ValueError("nested too deep or not known")
        if layout.shape is ua.StructureType.Union:
            switch = unpack_uatype(ua.VariantType.UInt32, body)
            present: Iterable[Field] = [layout.fields[switch - 1]] if switch else []
        else:
            optional = layout.shape is ua.StructureType.StructureWithOptionalFields
            mask = unpack_uatype(ua.VariantType.UInt32, body) if optional else 0
            present = (f for f in layout.fields if not f.bit or mask & f.bit)
        return {f.name: self._field(f, body, depth + 1) for f in present}

    def _field(self, known: Field, body: Buffer, depth: int) -> Any:
        if known.rank < 1:
            return self._element(known.kind, body, depth)
        if known.rank == 1:
            dimensions = [unpack_uatype(ua.VariantType.Int32, body)]
        else:
            length = unpack_uatype(ua.VariantType.Int32, body)
            dimensions = [unpack_uatype(ua.VariantType.Int32, body) for _ in range(length)]
        return self._array(known.kind, dimensions, body, depth)

    def _array(
        self, kind: ua.VariantType | Layout, dimensions: list[int], body: Buffer, depth: int
    ) -> Any:
        """An array of any rank. Each element takes a byte at least: so work is bounded by bytes."""
        if min(dimensions, default=0) < 1:
            return []
        elements, room = prod(dimensions), len(body)
        if elements > room:
            raise ValueError(f"{elements} elements in {room} bytes")
        found = self._elements(kind, dimensions, body, depth)
        if room - len(body) < elements:
            raise ValueError(f"{elements} elements without content")
        return found

    def _elements(
        self, kind: ua.VariantType | Layout, dimensions: list[int], body: Buffer, depth: int
    ) -> Any:
        if not dimensions:
            return self._element(kind, body, depth)
        length, *inner = dimensions
        return [self._elements(kind, inner, body, depth) for _ in range(length)]

    def _element(self, kind: ua.VariantType | Layout, body: Buffer, depth: int) -> Any:
        if isinstance(kind, Layout):
            return self._structure(kind, body, depth)
        value = unpack_uatype(kind, body)
        if kind is ua.VariantType.Float:
            return Single(value)
        if kind is ua.VariantType.String:
            return value or ""
        return plain(value, self.decode)

    async def _kind(self, data_type: ua.NodeId, depth: int) -> ua.VariantType | Layout:
        """What a data type is on the wire, for which its supertypes are asked where needed."""
        known = _BASES.get(data_type) or self._kinds.get(data_type)
        if known:
            return known
        if depth > DEPTH_MAX or len(self._kinds) >= TYPES_MAX:
            raise UnreadableError("too many types of structures")
        asking = self._server.read_attributes([data_type], AttributeIds.DataTypeDefinition)
        (told,) = await within(CALL_TIMEOUT_S, asking)
        definition = told.Value.Value if told.Value else None
        if isinstance(definition, ua.StructureDefinition):
            return await self._layout(data_type, definition, depth)
        base = await self._target(data_type, ObjectIds.HasSubtype)
        if base == _STRUCTURE:
            raise UnreadableError(f"the server tells no definition of the type {data_type}")
        self._kinds[data_type] = await self._kind(base, depth + 1)
        return self._kinds[data_type]

    async def _layout(
        self, data_type: ua.NodeId, definition: ua.StructureDefinition, depth: int
    ) -> Layout:
        name = str(data_type.to_string())
        if definition.StructureType in _SUBTYPED:
            raise UnreadableError(f"the type {name} has fields of subtypes, which are not read")
        layout = self._kinds[data_type] = Layout(name, definition.StructureType)
        masked = definition.StructureType is ua.StructureType.StructureWithOptionalFields
        places = count()
        try:
            layout.fields = [
                Field(
                    told.Name or "",
                    await self._kind(told.DataType, depth + 1),
                    int(told.ValueRank),
                    1 << next(places) if masked and told.IsOptional else 0,
                )
                for told in definition.Fields
            ]
        finally:
            if layout.fields is None:
                del self._kinds[data_type]
        return layout

    async def _target(self, node: ua.NodeId, reference: int) -> ua.NodeId:
        """The node from which such a reference comes here."""
        asked = ua.BrowseDescription(
            NodeId=node,
            BrowseDirection=ua.BrowseDirection.Inverse,
            ReferenceTypeId=_standard(reference),
            IncludeSubtypes=True,
            ResultMask=ua.UInt32(0),
        )
        asking = self._server.browse(ua.BrowseParameters(NodesToBrowse=[asked]))
        (result,) = await within(CALL_TIMEOUT_S, asking)
        if not result.References:
            raise UnreadableError(f"the server tells no type of {node.to_string()}")
        told = result.References[0].NodeId
        return ua.NodeId(told.Identifier, told.NamespaceIndex, told.NodeIdType)
