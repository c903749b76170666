"""A PLC that is an OPC UA server: one object a cell, one variable a tag.

Owns node ids, data types and source timestamps; a client may write what is `writable`. Does not
know what a value means.
"""

from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final
from urllib.parse import urlparse

from asyncua import ua
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds

from uns.demo.errors import PortTaken, WriteRefused
from uns.demo.opcua_space import SmallServer
from uns.demo.plc import INTEGERS, TEXTS, TagName, Values
from uns.model.plant import Place, TagSpec

PRODUCT_URI: Final = "urn:uns-mes:simulated-plc"
_EMPTY: Final = {ua.VariantType.String: "", ua.VariantType.UInt32: 0, ua.VariantType.Double: 0.0}


class OpcUaPlc:
    """The server of one bridge's cells; `settings` are the bridge's (url, namespace_uri)."""

    def __init__(self, places: Mapping[str, Place], settings: Mapping[str, Any]) -> None:
        self._places = places
        self._url: str = settings["url"]
        self._namespace_uri: str = settings["namespace_uri"]
        self._server = Server(SmallServer())
        self._started = False
        self._nodes: dict[TagName, tuple[ua.NodeId, ua.VariantType]] = {}

    async def start(self, values: Values, at_ms: int) -> None:
        """Listen. Raises PortTaken."""
        server = self._server
        await server.init()
        server.set_endpoint(self._url)
        server.set_server_name(urlparse(self._url).path.strip("/") or "plc")
        server.product_uri = PRODUCT_URI
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        server.set_identity_tokens([ua.AnonymousIdentityToken])
        await self._add_nodes(await server.register_namespace(self._namespace_uri))
        await self.write(values, at_ms)
        try:
            await server.start()
        except OSError as error:
            raise PortTaken(f"{self._url}: {error}") from None
        self._started = True

    async def stop(self) -> None:
        """Close all sessions."""
        if self._started:
            await self._server.stop()

    async def write(self, changes: Values, at_ms: int) -> None:
        """Write values with the plant's clock as source and server time."""
        at = ua.DateTime.fromtimestamp(at_ms / 1000, UTC)
        for name, value in changes.items():
            node, kind = self._nodes[name]
            fresh = ua.DataValue(ua.Variant(value, kind), SourceTimestamp=at, ServerTimestamp=at)
            space = self._server.iserver.aspace
            status = await space.write_attribute_value(node, AttributeIds.Value, fresh)
            if not status.is_good():
                raise WriteRefused(f"{name.cell} {name.tag} = {value!r}: {status.name}")

    async def _add_nodes(self, index: int) -> None:
        for path, place in self._places.items():
            title = path.rpartition("/")[2].capitalize()
            cell = await self._server.nodes.objects.add_object(_node_id(f"s={title}", index), title)
            for tag, spec in place.cell.tags.items():
                node, kind = _node_id(spec.source["node"], index), _variant_type(spec)
                browse_name = ua.QualifiedName(tag, index)
                variable = await cell.add_variable(node, browse_name, _EMPTY[kind], kind)
                if spec.writable:
                    await variable.set_writable()
                self._nodes[TagName(path, tag)] = node, kind


def _node_id(text: str, index: int) -> ua.NodeId:
    return ua.NodeId.from_string(f"ns={index};{text}")


def _variant_type(spec: TagSpec) -> ua.VariantType:
    if spec.role in TEXTS:
        return ua.VariantType.String
    return ua.VariantType.UInt32 if spec.role in INTEGERS else ua.VariantType.Double
