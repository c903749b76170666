"""The address space of a small OPC UA server: the nodes that every client needs, no more.

The full standard address space is some 7,000 nodes (40 MB and a second of start); a PLC of the
Nano Embedded Device profile has about these. Node ids are those of OPC UA part 6, annex A.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from asyncua import ua
from asyncua.server.internal_server import InternalServer
from asyncua.ua.object_ids import ObjectIds as _Id

from uns.demo.errors import WriteRefused

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_Type: Final = ua.VariantType
_ATTRIBUTES: Final = {
    ua.NodeClass.Object: ua.ObjectAttributes,
    ua.NodeClass.Variable: ua.VariableAttributes,
    ua.NodeClass.ObjectType: ua.ObjectTypeAttributes,
    ua.NodeClass.VariableType: ua.VariableTypeAttributes,
    ua.NodeClass.ReferenceType: ua.ReferenceTypeAttributes,
}


class _Row(NamedTuple):
    """A node; 0 stands for none. `value` makes it a variable."""

    node: int
    name: str
    node_class: ua.NodeClass
    parent: int = 0
    reference: int = 0
    definition: int = 0
    value: ua.Variant | None = None


def _reference(node: int, name: str, parent: int = 0) -> _Row:
    return _Row(node, name, ua.NodeClass.ReferenceType, parent, _Id.HasSubtype if parent else 0)


def _property(node: int, name: str, parent: int, value: ua.Variant) -> _Row:
    reference, definition = _Id.HasProperty, _Id.PropertyType
    return _Row(node, name, ua.NodeClass.Variable, parent, reference, definition, value)


def _part(node: int, name: str, parent: int, value: ua.Variant) -> _Row:
    reference, definition = _Id.HasComponent, _Id.BaseDataVariableType
    return _Row(node, name, ua.NodeClass.Variable, parent, reference, definition, value)


def _text() -> ua.Variant:
    return ua.Variant("", _Type.String)


def _time() -> ua.Variant:
    return ua.Variant(_EPOCH, _Type.DateTime)


def _rows() -> tuple[_Row, ...]:
    status, build = _Id.Server_ServerStatus, _Id.Server_ServerStatus_BuildInfo
    return (
        _reference(_Id.References, "References"),
        _reference(_Id.HierarchicalReferences, "HierarchicalReferences", _Id.References),
        _reference(_Id.NonHierarchicalReferences, "NonHierarchicalReferences", _Id.References),
        _reference(_Id.HasTypeDefinition, "HasTypeDefinition", _Id.NonHierarchicalReferences),
        _reference(_Id.Organizes, "Organizes", _Id.HierarchicalReferences),
        _reference(_Id.HasChild, "HasChild", _Id.HierarchicalReferences),
        _reference(_Id.HasSubtype, "HasSubtype", _Id.HasChild),
        _reference(_Id.Aggregates, "Aggregates", _Id.HasChild),
        _reference(_Id.HasProperty, "HasProperty", _Id.Aggregates),
        _reference(_Id.HasComponent, "HasComponent", _Id.Aggregates),
        _Row(_Id.BaseObjectType, "BaseObjectType", ua.NodeClass.ObjectType),
        _Row(
            _Id.FolderType, "FolderType", ua.NodeClass.ObjectType,
            _Id.BaseObjectType, _Id.HasSubtype,
        ),
        _Row(_Id.BaseVariableType, "BaseVariableType", ua.NodeClass.VariableType),
        _Row(
            _Id.BaseDataVariableType, "BaseDataVariableType", ua.NodeClass.VariableType,
            _Id.BaseVariableType, _Id.HasSubtype,
        ),
        _Row(
            _Id.PropertyType, "PropertyType", ua.NodeClass.VariableType,
            _Id.BaseVariableType, _Id.HasSubtype,
        ),
        _Row(_Id.RootFolder, "Root", ua.NodeClass.Object, definition=_Id.FolderType),
        _Row(
            _Id.ObjectsFolder, "Objects", ua.NodeClass.Object,
            _Id.RootFolder, _Id.Organizes, _Id.FolderType,
        ),
        _Row(
            _Id.Server, "Server", ua.NodeClass.Object,
            _Id.ObjectsFolder, _Id.Organizes, _Id.BaseObjectType,
        ),
        _property(
            _Id.Server_NamespaceArray, "NamespaceArray", _Id.Server,
            ua.Variant(["http://opcfoundation.org/UA/"], _Type.String),
        ),
        _property(
            _Id.Server_ServerArray, "ServerArray", _Id.Server, ua.Variant([""], _Type.String)
        ),
        _property(
            _Id.Server_ServiceLevel, "ServiceLevel", _Id.Server, ua.Variant(255, _Type.Byte)
        ),
        _part(status, "ServerStatus", _Id.Server, ua.Variant(ua.ServerStatusDataType())),
        _part(_Id.Server_ServerStatus_StartTime, "StartTime", status, _time()),
        _part(_Id.Server_ServerStatus_CurrentTime, "CurrentTime", status, _time()),
        _part(_Id.Server_ServerStatus_State, "State", status, ua.Variant(0, _Type.Int32)),
        _part(build, "BuildInfo", status, ua.Variant(ua.BuildInfo())),
        _part(_Id.Server_ServerStatus_BuildInfo_ProductUri, "ProductUri", build, _text()),
        _part(
            _Id.Server_ServerStatus_BuildInfo_ManufacturerName, "ManufacturerName", build, _text()
        ),
        _part(_Id.Server_ServerStatus_BuildInfo_ProductName, "ProductName", build, _text()),
        _part(
            _Id.Server_ServerStatus_BuildInfo_SoftwareVersion, "SoftwareVersion", build, _text()
        ),
        _part(_Id.Server_ServerStatus_BuildInfo_BuildNumber, "BuildNumber", build, _text()),
        _part(_Id.Server_ServerStatus_BuildInfo_BuildDate, "BuildDate", build, _time()),
    )  # fmt: skip


class SmallServer(InternalServer):
    """asyncua's server core with the small address space."""

    async def load_standard_address_space(self, shelf_file: Path | None = None) -> None:
        """Add the nodes of the table; there is no shelf."""
        del shelf_file
        unplaced = list(
            self.node_mgt_service.try_add_nodes([_item(row) for row in _rows()], check=False)
        )
        if unplaced:
            raise WriteRefused(f"no place for the node {unplaced[0].BrowseName}")

    async def _address_space_fixes(self) -> None:
        """The table has nothing to mend."""

    async def setup_nodes(self) -> None:
        """The table has the values already."""


def _item(row: _Row) -> ua.AddNodesItem:
    attributes: Any = _ATTRIBUTES[row.node_class]()
    attributes.DisplayName = ua.LocalizedText(row.name)
    if row.value is not None:
        attributes.Value = row.value
        attributes.DataType = _id(row.value.VariantType.value)
    item = ua.AddNodesItem()
    item.RequestedNewNodeId = _id(row.node)
    item.BrowseName = ua.QualifiedName(row.name, 0)
    item.NodeClass = row.node_class
    item.ParentNodeId = _id(row.parent)
    item.ReferenceTypeId = _id(row.reference)
    item.TypeDefinition = _id(row.definition)
    item.NodeAttributes = attributes
    return item


def _id(number: int) -> ua.NodeId:
    return ua.NodeId.from_string(f"i={number}")
