"""The adapter to Tryton against a real Tryton: each step is taken once, whatever is lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridges.erp_rest.client import exchange_of
from bridges.erp_rest.config import ErpRestSettings
from bridges.erp_rest.contract import Terms
from bridges.erp_rest.mapping import terms_of
from bridges.erp_rest.posting import Line, Poster
from bridges.erp_rest.store import Post, Store
from bridges.erp_rest.tryton import TRYTON
from tests.brokers import bounded, small_plant
from tests.counterpart import confirmation, counterpart
from tests.tryton import BAR_KG, MATERIAL, PRODUCT, Tryton, Wire, tryton

TIMEOUT_MS = 20_000
WORDS: dict[str, Any] = {"items": {"housing-a": PRODUCT}, "units": {"pcs": "u"}}


class Outbox:
    """A store and its poster, with a wall clock that only the test moves."""

    def __init__(self, url: str, key: str, folder: Path) -> None:
        settings = ErpRestSettings(
            url=url, adapter="tryton", credentials_file="t", timeout_ms=TIMEOUT_MS, **WORDS
        )
        self.terms: Terms = terms_of(settings, small_plant())
        self.exchange = exchange_of(settings, folder, TRYTON.authorization(key))
        self.store = Store(folder / "posts.sqlite")
        self._now_ms = 1_000
        line = Line(TRYTON, self.exchange, self.terms, lambda: self._now_ms, lambda: 1.0)
        self._poster = Poster(self.store, line, settings, lambda _trouble: None)

    async def told(self, number: str, counter: int, **changes: Any) -> Post:
        """What becomes of a confirmation in one attempt."""
        said = confirmation(number, counter, **changes)
        self.store.post([said], self._now_ms)
        return await self.again()

    async def again(self) -> Post:
        """What becomes of the last confirmation, a time-out later."""
        self._now_ms += TIMEOUT_MS
        await self._poster.step()
        return self.store.posts(("waiting", "unsure", "sent", "dead", "skipped"))[-1]


@pytest.fixture(scope="module")
def erp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tryton]:
    with tryton(tmp_path_factory.mktemp("erp") / "tryton") as running:
        yield running


@pytest.fixture
def wire(erp: Tryton) -> Wire:
    return Wire(erp.url)


@pytest.fixture
def outbox(erp: Tryton, wire: Wire, tmp_path: Path) -> Iterator[Outbox]:
    with counterpart(wire) as server:
        one = Outbox(f"{server.url}/plant", erp.key, tmp_path)
        yield one
        one.store.close()


def ended(good: int, scrap: int = 0) -> dict[str, Any]:
    return {"final": True, "status": "completed", "good_total": good, "scrap_total": scrap}


@bounded
async def test_an_order_is_read_until_it_runs(erp: Tryton, outbox: Outbox) -> None:
    number = erp.order(7)
    page = TRYTON.page(await outbox.exchange.send(TRYTON.orders("", 0, outbox.terms)))
    orders = {one["order_id"]: one for one in (TRYTON.order(r, outbox.terms) for r in page.rows)}
    revision = orders[number].pop("revision")
    assert orders[number] == {
        "order_id": number,
        "item": "housing-a",
        "quantity": 7,
        "due": "2026-12-01T00:00:00+01:00",
    }
    erp.press("wait", number)
    erp.press("assign_try", number)
    again = TRYTON.page(await outbox.exchange.send(TRYTON.orders(page.cursor, 0, outbox.terms)))
    changed = {row["number"]: TRYTON.order(row, outbox.terms) for row in again.rows}
    assert changed[number]["revision"] >= revision
    erp.press("run", number)
    none = TRYTON.page(await outbox.exchange.send(TRYTON.orders(again.cursor, 0, outbox.terms)))
    assert number not in {row["number"] for row in none.rows}


@bounded
async def test_an_order_runs_and_is_done_with_what_was_made(
    erp: Tryton, outbox: Outbox, wire: Wire
) -> None:
    number = erp.order(7)
    assert (await outbox.told(number, 1)).state == "sent"
    assert erp.state(number) == "running"
    assert (await outbox.told(number, 2)).state == "skipped"
    assert (await outbox.told(number, 3, **ended(6, 2))).state == "sent"
    assert erp.state(number) == "done"
    assert wire.told == ["run", "figures", "do"]
    assert erp.moves(number) == [
        (PRODUCT, 2.0, "Scrap", "done"),
        (PRODUCT, 6.0, "Storage Zone", "done"),
        (MATERIAL, round(7 * BAR_KG, 2), "Production", "done"),
    ]
    late = await outbox.told(number, 4, **ended(7, 2))
    assert late.state == "dead"
    assert late.reason == "it is done in Tryton with 6; made were 7 good and 2 scrap"


@bounded
@pytest.mark.parametrize("is_done", [True, False], ids=["answer", "request"])
@pytest.mark.parametrize("what", ["run", "figures", "do"])
async def test_whatever_is_lost_each_step_is_taken_once(
    what: str, erp: Tryton, outbox: Outbox, wire: Wire, *, is_done: bool
) -> None:
    number = erp.order(5)
    wire.lose(what, is_done=is_done)
    assert (await outbox.told(number, 1, **ended(4, 1))).state == "unsure"
    assert wire.lost.is_set()
    assert (await outbox.again()).state == "sent"
    assert wire.told == ["run", "figures", "do"]
    assert erp.moves(number) == [
        (PRODUCT, 1.0, "Scrap", "done"),
        (PRODUCT, 4.0, "Storage Zone", "done"),
        (MATERIAL, round(5 * BAR_KG, 2), "Production", "done"),
    ]


@bounded
async def test_what_tryton_does_not_take_is_a_dead_letter_that_says_why(
    erp: Tryton, outbox: Outbox
) -> None:
    number = erp.order(5)
    erp.press("wait", number)
    told = await outbox.told(number, 1)
    assert (told.state, told.reason) == (
        "dead",
        "it is in state waiting in Tryton: assign it there",
    )
    unknown = await outbox.told("MO-999", 1)
    assert unknown.reason == "Tryton has 0 orders MO-999: one is expected"
    nothing = await outbox.told("MO-998", 1, good=0, **ended(0))
    assert nothing.state == "skipped"


@bounded
async def test_a_wrong_key_kills_no_confirmation(erp: Tryton, tmp_path: Path) -> None:
    outbox = Outbox(erp.url, "wrong", tmp_path)
    told = await outbox.told(erp.order(5), 1)
    outbox.store.close()
    assert (told.state, told.attempts) == ("waiting", 0)
    assert told.reason.startswith("401")
