"""What `uns inspection` does: the inspections that are open, and commands about one."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from uns.cli.asking import answered, print_answer, running
from uns.cli.errors import UsageError
from uns.cli.folder import find_folder
from uns.cli.options import iso
from uns.cli.output import note, print_json, print_table, say
from uns.cli.reading import newest, parsed, selected_lines
from uns.cli.stopping import cell_of
from uns.model.inspection import InspectionCommand
from uns.model.path import parent, parse_topic

COLUMNS: Final = ("inspection", "what", "of", "item", "inspected", "bad", "Ac/Re", "waits", "since")


def inspections(line: str | None, data: Path | None, *, as_json: bool) -> None:
    """Print what is open in the plant or on a line: of a running hub, else as on record."""
    folder = find_folder(data)
    plant = folder.load_plant()
    wanted = set(selected_lines(plant, line))
    shown = newest(folder, f"{plant.enterprise}/+/+/+/+/_state/inspections").items()
    topics = [(parse_topic(topic).path, parsed(payload)) for topic, payload in sorted(shown)]
    documents = {path: one for path, one in topics if parent(path, "line") in wanted}
    if as_json:
        print_json([{"cell": path, **one} for path, one in documents.items()])
    elif rows := [_row(one) for document in documents.values() for one in document["open"]]:
        print_table(COLUMNS, rows)
    else:
        say("no inspection is open")
    for path, document in documents.items():
        if not as_json and (more := document.get("omitted")):
            note(f"{more} more are open at {path}: they do not fit its document")


def command(
    name: InspectionCommand,
    inspection_id: str,
    fields: Mapping[str, Any],
    data: Path | None,
    *,
    as_json: bool,
) -> None:
    """Say something of an inspection; exit code 1 when it is refused."""
    folder = running(data)
    cell = cell_of(folder.load_plant(), inspection_id, "inspection")
    given = {key: value for key, value in fields.items() if value is not None}
    body = {"inspection_id": inspection_id, **given}
    reply = answered(folder.address("operator"), cell, f"inspection/{name}", body)
    print_answer(reply, as_json=as_json)


def measured(texts: list[str]) -> dict[str, float] | None:
    """Values as they are typed: `bore=40.01`; None for none. Raises UsageError."""
    return dict(_pairs(texts)) or None


def defects(texts: list[str]) -> list[dict[str, Any]] | None:
    """Defects as they are typed: `scratch`, `scratch@flange`, `scratch@flange=3`; None for none."""
    return [_defect(text) for text in texts] or None


def _pairs(texts: list[str]) -> Iterator[tuple[str, float]]:
    for text in texts:
        name, _, value = text.partition("=")
        try:
            yield name, float(value)
        except ValueError:
            raise UsageError(f"{text!r} is no value: use bore=40.01") from None


def _defect(text: str) -> dict[str, Any]:
    what, _, count = text.partition("=")
    code, _, place = what.partition("@")
    if not code or (count and not count.isdigit()):
        raise UsageError(f"{text!r} is no defect: use scratch@flange=3")
    found = {"code": code, "place": place or None, "count": int(count or 1)}
    return {key: value for key, value in found.items() if value is not None}


def _row(one: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        one["inspection_id"],
        one["name"],
        one["lot"] or one["order_id"],
        one["item"],
        f"{one['inspected']} of {one['size']}",
        one["nonconforming"],
        f"{one['accept']}/{one['reject']}",
        "discontinued" if one["discontinued"] else "operation" if one["gate"] else None,
        iso(one["opened_ms"]),
    )
