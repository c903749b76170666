"""What `uns hold` does: the holds that lines show, and commands about them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from uns.cli.asking import answered, print_answer, running
from uns.cli.errors import UsageError
from uns.cli.folder import find_folder
from uns.cli.options import iso
from uns.cli.output import print_json, print_table, say
from uns.cli.reading import newest, parsed, selected_lines
from uns.model.hold import HoldCommand
from uns.model.path import parse_topic

COLUMNS: Final = ("hold", "of", "item", "order", "state", "why", "by", "since")


def holds(line: str | None, data: Path | None, *, everything: bool, as_json: bool) -> None:
    """Print what is held in the plant or on a line: of a running hub, else as on record."""
    folder = find_folder(data)
    plant = folder.load_plant()
    wanted = set(selected_lines(plant, line))
    found = newest(folder, f"{plant.enterprise}/+/+/+/_state/hold/+").items()
    topics = [(parse_topic(topic).path, parsed(payload)) for topic, payload in sorted(found)]
    shown = [
        {"line": path, **one}
        for path, one in topics
        if path in wanted and (everything or one["state"] == "held")
    ]
    if as_json:
        print_json(shown)
    elif shown:
        print_table(COLUMNS, [_row(one) for one in shown])
    else:
        say("nothing is on hold")


def place(line: str, fields: Mapping[str, Any], data: Path | None, *, as_json: bool) -> None:
    """Hold a lot or a unit at a line; exit code 1 when it is refused."""
    if not fields.get("lot") and not fields.get("unit_id"):
        raise UsageError("what is to be held? Give --lot or --unit")
    paths = selected_lines(find_folder(data).load_plant(), line)
    if len(paths) > 1:
        raise UsageError(f"which line {line}? Give its path: {', '.join(paths)}")
    _ask(paths[0], "place", fields, data, as_json=as_json)


def release(hold_id: str, fields: Mapping[str, Any], data: Path | None, *, as_json: bool) -> None:
    """Release a hold; exit code 1 when it is refused."""
    path = hold_id.rpartition("-hold-")[0].replace(".", "/")
    plant = find_folder(data).load_plant()
    if path not in plant.lines:
        raise UsageError(f"{hold_id} is no hold of this plant: `uns hold list` shows them")
    _ask(path, "release", {"hold_id": hold_id, **fields}, data, as_json=as_json)


def _ask(
    path: str, name: HoldCommand, fields: Mapping[str, Any], data: Path | None, *, as_json: bool
) -> None:
    given = {key: value for key, value in fields.items() if value is not None}
    reply = answered(running(data).address("operator"), path, f"hold/{name}", given)
    print_answer(reply, as_json=as_json)


def _row(one: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        one["hold_id"],
        one["lot"] or one["unit_id"] or one["order_id"],
        one["item"],
        f"{one['order_id']} halted" if one["halts"] else one["order_id"],
        one["state"],
        one["reason"],
        one["actor"],
        iso(one["at_ms"]),
    )
