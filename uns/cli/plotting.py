"""What `uns spc --plot` does: the control chart of a characteristic as a picture file."""

from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from dashboards.report.control import Control, panels, picture
from dashboards.report.drawing import WIDTH
from dashboards.report.facts import controls
from dashboards.report.raster import png
from processors.spc import characteristic_key
from uns.cli.errors import CommandError, UsageError
from uns.cli.lookback import DAY_MS, Asked, place
from uns.cli.output import print_json, say
from uns.cli.report import write_whole
from uns.cli.store import open_store
from uns.model.plant import Plant

FORMATS: Final = (".svg", ".png")


def plotted(asked: Asked, characteristic: str, item: str | None, file: Path) -> None:
    """Draw the chart of a characteristic at a cell, as it was at the end of the time asked for."""
    if file.suffix not in FORMATS:
        raise UsageError(f"{file} ends in none of {', '.join(FORMATS)}: charts are SVG or PNG")
    plant = asked.folder.load_plant()
    cell = place(plant, asked.what)
    if cell not in plant.cells:
        raise UsageError(f"{cell} is no cell: charts are of a cell")
    found = _charts(asked, plant, cell, characteristic)
    control = _one(found, characteristic, item)
    zone = ZoneInfo(plant.cells[cell].site.time_zone)
    svg = picture(control, WIDTH, zone)
    write_whole(file, png(panels(control, WIDTH, zone)) if file.suffix == ".png" else svg.encode())
    if asked.as_json:
        told = {"file": str(file), "item": control.item, "points": len(control.points)}
        print_json({**told, "summary": control.summary})
    else:
        say(f"{file}: {control.summary}")


def _charts(asked: Asked, plant: Plant, cell: str, characteristic: str) -> tuple[Control, ...]:
    key = characteristic_key(characteristic)
    if key is None:
        raise UsageError(f"{characteristic!r} is no characteristic")
    with open_store(asked.folder) as reader:
        return controls(reader, plant, asked.period(DAY_MS).to_ms, [cell], key)


def _one(found: tuple[Control, ...], characteristic: str, item: str | None) -> Control:
    wanted = [one for one in found if item in (None, one.item)]
    if len(wanted) == 1:
        return wanted[0]
    if wanted:
        known = ", ".join(sorted(one.item for one in wanted))
        raise UsageError(f"{characteristic} has charts of several items: use --item with {known}")
    raise CommandError(
        f"no control chart of {characteristic} on record: its specification needs a `chart`,"
        " and the chart limits and a point"
    )
