"""`uns epcis check` and `import`: a document judged as the bridge judges it, and handed over.

Reads event by event; the document never stands in memory.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import typer

from bridges.epcis.checks import faults_of_document
from bridges.epcis.config import EpcisSettings
from bridges.epcis.document import Entry
from bridges.epcis.folder import INBOX, SUFFIXES, free_name, last_of, read
from bridges.epcis.mapping import PROTOCOL, Refused, Terms, facts_of, terms_of
from uns.cli.errors import CommandError, UsageError
from uns.cli.folder import find_folder
from uns.cli.options import read_plant
from uns.cli.output import note, print_json, say
from uns.model.events import Traced
from uns.model.plant import Plant

SHOWN_MAX: Final = 100


class Judged(NamedTuple):
    """What becomes of one event."""

    place: str
    event_id: str | None
    outcome: str
    said: str


def check(file: Path, namespace: Path | None, *, as_json: bool) -> None:
    """Print what becomes of each event; exit code 1 when one is refused."""
    plant = read_plant(namespace)
    refused = 0
    for one in judged(file, terms(plant, next(iter(bridges_of(plant)), None))):
        refused += one.outcome == "refused"
        if as_json:
            print_json(one._asdict())
        else:
            say(f"{one.place}: {one.said}")
    if refused:
        raise typer.Exit(1)


def take_in(file: Path, bridge: str | None, data: Path | None, *, as_json: bool) -> None:
    """Copy a document into the bridge's folder; exit code 1 when an event is refused."""
    folder = find_folder(data)
    plant = folder.load_plant()
    name = bridge_of(plant, bridge)
    counts = {"sound": 0, "refused": 0}
    for one in judged(file, terms(plant, name)):
        counts[one.outcome] += 1
        if one.outcome == "refused" and counts["refused"] <= SHOWN_MAX:
            note(f"{one.place}: {one.said}")
    target = _handed_over(file, folder.root / settings_of(plant, name).folder / INBOX)
    if as_json:
        print_json({"file": str(target), "bridge": name, **counts})
    else:
        say(f"{counts['sound']} events are {name}'s to take, {counts['refused']} refused")
    if not folder.running:
        note(f"no hub runs on {folder.root}: it takes them when it does")
    if counts["refused"]:
        raise typer.Exit(1)


def judged(file: Path, by: Terms) -> Iterator[Judged]:
    """What becomes of each event. Raises UsageError, or CommandError for what cannot be read."""
    if file.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{file}: no EPCIS document: its name ends in {', '.join(SUFFIXES)}")
    try:
        context = _context(file)
        for entry in read(file):
            if isinstance(entry, Entry):
                yield _judged(entry, context, by)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise CommandError(f"{file}: {error}") from None


def bridges_of(plant: Plant) -> list[str]:
    """The bridges of the protocol."""
    return [name for name, one in plant.bridges.items() if one.protocol == PROTOCOL]


def bridge_of(plant: Plant, wanted: str | None) -> str:
    """The bridge that is meant; UsageError where it is not clear."""
    names = bridges_of(plant)
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted in names:
        return wanted
    known = ", ".join(names) or "none: add one to namespace.yaml"
    raise UsageError(f"which bridge? Name one of protocol {PROTOCOL} with --bridge: {known}")


def settings_of(plant: Plant, bridge: str | None) -> EpcisSettings:
    """The settings of a bridge; without one, those that a bridge has by default."""
    return EpcisSettings.model_validate(plant.bridges[bridge].settings if bridge else {})


def terms(plant: Plant, bridge: str | None) -> Terms:
    """What a bridge judges events by."""
    return terms_of(settings_of(plant, bridge), plant, plant.served_by(bridge) if bridge else ())


def _context(file: Path) -> Any:
    document = last_of(file)
    if faults := faults_of_document(document):
        raise CommandError(f"{file}: {'; '.join(map(str, faults))}")
    return document["@context"]


def _judged(entry: Entry, context: Any, by: Terms) -> Judged:
    found = facts_of(entry.value, context, by)
    if isinstance(found, Refused):
        return Judged(entry.place, None, "refused", str(found))
    told = Traced.type_name
    event_id, moved = found[0].body["event_id"], len(found) - 1
    material = f", and {moved} of material at {found[1].path}" if moved else ""
    said = f"{found[0].body['event_type']} {event_id}: {told} at {found[0].path}{material}"
    return Judged(entry.place, event_id, "sound", said)


def _handed_over(file: Path, inbox: Path) -> Path:
    """A copy under a name that nobody reads, then under its own."""
    inbox.mkdir(parents=True, exist_ok=True)
    target = free_name(inbox / file.name)
    part = target.with_name(f".{target.name}.part")
    shutil.copyfile(file, part)
    part.rename(target)
    return target
