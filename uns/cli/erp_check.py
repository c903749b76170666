"""`uns erp check`: an order file judged as the ERP bridge judges it, without a hub."""

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import typer

from bridges.erp.errors import ErpError
from bridges.erp.folder import Arrived
from bridges.erp.formats import FORMATS, Content
from bridges.erp.mapping import Kind, MappingRules
from bridges.erp.office import Office, about, mapped
from bridges.erp.rules_file import read_rules
from bridges.erp.xsd import Schema, read_schema
from uns.cli.errors import CommandError, UsageError
from uns.cli.output import print_json, say
from uns.model.plant import Plant
from uns.model.releasing import New, Refused, Repeated

FILE_BYTES_MAX: Final = 20_000_000


class Line(NamedTuple):
    """What becomes of one order, and the document it was read as."""

    outcome: str
    said: str
    document: Any


class Way(NamedTuple):
    """How a file is read: the rules of its names, and the schema that B2MML must fit."""

    rules: MappingRules = MappingRules()
    schema: Schema | None = None


def run(
    file: Path, how: tuple[Path | None, Path | None], plant: Plant, *, dry_run: bool, as_json: bool
) -> None:
    """Print what becomes of each order; exit code 1 when one is refused.

    how: the mapping file and the schema's, if there are any.
    """
    kind, lines = examined(file, _way(*how), plant)
    if as_json:
        orders = [line._asdict() for line in lines]
        print_json({"file": str(file), "format": kind, "orders": orders})
    else:
        _print(lines, dry_run=dry_run)
    if any(line.outcome == "refused" for line in lines):
        raise typer.Exit(1)


def examined(file: Path, way: Way, plant: Plant) -> tuple[Kind, list[Line]]:
    """By which rules a file is read, and what becomes of each order in it.

    Raises UsageError for what is no order file, CommandError for one that cannot be read.
    """
    office, arrived = Office(plant, lambda: 0, lambda _prefix: {}), _arrived(file)
    content = office.read(arrived, *way)
    if isinstance(content, Refused):
        raise CommandError(about(arrived, None, content))
    return content.kind, _judged(office, arrived, content, way.rules)


def _arrived(file: Path) -> Arrived:
    if file.suffix.lower() not in FORMATS:
        raise UsageError(f"{file}: no order file: its name ends in {', '.join(FORMATS)}")
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    return Arrived(file, raw[:FILE_BYTES_MAX], len(raw) > FILE_BYTES_MAX)


def _way(mapping: Path | None, xsd: Path | None) -> Way:
    try:
        rules = read_rules(mapping) if mapping else MappingRules()
        return Way(rules, read_schema(xsd) if xsd else None)
    except ErpError as error:
        raise UsageError(str(error)) from None


def _judged(office: Office, arrived: Arrived, content: Content, rules: MappingRules) -> list[Line]:
    lines = list[Line]()
    for record in content.records:
        document, place = mapped(content, record, rules), f"{arrived.path.name}{record.place}"
        read = None if isinstance(document, Refused) else document
        match office.judge(content, record, rules):
            case New(fact):
                said = f"{place} {fact.body['order_id']}: released to {fact.path}"
                lines.append(Line("new", said, read))
            case Repeated(reason):
                lines.append(Line("known", f"{place} {reason}", read))
            case Refused() as refused:
                lines.append(Line("refused", about(arrived, record, refused), read))
    return lines


def _print(lines: list[Line], *, dry_run: bool) -> None:
    for line in lines:
        say(line.said)
        if dry_run and line.document is not None:
            say(json.dumps(line.document, ensure_ascii=False, default=str))
