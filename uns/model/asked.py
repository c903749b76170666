"""Events that say what people asked for; the desk says them, processors answer with a `reply`.

Whether it can be followed is judged when the event is folded, so a replay judges the same.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from uns.model.kanban import CardCommand
from uns.model.order import OrderCommand
from uns.model.payload import Event, Identifier, Millis, Pieces, Priority, StopCommand, Words


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
