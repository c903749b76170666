"""`uns order`: release an order, and ask for what operators ask for.

Owns options and help. What a command may be asked for is the table of uns.model.order.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from uns.cli import orders
from uns.cli.options import Data, Json
from uns.model.order import OrderCommand

order_app = typer.Typer(help="Orders.", rich_markup_mode=None)

OrderId = Annotated[str, typer.Argument(metavar="ORDER_ID")]
Reason = Annotated[str | None, typer.Option(help="Why, in your words; it goes on record.")]
OnLine = Annotated[
    str | None, typer.Option("--line", help="Its line's path, if no order of that id is shown.")
]
NewId = Annotated[str | None, typer.Option("--as", metavar="ID", help="The id of the new order.")]

PLAIN: Final[dict[OrderCommand, str]] = {
    "revoke-start": "Do not let an order start. Until it is told to start.",
    "pause": "Suspend an order. For a cause from outside.",
    "resume": "Go on with a suspended order.",
    "hold": "Hold an order. For a cause of its own, such as quality.",
    "unhold": "Go on with a held order.",
    "complete": "Complete an order early. What is made counts.",
    "stop": "End an order. The same as complete, by its name in OPC 10031-4.",
    "close": "Close a completed order. Nothing is left to be done for it.",
    "abort": "Abort an order. Something went wrong.",
    "cancel": "Cancel an order. Also while it runs: what is made counts.",
    "clear": "Take an ended order off its line. Without waiting for a minute to pass.",
}
"""The commands that need nothing but an order."""


@order_app.command("submit", epilog="Example: uns order submit order.json")
def submit(
    file: Annotated[Path, typer.Argument(help="A JSON order, or - for standard input.")],
    *,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Release an order. Prints the hub's answer; exit code 1 when it is refused."""
    orders.submit(file, data, as_json=as_json)


@order_app.command("start", epilog="Example: uns order start PO-1001 --cell press")
def start(  # noqa: PLR0913 - the options of the command, each with its default
    order_id: OrderId,
    *,
    cell: Annotated[str | None, typer.Option(help="Ask for this cell of the line.")] = None,
    reason: Reason = None,
    line: OnLine = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Let an order start. At a cell: refused before the operation in front of it has started."""
    fields = {"cell": cell, "reason": reason}
    orders.ask_for("start", order_id, fields, orders.Where(data, line), as_json=as_json)


@order_app.command("update", epilog="Example: uns order update PO-1001 --quantity 20")
def update(  # noqa: PLR0913 - the options of the command, each with its default
    order_id: OrderId,
    *,
    quantity: Annotated[int | None, typer.Option(min=1, help="Pieces wanted.")] = None,
    priority: Annotated[int | None, typer.Option(min=0, max=100)] = None,
    due: Annotated[str | None, typer.Option(help="2026-11-23T14:00 (UTC) or with offset.")] = None,
    reason: Reason = None,
    line: OnLine = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Change quantity, priority or due date. A quantity that is made already completes it."""
    fields = {
        "quantity": quantity,
        "priority": priority,
        "due_ms": orders.due_ms(due),
        "reason": reason,
    }
    orders.ask_for("update", order_id, fields, orders.Where(data, line), as_json=as_json)


@order_app.command("split", epilog="Example: uns order split PO-1001 --quantity 10")
def split(  # noqa: PLR0913 - the options of the command, each with its default
    order_id: OrderId,
    *,
    quantity: Annotated[int, typer.Option(min=1, help="Pieces for the new order.")],
    new_id: NewId = None,
    reason: Reason = None,
    line: OnLine = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make two orders of one. Of pieces that no cell has begun."""
    fields = {"quantity": quantity, "new_order_id": new_id, "reason": reason}
    orders.ask_for("split", order_id, fields, orders.Where(data, line), as_json=as_json)


@order_app.command("move", epilog="Example: uns order move PO-1001 --to berlin/assembly/pump-2")
def move(  # noqa: PLR0913 - the options of the command, each with its default
    order_id: OrderId,
    *,
    to_line: Annotated[str, typer.Option("--to", metavar="LINE", help="The other line's path.")],
    quantity: Annotated[int | None, typer.Option(min=1, help="Pieces (default: the rest).")] = None,
    new_id: NewId = None,
    reason: Reason = None,
    line: OnLine = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Move the rest of an order to another line. As a new order; counts stay where they are."""
    fields = {
        "to_line": to_line,
        "quantity": quantity,
        "new_order_id": new_id,
        "reason": reason,
    }
    orders.ask_for("move", order_id, fields, orders.Where(data, line), as_json=as_json)


def _plain(command: OrderCommand, text: str) -> Callable[..., Any]:
    def ask(
        order_id: OrderId,
        *,
        reason: Reason = None,
        line: OnLine = None,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        where = orders.Where(data, line)
        orders.ask_for(command, order_id, {"reason": reason}, where, as_json=as_json)

    ask.__doc__ = text
    return ask


for _command, _text in PLAIN.items():
    order_app.command(_command, epilog=f"Example: uns order {_command} PO-1001")(
        _plain(_command, _text)
    )
