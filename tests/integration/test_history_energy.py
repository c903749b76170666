"""Energy by meters and for each good piece, from each store."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.brokers import small_plant
from tests.speech import LINE, MILL, NOON, WASH, Sent, new_writer, output, record, tag
from uns.historian.errors import QueryRefused
from uns.historian.history.energy import energy
from uns.historian.history.period import Period, period
from uns.historian.reader import Reader, open_reader
from uns.historian.store import open_store
from uns.model.plant import Plant

MINUTE_MS: Final = 60_000
METER: Final = {"unit": "kWh", "role": "energy"}
PIECE: Final = {"element": "apt", "state": "EXECUTE", "shift_id": "s", "policy_id": "p"}
READ: Final[list[tuple[float, float]]] = [
    *((-5, 990.0), (1, 991.5), (5, 995.0), (9, 999.0)),
    *((11, 1.0), (15, 4.0), (19, 5.0)),
]
"""A meter that rolls over at 1000, by minute."""


def metered(rollover: int | None = 1_000) -> Plant:
    """The small plant, where the mill has a meter on its first tag and the wash one never read."""
    document: dict[str, Any] = small_plant().model_dump()
    cells = document["sites"]["berlin"]["areas"]["machining"]["lines"]["housing"]["cells"]
    cells["mill"]["tags"]["tag-0"] |= {**METER, "rollover": rollover}
    cells["wash"]["tags"]["tag-1"] |= METER
    return Plant.model_validate(document)


def minutes(first: int, last: int) -> Period:
    return period(NOON + first * MINUTE_MS, NOON + last * MINUTE_MS)


def told() -> Iterator[Sent]:
    for minute, kwh in READ:
        yield tag(kwh, NOON + round(minute * MINUTE_MS))
    for n, (first, last, good) in enumerate(((0, 10, 30), (10, 20, 10)), 1):
        span = {"start_ms": NOON + first * MINUTE_MS, "end_ms": NOON + last * MINUTE_MS}
        made = {"pq": good, "gq": good, "ideal_ms": good, "ideal_good_ms": good}
        yield output(n, "oee", "oee-interval", {**PIECE, **span, **made}, path=MILL)


@pytest.fixture(scope="module")
def filled(shared_location: str) -> str:
    store = open_store(shared_location, lambda: NOON)
    record(new_writer(store), *told())
    store.close()
    return shared_location


@pytest.fixture
def reader(filled: str) -> Iterator[Reader]:
    with open_reader(filled) as reader:
        yield reader


def test_a_good_piece_took_what_the_meter_rose_by(reader: Reader) -> None:
    found = energy(reader, metered(), MILL, minutes(0, 10))
    (mill,) = found.cells
    assert mill.meters == (f"{MILL}/_tag/tag-0",)
    assert (mill.kwh, mill.good) == (9.0, 30)
    assert mill.kwh_per_good == pytest.approx(0.3)
    assert mill.coverage == 1.0


def test_the_parts_of_a_period_add_up_to_the_whole_over_a_roll_over(reader: Reader) -> None:
    plant = metered()
    whole = energy(reader, plant, MILL, minutes(0, 20)).total
    parts = [energy(reader, plant, MILL, minutes(a, a + 5)).total.kwh for a in (0, 5, 10, 15)]
    assert whole.kwh == sum(one or 0 for one in parts) == 15.0
    assert whole.kwh_per_good == pytest.approx(15 / 40)


def test_a_meter_that_was_set_back_goes_on_from_nothing(reader: Reader) -> None:
    assert energy(reader, metered(rollover=None), MILL, minutes(0, 20)).total.kwh == 9 + 5


def test_a_line_is_the_sum_of_its_meters_over_what_it_made(reader: Reader) -> None:
    found = energy(reader, metered(), LINE, minutes(0, 10))
    mill, wash = found.cells
    assert (wash.place, wash.kwh, wash.kwh_per_good, wash.coverage) == (WASH, None, None, 0.0)
    assert (found.total.kwh, found.total.good) == (mill.kwh, mill.good)
    assert found.total.coverage == pytest.approx(0.5)


def test_without_a_meter_or_a_good_piece_there_is_no_figure(reader: Reader) -> None:
    assert energy(reader, metered(), MILL, minutes(25, 30)).total.kwh_per_good is None
    with pytest.raises(QueryRefused, match="0 tags of role energy"):
        energy(reader, small_plant(), LINE, minutes(0, 10))
