"""Events that say what people asked for; the desk says them, processors answer with a `reply`.

Whether it can be followed is judged when the event is folded, so a replay judges the same.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from uns.model.inspection import (
    DEFECTS_MAX,
    OPEN_MAX,
    PIECES_MAX,
    WAITING_MAX,
    InspectionCommand,
)
from uns.model.kanban import CardCommand
from uns.model.order import OrderCommand
from uns.model.payload import (
    CHART_POINTS_MAX,
    Count,
    Defect,
    Event,
    Finite,
    Identifier,
    Millis,
    Payload,
    Pieces,
    Priority,
    StopCommand,
    Words,
)
from uns.model.spc.settings import ChartCommand


class OrderCommanded(Event):
    """Somebody asked a line for something about an order; the answer is a `reply`.

    reason: why, in the asker's words. Which of the others a command takes: uns.model.order.
    """

    type_name: ClassVar[str] = "order-commanded"
    type: Literal["order-commanded"] = "order-commanded"
    request_id: Identifier
    command: OrderCommand
    order_id: Identifier
    cell: Identifier | None = None
    quantity: Pieces | None = None
    priority: Priority | None = None
    due_ms: Millis | None = None
    to_line: Identifier | None = None
    new_order_id: Identifier | None = None
    reason: Words | None = None
    actor: Identifier | None = None


class OrderMoved(Event):
    """Pieces that a line gave away were released at `to_line`, as the order `new_order_id`."""

    type_name: ClassVar[str] = "order-moved"
    type: Literal["order-moved"] = "order-moved"
    new_order_id: Identifier
    to_line: Identifier


class KanbanCommanded(Event):
    """Somebody said at a line that a card's bin is empty, ordered or full again."""

    type_name: ClassVar[str] = "kanban-commanded"
    type: Literal["kanban-commanded"] = "kanban-commanded"
    request_id: Identifier
    command: CardCommand
    loop: Identifier
    card: Annotated[int, Field(ge=1)] | None = None
    actor: Identifier | None = None


class InspectionCommanded(Event):
    """Somebody recorded a result of an open inspection, or asked to end it; answered by a `reply`.

    record takes `values` of one piece, or how many were `inspected` and of these `nonconforming`;
    cancel and resume need a `reason`. photo: where it is kept.
    """

    type_name: ClassVar[str] = "inspection-commanded"
    type: Literal["inspection-commanded"] = "inspection-commanded"
    request_id: Identifier
    command: InspectionCommand
    inspection_id: Identifier
    values: Annotated[dict[Identifier, Finite], Field(max_length=64)] | None = None
    inspected: Annotated[int, Field(ge=1, le=PIECES_MAX * 10)] | None = None
    nonconforming: Count | None = None
    defects: Annotated[tuple[Defect, ...], Field(max_length=DEFECTS_MAX)] = ()
    gauge: Identifier | None = None
    unit_id: Identifier | None = None
    photo: Words | None = None
    reason: Words | None = None
    actor: Identifier | None = None


class WaitingOrder(Payload):
    """An order, and the inspections it waits for at a cell, by their plans' names."""

    order_id: Identifier
    inspections: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=OPEN_MAX)]


class OperationGated(Event):
    """Which orders wait at a cell from now on: all of them, also that there are none."""

    type_name: ClassVar[str] = "operation-gated"
    type: Literal["operation-gated"] = "operation-gated"
    orders: Annotated[tuple[WaitingOrder, ...], Field(max_length=OPEN_MAX * WAITING_MAX)]


class ChartCommanded(Event):
    """Somebody decided something about a control chart of a cell; the answer is a `reply`.

    exclude takes `points` (their numbers), freeze and restart none. reason: why, in their words.
    """

    type_name: ClassVar[str] = "chart-commanded"
    type: Literal["chart-commanded"] = "chart-commanded"
    request_id: Identifier
    command: ChartCommand
    characteristic: Identifier
    item: Identifier
    points: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...], Field(max_length=CHART_POINTS_MAX)
    ] = ()
    reason: Words
    actor: Identifier | None = None


class StopCommanded(Event):
    """Somebody asked a cell for something about one of its stops; the answer is a `reply`.

    classify takes `reason_code`, split `split_ms` (when the second part begins), merge
    `with_stop_id`.
    """

    type_name: ClassVar[str] = "stop-commanded"
    type: Literal["stop-commanded"] = "stop-commanded"
    request_id: Identifier
    command: StopCommand
    stop_id: Identifier
    reason_code: Identifier | None = None
    split_ms: Millis | None = None
    with_stop_id: Identifier | None = None
    comment: Words | None = None
    actor: Identifier | None = None
