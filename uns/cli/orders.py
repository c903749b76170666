"""`uns order`: a command about an order, and the hub's answer to it."""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from uns.cli.asking import answered, print_answer, running
from uns.cli.errors import UsageError
from uns.cli.folder import Folder
from uns.cli.options import instant_ms, read_text
from uns.cli.subscribe import retained
from uns.model.checks import did_you_mean
from uns.model.order import OrderCommand
from uns.model.path import key_of, parent
from uns.model.plant import Plant

FILE_BYTES_MAX: Final = 60_000


class Where(NamedTuple):
    """The hub's folder, and the line where it cannot be told from the name."""

    data: Path | None
    line: str | None


def submit(file: Path, data: Path | None, *, as_json: bool) -> None:
    """Release an order; exit code 1 when it is refused."""
    order, folder = _read(file), running(data)
    site = _site(folder.load_plant())
    reply = answered(folder.address("operator"), site, "order/release", {"order": order})
    print_answer(reply, as_json=as_json)


def ask_for(
    command: OrderCommand,
    order_id: str,
    fields: Mapping[str, Any],
    where: Where,
    *,
    as_json: bool,
) -> None:
    """Ask the order's line for something; exit code 1 when it is refused."""
    folder = running(where.data)
    line = _line(folder, order_id, where.line)
    given = {name: value for name, value in fields.items() if value is not None}
    body = {"order_id": order_id, **given}
    reply = answered(folder.address("operator"), line, f"order/{command}", body)
    print_answer(reply, as_json=as_json)


def due_ms(text: str | None) -> int | None:
    """A due date as a command says it."""
    return instant_ms(text, 0, 0) if text is not None else None


def _line(folder: Folder, order_id: str, named: str | None) -> str:
    """The line that shows the order; UsageError when none does and none is named."""
    plant = folder.load_plant()
    if named is not None:
        path = named if named in plant.lines else f"{plant.enterprise}/{named}"
        if path not in plant.lines:
            raise UsageError(f"no line {named!r}{did_you_mean(path, plant.lines)}")
        return path
    wanted = f"{plant.enterprise}/+/+/+/_state/order/{key_of(order_id)}"
    found = asyncio.run(retained(folder.address("operator"), wanted))
    lines = [parent(topic, "line") for topic in found]
    if len(lines) != 1:
        many = f"on {len(lines)} lines" if lines else "on no line"
        raise UsageError(f"{order_id} is shown {many}: name the line with --line")
    return lines[0]


def _read(file: Path) -> Any:
    text = sys.stdin.read() if str(file) == "-" else read_text(file)
    if len(text) > FILE_BYTES_MAX:
        raise UsageError(f"{file}: larger than {FILE_BYTES_MAX} bytes")
    try:
        order = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{file}: not JSON: {error}") from None
    if not isinstance(order, dict):
        raise UsageError(f"{file}: an order is a JSON object with order_id, item, quantity, due")
    return order


def _site(plant: Plant) -> str:
    return f"{plant.enterprise}/{next(iter(plant.sites))}"
