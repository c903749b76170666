"""The outbox to an ERP at a real HTTP server: time-outs, crashes, refusals, an ERP that is away."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridges.erp_rest import store
from bridges.erp_rest.client import exchange_of
from bridges.erp_rest.config import ErpRestSettings
from bridges.erp_rest.confirmation import Confirmation
from bridges.erp_rest.contract import Request
from bridges.erp_rest.errors import NotSent, SettingsError, Unsure
from bridges.erp_rest.generic import GENERIC
from bridges.erp_rest.mapping import terms_of
from bridges.erp_rest.posting import Line, Poster
from bridges.erp_rest.store import Post, Store
from tests.brokers import bounded, free_port, small_plant
from tests.certificates import issued
from tests.counterpart import (
    SILENCE,
    Asked,
    Books,
    Counterpart,
    Said,
    confirmation,
    counterpart,
)

PLANT = small_plant()
RETRY_MS, TIMEOUT_MS = 100, 300


class Outbox:
    """A store and its poster, with a wall clock that only the test moves."""

    def __init__(self, url: str, folder: Path, **settings: Any) -> None:
        given = {"retry_ms_min": RETRY_MS, "timeout_ms": TIMEOUT_MS, **settings}
        self.settings = ErpRestSettings(url=url, credentials_file="t", **given)
        self.store = Store(folder / "posts.sqlite")
        self.now_ms = 1_000
        self.troubles: list[str | None] = []
        exchange = exchange_of(self.settings, folder, "Bearer x")
        terms = terms_of(self.settings, PLANT)
        line = Line(GENERIC, exchange, terms, lambda: self.now_ms, lambda: 1.0)
        self.poster = Poster(self.store, line, self.settings, self.troubles.append)

    def put(self, *confirmations: Confirmation) -> None:
        self.store.post(confirmations, self.now_ms)

    async def after(self, wait_ms: int = 0) -> list[str]:
        """The states of all posts after a wait and one step."""
        self.now_ms += wait_ms
        await self.poster.step()
        return [post.state for post in self.all()]

    def all(self) -> list[Post]:
        return self.store.posts(("waiting", "unsure", "sent", "dead", "skipped"))


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture
def erp(books: Books) -> Iterator[Counterpart]:
    with counterpart(books) as server:
        yield server


@pytest.fixture
def outbox(erp: Counterpart, tmp_path: Path) -> Iterator[Outbox]:
    one = Outbox(erp.url, tmp_path)
    yield one
    one.store.close()


@bounded
async def test_orders_go_side_by_side_and_each_in_its_order(outbox: Outbox, books: Books) -> None:
    outbox.put(*(confirmation(order, n) for n in (1, 2, 3) for order in ("PO-1", "PO-2")))
    assert (await outbox.after()).count("sent") == 2
    assert (await outbox.after()).count("sent") == 4
    assert (await outbox.after()).count("sent") == 6
    counters = [c["counter"] for c in books.confirmations.values() if c["order_id"] == "PO-1"]
    assert counters == [1, 2, 3]
    outbox.put(confirmation("PO-1", 3))
    assert len(outbox.all()) == 6


@bounded
@pytest.mark.parametrize("lost", ["answer", "request"])
async def test_after_a_time_out_the_erp_is_asked_before_anything_is_sent_again(
    lost: str, outbox: Outbox, books: Books, erp: Counterpart
) -> None:
    def silent(asked: Asked) -> Said:
        books.trouble = None
        if lost == "answer":
            books.take(asked)
        return SILENCE

    books.trouble = silent
    outbox.put(confirmation())
    assert await outbox.after() == ["unsure"]
    assert await outbox.after(TIMEOUT_MS + RETRY_MS) == ["sent"]
    wanted = ["POST", "GET"] if lost == "answer" else ["POST", "GET", "POST"]
    assert [asked.method for asked in erp.asked] == wanted
    assert len(books.confirmations) == 1
    assert books.twice == []


@bounded
async def test_an_erp_that_hangs_is_left_in_time_and_asked_later(
    outbox: Outbox, books: Books
) -> None:
    release = threading.Event()

    def slow(asked: Asked) -> Said:
        books.trouble = None
        said = books.take(asked)
        release.wait(10)
        return said

    books.trouble = slow
    outbox.put(confirmation())
    assert await outbox.after() == ["unsure"]
    release.set()
    assert await outbox.after(RETRY_MS) == ["unsure"], "it is not asked before as long again"
    assert await outbox.after(TIMEOUT_MS) == ["sent"]
    assert books.twice == []


@bounded
async def test_a_kill_in_the_middle_of_a_request_is_a_time_out_too(
    outbox: Outbox, books: Books, erp: Counterpart, tmp_path: Path
) -> None:
    taken, release = threading.Event(), threading.Event()

    def slow(asked: Asked) -> Said:
        books.trouble = None
        said = books.take(asked)
        taken.set()
        release.wait(10)
        return said

    books.trouble = slow
    outbox.put(confirmation())
    step = asyncio.create_task(outbox.poster.step())
    await asyncio.to_thread(taken.wait, 10)
    step.cancel()
    await asyncio.wait({step})
    release.set()
    again = Outbox(erp.url, tmp_path)
    assert [post.state for post in again.all()] == ["unsure"]
    assert await again.after(TIMEOUT_MS) == ["sent"]
    again.store.close()
    assert books.twice == []


@bounded
async def test_a_request_that_outlives_a_kill_is_not_sent_beside_itself(
    outbox: Outbox, books: Books, erp: Counterpart, tmp_path: Path
) -> None:
    asked_for, release, taken = threading.Event(), threading.Event(), threading.Event()

    def slow(asked: Asked) -> Said:
        books.trouble = None
        asked_for.set()
        release.wait(10)
        said = books.take(asked)
        taken.set()
        return said

    books.trouble = slow
    outbox.put(confirmation())
    step = asyncio.create_task(outbox.poster.step())
    await asyncio.to_thread(asked_for.wait, 10)
    step.cancel()
    await asyncio.wait({step})
    again = Outbox(erp.url, tmp_path)
    assert await again.after(TIMEOUT_MS - 1) == ["unsure"], "it is at work there, for all we know"
    release.set()
    await asyncio.to_thread(taken.wait, 10)
    assert await again.after(1) == ["sent"]
    again.store.close()
    assert books.twice == []


@bounded
async def test_a_refusal_is_a_dead_letter_that_only_its_own_order_waits_for(
    outbox: Outbox, books: Books
) -> None:
    def picky(asked: Asked) -> Said:
        if asked.method == "POST" and asked.document["order_id"] == "PO-1":
            return Said(422, {"reason": "order is closed\nthere"})
        return books.honest(asked)

    books.trouble = picky
    outbox.put(confirmation("PO-1", 1), confirmation("PO-1", 2), confirmation("PO-2", 1))
    assert await outbox.after() == ["dead", "waiting", "sent"]
    assert await outbox.after(10**6) == ["dead", "waiting", "sent"]
    assert outbox.all()[0].reason == "422 order is closed there"
    assert not outbox.store.set_free(2, "unsure"), "it is no dead letter"
    books.trouble = None
    assert outbox.store.set_free(1, "unsure")
    assert await outbox.after() == ["sent", "waiting", "sent"]
    assert await outbox.after() == ["sent", "sent", "sent"]


@bounded
async def test_a_dead_letter_that_is_skipped_lets_the_next_go(outbox: Outbox, books: Books) -> None:
    books.trouble = lambda _asked: Said(400, {"reason": "no"})
    outbox.put(confirmation("PO-1", 1), confirmation("PO-1", 2))
    assert await outbox.after() == ["dead", "waiting"]
    books.trouble = None
    assert outbox.store.set_free(1, "skipped")
    assert await outbox.after() == ["skipped", "sent"]
    assert [c["counter"] for c in books.confirmations.values()] == [2]


@bounded
async def test_an_erp_that_is_away_is_tried_for_ever_and_ever_less_often(tmp_path: Path) -> None:
    port, attempts = free_port(), 0
    outbox = Outbox(f"http://127.0.0.1:{port}", tmp_path, attempts_max=2, retry_ms_max=1_600)
    outbox.put(confirmation("PO-1"), confirmation("PO-2"))
    for _ in range(40):
        before = len(outbox.troubles)
        assert set(await outbox.after(RETRY_MS)) == {"waiting"}
        attempts += len(outbox.troubles) > before
    assert 4 <= attempts <= 9
    assert "is not reached" in (outbox.troubles[-1] or "")
    assert [post.attempts for post in outbox.all()] == [0, 0]
    outbox.store.close()


@bounded
@pytest.mark.parametrize("status", [401, 403, 429, 503, 302])
async def test_what_says_nothing_of_the_confirmation_kills_none(
    status: int, outbox: Outbox, books: Books
) -> None:
    books.trouble = lambda _asked: Said(status, {"reason": "not now"})
    outbox.put(confirmation())
    for _ in range(20):
        assert await outbox.after(10**6) == ["waiting"]
    books.trouble = None
    assert await outbox.after(10**6) == ["sent"]
    assert outbox.troubles[-2:] == [f"{status} not now", None]


@bounded
async def test_answers_that_settle_nothing_end_as_a_dead_letter(
    outbox: Outbox, books: Books, erp: Counterpart
) -> None:
    def broken(asked: Asked) -> Said:
        return Said(500, {"message": "boom"}) if asked.method == "POST" else Said(404)

    books.trouble = broken
    outbox.put(confirmation())
    states = [(await outbox.after(10**6))[0] for _ in range(outbox.settings.attempts_max)]
    assert states == ["unsure"] * (outbox.settings.attempts_max - 1) + ["dead"]
    assert [asked.method for asked in erp.asked[:5]] == ["POST", "GET", "POST", "GET", "POST"]
    assert outbox.all()[0].reason == "500 boom"


@bounded
async def test_the_key_goes_with_each_request(outbox: Outbox, erp: Counterpart) -> None:
    outbox.put(confirmation("PÖ 1/2"))
    await outbox.after()
    (asked,) = erp.asked
    assert asked.headers["idempotency-key"] == "P%C3%96%201%2F2@berlin.machining.housing.mill#1"
    assert asked.document["order_id"] == "PÖ 1/2"
    assert asked.headers["authorization"] == "Bearer x"


@bounded
async def test_a_request_knows_whether_it_can_have_been_seen(
    erp: Counterpart, books: Books, tmp_path: Path
) -> None:
    nobody = ErpRestSettings(url=f"http://127.0.0.1:{free_port()}", credentials_file="t")
    with pytest.raises(NotSent, match="is not reached"):
        await exchange_of(nobody, tmp_path, "x").send(Request("GET", "/"))
    books.trouble = lambda _asked: SILENCE
    somebody = ErpRestSettings(url=erp.url, credentials_file="t")
    with pytest.raises(Unsure, match="no answer"):
        await exchange_of(somebody, tmp_path, "x").send(Request("GET", "/"))


def test_what_is_settled_is_bounded(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "DONE_MAX", 20)
    with outbox.store.together():
        outbox.put(*(confirmation("PO-1", n) for n in range(1, 31)))
        for post in outbox.store.posts(("waiting",), 25):
            outbox.store.settled(post, "sent", 0)
    outbox.store.forget(0)
    assert outbox.store.counts() == {"sent": 15, "waiting": 5}


@bounded
async def test_over_tls_only_a_trusted_erp_is_told(books: Books, tmp_path: Path) -> None:
    own = issued("erp", usage=None, authority=True)
    (tmp_path / "own.pem").write_bytes(own.pem)
    (tmp_path / "pair.pem").write_bytes(own.key_pem + own.pem)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "pair.pem")
    with counterpart(books, tls) as erp:
        trusted = ErpRestSettings(url=erp.url, credentials_file="k", ca_file="own.pem")
        answer = await exchange_of(trusted, tmp_path, "x").send(Request("GET", "/orders?after=0&"))
        assert answer.document == {"orders": [], "cursor": "0"}
        strange = ErpRestSettings(url=erp.url, credentials_file="k")
        with pytest.raises(NotSent, match="certificate"):
            await exchange_of(strange, tmp_path, "x").send(Request("GET", "/orders"))
        assert len(erp.asked) == 1
    missing = ErpRestSettings(url=erp.url, credentials_file="k", ca_file="none.pem")
    with pytest.raises(SettingsError, match="ca_file"):
        exchange_of(missing, tmp_path, "x")
