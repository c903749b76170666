"""The public documents of OEE: live and for the shifts before, by cell, line and order; the stop.

Every document with a ratio carries the sums it was made from: uns.model.kpi.oee makes the one
from the other, to the digit.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from processors.base import clock_text, percent, shown, topic_key, zone_of
from processors.oee import orders as of_orders
from processors.oee.account import first_seen
from processors.oee.elements import is_stopped
from processors.oee.late import final_until
from processors.oee.live import Live, live
from processors.oee.state import LineTime, OrderSums, ShiftSums, ShiftWindow, Stop
from uns.fold import Document
from uns.model.equipment import STATES, UNKNOWN
from uns.model.kpi import Sums, oee
from uns.model.plant import Cell, Place, Plant

ORDER_SHOWN_AFTER_MS: Final = 60_000
CELLS_SHOWN_MAX: Final = 40
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
    path = one.place.path
    yield f"{path}/_state/oee", _oee_document(plant, one)
    yield f"{path}/_state/cell", _cell_document(plant, one)
    if one.cell.stop is not None:
        yield f"{path}/_state/stop", _stop_document(plant, one, one.cell.stop)
    yield from _of_shifts(plant, path, one, heard_ms)


def _of_line(plant: Plant, state: LineTime, cells: Mapping[str, Live]) -> Iterator[Entry]:
    if not cells:
        return
    place = next(iter(cells.values())).place
    path = f"{state.line}/{place.line.bottleneck}"
    neck = cells.get(path) or _unheard(plant, plant.cells[path], state.now_ms)
    shown_cells = list(cells.items())[:CELLS_SHOWN_MAX]
    of_cells = {_word(path): oee(one.shift)["oee"] for path, one in shown_cells}
    method = {"method": plant.policy.line_method, "bottleneck": place.line.bottleneck}
    document = {**_oee_document(plant, neck), **method, "cells": of_cells}
    yield f"{state.line}/_state/oee", {**document, "at_ms": document.pop("at_ms")}
    yield from _of_shifts(plant, state.line, neck, state.heard_ms)
    yield from _of_orders(plant, state, neck)


def _of_orders(plant: Plant, state: LineTime, neck: Live) -> Iterator[Entry]:
    for order_id, order in of_orders.booked(state.orders, neck.orders).items():
        key = topic_key(order_id)
        settled_ms = order.settled_ms
        if key and (settled_ms is None or state.heard_ms < settled_ms + ORDER_SHOWN_AFTER_MS):
            document = _order_document(plant, neck, order_id, order)
            yield f"{state.line}/_state/oee-order/{key}", document


def _unheard(plant: Plant, place: Place, now_ms: int) -> Live:
    return live(plant, place, first_seen(plant, place, now_ms), now_ms)


def _word(path: str) -> str:
    """A cell's name as a document key: '-' is no key character, and '_' no name character."""
    return path.rpartition("/")[2].replace("-", "_")


def _figures(sums: Sums) -> Document:
    figures = oee(sums)
    effectiveness = figures["effectiveness"]
    over = effectiveness is not None and effectiveness > 1
    sums_ = figures.pop("sums")
    capped = min(effectiveness, 1.0) if effectiveness is not None else None
    return {**figures, "effectiveness_capped": capped, "over_100": over, "sums": sums_}


def _headline(figures: Mapping[str, Any]) -> str:
    ratios = (figures[k] for k in ("availability", "effectiveness", "quality_ratio"))
    parts = ", ".join(f"{name} {percent(r)}" for name, r in zip("AEQ", ratios, strict=True))
    return f"OEE {percent(figures['oee'])} % ({parts})"


def _remarks(cell: Cell, item: str | None, figures: Mapping[str, Any]) -> str:
    missing = item is not None and item not in cell.ideal_cycle_ms
    ideal = f", ideal cycle missing for {shown(item)}" if missing else ""
    return ideal + (", over 100 %: check the ideal cycle" if figures["over_100"] else "")


def _oee_document(plant: Plant, one: Live) -> Document:
    piece, figures = one.cell.open, _figures(one.shift)
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
        "shift": _shift(piece.window),
        "policy_id": plant.policy.id,
        "provisional": True,
        "at_ms": one.at_ms,
    }


def _shift_name(window: ShiftWindow) -> str:
    return f"{shown(window.shift)} shift" if window.planned else "off shift"


def _shift(window: ShiftWindow) -> dict[str, Any]:
    return {"id": window.id, "start_ms": window.start_ms, "end_ms": window.end_ms}


def _of_shifts(plant: Plant, path: str, one: Live, heard_ms: int) -> Iterator[Entry]:
    final_ms = final_until(plant, one.cell, heard_ms)
    for shift in one.before:
        key = topic_key(shift.window.id)
        if key is not None:
            final = one.is_final(shift.window, final_ms)
            document = _shift_document(plant, one, shift, final=final)
            yield f"{path}/_state/oee-shift/{key}", document


def _shift_document(plant: Plant, one: Live, shift: ShiftSums, *, final: bool) -> Document:
    figures = _figures(shift.sums)
    corrections = one.cell.corrections.get(shift.window.id, 0)
    name = _shift_name(shift.window)
    return {
        "summary": f"{_headline(figures)} {name}, over, {_standing(corrections, final=final)}",
        **figures,
        "shift": _shift(shift.window),
        "policy_id": plant.policy.id,
        **_finality(corrections, final=final),
        "at_ms": shift.window.end_ms,
    }


def _finality(corrections: int, *, final: bool) -> Document:
    return {"provisional": not final, "final": final, "corrections": corrections}


def _standing(corrections: int, *, final: bool) -> str:
    word = "final" if final else "provisional"
    return f"{word}, corrected {corrections} x" if corrections else word


def _order_document(plant: Plant, neck: Live, order_id: str, order: OrderSums) -> Document:
    figures, final = _figures(order.sums), order.settled_ms is not None
    standing = f", {_standing(order.corrections, final=final)}" if final else ""
    return {
        "summary": f"{_headline(figures)} {shown(order_id)} {shown(order.item)}{standing}",
        **figures,
        "order_id": order_id,
        "item": order.item,
        "bottleneck": neck.place.line.bottleneck,
        "policy_id": plant.policy.id,
        **_finality(order.corrections, final=final),
        "at_ms": neck.at_ms if order.unloaded_ms is None else order.unloaded_ms,
    }


def _stop_document(plant: Plant, one: Live, stop: Stop) -> Document:
    end_ms = one.at_ms if stop.end_ms is None else stop.end_ms
    reason = plant.reasons.get(stop.reason or "")
    title = reason.title if reason else None
    seconds = (end_ms - stop.start_ms) / 1_000
    cause = f"{title} ({stop.reason})" if title else f"no reason yet ({shown(stop.state)})"
    return {
        "summary": f"{'stopped' if stop.is_open else 'last stop'} {seconds:.1f} s: {cause}",
        "stop_id": stop.stop_id,
        "open": stop.is_open,
        "state": stop.state,
        "reason": stop.reason,
        "title": title,
        "order_id": stop.order_id,
        "since_ms": stop.start_ms,
        "duration_ms": end_ms - stop.start_ms,
        "at_ms": end_ms,
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
