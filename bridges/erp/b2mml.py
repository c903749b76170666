"""B2MML schedules, as XML or JSON, to what they say of each order.

Owns which elements a schedule may have and which of them make an order, after the schemas
B2MML-WorkSchedule, B2MML-OperationsSchedule and B2MML-Common of version 0701, and of V0401 the
names of B2MML-ProductionSchedule. B2MML is used courtesy of MESA International.

Names and how often they stand are checked for all that is read; the order of elements, and what is
inside of elements that no order needs (personnel, parameters), is not. Extensions in a namespace
of their own are passed over. Knows nothing of the plant.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from bridges.erp.tree import FOREIGN, Element, find_all, many, text_of
from uns.model.checks import did_you_mean
from uns.model.releasing import Refused

Tree = Mapping[str, Any]

_REQUEST: Final = "ID=1 Description=* Version=? HierarchyScope=? StartTime=? EndTime=? Priority=? "
_SCHEDULE: Final = (
    "Description=* Version=? PublishedDate=? StartTime=? EndTime=? HierarchyScope=? ScheduleState=?"
)
_RESOURCES: Final = "PersonnelRequirement=* EquipmentRequirement=* PhysicalAssetRequirement=* "
_SEGMENT: Final = (
    "ID=? Description=* Version=? EarliestStartTime=? LatestEndTime=? HierarchyScope=? "
    "ProcessSegmentID=? Duration=? SegmentState=? MaterialRequirement=* SegmentRequirement=* "
    f"RequiredByRequestedSegmentResponse=? {_RESOURCES}"
)
_MATERIAL: Final = (
    "MaterialClassID=* MaterialDefinitionID=? MaterialLotID=* MaterialSubLotID=* Description=* "
    "MaterialUse=? SpatialDefinition=? StorageLocation=? Quantity=* AssemblyRequirement=* "
    "AssemblyType=? AssemblyRelationship=? HierarchyScope=? MaterialRequirementProperty=* "
    "RequiredByRequestedSegmentResponse=? TestSpecificationID=* Location=? "
    "MaterialProducedRequirementProperty=* MaterialConsumedRequirementProperty=*"
)


def _shape(text: str) -> dict[str, str]:
    return dict(child.split("=") for child in text.split())


SHAPES: Final[dict[str, dict[str, str]]] = {
    "WorkSchedule": _shape(f"ID=1 {_SCHEDULE} WorkType=? WorkScheduleChild=* WorkRequest=*"),
    "WorkRequest": _shape(
        f"{_REQUEST} WorkType=? OperationsRequestID=? SegmentRequirementID=? RequestState=? "
        "WorkRequestChild=* JobOrder=*"
    ),
    "JobList": _shape(f"ID=1 {_SCHEDULE} WorkType=? JobOrder=*"),
    "JobOrder": _shape(
        f"{_REQUEST} PublishedDate=? WorkType=? WorkMasterID=? WorkMasterVersion=? Command=? "
        f"CommandRule=? DispatchStatus=? JobOrderParameter=* MaterialRequirement=* {_RESOURCES} "
        "SegmentRequirementID=*"
    ),
    "OperationsSchedule": _shape(f"ID=1 {_SCHEDULE} OperationsType=? OperationsRequest=*"),
    "OperationsRequest": _shape(
        f"{_REQUEST} OperationsType=? RequestState=? OperationsDefinitionID=? "
        "OperationsSegmentID=? SegmentRequirement=+ RequestedSegmentResponse=* SegmentResponse=* "
        "RequiredByRequestedSegmentResponse=?"
    ),
    "ProductionSchedule": _shape(
        f"ID=? {_SCHEDULE} Location=? EquipmentElementLevel=? ProductionRequest=*"
    ),
    "ProductionRequest": _shape(
        f"{_REQUEST} Location=? RequestState=? ProductProductionRuleID=* ProductProductionRule=* "
        "SegmentRequirement=+ SegmentResponse=*"
    ),
    "SegmentRequirement": _shape(
        f"{_SEGMENT} OperationsType=? OperationsDefinitionID=? OperationsSegmentID=? "
        "SegmentParameter=* SegmentRequirementChild=* RequestedSegmentResponse=* "
        "ProductSegmentID=? Location=? ProductionParameter=* MaterialProducedRequirement=* "
        "MaterialConsumedRequirement=* ConsumableExpectedRequirement=*"
    ),
    "MaterialRequirement": _shape(_MATERIAL),
    "Quantity": _shape("QuantityString=1 DataType=? UnitOfMeasure=? Key=?"),
    "HierarchyScope": _shape(
        "EquipmentID=1 EquipmentElementLevel=? EquipmentLevel=? HierarchyScope=? Location=?"
    ),
}
"""The children of each element and how often: 1, ? at most once, + at least once, * any number."""

SHAPE_OF: Final[dict[str, str]] = {
    "WorkScheduleChild": "WorkSchedule",
    "WorkRequestChild": "WorkRequest",
    "SegmentRequirementChild": "SegmentRequirement",
    "MaterialProducedRequirement": "MaterialRequirement",
    "MaterialConsumedRequirement": "MaterialRequirement",
    "Location": "HierarchyScope",
}
"""Elements that have the shape of another."""

ORDERS: Final = frozenset({"JobOrder", "OperationsRequest", "ProductionRequest"})
_STEPS: Final = frozenset(
    {"WorkScheduleChild", "WorkRequest", "WorkRequestChild"} | ORDERS,
)
_VERBS: Final = re.compile(r"(Process|Sync|Change|Show|Get|Cancel|Acknowledge|Respond)(\w+)")
_TAKEN: Final = frozenset({"Process", "Sync", "Change", "Show"})
_RELEASED: Final = frozenset({"Released", "Waiting", "Ready"})
_LINES: Final = frozenset(
    {"WorkCenter", "ProductionLine", "ProductionUnit", "ProcessCell", "StorageZone"}
)


class Said(NamedTuple):
    """What a schedule says of one order, or why it cannot be read; `line` in XML, from 1."""

    line: int | None
    tree: Tree
    content: Tree | Refused


class _Fault(Exception):  # noqa: N818 - never leaves this module
    """Something that a schedule must not say."""


def is_schedule(name: str) -> bool:
    """Whether an outermost element is a schedule, or a transaction about one."""
    verb = _VERBS.fullmatch(name)
    return (verb[2] if verb else name) in {*ORDERS, "WorkRequest"} | {
        shape for shape in SHAPES if shape.endswith(("Schedule", "List"))
    }


def orders_of(name: str, content: Tree) -> list[Said] | Refused:
    """Every order of a schedule by the name of its outermost element."""
    try:
        return [said for root, tree in _bodies(name, content) for said in _walked(root, tree)]
    except _Fault as fault:
        return Refused("", str(fault))


def _bodies(name: str, content: Tree) -> Iterator[tuple[str, Tree]]:
    """What a transaction (ISA-95 part 5) is about; anything else is its own body."""
    verb = _VERBS.fullmatch(name)
    if verb is None:
        yield name, content
        return
    if verb[1] not in _TAKEN:
        raise _Fault(f"{verb[1]} releases nothing: orders come with Process, Sync, Change or Show")
    bodies = list(find_all(content, f"DataArea/{verb[2]}"))
    if not bodies:
        raise _Fault(f"no DataArea with {verb[2]}")
    for body in bodies:
        yield verb[2], _tree(verb[2], body)


def _walked(name: str, tree: Tree) -> Iterator[Said]:
    if name in ORDERS:
        yield Said(tree.line if isinstance(tree, Element) else None, tree, _order(name, tree))
        return
    _check(name, tree)
    for child in tree:
        if child in _STEPS:
            for one in many(tree, child):
                yield from _walked(SHAPE_OF.get(child, child), _tree(child, one))


def _tree(name: str, value: Any) -> Tree:
    if isinstance(value, Mapping):
        return value
    raise _Fault(f"{name} holds no elements")


def _check(name: str, tree: Tree) -> None:
    shape = SHAPES[SHAPE_OF.get(name, name)]
    at = f", line {tree.line}" if isinstance(tree, Element) else ""
    for child in tree:
        if not child.startswith(("@", "$", FOREIGN)) and child not in shape:
            raise _Fault(f"{name}: unknown element {child!r}{did_you_mean(child, shape)}{at}")
    for child, often in shape.items():
        count = len(many(tree, child))
        if (often in "1+" and not count) or (often in "1?" and count > 1):
            said = f"{name}: {child} stands {count} times" if count else f"no {name}/{child}"
            raise _Fault(f"{said}{at}")


def _order(name: str, tree: Tree) -> Tree | Refused:
    try:
        _check(name, tree)
        _check_state(tree)
        segments = list(_segments(tree))
        made = _made(segments)
        content = {
            "order_id": text_of(tree.get("ID")),
            "revision": text_of(tree.get("Version")),
            "due": text_of(tree.get("EndTime")) or _latest(segments),
            "priority": text_of(tree.get("Priority")),
            "line": _line(tree),
            "operations": _operations(segments),
            "bom": _bom(segments, made),
            **made,
        }
    except _Fault as fault:
        return Refused("", str(fault))
    return {key: value for key, value in content.items() if value is not None}


def _check_state(tree: Tree) -> None:
    for name in ("RequestState", "DispatchStatus"):
        state = text_of(tree.get(name))
        if state is not None and state not in _RELEASED:
            raise _Fault(f"{name} {state!r} is no release: {', '.join(sorted(_RELEASED))} are")
    command = text_of(tree.get("Command"))
    if command not in (None, "Start"):
        raise _Fault(f"Command {command!r} is no release: give it to the line, as _cmd/order/…")


def _segments(tree: Tree) -> Iterator[Tree]:
    """The order itself and its segments at any depth, each before its own."""
    yield tree
    for child in ("SegmentRequirement", "SegmentRequirementChild"):
        for one in many(tree, child):
            segment = _tree(child, one)
            _check("SegmentRequirement", segment)
            yield from _segments(segment)


def _materials(segments: list[Tree], use: str) -> Iterator[tuple[str, Tree]]:
    """The id and quantity of each material with a use (B2MML-Common MaterialUse1Type)."""
    for segment in segments:
        for name in ("MaterialRequirement", f"Material{use}Requirement"):
            for one in many(segment, name):
                material = _tree(name, one)
                _check(name, material)
                if name != "MaterialRequirement" or text_of(material.get("MaterialUse")) == use:
                    yield _material(name, material)


def _material(name: str, material: Tree) -> tuple[str, Tree]:
    item, quantities = text_of(material.get("MaterialDefinitionID")), many(material, "Quantity")
    if item is None:
        raise _Fault(f"{name} has no MaterialDefinitionID")
    if len(quantities) != 1:
        raise _Fault(f"{name} of {item!r} has {len(quantities)} quantities: say one")
    quantity = _tree("Quantity", quantities[0])
    _check("Quantity", quantity)
    return item, quantity


def _made(segments: list[Tree]) -> dict[str, str | None]:
    """The one material that the order is to produce."""
    found = {
        (item, text_of(quantity["QuantityString"]), text_of(quantity.get("UnitOfMeasure")))
        for item, quantity in _materials(segments, "Produced")
    }
    if len(found) != 1:
        said = f"{len(found)} materials are" if found else "no MaterialRequirement is"
        raise _Fault(f"{said} 'Produced': an order makes one item")
    ((item, quantity, unit),) = found
    return {"item": item, "quantity": quantity, "unit": unit}


def _bom(segments: list[Tree], made: Mapping[str, str | None]) -> dict[str, float] | None:
    """What goes into one piece: of a schedule that says what is consumed at all."""
    sums: dict[str, Decimal] = {}
    for item, quantity in _materials(segments, "Consumed"):
        sums[item] = sums.get(item, Decimal(0)) + _decimal(quantity["QuantityString"])
    whole = _decimal(made["quantity"]) if sums else Decimal(0)
    return {item: float(each / whole) for item, each in sums.items()} if whole else None


def _decimal(value: Any) -> Decimal:
    text = text_of(value) or ""
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise _Fault(f"QuantityString {text!r} is no number") from None
    if not number.is_finite() or not Decimal(0) < number < Decimal(10) ** 18:
        raise _Fault(f"QuantityString {text!r}: above 0 and below 10^18")
    return number


def _operations(segments: list[Tree]) -> list[str] | None:
    ids = (text_of(segment.get("ProcessSegmentID")) for segment in segments[1:])
    return [one for one in ids if one] or None


def _latest(segments: list[Tree]) -> str | None:
    ends = [text for one in segments[1:] if (text := text_of(one.get("LatestEndTime")))]
    return ends[-1] if ends else None


def _line(tree: Tree) -> str | None:
    """The innermost place of the hierarchy that is a work center (ISA-95 part 1)."""
    scope, line = tree.get("HierarchyScope") or tree.get("Location"), None
    while isinstance(scope, Mapping):
        _check("HierarchyScope", scope)
        levels = (text_of(scope.get(name)) for name in ("EquipmentLevel", "EquipmentElementLevel"))
        if _LINES.intersection(filter(None, levels)):
            line = text_of(scope["EquipmentID"])
        scope = scope.get("HierarchyScope") or scope.get("Location")
    return line
