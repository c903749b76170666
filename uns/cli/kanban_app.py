"""`uns kanban`: options and help. What the commands do is kanban's."""

from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from uns.cli import kanban
from uns.cli.options import Data, Json
from uns.cli.orders import Where
from uns.model.kanban import CARDS_MAX, CardCommand

kanban_app = typer.Typer(help="Replenishment by cards.", rich_markup_mode=None)

Loop = Annotated[str, typer.Argument(metavar="LOOP", help="Its name in namespace.yaml.")]
Card = Annotated[
    int | None,
    typer.Option(min=1, max=CARDS_MAX, help="The card's number (default: the first that fits)."),
]
OnLine = Annotated[
    str | None, typer.Option("--line", help="Its line, if several have a loop of that name.")
]
SAID: Final[dict[CardCommand, str]] = {
    "empty": "Say that a bin is empty. Asks for another one, once.",
    "ordered": "Say that somebody takes up the request of an empty bin.",
    "full": "Say that a bin is full again.",
}


@kanban_app.command("list", epilog="Example: uns kanban list pump")
def listed(
    line: Annotated[str | None, typer.Argument(help="A line's name or path.")] = None,
    *,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List the loops, with their bins and what the empty ones ask for."""
    kanban.loops(line, data, as_json=as_json)


def _saying(command: CardCommand, text: str) -> Callable[..., Any]:
    def say(
        loop: Loop,
        *,
        card: Card = None,
        line: OnLine = None,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        where = Where(data, line)
        kanban.command(command, loop, {"card": card}, where, as_json=as_json)

    say.__doc__ = text
    return say


for _command, _text in SAID.items():
    kanban_app.command(_command, epilog=f"Example: uns kanban {_command} bearings --card 2")(
        _saying(_command, _text)
    )
