"""What is asked of a server's history, and what is made of its answers, on a server of lists."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from bridges.opcua import history as history_module
from bridges.opcua.errors import RefusedHistoryError
from bridges.opcua.history import History
from bridges.opcua.mapping import EPOCH, OVERFLOW_BITS, Address, Item, Sample
from bridges.opcua.session import Page, Session, Taken
from uns.model.observation import Reading

DAY_MS = 86_400_000
NEW_YEAR = datetime(2026, 1, 1, tzinfo=EPOCH.tzinfo)


def at(ms: int) -> datetime:
    return NEW_YEAR + timedelta(milliseconds=ms)


def at_ms(ms: int) -> int:
    return (at(ms) - EPOCH) // timedelta(milliseconds=1)


def sample(ms: int, status: int = 0, tick_ms: int = 1) -> Sample:
    """The value ms at its time, by a clock of such ticks."""
    return Sample(ms, "Int64", status, "Name", at(ms // tick_ms * tick_ms), None)


def taken(*values: tuple[int, int], status: int = 0) -> list[Taken]:
    return [Taken(handle, sample(ms, status), at_ms(ms)) for handle, ms in values]


def lossy(handle: int, ms: int) -> Taken:
    return Taken(handle, sample(ms, OVERFLOW_BITS), at_ms(ms))


class Server:
    """Has histories by handle; pages of two values, with continuation points or without."""

    def __init__(
        self,
        histories: Mapping[int, Sequence[int]],
        *,
        continues: bool = True,
        page: int = 2,
        tick_ms: int = 1,
    ) -> None:
        self.asked: list[tuple[datetime, datetime, list[tuple[int, bytes | None]]]] = []
        self.histories_max = 20
        self.refuses = self.denies = False
        self.reading_s = 0.0
        self._histories = histories
        self._continues, self._page, self._tick_ms = continues, page, tick_ms

    async def has_history(self, handles: Sequence[int]) -> dict[int, bool]:
        return {handle: not self.denies and handle in self._histories for handle in handles}

    async def history(
        self,
        since: datetime,
        until: datetime,
        asked: Sequence[tuple[int, bytes | None]],
        _values_max: int,
    ) -> list[Page]:
        self.asked.append((since, until, list(asked)))
        await asyncio.sleep(self.reading_s)
        if self.refuses:
            raise RefusedHistoryError("BadServiceUnsupported")
        return [self._one(handle, since, until, point) for handle, point in asked]

    def _one(self, handle: int, since: datetime, until: datetime, point: bytes | None) -> Page:
        samples = [sample(ms, tick_ms=self._tick_ms) for ms in self._histories[handle]]
        found = [one for one in samples if one.at and since <= one.at < until]
        start = int(point or b"0")
        page = found[start : start + self._page]
        more = self._continues and start + self._page < len(found)
        again = str(start + self._page).encode() if more else None
        return Page(page, again, None)


def history(*, nodes: int = 1, age_ms_max: int = DAY_MS, known: int | None = 0) -> History:
    items = [
        Item("urn:x", f"i={n}", 100, 10, (Address("cell", f"t{n}", f"i={n}", is_recorded=True),))
        for n in range(nodes)
    ]
    keys = [] if known is None else [("cell", f"t{n}") for n in range(nodes)]
    made = History(items, age_ms_max, dict.fromkeys(keys, at_ms(known or 0)), at_ms(DAY_MS))
    made.connected()
    return made


async def filled(made: History, server: Server, live: Sequence[Taken]) -> list[Any]:
    """The values that were read, in their order; the live ones are recorded afterwards."""
    found: list[Reading] = []
    async for readings in made.filled(cast(Session, server), live):
        found += readings
    made.seen(live)
    assert all(reading.is_history for reading in found)
    return [reading.value for reading in found]


async def test_continuation_points_are_followed() -> None:
    server = Server({0: [1, 2, 3, 4, 5, 6]})
    assert await filled(history(), server, taken((0, 6))) == [1, 2, 3, 4, 5]
    assert [asked for _, _, asked in server.asked] == [[(0, None)], [(0, b"2")], [(0, b"4")]]


class Deaf(Server):
    """Gives a continuation point with every page and never heeds one."""

    def _one(self, handle: int, since: datetime, until: datetime, _point: bytes | None) -> Page:
        return super()._one(handle, since, until, None)._replace(continuation=b"again")


async def test_a_server_that_heeds_no_continuation_point_is_read_page_by_page(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(history_module, "LAG_S_MAX", 0.05)
    monkeypatch.setattr(history_module, "LAG_PERIOD_S", 0.02)
    server = Deaf({0: range(1, 8)})
    async with asyncio.timeout(5):
        assert await filled(history(), server, taken((0, 9))) == list(range(1, 8))
    assert "the server takes no notice of continuation points" in caplog.text


async def test_pages_of_one_time_are_followed() -> None:
    server = Server({0: [1, *[2] * 10, 3, 4]})
    assert (await filled(history(), server, taken((0, 4))))[-1] == 3
    assert len(server.asked) == 7, "one walk over all pages"


async def test_a_long_hole_is_read_as_long_as_there_is_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history_module, "LAG_S_MAX", 0.05)
    server = Server({0: range(1, 20)}, continues=False)
    server.reading_s = 0.02
    assert await filled(history(), server, taken((0, 19))) == list(range(1, 19))


async def test_what_came_live_is_not_read_again() -> None:
    made, server = history(), Server({0: range(1, 11)})
    live = [*taken((0, 3), (0, 4)), lossy(0, 8)]
    assert await filled(made, server, live) == [1, 2, 5, 6, 7]


async def test_an_overflow_in_a_running_connection_is_read_from_the_last_value() -> None:
    made, server = history(known=None), Server({0: range(1, 11)})
    assert await filled(made, server, taken((0, 3))) == []
    assert await filled(made, server, [lossy(0, 8)]) == [4, 5, 6, 7]
    assert made.unfilled == set()
    assert await filled(made, server, taken((0, 10))) == [], "no hole without a sign of one"


async def test_nothing_is_asked_where_nothing_happened() -> None:
    server = Server({0: [0]})
    assert await filled(history(), server, taken((0, 0))) == []
    assert server.asked == []


async def test_a_bad_value_leaves_the_hole_open() -> None:
    made, server = history(), Server({0: range(1, 11)})
    assert await filled(made, server, taken((0, 5), status=0x8000_0000)) == []
    assert await filled(made, server, taken((0, 8))) == [1, 2, 3, 4, 5, 6, 7]


async def test_a_refusal_is_taken_for_this_connection() -> None:
    made, server = history(), Server({0: range(1, 11)})
    server.refuses = True
    assert await filled(made, server, taken((0, 5))) == []
    assert await filled(made, server, [lossy(0, 8)]) == []
    assert (len(server.asked), made.unfilled) == (1, {0})
    server.refuses = False
    made.connected()
    assert await filled(made, server, taken((0, 10))) == [9]


async def test_a_node_without_history_is_not_asked_for() -> None:
    made, server = history(), Server({0: range(1, 11)})
    server.denies = True
    assert await filled(made, server, [lossy(0, 5)]) == []
    assert (server.asked, made.unfilled) == ([], {0})


async def test_holes_that_begin_far_apart_are_read_apart() -> None:
    hour_ms = 3_600_000
    begins = [0, 1_000, hour_ms, hour_ms + 1]
    ends = [(handle, 2 * hour_ms) for handle in range(4)]
    made = history(nodes=4, known=None)
    server = Server({handle: [2 * hour_ms] for handle in range(4)})
    made.seen(taken(*enumerate(begins)))
    made.connected()
    await filled(made, server, taken(*ends))
    assert [[handle for handle, _ in asked] for _, _, asked in server.asked] == [[0, 1, 2], [3]]
    server.asked.clear()
    server.histories_max = 1
    made.seen(taken(*enumerate(begins)))
    made.connected()
    await filled(made, server, taken(*((handle, 3 * hour_ms) for handle, _ in ends)))
    assert all(len(asked) == 1 for _, _, asked in server.asked)


async def test_the_past_has_a_limit() -> None:
    server = Server({0: range(1, 11)})
    assert await filled(history(age_ms_max=3), server, taken((0, 10))) == [7, 8, 9]


# --- clocks


@pytest.mark.parametrize("ahead", [at(DAY_MS), datetime.max.replace(tzinfo=EPOCH.tzinfo)])
async def test_a_time_to_come_hides_no_hole(ahead: datetime) -> None:
    made, server = history(known=None), Server({0: range(1, 11)})
    assert (
        await filled(made, server, [Taken(0, sample(1)._replace(source_at=ahead), at_ms(5))]) == []
    )
    made.connected()
    assert await filled(made, server, taken((0, 10))) == [6, 7, 8, 9], "after it was heard of"
    made.connected()
    to_come = Taken(0, sample(11)._replace(source_at=ahead), at_ms(11))
    assert await filled(made, server, [to_come]) == []
    assert made.doubtful == set()


async def test_a_known_time_to_come_says_no_more_than_now() -> None:
    made, server = history(known=2 * DAY_MS), Server({0: range(DAY_MS, DAY_MS + 10)})
    assert await filled(made, server, taken((0, DAY_MS + 4))) == [DAY_MS + n for n in range(4)]


async def test_a_clock_that_went_back_is_told_and_followed() -> None:
    made, server = history(known=None), Server({0: range(100)})
    await filled(made, server, taken((0, 90)))
    made.connected()
    assert await filled(made, server, taken((0, 50))) == []
    assert made.doubtful == {0}
    made.connected()
    assert await filled(made, server, taken((0, 53))) == [51, 52]
    assert made.doubtful == set()


async def test_values_of_one_time_are_all_read_and_each_once() -> None:
    made, server = history(), Server({0: range(1, 20)}, tick_ms=5)
    live = [[Taken(0, sample(ms, tick_ms=5), at_ms(ms))] for ms in (7, 9, 9, 14)]
    assert await filled(made, server, live[0]) == [1, 2, 3, 4, 5, 6, 8, 9]
    found = []
    for one in live[1:]:
        made.connected()
        found.append(await filled(made, server, one))
    assert found == [[], [], [10, 11, 12, 13]]


# --- historians that lag


async def test_a_lagging_historian_is_waited_for_once_and_not_at_every_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history_module, "LAG_S_MAX", 0.05)
    monkeypatch.setattr(history_module, "LAG_PERIOD_S", 0.01)
    made, server = history(), Server({0: [1, 2]})
    assert await filled(made, server, taken((0, 5))) == [1, 2]
    waited = len(server.asked)
    assert waited > 3
    for ms in (10, 20, 30):
        server.asked.clear()
        await filled(made, server, [lossy(0, ms)])
        assert len(server.asked) == 1
        assert made.unfilled == {0}


class Trickle(Server):
    """A historian that writes a value between two questions, and is always behind."""

    def __init__(self) -> None:
        self._written = list[int]()
        super().__init__({0: self._written})

    async def history(self, *args: Any) -> list[Page]:
        if len(self.asked) % 2:
            self._written.append(len(self._written) + 1)
        return await super().history(*args)


async def test_a_historian_that_is_always_behind_is_waited_for_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history_module, "LAG_S_MAX", 0.05)
    monkeypatch.setattr(history_module, "LAG_PERIOD_S", 0.01)
    made, server = history(), Trickle()
    async with asyncio.timeout(5):
        assert await filled(made, server, taken((0, 10_000)))
