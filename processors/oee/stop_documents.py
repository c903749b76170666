"""The public documents of a cell's stops: the open or last one, and those that may be changed."""

from collections.abc import Iterator

from processors.base import fit, shown
from processors.oee.live import Live
from processors.oee.micro_stops import pace
from processors.oee.state import MicroStops, Stop
from uns.fold import Document
from uns.model.plant import Plant

Entry = tuple[str, Document]


def stop_documents(plant: Plant, one: Live) -> Iterator[Entry]:
    """Of one cell, by topic."""
    cell, path = one.cell, one.place.path
    if cell.stop is not None:
        yield f"{path}/_state/stop", _last(plant, cell.stop, cell.micro, one.at_ms)
    if cell.stops:
        yield f"{path}/_state/stops", _list(plant, cell.stops)


def _last(plant: Plant, stop: Stop, micro: MicroStops, now_ms: int) -> Document:
    end_ms = now_ms if stop.end_ms is None else stop.end_ms
    title = _title(plant, stop)
    seconds = stop.length_ms(end_ms) / 1_000
    cause = f"{title} ({stop.reason})" if title else f"no reason yet ({shown(stop.state)})"
    return {
        "summary": f"{'stopped' if stop.is_open else 'last stop'} {seconds:.1f} s: {cause}",
        "stop_id": stop.stop_id,
        "open": stop.is_open,
        "state": stop.state,
        "reason": stop.reason,
        "title": title,
        "classified": stop.classified,
        "order_id": stop.order_id,
        "since_ms": stop.start_ms,
        "duration_ms": stop.length_ms(end_ms),
        "micro_stops": pace(micro).recent,
        "micro_stops_rising": micro.rising,
        "at_ms": end_ms,
    }


def _list(plant: Plant, stops: tuple[Stop, ...]) -> Document:
    newest = stops[::-1]
    unexplained = [stop for stop in stops if stop.reason is None]
    document = {
        "summary": f"{len(stops)} stops, {len(unexplained)} without a reason",
        "stops": [_row(plant, stop) for stop in newest],
        "at_ms": newest[0].end_ms or newest[0].start_ms,
    }
    return fit(document, "stops")


def _row(plant: Plant, stop: Stop) -> Document:
    end_ms = stop.end_ms or stop.start_ms
    return {
        "stop_id": stop.stop_id,
        "since_ms": stop.start_ms,
        "duration_ms": stop.length_ms(end_ms),
        "state": stop.state,
        "reason": stop.reason,
        "title": _title(plant, stop),
        "classified": stop.classified,
    }


def _title(plant: Plant, stop: Stop) -> str | None:
    known = plant.reasons.get(stop.reason or "")
    return known.title if known else None
