"""`uns yield` and `uns defects`: options, help, and the tables they print."""

from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from uns.cli.history import From, Limit, Place, To
from uns.cli.live import per_cent
from uns.cli.lookback import DAY_MS, Asked, place
from uns.cli.options import Data, Json
from uns.cli.output import print_json, print_table, say
from uns.cli.store import open_store
from uns.historian.history import defects as of_defects
from uns.historian.history import yields as of_yields
from uns.historian.history.oee import cells_below


def yields(  # noqa: PLR0913 - the options of the command, each with its default
    where: Place = None,
    *,
    by: Annotated[of_yields.By, typer.Option(help="What the groups are.")] = "all",
    start: From = None,
    end: To = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show first-pass and rolled-throughput yield. From counts: good / (good + scrap + rework)."""
    asked = Asked(where, (start, end), data, as_json=as_json)
    plant = asked.folder.load_plant()
    with open_store(asked.folder) as reader:
        path = place(plant, where)
        found = of_yields.yields(reader, plant, path, asked.period(DAY_MS), by)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    rows = list[tuple[Any, ...]]()
    for group in found.groups:
        rows.append((group.key, *_counts(group), per_cent(group.rty)))
        rows += [(f"  {step.cell}", *_counts(step), "") for step in group.steps]
    print_table((by, "started", "good", "scrap", "rework", "FPY", "RTY"), rows)


def defects(  # noqa: PLR0913 - the options of the command, each with its default
    where: Place = None,
    *,
    by: Annotated[of_defects.By, typer.Option(help="What bars stand for.")] = "code",
    start: From = None,
    end: To = None,
    limit: Limit = 20,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show what is wrong with pieces, the most frequent first. From verdicts and inspections."""
    asked = Asked(where, (start, end), data, as_json=as_json)
    plant = asked.folder.load_plant()
    with open_store(asked.folder) as reader:
        cells = cells_below(plant, place(plant, where))
        found = of_defects.defects(reader, cells, asked.period(DAY_MS), by=by, limit=limit)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    rows = [
        (one.key, one.kind, one.defects, per_cent(one.share), per_cent(one.cumulative), _dpmo(one))
        for one in found.bars
    ]
    print_table((by, "kind", "defects", "share", "together", "per million"), rows)
    say(f"{found.defects} defects; {found.rest} of them in bars that are not shown")


def _counts(one: of_yields.Counts) -> tuple[int | str, ...]:
    return one.started, one.good, one.scrap, one.rework, per_cent(one.fpy)


def _dpmo(one: of_defects.Bar) -> str | None:
    return None if one.dpmo is None else f"{one.dpmo:.0f}"


COMMANDS: Final[tuple[tuple[str, Callable[..., Any], str], ...]] = (
    ("yield", yields, "uns yield pump --by item --from 7d"),
    ("defects", defects, "uns defects pump --by code --from 7d"),
)
"""Each with its name and an example."""
