"""What registers and bits look like in namespace.yaml: guesses, and said as such."""

import struct
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bridges.modbus.proposal import (
    Guess,
    Span,
    Unit,
    documents,
    guesses,
    lines,
    merged,
    word_order_of,
)
from tests.pasting import proposed

SETTINGS = {"host": "10.0.0.7", "port": 502, "unit": 1}
REGISTERS = st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=40).map(tuple)


def floats(*values: float, order: str = "big") -> tuple[int, ...]:
    pairs = [struct.unpack(">HH", struct.pack(">f", value)) for value in values]
    return tuple(word for pair in pairs for word in (pair if order == "big" else pair[::-1]))


def text(words: str) -> tuple[int, ...]:
    encoded = words.encode().ljust((len(words) + 1) // 2 * 2, b"\0")
    return struct.unpack(f">{len(encoded) // 2}H", encoded)


def holding(*values: int, start: int = 0) -> Span:
    return Span("holding", start, values)


def guessed(span: Span) -> list[tuple[int, Any]]:
    return [
        (g.address, g.value) for g in guesses(span, word_order_of([span])) if g.keys is not None
    ]


def proposal(*units: Unit) -> str:
    return "\n".join(lines("meter", SETTINGS, units)) + "\n"


def test_numbers_floats_and_texts_are_told_apart() -> None:
    span = holding(700, *floats(71.3, -4.25), *text("PO-1000"), 5, 0xFFFE)
    assert guessed(span) == [(0, 700), (1, 71.3), (3, -4.25), (5, "PO-1000"), (9, 5), (10, 0xFFFE)]


def test_the_word_order_is_the_one_in_which_more_make_sense() -> None:
    span = holding(700, *floats(71.3, 15.0, 0.25, order="little"), 9)
    assert word_order_of([span]) == "little"
    assert guessed(span) == [(0, 700), (1, 71.3), (3, 15.0), (5, 0.25), (7, 9)]
    (first,) = [g for g in guesses(span, "little") if g.address == 1]
    assert first.keys == {"type": "float32", "word_order": "little"}


def test_zeros_in_a_row_are_one_remark() -> None:
    span = holding(7, *[0] * 50, 8, 0, 9)
    assert guessed(span) == [(0, 7), (51, 8), (52, 0), (53, 9)]
    assert "  # holding 1 to 50: 50 times 0" in proposal(Unit(1, (), (span,), ())).splitlines()
    bits = Span("coil", 0, (1, *[0] * 20, 1, 0))
    assert [g.address for g in guesses(bits, "big") if g.keys] == [0, 21, 22]


def test_zeros_before_a_float_leave_it_whole() -> None:
    assert guessed(holding(*[0] * 6, *floats(15.0, order="little"), 3)) == [(6, 15.0), (8, 3)]


def test_spans_that_touch_are_one() -> None:
    spans = [holding(3, start=2), holding(1, 2), holding(9, start=4), Span("input", 3, (4,))]
    assert merged(spans) == (holding(1, 2, 3), holding(9, start=4), Span("input", 3, (4,)))


def test_a_line_says_what_it_could_be_else() -> None:
    (line,) = [one for one in proposal(
        Unit(1, (), (holding(0xFF9C, start=17),), ())).splitlines() if "holding-17" in one
    ]  # fmt: skip
    assert line.strip() == (
        "holding-17: {source: {table: holding, address: 17}} # (40018); now 65436; raw FF9C; "
        "int16 -100"
    )
    either = holding(*floats(71.3)[:1], 1, *floats(71.3, 4.5, order="little"))
    said = proposal(Unit(1, (), (either,), ()))
    assert "with the next one float32 71.0" in said
    assert ", word_order big" in said


def test_the_head_says_that_modbus_tells_nothing_and_the_unit_who_it_is() -> None:
    said = proposal(Unit(1, ("vendor: Acme",), (holding(1),), ("no table coil: illegal function",)))
    assert "Modbus tells no names, types or units" in said
    assert "  # vendor: Acme\n  # no table coil: illegal function\n" in said


def test_several_units_have_names_of_their_own() -> None:
    units = [Unit(n, (), (holding(5), Span("coil", 3, (1,))), ()) for n in (1, 7)]
    tags = proposed(proposal(*units)).cell.tags
    assert list(tags) == ["holding-0", "coil-3", "unit-7-holding-0", "unit-7-coil-3"]
    assert tags["unit-7-coil-3"].source == {
        "unit": 7,
        "table": "coil",
        "address": 3,
        "type": "bool",
    }


@given(REGISTERS, st.lists(st.integers(0, 1), min_size=1, max_size=40).map(tuple))
@settings(max_examples=30, deadline=None)
def test_every_address_is_in_one_guess_and_the_result_passes_the_check(
    registers: tuple[int, ...], bits: tuple[int, ...]
) -> None:
    spans = (Span("input", 30, registers), Span("discrete", 2, bits))
    for span in spans:
        made: list[Guess] = list(guesses(span, word_order_of(spans)))
        covered = [address for g in made for address in range(g.address, g.address + g.size)]
        assert covered == list(range(span.start, span.end))
    unit = Unit(1, (), spans, ())
    tags = proposed(proposal(unit)).cell.tags if list(documents(unit)) else {}
    assert list(tags) == [document["name"] for document in documents(unit)]
