"""A server's variables, page by page, each with what the server says about it. Only reads.

Owns the order of the walk and the questions (part 4, 5.8.2, 5.8.3 and 5.10.2). Nothing that was
told is kept: only what is still to be looked at, and a number for each node seen, for references
may lead in circles. What a variable looks like in namespace.yaml is proposal.py's.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors import UaStatusCodeError

from bridges.opcua.calls import CALL_TIMEOUT_S, losing, within
from bridges.opcua.config import OpcUaSettings
from bridges.opcua.errors import OpcUaError
from bridges.opcua.mapping import Sample
from bridges.opcua.proposal import EngineeringUnit, Variable
from bridges.opcua.security import SecureClient
from bridges.opcua.structure import Structures
from bridges.opcua.trust import Pki
from bridges.opcua.values import sample

REFERENCES_A_PAGE_MAX: Final = 500
VARIABLES_A_REQUEST_MAX: Final = 100
PROPERTIES_MAX: Final = 50
READS_A_REQUEST_MAX: Final = 500
NODES_MAX: Final = 500_000
DEPTH_MAX: Final = 64
TYPES_KNOWN_MAX: Final = 1_000
CLOSE_TIMEOUT_S: Final = 1.0
_ATTRIBUTES: Final = (
    AttributeIds.DataType,
    AttributeIds.ValueRank,
    AttributeIds.UserAccessLevel,
    AttributeIds.Description,
    AttributeIds.ArrayDimensions,
)
_RANGES: Final = ("EURange", "InstrumentRange")
_UNIT: Final = "EngineeringUnits"
_WANTED: Final = frozenset({_UNIT, *_RANGES})
_LIMITS: Final = (
    ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse,
    ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
)
Way = tuple[str, ...]


class Node(NamedTuple):
    """A node to look at, and its browse names from below Objects."""

    node_id: ua.NodeId
    path: Way


class Asked(NamedTuple):
    """A variable and its properties by name."""

    node: Node
    properties: dict[str, ua.NodeId]


def _standard(identifier: int) -> ua.NodeId:
    return ua.NodeId(ua.Int32(identifier))


_BUILT_IN: Final = {_standard(kind.value): kind.name for kind in ua.VariantType if kind.value}
_HIERARCHY: Final = _standard(ObjectIds.HierarchicalReferences)
_PROPERTY: Final = _standard(ObjectIds.HasProperty)
_ANYTHING: Final = int(ua.NodeClass.Object) | int(ua.NodeClass.Variable)
_TOLD: Final = int(ua.BrowseResultMask.All)


@asynccontextmanager
async def browsing(settings: OpcUaSettings, pki: Path) -> AsyncIterator["Browser"]:
    """A session to browse with, closed at the end; OpcUaError if it cannot be had.

    pki: the folder of the certificates, DATA/pki.
    """
    client = SecureClient(settings, Pki(pki))
    try:
        with losing():
            await within(CALL_TIMEOUT_S, client.join())
            browser = Browser(client)
            await within(CALL_TIMEOUT_S, browser.learn_limits())
        yield browser
    finally:
        protocol = client.uaclient.protocol
        with suppress(OpcUaError), losing():
            await within(CLOSE_TIMEOUT_S, client.disconnect())
        if protocol and protocol.transport:
            protocol.transport.abort()


class Browser:
    """One walk over one server. `seen` counts the nodes met, the variables among them."""

    def __init__(self, client: SecureClient) -> None:
        self.seen = 0
        self.namespaces: list[str] = []
        self._client = client
        self._structures = Structures(client.uaclient)
        self._waiting: list[Node] = [Node(_standard(ObjectIds.ObjectsFolder), ())]
        self._known: set[int] = set()
        self._types: dict[ua.NodeId, str] = {}
        self._variables_max = VARIABLES_A_REQUEST_MAX
        self._reads_max = READS_A_REQUEST_MAX

    async def learn_limits(self) -> None:
        """Ask for the server's namespaces and for how much it answers at once."""
        self.namespaces = await self._client.get_namespace_array()
        limits = await self._client.uaclient.read_attributes(
            [_standard(limit) for limit in _LIMITS], AttributeIds.Value
        )
        browses, reads = (one.Value.Value if one.Value else None for one in limits)
        self._variables_max = min(VARIABLES_A_REQUEST_MAX, browses or VARIABLES_A_REQUEST_MAX)
        self._reads_max = min(READS_A_REQUEST_MAX, reads or READS_A_REQUEST_MAX)

    @property
    def is_cut_short(self) -> bool:
        """Whether the walk ended because of NODES_MAX."""
        return self.seen >= NODES_MAX

    async def variables(self) -> AsyncGenerator[list[Variable], None]:
        """Every variable below Objects but the server's own, a page at a time. Raises LostError.

        A node's variables come before what is below its objects. Properties are no variables of
        their own. The walk ends when NODES_MAX nodes were met.
        """
        async for page in self._pages():
            for start in range(0, len(page), self._variables_max):
                with losing():
                    described = await self._described(page[start : start + self._variables_max])
                yield described

    async def _pages(self) -> AsyncGenerator[list[Node], None]:
        while self._waiting and self.seen < NODES_MAX:
            node = self._waiting.pop()
            below = list[Node]()
            async for references in self._references(node.node_id):
                new = [one for one in references if self._is_new(one, node)]
                self.seen += len(new)
                children = [_child(node, one) for one in new]
                is_variable = [one.NodeClass is ua.NodeClass.Variable for one in new]
                below += [c for c, is_one in zip(children, is_variable, strict=True) if not is_one]
                yield [c for c, is_one in zip(children, is_variable, strict=True) if is_one]
            self._waiting += reversed(below)

    def _is_new(self, reference: ua.ReferenceDescription, parent: Node) -> bool:
        """Whether a node is the plant's, and met for the first time."""
        node = reference.NodeId
        is_ours = node.NamespaceIndex != 0 and not getattr(node, "ServerIndex", 0)
        if not is_ours or reference.ReferenceTypeId == _PROPERTY or len(parent.path) >= DEPTH_MAX:
            return False
        number = hash((node.NamespaceIndex, node.Identifier))
        if number in self._known:
            return False
        self._known.add(number)
        return True

    async def _references(self, node: ua.NodeId) -> AsyncIterator[list[ua.ReferenceDescription]]:
        """What is below a node, page by page. One continuation point is open at a time."""
        with losing():
            (result,) = await self._browsed([node], REFERENCES_A_PAGE_MAX)
        while True:
            yield result.References or []
            if not result.ContinuationPoint:
                return
            with losing():
                (result,) = await self._continued([result.ContinuationPoint], release=False)

    async def _browsed(self, nodes: Iterable[ua.NodeId], most: int) -> list[ua.BrowseResult]:
        asked = [
            ua.BrowseDescription(
                NodeId=node,
                BrowseDirection=ua.BrowseDirection.Forward,
                ReferenceTypeId=_HIERARCHY,
                IncludeSubtypes=True,
                NodeClassMask=ua.UInt32(_ANYTHING),
                ResultMask=ua.UInt32(_TOLD),
            )
            for node in nodes
        ]
        request = ua.BrowseParameters(
            RequestedMaxReferencesPerNode=ua.UInt32(most), NodesToBrowse=asked
        )
        return await within(CALL_TIMEOUT_S, self._client.uaclient.browse(request))

    async def _continued(self, points: list[Any], *, release: bool) -> list[ua.BrowseResult]:
        request = ua.BrowseNextParameters(
            ReleaseContinuationPoints=release, ContinuationPoints=points
        )
        return await within(CALL_TIMEOUT_S, self._client.uaclient.browse_next(request))

    async def _described(self, nodes: Sequence[Node]) -> list[Variable]:
        """What the server says about some variables."""
        asked = await self._with_properties(nodes)
        attributes = iter(
            await self._read([(n.node_id, a, None) for n in nodes for a in _ATTRIBUTES])
        )
        told = [dict(zip(_ATTRIBUTES, islice(attributes, len(_ATTRIBUTES)), strict=True))
                for _ in nodes]  # fmt: skip
        await self._learn_types({_value(t[AttributeIds.DataType]) for t in told})
        values = await self._values(nodes, told)
        properties = await self._properties(asked)
        rows = zip(nodes, told, values, properties, strict=True)
        return [self._variable(*row) for row in rows]

    async def _with_properties(self, nodes: Sequence[Node]) -> list[Asked]:
        """The properties that matter; variables with parts are looked at again, as objects are."""
        results = await self._browsed([n.node_id for n in nodes], PROPERTIES_MAX)
        asked, open_points = list[Asked](), list[Any]()
        for node, result in zip(nodes, results, strict=True):
            references = result.References or []
            if any(one.ReferenceTypeId != _PROPERTY for one in references):
                self._waiting.append(node)
            if result.ContinuationPoint:
                open_points.append(result.ContinuationPoint)
            named = {str(one.BrowseName.Name): _local(one.NodeId) for one in references}
            wanted = {name: at for name, at in named.items() if name in _WANTED}
            asked.append(Asked(node, wanted))
        if open_points:
            await self._continued(open_points, release=True)
        return asked

    async def _learn_types(self, types: set[Any]) -> None:
        """The names of data types that are met for the first time."""
        asked = {one for one in types if isinstance(one, ua.NodeId)}
        new = [one for one in asked if one not in self._types and one not in _BUILT_IN]
        names = await self._read([(one, AttributeIds.BrowseName, None) for one in new])
        if len(self._types) > TYPES_KNOWN_MAX:
            self._types.clear()
        for one, told in zip(new, names, strict=True):
            name = _value(told)
            self._types[one] = str(name.Name) if name else one.to_string()

    async def _values(self, nodes: Sequence[Node], told: Sequence[dict[Any, Any]]) -> list[Any]:
        """The value of each; of arrays only the first element is asked."""
        wanted = list[tuple[ua.NodeId, AttributeIds, str | None]]()
        for node, one in zip(nodes, told, strict=True):
            rank = _rank(one)
            first = ",".join("0" * rank) if rank >= 1 else None
            wanted.append((node.node_id, AttributeIds.Value, first))
        values = await self._read(wanted)
        samples = [sample(value, self._structures.decode) for value in values]
        if self._structures.wanted:
            await self._structures.learn()
            samples = [sample(value, self._structures.decode) for value in values]
        return samples

    async def _properties(self, asked: Sequence[Asked]) -> list[dict[str, Any]]:
        wanted = [(node, AttributeIds.Value, None) for a in asked for node in a.properties.values()]
        values = iter(await self._read(wanted))
        return [{name: _value(next(values)) for name in one.properties} for one in asked]

    async def _read(
        self, wanted: Sequence[tuple[ua.NodeId, AttributeIds, str | None]]
    ) -> list[ua.DataValue]:
        """Attributes, in as few requests as the server takes; a request refused tells nothing."""
        values = list[ua.DataValue]()
        for start in range(0, len(wanted), self._reads_max):
            page = wanted[start : start + self._reads_max]
            request = ua.ReadParameters(
                NodesToRead=[
                    ua.ReadValueId(NodeId=node, AttributeId=attribute, IndexRange=part)
                    for node, attribute, part in page
                ],
                TimestampsToReturn=ua.TimestampsToReturn.Neither,
            )
            try:
                values += await within(CALL_TIMEOUT_S, self._client.uaclient.read(request))
            except UaStatusCodeError as error:
                values += [ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(error.code)))] * len(
                    page
                )
        return values

    def _uri(self, node: ua.NodeId) -> str:
        index = int(node.NamespaceIndex)
        return self.namespaces[index] if index < len(self.namespaces) else f"#{index}"

    def _variable(
        self, node: Node, told: dict[Any, Any], read: Sample, properties: dict[str, Any]
    ) -> Variable:
        level = _value(told[AttributeIds.UserAccessLevel])
        level = 1 if level is None else int(level)
        description = _value(told[AttributeIds.Description])
        data_type = _value(told[AttributeIds.DataType])
        return Variable(
            path=node.path,
            namespace_uri=self._uri(node.node_id),
            node=_identifier(node.node_id),
            node_id=str(node.node_id.to_string()),
            data_type=_BUILT_IN.get(data_type) or self._types.get(data_type, "of no known type"),
            rank=_rank(told),
            sizes=tuple(map(int, _value(told[AttributeIds.ArrayDimensions]) or ())),
            is_readable=bool(level & 1 << ua.AccessLevel.CurrentRead),
            is_writable=bool(level & 1 << ua.AccessLevel.CurrentWrite),
            unit=_unit(properties.get(_UNIT)),
            range=next((r for name in _RANGES if (r := _range(properties.get(name)))), None),
            description=description.Text or "" if description else "",
            sample=read,
        )


def _child(parent: Node, reference: ua.ReferenceDescription) -> Node:
    return Node(_local(reference.NodeId), (*parent.path, str(reference.BrowseName.Name or "")))


def _local(node: ua.NodeId) -> ua.NodeId:
    """A node id of this server, whatever kind of id told it."""
    return ua.NodeId(node.Identifier, node.NamespaceIndex, node.NodeIdType)


def _identifier(node: ua.NodeId) -> str:
    """`s=Saw.State`: the node without its namespace, which is not that of the standard."""
    return str(node.to_string()).partition(";")[2]


def _value(told: ua.DataValue) -> Any:
    if told.StatusCode is not None and not told.StatusCode.is_good():
        return None
    return told.Value.Value if told.Value else None


def _rank(told: dict[Any, Any]) -> int:
    rank = _value(told[AttributeIds.ValueRank])
    return -1 if rank is None else int(rank)


def _unit(told: Any) -> EngineeringUnit | None:
    if not isinstance(told, ua.EUInformation):
        return None
    text = told.DisplayName.Text or told.Description.Text or ""
    return EngineeringUnit(told.NamespaceUri or "", int(told.UnitId), text)


def _range(told: Any) -> tuple[float, float] | None:
    return (float(told.Low), float(told.High)) if isinstance(told, ua.Range) else None
