"""What `uns stop`, `uns losses`, `uns reliability`, `uns bottleneck` and `uns energy` do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from uns.cli.asking import answered, print_answer, running
from uns.cli.errors import CommandError, UsageError
from uns.cli.folder import find_folder
from uns.cli.live import per_cent
from uns.cli.lookback import DAY_MS, Asked, place
from uns.cli.options import instant_ms, iso
from uns.cli.output import print_json, print_table, say
from uns.cli.reading import plant_time
from uns.cli.store import open_store
from uns.historian.history import bottleneck as of_bottleneck
from uns.historian.history import energy as of_energy
from uns.historian.history import losses as of_losses
from uns.historian.history import reliability as of_reliability
from uns.historian.history import stop_list
from uns.historian.history.oee import cells_below
from uns.model.path import to_dotted
from uns.model.plant import Plant

LOADS: Final = ("running", "set_up", "down", "starved", "blocked", "waiting", "idle")


def stops(asked: Asked, limit: int) -> None:
    """Print the stops of cells, the newest first."""
    plant = asked.folder.load_plant()
    cells = cells_below(plant, place(plant, asked.what))
    with open_store(asked.folder) as reader:
        found = stop_list.stops(reader, plant, cells, asked.period(DAY_MS), limit)
    if asked.as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    rows = [
        (one.stop_id, iso(one.start_ms), _lasted(one), one.state, one.reason, one.title)
        for one in found
    ]
    print_table(("stop", "from", "minutes", "state", "reason", "title"), rows)


def story(stop_id: str, data: Path | None, *, as_json: bool) -> None:
    """Print what was ever said of a stop."""
    with open_store(find_folder(data)) as reader:
        found = stop_list.story(reader, stop_id)
    if not found:
        raise CommandError(f"nothing on record about stop {stop_id!r}")
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    rows = [(iso(s.at_ms), s.type, s.reason, s.old_reason, s.actor, s.comment) for s in found]
    print_table(("at", "what", "reason", "before", "by", "comment"), rows)


def command(
    name: str, stop_id: str, body: Mapping[str, Any], data: Path | None, *, as_json: bool
) -> None:
    """Ask for a change of a stop; exit code 1 when it is refused."""
    cell = cell_of(find_folder(data).load_plant(), stop_id)
    folder = running(data)
    said = {"stop_id": stop_id, **{key: value for key, value in body.items() if value is not None}}
    reply = answered(folder.address("operator"), cell, f"stop/{name}", said)
    print_answer(reply, as_json=as_json)


def instant(text: str, data: Path | None) -> int:
    """A time of day or an age, as plant time."""
    now_ms = plant_time(find_folder(data))
    return instant_ms(text, now_ms, now_ms)


def cell_of(plant: Plant, given_id: str, kind: str = "stop") -> str:
    """The cell that an id begins with, of a stop or of what else `uns <kind> list` shows."""
    cells = [path for path in plant.cells if given_id.startswith(f"{to_dotted(path)}-")]
    if not cells:
        raise UsageError(f"{given_id!r} is no {kind}: `uns {kind} list` shows their ids")
    return max(cells, key=len)


def losses(asked: Asked) -> None:
    """Print the loss tree of a place."""
    plant = asked.folder.load_plant()
    with open_store(asked.folder) as reader:
        where = place(plant, asked.what)
        found = of_losses.loss_tree(reader, plant, where, asked.period(DAY_MS))
    if asked.as_json:
        print_json(found.model_dump(mode="json"))
        return
    rows = list[tuple[Any, ...]]()
    for loss in found.losses:
        pieces = None if loss.pieces is None else f"{loss.pieces:.0f}"
        share = per_cent(loss.share)
        rows.append((loss.key, loss.category, loss.stops, f"{loss.minutes:.1f}", pieces, share))
        rows += [
            (f"  {leaf.key or 'no reason'}", leaf.title, leaf.stops, _minutes(leaf.minutes), "", "")
            for leaf in loss.leaves
        ]
    print_table(("loss", "of", "stops", "minutes", "pieces", "share"), rows)
    say(
        f"{found.total_min:.1f} of {found.busy_min:.1f} min of planned busy time were lost"
        f" ({', '.join(found.cells)})"
    )


def reliability(asked: Asked) -> None:
    """Print MTBF, MTTF and MTTR of the cells of a place."""
    plant = asked.folder.load_plant()
    with open_store(asked.folder) as reader:
        where = place(plant, asked.what)
        found = of_reliability.reliability(reader, plant, where, asked.period(DAY_MS))
    if asked.as_json:
        print_json(found.model_dump(mode="json"))
        return
    rows = [
        (
            one.cell,
            one.failures,
            *(_minutes(value) for value in (one.mtbf_min, one.mttf_min, one.mttr_min)),
            _minutes(one.up_min),
            _minutes(one.repair_min),
            one.unexplained,
        )
        for one in (*found.cells, found.total)
    ]
    columns = ("cell", "failures", "MTBF", "MTTF", "MTTR", "up", "repair", "stops without reason")
    print_table(columns, rows)
    say("times in minutes; a failure is a stop with a reason of loss `breakdown`")


def bottleneck(asked: Asked) -> None:
    """Print which cell holds a line back, and why it is said."""
    plant = asked.folder.load_plant()
    with open_store(asked.folder) as reader:
        line = place(plant, asked.what)
        found = of_bottleneck.bottleneck(reader, plant, line, asked.period(DAY_MS))
    if asked.as_json:
        print_json(found.model_dump(mode="json"))
        return
    rows = [
        (one.cell, per_cent(one.active), *(_minutes(getattr(one, f"{n}_min")) for n in LOADS))
        for one in found.cells
    ]
    print_table(("cell", "active", *LOADS), rows)
    other = "" if found.cell in (None, found.configured) else f"; configured: {found.configured}"
    say(f"{found.cell or 'unknown'}: {found.reason}{other}")


def energy(asked: Asked) -> None:
    """Print what the meters of a place counted, and for each good piece."""
    plant = asked.folder.load_plant()
    with open_store(asked.folder) as reader:
        where = place(plant, asked.what)
        found = of_energy.energy(reader, plant, where, asked.period(DAY_MS))
    if asked.as_json:
        print_json(found.model_dump(mode="json"))
        return
    rows = [
        (one.place, len(one.meters), *_kwh(one), f"{one.good:.0f}", per_cent(one.coverage))
        for one in (*found.cells, found.total)
    ]
    print_table(("place", "meters", "kWh", "kWh a good piece", "good", "known"), rows)


def _kwh(one: of_energy.Used) -> tuple[str | None, str | None]:
    whole, each = one.kwh, one.kwh_per_good
    return None if whole is None else f"{whole:.2f}", None if each is None else f"{each:.4f}"


def _lasted(one: stop_list.Stop) -> str:
    return f"{one.minutes:.1f}{' so far' if one.lasts else ''}"


def _minutes(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f}"
