"""`uns epcis export`: the record as an EPCIS document, written event by event."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from bridges.epcis.identity import names_of
from bridges.epcis.telling import document_head, event_of
from uns.cli.epcis_files import bridge_of, bridges_of, settings_of
from uns.cli.errors import UsageError
from uns.cli.folder import find_folder
from uns.cli.options import instant_ms
from uns.cli.output import note, print_json
from uns.cli.reading import plant_time, selected_lines
from uns.cli.store import open_store
from uns.historian.history.made import Window, made, told
from uns.historian.reader import Reader
from uns.model.plant import Plant

STANDARD_OUTPUT: Final = Path("-")


class Wanted(NamedTuple):
    """Which events: of a line, of a time, of a lot or unit; or what partners told."""

    line: str | None
    period: tuple[str | None, str | None]
    lot: str | None
    received: bool = False


def export(
    file: Path, wanted: Wanted, bridge: str | None, data: Path | None, *, as_json: bool
) -> None:
    """Write the document, and say how many events it has."""
    folder = find_folder(data)
    plant, now_ms = folder.load_plant(), plant_time(folder)
    if wanted.received and (wanted.line or wanted.lot):
        raise UsageError("--received goes without --line and --lot: it is all that partners told")
    with open_store(folder) as reader, _opened(file) as out:
        windows = _windows(plant, wanted, now_ms)
        if wanted.received:
            events = _told(reader, windows)
        else:
            events = _made(reader, plant, wanted, windows, bridge)
        count = _write(out, document_head(now_ms), events)
    if file != STANDARD_OUTPUT and as_json:
        print_json({"file": str(file), "events": count})
    else:
        note(f"{count} events")


def _windows(plant: Plant, wanted: Wanted, now_ms: int) -> list[Window]:
    from_ms, to_ms = (instant_ms(one, now_ms, now_ms) if one else None for one in wanted.period)
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        raise UsageError("--from lies behind --to")
    places = selected_lines(plant, wanted.line) if wanted.line else [plant.enterprise]
    return [Window(place, from_ms, to_ms) for place in places]


def _told(reader: Reader, windows: Iterable[Window]) -> Iterator[dict[str, Any]]:
    for document in chain.from_iterable(told(reader, window) for window in windows):
        yield json.loads(document)


def _made(
    reader: Reader, plant: Plant, wanted: Wanted, windows: Iterable[Window], bridge: str | None
) -> Iterator[dict[str, Any]]:
    meant = bridge_of(plant, bridge) if bridge or bridges_of(plant) else None
    names = names_of(settings_of(plant, meant), plant)
    for one in chain.from_iterable(made(reader, window) for window in windows):
        if wanted.lot is None or one.concerns(wanted.lot):
            site = plant.sites[one.cell.split("/")[1]]
            yield event_of(one, names, ZoneInfo(site.time_zone))


@contextmanager
def _opened(file: Path) -> Iterator[IO[str]]:
    """Standard output, or a file that is there when it is whole, and else not."""
    if file == STANDARD_OUTPUT:
        yield sys.stdout
        return
    part = file.with_name(f".{file.name}.part")
    try:
        with part.open("w", encoding="utf-8") as out:
            yield out
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _write(out: IO[str], head: dict[str, Any], events: Iterable[dict[str, Any]]) -> int:
    out.write(f'{json.dumps(head)[:-1]}, "epcisBody": {{"eventList": [')
    count = 0
    for count, event in enumerate(events, 1):
        out.write(f"{',' if count > 1 else ''}\n{json.dumps(event, ensure_ascii=False)}")
    out.write("\n]}}\n")
    return count
