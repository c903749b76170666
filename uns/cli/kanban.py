"""What `uns kanban` does: the cards of replenishment loops, and commands about them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from uns.cli.asking import answered, print_answer, running
from uns.cli.errors import UsageError
from uns.cli.folder import find_folder
from uns.cli.options import iso
from uns.cli.orders import Where
from uns.cli.output import print_json, print_table, say
from uns.cli.reading import newest, parsed, selected_lines
from uns.model.checks import did_you_mean
from uns.model.kanban import CardCommand
from uns.model.path import parse_topic
from uns.model.plant import Plant

COLUMNS: Final = ("line", "loop", "item", "quantity", "full", "empty", "ordered", "pulls", "at")


def loops(line: str | None, data: Path | None, *, as_json: bool) -> None:
    """Print the loops of the plant, or of a line: of a running hub as they are, else on record."""
    folder = find_folder(data)
    plant = folder.load_plant()
    wanted = set(selected_lines(plant, line))
    shown = newest(folder, f"{plant.enterprise}/+/+/+/_state/kanban/+").items()
    topics = [(parse_topic(topic), parsed(payload)) for topic, payload in sorted(shown)]
    found = [(topic.path, topic.keys[0], one) for topic, one in topics if topic.path in wanted]
    if as_json:
        print_json([{"line": path, "loop": loop, **one} for path, loop, one in found])
    elif found:
        print_table(COLUMNS, [_row(*one) for one in found])
    else:
        say("no kanban loop: a line of namespace.yaml has them under `kanban`")


def command(
    name: CardCommand,
    loop: str,
    fields: Mapping[str, Any],
    where: Where,
    *,
    as_json: bool,
) -> None:
    """Say something of a card; exit code 1 when it is refused."""
    folder = running(where.data)
    path = line_of(folder.load_plant(), loop, where.line)
    given = {key: value for key, value in fields.items() if value is not None}
    reply = answered(folder.address("operator"), path, f"kanban/{name}", {"loop": loop, **given})
    print_answer(reply, as_json=as_json)


def line_of(plant: Plant, loop: str, named: str | None) -> str:
    """The line that has a loop; UsageError where none has it, or several and none is named."""
    by_line = {path: places[0].line.kanban for path, places in plant.lines.items()}
    lines = [path for path in selected_lines(plant, named) if loop in by_line[path]]
    if len(lines) == 1:
        return lines[0]
    if lines:
        raise UsageError(f"{', '.join(lines)} have a loop {loop!r}: name one with --line")
    known = {name for path in selected_lines(plant, named) for name in by_line[path]}
    raise UsageError(f"no loop {loop!r}{did_you_mean(loop, known)}: `uns kanban list` shows them")


def _row(path: str, loop: str, document: Mapping[str, Any]) -> tuple[Any, ...]:
    pulls = [card["pull_id"] for card in document["cards"] if card["state"] == "empty"]
    said = (document[name] for name in COLUMNS[2:7])
    return (path, loop, *said, ", ".join(pulls) or None, iso(document["at_ms"] or None))
