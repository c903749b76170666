"""What a cell remembers of its stops: the time of each as it was booked, and which are over.

Owns the bounds of that memory. Micro-stops are not kept: they are lost speed and take no reason.
Knows no command and puts out nothing.
"""

from processors.base import replace
from processors.oee.state import PARTS_KEPT, PARTS_MAX, STOPS_KEPT, CellTime, Part, Piece, Stop
from uns.model.equipment import ELEMENT_WITH_ORDER, Element

Stops = tuple[Stop, ...]


def extended(stop: Stop, piece: Piece, element: Element, end_ms: int) -> Stop:
    """The stop with a booked piece more; what goes on in the same way is one part."""
    if end_ms <= piece.start_ms:
        return stop
    part = Part(
        element=element,
        state=piece.state,
        order_id=piece.order_id,
        item=piece.item,
        window_id=piece.window.id,
        start_ms=piece.start_ms,
        end_ms=end_ms,
    )
    last = stop.parts[-1] if stop.parts else None
    if last is not None and last.end_ms == part.start_ms and _kind(last) == _kind(part):
        return replace(stop, parts=(*stop.parts[:-1], last._replace(end_ms=end_ms)))
    if len(stop.parts) >= PARTS_MAX:
        return replace(stop, whole=False)
    return replace(stop, parts=(*stop.parts, part))


def before(parts: tuple[Part, ...], at_ms: int) -> tuple[Part, ...]:
    """What of some parts lies before an instant."""
    return tuple(p._replace(end_ms=min(p.end_ms, at_ms)) for p in parts if p.start_ms < at_ms)


def after(parts: tuple[Part, ...], at_ms: int) -> tuple[Part, ...]:
    """What of some parts lies behind an instant."""
    return tuple(p._replace(start_ms=max(p.start_ms, at_ms)) for p in parts if p.end_ms > at_ms)


def ended(cell: CellTime, stop: Stop, at_ms: int) -> CellTime:
    """The cell whose open stop is over; a real one is kept, while there is room."""
    over = replace(stop, end_ms=at_ms)
    cell = replace(cell, stop=replace(over, parts=()))
    return replace(cell, stops=kept((*cell.stops, over))) if stop.decided else cell


def kept(stops: Stops) -> Stops:
    """The newest of some stops, as many as their bounds let be."""
    newest = stops[-STOPS_KEPT:]
    while sum(len(stop.parts) for stop in newest) > PARTS_KEPT:
        newest = newest[1:]
    return newest


def put(cell: CellTime, gone: Stops, come: Stops) -> CellTime:
    """The cell with other stops in place of some that are over, and one change more."""
    ids = {stop.stop_id for stop in gone}
    stops = sorted(
        (*(s for s in cell.stops if s.stop_id not in ids), *come), key=lambda s: s.start_ms
    )
    shown = cell.stop
    if shown is not None and shown.stop_id in ids:
        shown = replace(come[-1], parts=())
    return replace(cell, stops=kept(tuple(stops)), stop=shown, changes=cell.changes + 1)


def _kind(part: Part) -> tuple[object, ...]:
    own = ELEMENT_WITH_ORDER.get(part.state)
    return (part.element, own, part.window_id, part.order_id, part.item)
