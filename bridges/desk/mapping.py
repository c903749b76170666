"""PURE: a command at a line or cell -> the fact that somebody asked, or why it is none.

Owns what a command must say to be understood: its place, its name, its fields. Whether it can be
followed is the processor's to judge.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from uns.codec import encode_document
from uns.model.commands import (
    AskForCard,
    AskForChart,
    AskForHold,
    AskForInspection,
    AskForOrder,
    AskForStop,
    Command,
    ReleaseOrder,
)
from uns.model.events import (
    ChartCommanded,
    HoldCommanded,
    Identifier,
    InspectionCommanded,
    KanbanCommanded,
    Millis,
    OperationGated,
    OrderCommanded,
    OrderMoved,
    Pieces,
    Priority,
    Released,
    Reply,
    StopCommanded,
    WaitingOrder,
)
from uns.model.kanban import CardCommand
from uns.model.observation import Fact
from uns.model.order import COMMAND_FIELDS, Fields
from uns.model.path import LEVELS, Topic, key_of, level_of
from uns.model.plant import Plant

DAY_MS: Final = 86_400_000
USED: Final = "this request_id was used for something else: take a new one"
DIGITS: Final = 16
STOP_FIELDS: Final[dict[str, Fields]] = {
    "classify": Fields(needed=("reason_code",), also=("comment",)),
    "split": Fields(needed=("split_ms",), also=("comment",)),
    "merge": Fields(needed=("with_stop_id",), also=("comment",)),
}
CARD_FIELDS: Final = dict.fromkeys(get_args(CardCommand), Fields(needed=("loop",), also=("card",)))
_CHART: Final = ("characteristic", "item")
CHART_FIELDS: Final[dict[str, Fields]] = {
    "exclude": Fields(needed=(*_CHART, "points")),
    "freeze": Fields(needed=_CHART),
    "restart": Fields(needed=_CHART),
}
_RESULT: Final = ("inspected", "defects", "gauge", "unit_id", "photo")
INSPECTION_FIELDS: Final[dict[str, Fields]] = {
    "record": Fields(one_of=("values", "nonconforming"), also=_RESULT),
    "cancel": Fields(),
    "resume": Fields(),
}
HOLD_FIELDS: Final[dict[str, Fields]] = {
    "place": Fields(one_of=("lot", "unit_id"), also=("item", "halts")),
    "release": Fields(needed=("hold_id",)),
}
ALWAYS: Final = frozenset(
    {"request_id", "at_ms", "actor", "order_id", "stop_id", "inspection_id", "reason"}
)


class Kind(NamedTuple):
    """What is asked for under `_cmd/<name>`: where, with which fields, and the fact it becomes."""

    level: str
    fields: Mapping[str, Fields]
    fact: str


KINDS: Final[dict[str, Kind]] = {
    "order": Kind("line", COMMAND_FIELDS, OrderCommanded.type_name),
    "stop": Kind("cell", STOP_FIELDS, StopCommanded.type_name),
    "kanban": Kind("line", CARD_FIELDS, KanbanCommanded.type_name),
    "chart": Kind("cell", CHART_FIELDS, ChartCommanded.type_name),
    "inspection": Kind("cell", INSPECTION_FIELDS, InspectionCommanded.type_name),
    "hold": Kind("line", HOLD_FIELDS, HoldCommanded.type_name),
}


_ASKED: Final = (AskForOrder, AskForStop, AskForCard, AskForChart, AskForInspection, AskForHold)


class Refused(NamedTuple):
    """Why a command is not understood, in words for whoever asked."""

    reason: str


class Inspections(BaseModel):
    """What the desk reads of a `_state/inspections` document."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    gates: tuple[WaitingOrder, ...]
    opened: int
    at_ms: Millis


class Transfer(BaseModel):
    """What the desk reads of a `_state/transfer` document: pieces that go to another line."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    order_id: Identifier
    new_order_id: Identifier
    to_line: Identifier
    item: Identifier
    quantity: Pieces
    due_ms: Millis | None
    priority: Priority
    at_ms: Millis


def filters(plant: Plant) -> tuple[str, ...]:
    """What the desk listens to: commands, the answers to them, and what goes to other lines."""
    places = [plant.enterprise + "/+" * depth for depth in range(len(LEVELS))]
    return (
        *(f"{place}/_cmd/{name}/+" for place in places for name in KINDS),
        *(f"{place}/_event/reply/+" for place in places[LEVELS.index("line") :]),
        *(f"{places[LEVELS.index('line')]}/_state/{name}/+" for name in ("transfer", "hold")),
        f"{places[LEVELS.index('cell')]}/_state/inspections",
    )


def asked(topic: Topic, command: Command, at_ms: int, days: int) -> Fact | Refused:
    """The fact that a command becomes at plant time `at_ms`; its request is known for so many days.

    One that says that it was asked earlier is refused: it may have been followed and forgotten.
    """
    if isinstance(command, ReleaseOrder):
        return Refused("orders are released at their site, not at a line or cell")
    if not isinstance(command, _ASKED):
        return Refused("this is no command for the desk")
    kind, name = KINDS[topic.name], topic.keys[0]
    if level_of(topic.path) != kind.level:
        return Refused(f"give {topic.name}/{name} at a {kind.level}, not at {topic.path}")
    if command.at_ms is not None and command.at_ms <= at_ms - days * DAY_MS:
        return Refused(f"asked more than {days} days ago: ask again under a new request_id")
    body = command.model_dump(exclude_none=True, exclude={"at_ms"})
    if why := _misfit(kind.fields[name], body.keys() - ALWAYS):
        return Refused(f"{topic.name}/{name} {why}")
    body = {"request_id": body.pop("request_id"), "command": name, **body}
    key = request_key(topic.path, command.request_id)
    known_ms = days * DAY_MS
    return Fact(topic.path, kind.fact, at_ms, body, business_key=key, known_ms=known_ms)


def _misfit(fields: Fields, given: Iterable[str]) -> str | None:
    given = set(given)
    if missing := [name for name in fields.needed if name not in given]:
        return f"needs {' and '.join(missing)}"
    if fields.one_of and not given & set(fields.one_of):
        return f"needs one of {', '.join(fields.one_of)}"
    if foreign := sorted(given - {*fields.needed, *fields.also, *fields.one_of}):
        return f"takes no {' and no '.join(foreign)}"
    return None


def request_key(path: str, request_id: str) -> str:
    """What makes a request the same one again."""
    return f"request:{path}:{request_id}"


def is_other(fact: Fact | Refused, recorded: str) -> bool:
    """Whether a command asks for something else than what is on record (JSON) under its request.

    One that would be refused now is the one on record, asked again too late.
    """
    return isinstance(fact, Fact) and encode_document(fact.body).decode() != recorded


def reply(path: str, request_id: str, outcome: str, reason: str, at_ms: int) -> Fact:
    """An answer. Raises TopicError for a request id that is no key."""
    body = {"request_id": request_id, "outcome": outcome, "reason": reason}
    return Fact(path, Reply.type_name, at_ms, body, key=key_of(request_id))


def released(line: str, document: Mapping[str, Any], at_ms: int) -> list[Fact]:
    """What a line gave away: its release at the other line, and that it was done.

    Both have a key that is this transfer's alone, so they are recorded once and together. Nothing
    for a document that is no transfer.
    """
    try:
        transfer = Transfer.model_validate(document)
    except ValidationError:
        return []
    body = {
        "order_id": transfer.new_order_id,
        "item": transfer.item,
        "quantity": transfer.quantity,
        "due_ms": transfer.due_ms,
        "priority": transfer.priority,
        "split_from": transfer.order_id,
    }
    done = {"new_order_id": transfer.new_order_id, "to_line": transfer.to_line}
    key = f"moved:{line}:{transfer.new_order_id}:{transfer.at_ms}"
    return [
        Fact(transfer.to_line, Released.type_name, at_ms, body, business_key=key),
        Fact(line, OrderMoved.type_name, at_ms, done, business_key=f"{key}:told"),
    ]


def gated(cell: str, document: Mapping[str, Any], at_ms: int, days: int) -> list[Fact]:
    """What operations wait for at a cell. Once a change: its key says when, and what is open.

    That is known for so many days; said again later, it changes nothing. Nothing for a document
    that is none.
    """
    try:
        shown = Inspections.model_validate(document)
    except ValidationError:
        return []
    body = {"orders": [one.model_dump(mode="json") for one in shown.gates]}
    told = sha256(repr(body).encode()).hexdigest()[:DIGITS]
    key = f"gated:{cell}:{shown.at_ms}:{shown.opened}:{told}"
    known_ms = days * DAY_MS
    return [Fact(cell, OperationGated.type_name, at_ms, body, business_key=key, known_ms=known_ms)]
