"""The public documents of OEE: live and for the shifts before, by cell, line and order; the stop.

Every document with a ratio carries the sums it was made from: uns.model.kpi.oee makes the one
from the other, to the digit. `intervals` tells what the sums are made of: how many `oee-interval`
events of which path, and what is open, of which no event tells yet.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from processors.base import clock_text, percent, shown, topic_key, zone_of
from processors.oee import lines
from processors.oee import orders as of_orders
from processors.oee.account import first_seen
from processors.oee.elements import is_stopped
from processors.oee.late import final_until
from processors.oee.live import Live, live
from processors.oee.state import (
    DaySums,
    LineTime,
    OrderSums,
    ShiftSums,
    ShiftWindow,
    Tally,
)
from processors.oee.stop_documents import stop_documents
from processors.oee.suspicion import CODE
from uns.fold import Document
from uns.model.equipment import STATES, UNKNOWN
from uns.model.kpi import Sums, oee
from uns.model.plant import Cell, Place, Plant
from uns.model.reckoning import (
    line_policy_id,
    method_of,
    policy_id,
    reckoned_at,
    reference_of,
)

ORDER_SHOWN_AFTER_MS: Final = 60_000
CELLS_SHOWN_MAX: Final = 40
CELLS_LENGTH_MAX: Final = 1_000
"""The letters of all names under which a line shows its cells."""
_CODES: Final = {name: code for code, name in enumerate(STATES)}
Entry = tuple[str, Document]


def line_documents(plant: Plant, state: LineTime) -> Mapping[str, Document]:
    """Every document of a line by topic, as of the state's `now_ms`."""
    cells = {
        place.path: live(plant, place, state.cells[place.path], state.now_ms)
        for place in plant.lines.get(state.line, ())
        if place.path in state.cells
    }
    documents = dict(
        entry for one in cells.values() for entry in _of_cell(plant, one, state.heard_ms)
    )
    documents.update(_of_line(plant, state, cells))
    return documents


def _of_cell(plant: Plant, one: Live, heard_ms: int) -> Iterator[Entry]:
    path, policy = one.place.path, policy_id(plant, one.place)
    yield f"{path}/_state/oee", _oee_document(plant, one, policy)
    yield f"{path}/_state/cell", _cell_document(plant, one)
    yield from stop_documents(plant, one)
    yield from _of_shifts(plant, path, one, heard_ms, policy)


def _of_line(plant: Plant, state: LineTime, cells: Mapping[str, Live]) -> Iterator[Entry]:
    if not cells:
        return
    place = next(iter(cells.values())).place
    path, policy = state.line, line_policy_id(plant, place)
    whole = _line_live(plant, state, cells, place)
    document = {
        **_oee_document(plant, whole, policy),
        "method": method_of(plant, place.line),
        "bottleneck": reference_of(plant, place.line),
        "cells": _of_cells(cells),
    }
    yield f"{path}/_state/oee", {**document, "at_ms": document.pop("at_ms")}
    yield from _of_shifts(plant, path, whole, state.heard_ms, policy)
    yield from _of_days(plant, path, whole, state.heard_ms, policy)
    yield from _of_items(plant, path, whole, policy)
    yield from _of_orders(plant, state, whole, policy)


def _line_live(plant: Plant, state: LineTime, cells: Mapping[str, Live], place: Place) -> Live:
    """What the line's figures go by: one of its cells, or a time of its own."""
    whole = reckoned_at(plant, state.line)
    if whole.path in cells:
        return cells[whole.path]
    known = lines.time_of(plant, state, place) or first_seen(plant, whole, state.now_ms)
    return live(plant, whole, known, state.now_ms)


def _of_cells(cells: Mapping[str, Live]) -> Document:
    """OEE by cell; of those whose names there is room for."""
    found, room = Document(), CELLS_LENGTH_MAX
    for path, one in list(cells.items())[:CELLS_SHOWN_MAX]:
        word = _word(path)
        room -= len(word)
        if room >= 0:
            found[word] = oee(one.shift)["oee"]
    return found


def _of_orders(plant: Plant, state: LineTime, whole: Live, policy: str) -> Iterator[Entry]:
    for order_id, order in of_orders.booked(state.orders, whole.orders).items():
        key = topic_key(order_id)
        settled_ms = order.settled_ms
        if key and (settled_ms is None or state.heard_ms < settled_ms + ORDER_SHOWN_AFTER_MS):
            closed = state.orders.get(order_id, Tally())
            figures = _figures(plant, whole, order.sums, closed, policy)
            about = {"order_id": order_id, "bottleneck": reference_of(plant, whole.place.line)}
            document = _order_document(whole, figures, order, about)
            yield f"{state.line}/_state/oee-order/{key}", document


def _word(path: str) -> str:
    """A cell's name as a document key: '-' is no key character, and '_' no name character."""
    return path.rpartition("/")[2].replace("-", "_")


def _figures(plant: Plant, one: Live, sums: Sums, closed: Tally, policy: str) -> Document:
    figures = oee(sums, unknown_counted=plant.policy.counts_unknown)
    effectiveness = figures["effectiveness"]
    over = effectiveness is not None and effectiveness > 1
    sums_ = figures.pop("sums")
    capped = min(effectiveness, 1.0) if effectiveness is not None else None
    waiting = {key: value for key, value in vars(sums - closed.sums).items() if value}
    return {
        **figures,
        "effectiveness_capped": capped,
        "over_100": over,
        "alert": CODE if over else None,
        "sums": sums_,
        "intervals": {"path": one.place.path, "closed": closed.intervals, "open": waiting},
        "policy_id": policy,
    }


def _headline(figures: Mapping[str, Any]) -> str:
    ratios = (figures[k] for k in ("availability", "effectiveness", "quality_ratio"))
    parts = ", ".join(f"{name} {percent(r)}" for name, r in zip("AEQ", ratios, strict=True))
    return f"OEE {percent(figures['oee'])} % ({parts})"


def _remarks(cell: Cell, item: str | None, figures: Mapping[str, Any]) -> str:
    missing = item is not None and item not in cell.ideal_cycle_ms
    ideal = f", ideal cycle missing for {shown(item)}" if missing else ""
    return ideal + (", over 100 %: check the ideal cycle" if figures["over_100"] else "")


def _oee_document(plant: Plant, one: Live, policy: str) -> Document:
    piece = one.cell.open
    figures = _figures(plant, one, one.shift, one.closed(piece.window.id), policy)
    remarks = _remarks(one.place.cell, piece.item, figures)
    stop = one.cell.stop
    return {
        "summary": f"{_headline(figures)} {_shift_name(piece.window)}{remarks}",
        **figures,
        "state": piece.state,
        "since_ms": one.cell.since_ms,
        "stop_reason": stop.reason if stop is not None and stop.is_open else None,
        "order_id": piece.order_id,
        "item": piece.item,
        "shift": _span(piece.window),
        "provisional": True,
        "at_ms": one.at_ms,
    }


def _shift_name(window: ShiftWindow) -> str:
    return f"{shown(window.shift)} shift" if window.planned else "off shift"


def _span(one: ShiftWindow | DaySums) -> dict[str, Any]:
    return {"id": one.id, "start_ms": one.start_ms, "end_ms": one.end_ms}


def _of_shifts(plant: Plant, path: str, one: Live, heard_ms: int, policy: str) -> Iterator[Entry]:
    final_ms = final_until(plant, one.cell, heard_ms)
    for shift in one.before:
        key = topic_key(shift.id)
        if key is not None:
            figures = _figures(plant, one, shift.sums, one.closed(shift.id), policy)
            document = _shift_document(one, figures, shift, final=one.is_final(shift, final_ms))
            yield f"{path}/_state/oee-shift/{key}", document


def _shift_document(one: Live, figures: Document, shift: ShiftSums, *, final: bool) -> Document:
    corrections = one.cell.corrections.get(shift.id, 0)
    name = _shift_name(shift.window)
    return {
        "summary": f"{_headline(figures)} {name}, over, {_standing(corrections, final=final)}",
        **figures,
        "shift": _span(shift.window),
        **_finality(corrections, final=final),
        "at_ms": shift.end_ms,
    }


def _of_days(plant: Plant, path: str, one: Live, heard_ms: int, policy: str) -> Iterator[Entry]:
    final_ms = final_until(plant, one.cell, heard_ms)
    for day in one.days:
        over = day is not one.days[-1]
        figures = _figures(plant, one, day.sums, one.closed(day.id), policy)
        final = over and one.is_final(day, final_ms)
        document = _day_document(one, figures, day, final=final)
        yield (
            f"{path}/_state/oee-day/{day.id}",
            {
                **document,
                "at_ms": day.end_ms if over else one.at_ms,
            },
        )


def _day_document(one: Live, figures: Document, day: DaySums, *, final: bool) -> Document:
    corrections = one.cell.corrections.get(day.id, 0)
    return {
        "summary": f"{_headline(figures)} {day.id}, {_standing(corrections, final=final)}",
        **figures,
        "day": _span(day),
        **_finality(corrections, final=final),
    }


def _of_items(plant: Plant, path: str, one: Live, policy: str) -> Iterator[Entry]:
    """The items of the current day; those of days before are in history."""
    today = one.days[-1]
    told = next((day.items for day in one.told.days if day.id == today.id), {})
    for item, tally in today.items.items():
        key = topic_key(item)
        if key is not None:
            figures = _figures(plant, one, tally.sums, told.get(item, Tally()), policy)
            yield (
                f"{path}/_state/oee-item/{key}",
                {
                    "summary": f"{_headline(figures)} {shown(item)} {today.id}",
                    **figures,
                    "item": item,
                    "day": _span(today),
                    "provisional": True,
                    "at_ms": one.at_ms,
                },
            )


def _finality(corrections: int, *, final: bool) -> Document:
    return {"provisional": not final, "final": final, "corrections": corrections}


def _standing(corrections: int, *, final: bool) -> str:
    word = "final" if final else "provisional"
    return f"{word}, corrected {corrections} x" if corrections else word


def _order_document(
    whole: Live, figures: Document, order: OrderSums, about: Mapping[str, str]
) -> Document:
    final = order.settled_ms is not None
    standing = f", {_standing(order.corrections, final=final)}" if final else ""
    return {
        "summary": f"{_headline(figures)} {shown(about['order_id'])} {shown(order.item)}{standing}",
        **figures,
        **about,
        "item": order.item,
        **_finality(order.corrections, final=final),
        "at_ms": whole.at_ms if order.unloaded_ms is None else order.unloaded_ms,
    }


def _cell_document(plant: Plant, one: Live) -> Document:
    piece = one.cell.open
    since = clock_text(one.cell.since_ms, one.at_ms, zone_of(plant, one.place.path))
    return {
        "summary": f"{shown(piece.state)} since {since}, {shown(piece.order_id)}",
        "state": piece.state,
        "state_code": _CODES.get(piece.state, _CODES[UNKNOWN]),
        "fault": piece.fault,
        "stopped": is_stopped(plant, piece),
        "order_id": piece.order_id,
        "item": piece.item,
        "since_ms": one.cell.since_ms,
        "good": one.shift.gq,
        "scrap": one.shift.sq,
        "rework": one.shift.rq,
        "at_ms": one.cell.at_ms,
    }
