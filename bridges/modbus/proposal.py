"""What registers and bits look like as tags of namespace.yaml, each with what it could be.

Owns guesses and the text. Pure: the values come from whoever asked the device (scan.py). Modbus
tells no names, types or units, so every guess is said as one, with the raw registers beside it.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any, Final, NamedTuple

from bridges.modbus.config import BIT_TABLES, DataType, ModbusSource, Order, Table
from bridges.modbus.errors import UnreadableError
from bridges.modbus.layout import decode
from uns.model.observation import Scalar
from uns.model.proposal import quoted, remark

QUIET_MIN: Final[dict[bool, int]] = {False: 4, True: 16}
"""So many zeros in a row are one remark; by whether they are bits."""
TEXT_REGISTERS_MIN: Final = 3
TEXT_REGISTERS_MAX: Final = 60
FLOAT_MIN: Final = 1e-3
FLOAT_MAX: Final = 1e7
ROUND_DIGITS: Final = 6
INT16_MIN: Final = 0x8000
MANUAL_MAX: Final = 9_999
_MANUAL: Final[dict[Table, str]] = {"coil": "0", "discrete": "1", "input": "3", "holding": "4"}
_ORDERS: Final[tuple[Order, ...]] = ("big", "little")
_LIKELY, _VERY_LIKELY = 1, 3


class Span(NamedTuple):
    """Addresses of a table that can be read, without a hole, and what was in them."""

    table: Table
    start: int
    values: tuple[int, ...]

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.start + len(self.values)


class Unit(NamedTuple):
    """What one unit told.

    identity: vendor, product and revision where the unit has function 43/14.
    remarks: what was refused or not looked at.
    """

    unit: int
    identity: tuple[str, ...]
    spans: tuple[Span, ...]
    remarks: tuple[str, ...]


class Guess(NamedTuple):
    """A value that may be in `size` registers or bits from an address on.

    keys: of the source, beside table and address; None for zeros that are no tag.
    """

    address: int
    size: int
    keys: Mapping[str, Any] | None
    value: Scalar


def merged(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Spans in order, those that touch put together."""
    whole = list[Span]()
    for span in sorted(spans):
        last = whole[-1] if whole else None
        if last and (last.table, last.end) == (span.table, span.start):
            whole[-1] = Span(last.table, last.start, last.values + span.values)
        else:
            whole.append(span)
    return tuple(whole)


def word_order_of(spans: Sequence[Span]) -> Order:
    """The word order in which more of the registers look like floats; `big` where none do."""
    return max(_ORDERS, key=lambda order: sum(_votes(spans, order)))


def _votes(spans: Sequence[Span], order: Order) -> Iterator[int]:
    for span in spans:
        if span.table not in BIT_TABLES:
            yield from (_likeliness(pair, order) for pair in pairwise(span.values))


def guesses(span: Span, order: Order) -> Iterator[Guess]:
    """A span from its first address to its last, each in one guess."""
    if span.table in BIT_TABLES:
        yield from _bits(span)
        return
    at, values = 0, span.values
    while at < len(values):
        guess = _quiet(span, at, order) or _text(span, at) or _float(span, at, order)
        guess = guess or Guess(span.start + at, 1, {}, values[at])
        yield guess
        at += guess.size


def _bits(span: Span) -> Iterator[Guess]:
    at = span.start
    for value, run in groupby(span.values):
        size = len(list(run))
        if not value and size >= QUIET_MIN[True]:
            yield Guess(at, size, None, False)  # noqa: FBT003 - the value of a bit
        else:
            yield from (Guess(at + i, 1, {"type": "bool"}, bool(value)) for i in range(size))
        at += size


def _quiet(span: Span, at: int, order: Order) -> Guess | None:
    """Zeros in a row, without one that begins a float."""
    rest = span.values[at:]
    size = next((i for i, value in enumerate(rest) if value), len(rest))
    if size and size < len(rest) and _likeliness((0, rest[size]), order):
        size -= 1
    return Guess(span.start + at, size, None, 0) if size >= QUIET_MIN[False] else None


def _text(span: Span, at: int) -> Guess | None:
    size = 0
    for value in span.values[at : at + TEXT_REGISTERS_MAX]:
        pair = value.to_bytes(2)
        if not all(_is_character(byte) for byte in pair.rstrip(b"\0")) or not pair[0]:
            break
        size += 1
        if not pair[1]:
            break
    if size < TEXT_REGISTERS_MIN:
        return None
    keys = {"type": "string", "length": 2 * size}
    return Guess(span.start + at, size, keys, _decoded(span, at, "string", length=2 * size))


def _is_character(byte: int) -> bool:
    return byte < 0x7F and (chr(byte).isalnum() or chr(byte) in " -_./:")  # noqa: PLR2004 - ASCII


def _float(span: Span, at: int, order: Order) -> Guess | None:
    """Two registers that look like a float, unless the second one begins a likelier float."""
    likeliness = [_likeliness(pair, order) for pair in pairwise(span.values[at : at + 3])]
    if not likeliness or not likeliness[0] or max(likeliness) > likeliness[0]:
        return None
    keys = {"type": "float32"} | ({"word_order": order} if order != "big" else {})
    return Guess(span.start + at, 2, keys, _decoded(span, at, "float32", word_order=order))


def _likeliness(pair: tuple[int, int], order: Order) -> int:
    """How much two registers look like a float: of a usual size, and better with few digits."""
    value = _decoded(Span("holding", 0, pair), 0, "float32", word_order=order)
    if not isinstance(value, float) or not FLOAT_MIN <= abs(value) < FLOAT_MAX:
        return 0
    return _VERY_LIKELY if value == float(f"{value:.{ROUND_DIGITS}g}") else _LIKELY


def _decoded(span: Span, at: int, kind: DataType, **keys: Any) -> Scalar:
    source = ModbusSource(address=0, type=kind, **keys)
    try:
        return decode(source, span.values[at : at + source.width])
    except UnreadableError:
        return None


def lines(bridge: str, settings: Mapping[str, Any], units: Sequence[Unit]) -> Iterator[str]:
    """The proposal. settings: what the bridge is to have."""
    yield "# Proposed by `uns discover modbus`. Modbus tells no names, types or units: all of it is"
    yield "# guessed. Compare it with the device's manual, give names and units, and paste what you"
    yield "# need into namespace.yaml. Addresses count from 0; in brackets, the number in manuals."
    yield "# Coils and holding registers can be written where the device lets them: say `writable`."
    yield "bridges:"
    yield f"  {bridge}:"
    yield "    protocol: modbus"
    for key, value in settings.items():
        yield f"    {key}: {quoted(value) if isinstance(value, str) else value}"
    yield ""
    yield f"tags: # of a cell that says `bridge: {bridge}`, or whose line does"
    for unit in units:
        yield from _unit_lines(unit, settings["unit"])


def documents(unit: Unit) -> Iterator[dict[str, Any]]:
    """The same for programs: one document a guess."""
    order = word_order_of(unit.spans)
    for span in unit.spans:
        for guess in guesses(span, order):
            if guess.keys is not None:
                yield {
                    "name": _name(span.table, guess.address),
                    "source": _source(unit.unit, span.table, guess),
                    "value": guess.value,
                    "raw": list(_raw(span, guess)),
                }


def _unit_lines(unit: Unit, default: int) -> Iterator[str]:
    yield f"  # unit {unit.unit}"
    for told in (*unit.identity, *unit.remarks):
        yield f"  # {remark(told, 120)}"
    order = word_order_of(unit.spans)
    for span in unit.spans:
        yield f"  # {span.table} {span.start} to {span.end - 1} can be read"
        for guess in guesses(span, order):
            yield _line(unit.unit, span, guess, with_unit=unit.unit != default)


def _line(unit: int, span: Span, guess: Guess, *, with_unit: bool) -> str:
    if guess.keys is None:
        last = guess.address + guess.size - 1
        return f"  # {span.table} {guess.address} to {last}: {guess.size} times 0"
    source, name = _source(unit, span.table, guess), _name(span.table, guess.address)
    if with_unit:
        name = f"unit-{unit}-{name}"
    else:
        del source["unit"]
    said = "; ".join(_remarks(span, guess))
    keys = ", ".join(f"{key}: {value}" for key, value in source.items())
    return f"  {name}: {{source: {{{keys}}}}} # {said}"


def _name(table: Table, address: int) -> str:
    return f"{table}-{address}"


def _source(unit: int, table: Table, guess: Guess) -> dict[str, Any]:
    return {"unit": unit, "table": table, "address": guess.address, **(guess.keys or {})}


def _remarks(span: Span, guess: Guess) -> Iterator[str]:
    number = guess.address + 1
    if number <= MANUAL_MAX:
        yield f"({_MANUAL[span.table]}{number:04})"
    shown = f"'{remark(guess.value)}'" if isinstance(guess.value, str) else str(guess.value).lower()
    yield f"now {shown}"
    if span.table in BIT_TABLES:
        return
    raw = _raw(span, guess)
    if guess.size <= TEXT_REGISTERS_MIN:
        yield f"raw {' '.join(f'{value:04X}' for value in raw)}"
    if guess.size > 1:
        return
    if raw[0] >= INT16_MIN:
        yield f"int16 {raw[0] - 0x10000}"
    at = guess.address - span.start
    for order in _ORDERS:
        pair = span.values[at : at + 2]
        if len(pair) > 1 and _likeliness((pair[0], pair[1]), order):
            value = _decoded(span, at, "float32", word_order=order)
            yield f"with the next one float32 {value}, word_order {order}"


def _raw(span: Span, guess: Guess) -> tuple[int, ...]:
    at = guess.address - span.start
    return span.values[at : at + guess.size]
