"""What `uns discover modbus` does: find the units, look at each, write what was found.

Owns the readings of its options and what is said of the whole. The questions are
bridges.modbus.scan's, the text bridges.modbus.proposal's.
"""

import asyncio
import re
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from bridges.modbus.config import ADDRESSES, ModbusSettings
from bridges.modbus.errors import ModbusError
from bridges.modbus.proposal import Unit, documents, lines
from bridges.modbus.scan import Scanner, worth_asking
from uns.cli.errors import CommandError, UsageError
from uns.cli.output import hushed, note, print_json
from uns.cli.proposed import writing
from uns.model.path import SEGMENT

UNIT_MAX: Final = 255
_HOST: Final = re.compile(r"(?P<host>\[[^\]]+\]|[^:\[\]]+)(:(?P<port>\d{1,5}))?")
_RANGE: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


class Wanted(NamedTuple):
    """What to look at, and the bridge's name in the proposal."""

    name: str
    units: tuple[int, ...]
    addresses: range
    requests_max: int


class Found(NamedTuple):
    """What was found; `takes_any`: an id that nobody has is answered too."""

    units: list[Unit]
    answering: list[int]
    requests: int
    takes_any: bool


def connection_of(
    host: str | None, serial: Mapping[str, Any] | None, *, rtu: bool
) -> dict[str, Any]:
    """The settings of the connection; UsageError unless it is one host or one port."""
    if (host is None) == (serial is None):
        raise UsageError("name a HOST, or a serial port with --serial")
    if serial:
        return {"transport": "serial", **serial}
    found = _HOST.fullmatch(host or "")
    if not found:
        raise UsageError(f"{host!r} is no HOST[:PORT]: use 10.0.0.7 or 10.0.0.7:502")
    transport = {"transport": "rtu-over-tcp"} if rtu else {}
    return {**transport, "host": found["host"].strip("[]"), "port": int(found["port"] or 502)}


def wanted_of(name: str, units: str, addresses: str, requests_max: int) -> Wanted:
    """The options, read; UsageError says what they should be."""
    if not SEGMENT.fullmatch(name):
        raise UsageError(f"--name {name!r}: use a-z, 0-9 and '-'")
    spans = [_range(part, UNIT_MAX, "--unit", "1-10 or 1,5,17") for part in units.split(",")]
    known = dict.fromkeys(unit for span in spans for unit in span)
    wanted = _range(addresses, ADDRESSES - 1, "--addresses", "0-9999")
    return Wanted(name, tuple(known), wanted, requests_max)


def _range(text: str, most: int, option: str, example: str) -> range:
    found = _RANGE.fullmatch(text.strip())
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if not first <= last <= most:
        raise UsageError(f"{option} {text!r}: use {example}, from 0 to {most}")
    return range(first, last + 1)


def propose(
    connection: Mapping[str, Any],
    pace: Mapping[str, int],
    wanted: Wanted,
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    """Write the proposal; CommandError when no unit answers."""
    settings = _settings({**connection, **pace})
    with hushed("pymodbus"), writing(out) as write:
        try:
            found = asyncio.run(_look(settings, wanted))
        except ModbusError as error:
            raise CommandError(f"{settings.address}: {error}") from None
        if not found.units:
            raise CommandError(_nobody(settings, wanted))
        if out or not as_json:
            given = {**connection, "unit": found.units[0].unit}
            for line in lines(wanted.name, given, found.units):
                write(line)
    if as_json:
        print_json(_document(found, out))
    for said in _said(found):
        note(said)


def _settings(given: Mapping[str, Any]) -> ModbusSettings:
    try:
        return ModbusSettings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the options"
        raise UsageError(f"{where}: {first['msg']}") from None


async def _look(settings: ModbusSettings, wanted: Wanted) -> Found:
    with closing(Scanner(settings, wanted.addresses, wanted.requests_max)) as scanner:
        asked = [(unit, await scanner.answer(unit)) for unit in wanted.units]
        answers = {unit: said for unit, said in asked if said}
        anybody = await scanner.anybody(wanted.units) if answers else None
        units = [await scanner.survey(unit) for unit in worth_asking(answers, anybody)]
        return Found(units, list(answers), scanner.requests, takes_any=anybody is not None)


def _nobody(settings: ModbusSettings, wanted: Wanted) -> str:
    asked = f"{wanted.units[0]} to {wanted.units[-1]}" if wanted.units[1:] else wanted.units[0]
    return (
        f"{settings.address}: connected, but no unit answers ({asked} asked, "
        f"{settings.timeout_ms} ms each): try other ids with --unit, or a longer --timeout"
    )


def _document(found: Found, out: Path | None) -> dict[str, Any]:
    return {
        "file": str(out) if out else None,
        "answering": found.answering,
        "takes_any": found.takes_any,
        "requests": found.requests,
        "units": [
            {
                "unit": unit.unit,
                "identity": unit.identity,
                "readable": [[s.table, s.start, s.end - 1] for s in unit.spans],
                "remarks": unit.remarks,
                "tags": list(documents(unit)),
            }
            for unit in found.units
        ],
    }


def _said(found: Found) -> list[str]:
    said = [f"{found.requests} requests; units that answer: {', '.join(map(str, found.answering))}"]
    if found.takes_any:
        units = ", ".join(str(unit.unit) for unit in found.units)
        said.append(f"an id that nobody has is answered too, so only these were looked at: {units}")
    said += [
        f"unit {unit.unit} answers, but lets nothing be read: try other ids or --addresses"
        for unit in found.units
        if not unit.spans
    ]
    return said
