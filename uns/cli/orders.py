"""`uns order submit`: a command, and the hub's answer to it."""

import json
import sys
from pathlib import Path
from typing import Any, Final

import typer

from uns.cli.asking import answered
from uns.cli.errors import CommandError, UsageError
from uns.cli.folder import find_folder
from uns.cli.options import read_text
from uns.cli.output import print_json, say
from uns.model.plant import Plant

FILE_BYTES_MAX: Final = 60_000


def submit(file: Path, data: Path | None, *, as_json: bool) -> None:
    """Release an order; exit code 1 when it is refused."""
    order = _read(file)
    folder = find_folder(data)
    if not folder.running:
        raise CommandError(f"no hub runs on {folder.root}: start it with `uns demo` or `uns up`")
    site = _site(folder.load_plant())
    reply = answered(folder.address("operator"), site, "order/release", {"order": order})
    if as_json:
        print_json(reply)
    else:
        say(f"{reply['outcome']}: {reply['reason']}")
    if reply["outcome"] != "accepted":
        raise typer.Exit(1)


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
