"""Commands: what may be asked of the hub, one payload model a topic, and the table that lists them.

A command is a message like any other; whoever is asked answers with an event. Does not know who
that is.
"""

import re
from typing import Annotated, Any, Final, get_args

from pydantic import AfterValidator, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from uns.model.checks import did_you_mean
from uns.model.events import (
    CHART_POINTS_MAX,
    IDENTIFIER_LENGTH_MAX,
    Count,
    Defect,
    Finite,
    Identifier,
    Millis,
    Payload,
    Pieces,
    Priority,
    StopCommand,
    Words,
)
from uns.model.hold import HoldCommand
from uns.model.inspection import DEFECTS_MAX, PIECES_MAX, InspectionCommand
from uns.model.kanban import CardCommand
from uns.model.observation import Scalar
from uns.model.order import OrderCommand
from uns.model.path import key_of, matches
from uns.model.spc.settings import ChartCommand

VALUE_LENGTH_MAX: Final = 240
INTEGER_MAX: Final = 2**64 - 1


class Command(Payload):
    """A request; answered under `_event/reply/<request_id>` beside it."""

    request_id: Identifier
    at_ms: Millis | None = None
    actor: str | None = None


class ReleaseOrder(Command):
    """`_cmd/order/release`: the same content as an ERP order file."""

    order: dict[str, Any]


def _is_key(request_id: str) -> str:
    key_of(request_id)
    return request_id


def _is_bounded(value: Scalar) -> Scalar:
    if isinstance(value, str) and len(value) > VALUE_LENGTH_MAX:
        raise ValueError(f"a text to write is at most {VALUE_LENGTH_MAX} characters long")
    if isinstance(value, int) and abs(value) > INTEGER_MAX:
        raise ValueError("an integer to write has at most 64 bits")
    return value


RequestKey = Annotated[Identifier, AfterValidator(_is_key)]
"""A request's id that becomes the last segment of its answer's topic."""


class AskForOrder(Command):
    """`_cmd/order/<command>` at a line: what an operator asks for about one of its orders.

    uns.model.order says which commands there are and which of the optional fields each takes.
    """

    request_id: RequestKey
    actor: Identifier | None = None
    order_id: Identifier
    cell: Identifier | None = None
    quantity: Pieces | None = None
    priority: Priority | None = None
    due_ms: Millis | None = None
    to_line: Identifier | None = None
    new_order_id: Identifier | None = None
    reason: Words | None = None


class AskForCard(Command):
    """`_cmd/kanban/<command>` at a line: a card's bin is empty, ordered or full again.

    Without `card` the first one is meant that the command can be for.
    """

    request_id: RequestKey
    actor: Identifier | None = None
    loop: Identifier
    card: Annotated[int, Field(ge=1)] | None = None


class AskForStop(Command):
    """`_cmd/stop/<command>` at a cell: classify, split or merge one of its stops.

    classify takes `reason_code`, split `split_ms`, merge `with_stop_id`.
    """

    request_id: RequestKey
    actor: Identifier | None = None
    stop_id: Identifier
    reason_code: Identifier | None = None
    split_ms: Millis | None = None
    with_stop_id: Identifier | None = None
    comment: Words | None = None


class AskForInspection(Command):
    """`_cmd/inspection/<command>` at a cell: a result of one of its open inspections, or its end.

    record takes `values` of one piece by characteristic, or how many were `inspected` (1) and of
    these `nonconforming`. cancel ends it without a verdict; resume lets lots be accepted again.
    """

    request_id: RequestKey
    actor: Identifier | None = None
    inspection_id: Identifier
    values: Annotated[dict[Identifier, Finite], Field(min_length=1, max_length=64)] | None = None
    inspected: Annotated[int, Field(ge=1, le=PIECES_MAX * 10)] | None = None
    nonconforming: Count | None = None
    defects: Annotated[tuple[Defect, ...], Field(max_length=DEFECTS_MAX)] | None = None
    gauge: Identifier | None = None
    unit_id: Identifier | None = None
    photo: Words | None = None
    reason: Annotated[Words, Field(min_length=1)] | None = None


class AskForHold(Command):
    """`_cmd/hold/<command>` at a line: hold a lot or a unit, or release one of its holds.

    place takes `lot` or `unit_id`, and may say the order; release takes `hold_id`.
    """

    request_id: RequestKey
    actor: Identifier
    hold_id: Identifier | None = None
    lot: Identifier | None = None
    unit_id: Identifier | None = None
    item: Identifier | None = None
    order_id: Identifier | None = None
    halts: bool | None = None
    reason: Annotated[Words, Field(min_length=1)]


class AskForChart(Command):
    """`_cmd/chart/<command>` at a cell: a decision about one of its control charts.

    exclude leaves `points` of phase I out of the limits, freeze ends phase I now, restart begins a
    new one.
    """

    request_id: RequestKey
    actor: Identifier | None = None
    characteristic: Identifier
    item: Identifier
    points: (
        Annotated[
            tuple[Annotated[int, Field(ge=1)], ...],
            Field(min_length=1, max_length=CHART_POINTS_MAX),
        ]
        | None
    ) = None
    reason: Annotated[Words, Field(min_length=1)]


class WriteTag(Command):
    """`_cmd/write/<tag>` at a cell: write a value to the device behind a tag.

    `request_id` becomes the last segment of the answer's topic. After `expires_at_ms` (plant
    time) the command is refused.
    """

    request_id: RequestKey
    value: Annotated[StrictBool | StrictInt | StrictFloat | StrictStr, AfterValidator(_is_bounded)]
    expires_at_ms: Millis | None = None
    actor: Annotated[str, Field(max_length=IDENTIFIER_LENGTH_MAX)] | None = None


COMMANDS: Final[dict[str, type[Command]]] = {
    "order/release": ReleaseOrder,
    "order/{command}": AskForOrder,
    "stop/{command}": AskForStop,
    "kanban/{command}": AskForCard,
    "chart/{command}": AskForChart,
    "inspection/{command}": AskForInspection,
    "hold/{command}": AskForHold,
    "write/{tag}": WriteTag,
}
"""By what follows `_cmd/`, the first that fits; braces stand for one segment."""
NAMES: Final[dict[type[Command], tuple[str, ...]]] = {
    AskForOrder: get_args(OrderCommand),
    AskForStop: get_args(StopCommand),
    AskForCard: get_args(CardCommand),
    AskForChart: get_args(ChartCommand),
    AskForInspection: get_args(InspectionCommand),
    AskForHold: get_args(HoldCommand),
}
"""What that segment may be, where it is not a name of the plant's."""
_BRACES: Final = re.compile(r"\{\w+\}")


def command_named(name: str) -> type[Command] | None:
    """The payload model of what follows `_cmd/` in a topic."""
    found = (model for known, model in COMMANDS.items() if matches(_BRACES.sub("+", known), name))
    model, word = next(found, None), name.rpartition("/")[2]
    return None if model and word not in NAMES.get(model, (word,)) else model


def nearest_command(name: str) -> str:
    """A hint for what follows `_cmd/` and is no command."""
    group = name.partition("/")[0]
    names = {known.partition("/")[0]: NAMES.get(model, ()) for known, model in COMMANDS.items()}
    return did_you_mean(name, [f"{group}/{word}" for word in names.get(group, ())])
