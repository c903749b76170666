"""Whether a value may be written to a device, or why not.

Owns the rules and their words, which an operator reads. Does not know MQTT, queues or any clock:
the time, the newest readings and what was written last are arguments.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from uns.model.commands import WriteTag
from uns.model.equipment import CODINGS, state_name
from uns.model.observation import Reading, Scalar, SetPoint
from uns.model.plant import Cell, TagSpec
from uns.model.writable import Interlock, Writable


class Situation(NamedTuple):
    """What is known when a request comes.

    readings: the newest of the cell, by tag. last_ms: when the tag was written last, or None.
    under_way: whether a write of the tag is not answered yet. now_ms: plant time.
    """

    readings: Mapping[str, Reading]
    last_ms: int | None
    under_way: bool
    now_ms: int


class _Question(NamedTuple):
    cell: Cell
    tag: str
    spec: TagSpec
    bounds: Writable
    request: WriteTag
    situation: Situation


def check(path: str, cell: Cell, tag: str, request: WriteTag, known: Situation) -> SetPoint | str:
    """The set-point of a request to write `tag` of the cell at `path`, or why it is refused."""
    spec = cell.tags.get(tag)
    if spec is None:
        return f"there is no tag '{tag}' at {path}"
    if spec.writable is None:
        return f"{tag} is not writable: give it 'writable' in namespace.yaml to allow it"
    question = _Question(cell, tag, spec, spec.writable, request, known)
    for rule in _RULES:
        for reason in rule(question):
            return reason
    return SetPoint(request.request_id, path, tag, request.value)


def _expired(q: _Question) -> Iterator[str]:
    end_ms = q.request.expires_at_ms
    if end_ms is not None and q.situation.now_ms > end_ms:
        yield f"it came {q.situation.now_ms - end_ms} ms after it had expired"


def _connected(q: _Question) -> Iterator[str]:
    reading = q.situation.readings.get(q.tag)
    if reading is None:
        yield f"nothing was read from {q.tag} yet"
    elif reading.quality != "good":
        yield f"{q.tag} is {reading.quality}: {reading.reason or 'no reason given'}"


def _type(q: _Question) -> Iterator[str]:
    wanted = kind_of(q.situation.readings[q.tag].value)
    if wanted not in (kind_of(None), kind_of(q.request.value)):
        value = q.request.value
        yield f"{q.tag} holds a {wanted}, and {shown(value)} is a {kind_of(value)}"


def _range(q: _Question) -> Iterator[str]:
    value, bounds, unit = q.request.value, q.bounds, f" {q.spec.unit}" if q.spec.unit else ""
    if bounds.one_of is not None:
        if not _among(value, bounds.one_of):
            yield f"{shown(value)} is none of {', '.join(map(shown, bounds.one_of))}"
    elif isinstance(value, bool | str):
        yield f"{q.tag} takes a number, and {shown(value)} is a {kind_of(value)}"
    elif not (bounds.minimum or 0) <= value <= (bounds.maximum or 0):
        yield f"{shown(value)} is outside {bounds.minimum:g} to {bounds.maximum:g}{unit}"


def _interlocks(q: _Question) -> Iterator[str]:
    for interlock in q.bounds.interlock:
        reading = q.situation.readings.get(interlock.tag)
        if reading is None or reading.quality != "good":
            yield f"interlock: {interlock.tag} is not known with good quality"
        elif not _holds(interlock, reading, q.cell):
            held = shown(_as_shown(interlock.tag, reading.value, q.cell))
            wanted = " or ".join(map(shown, interlock.one_of))
            yield f"interlock: {interlock.tag} is {held}, and must be {wanted}"


def _free(q: _Question) -> Iterator[str]:
    if q.situation.under_way:
        yield f"a write of {q.tag} is under way: wait for its answer"


def _rate(q: _Question) -> Iterator[str]:
    last_ms, now_ms = q.situation.last_ms, q.situation.now_ms
    if last_ms is not None and now_ms - last_ms < q.bounds.interval_ms_min:
        left_ms = q.bounds.interval_ms_min - (now_ms - last_ms)
        yield f"too soon after the last write: {q.tag} may be written again in {left_ms} ms"


_RULES: Final[tuple[Callable[[_Question], Iterator[str]], ...]] = (
    _expired,
    _connected,
    _type,
    _range,
    _interlocks,
    _free,
    _rate,
)


def kind_of(value: Scalar) -> str:
    """What a person calls the type of a value."""
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "text"
        case None:
            return "nothing"


def shown(value: Scalar) -> str:
    """A value as a person reads it: `71.5`, `true`, `'LOT-1'`."""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, str) else str(value)


def _holds(interlock: Interlock, reading: Reading, cell: Cell) -> bool:
    return _among(_as_shown(interlock.tag, reading.value, cell), interlock.one_of)


def _as_shown(tag: str, value: Scalar, cell: Cell) -> Scalar:
    """A state by its PackML name, anything else as it is."""
    if cell.tags[tag].role != "state" or value is None:
        return value
    code = value if isinstance(value, str) else int(value)
    return state_name(code, CODINGS[cell.coding])


def _among(value: Scalar, choices: tuple[bool | int | float | str, ...]) -> bool:
    """Whether a value is one of some; true is not 1."""
    return any(kind_of(value) == kind_of(one) and value == one for one in choices)
