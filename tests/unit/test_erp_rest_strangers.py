"""What a counterpart may say that nobody expects: it never stops the bridge, nor loses anything."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from bridges.erp_rest.client import exchange_of
from bridges.erp_rest.config import ErpRestSettings
from bridges.erp_rest.confirmation import Account
from bridges.erp_rest.contract import ORDERS_A_PAGE, Answer, reason_of, verdict_of
from bridges.erp_rest.errors import MappingError
from bridges.erp_rest.hearing import Clocks, Hearing
from bridges.erp_rest.mapping import ADAPTERS, terms_of
from bridges.erp_rest.receiving import Receiving, Source
from bridges.erp_rest.store import Arrived, Store
from bridges.erp_rest.telling import Rules
from tests.brokers import bounded, small_plant, until
from tests.counterpart import Asked, Counterpart, Said, confirmation, counterpart
from tests.simulated import START_MS
from uns.codec import encode_document, encode_event
from uns.fold import Draft
from uns.model.path import key_of, to_dotted
from uns.mqtt.message import Message

PLANT = small_plant()
LINE = "acme/berlin/machining/housing"
CHANGED_MS = 1_765_443_600_000


class Orders:
    """A counterpart that only gives orders; `is_paged`: 100 of them from the place asked for."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.is_paged = False

    def __call__(self, asked: Asked) -> Said:
        query = parse_qs(urlsplit(asked.path).query)
        named = query.get("$skip") or query.get("limit_start") or query.get("p")
        skip = int(named[0]) if named else int((asked.document or {}).get("offset", 0))
        rows = self.rows[skip : skip + ORDERS_A_PAGE] if self.is_paged else self.rows
        if "/sap/" in asked.path:
            return Said(200, {"d": {"results": rows}})
        if "/api/resource/" in asked.path:
            return Said(200, {"data": rows})
        if "/json/2/" in asked.path or "/rest/" in asked.path:
            return Said(200, rows)
        return Said(200, {"orders": self.rows, "cursor": "1"})


@pytest.fixture
def orders() -> Orders:
    return Orders()


@pytest.fixture
def erp(orders: Orders) -> Iterator[Counterpart]:
    with counterpart(orders) as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    one = Store(tmp_path / "sap.sqlite")
    yield one
    one.close()


def receiving(store: Store, erp: Counterpart, adapter: str) -> Receiving:
    settings = ErpRestSettings(url=erp.url, credentials_file="t")
    source = Source("sap", ADAPTERS[adapter], terms_of(settings, PLANT), PLANT, lambda: START_MS)
    return Receiving(store, source)


async def polled(
    store: Store, erp: Counterpart, folder: Path, adapter: str, answers: int = 2
) -> None:
    """Ask for orders until some answers were taken in; fails if asking ends."""
    settings = ErpRestSettings(url=erp.url, credentials_file="t")
    exchange = exchange_of(settings, folder, "x")
    asking = asyncio.create_task(receiving(store, erp, adapter).poll(exchange, 10))
    wanted = len(erp.asked) + answers + 1
    await until(lambda: len(erp.asked) >= wanted or asking.done())
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking


def arrived(store: Store) -> list[Arrived]:
    return [*store.arrivals("waiting"), *store.arrivals("refused"), *store.arrivals("accepted")]


def sap_order(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "ManufacturingOrder": str(number),
        "Material": "housing-a",
        "TotalQuantity": "10",
        "MfgOrderPlannedEndDate": "/Date(1765497600000)/",
        "MfgOrderPlannedEndTime": "PT14H30M00S",
        "LastChangeDateTime": f"/Date({CHANGED_MS}+0000)/",
        **changes,
    }


@bounded
async def test_an_order_that_cannot_be_read_holds_up_no_other(
    store: Store, erp: Counterpart, orders: Orders, tmp_path: Path
) -> None:
    orders.rows = [
        sap_order(
            1,
            MfgOrderPlannedEndDate="/Date(253402214400000)/",
            MfgOrderPlannedEndTime="PT24H00M00S",
        ),
        sap_order(2, MfgOrderPlannedEndDate="/Date(999999999999999999)/"),
        sap_order(3, LastChangeDateTime=None),
        sap_order(4),
    ]
    await polled(store, erp, tmp_path, "sap-odata")
    waiting = {one.order_id: one.order["revision"] for one in store.arrivals("waiting")}
    assert waiting == {"3": 1, "4": CHANGED_MS // 1000}
    reasons = [one.reason for one in store.arrivals("refused")]
    assert [reason.partition(":")[0] for reason in reasons] == ["MfgOrderPlannedEndDate"] * 2


@bounded
async def test_orders_that_are_over_there_are_not_taken_in(
    store: Store, erp: Counterpart, orders: Orders, tmp_path: Path
) -> None:
    orders.rows = [sap_order(1, OrderIsTechnicallyCompleted="X"), sap_order(2, OrderIsClosed="")]
    await polled(store, erp, tmp_path, "sap-odata")
    assert [one.order_id for one in arrived(store)] == ["2"]


@bounded
async def test_a_revision_that_changes_nothing_is_no_new_order(
    store: Store, erp: Counterpart, orders: Orders, tmp_path: Path
) -> None:
    later = f"/Date({CHANGED_MS + 60_000})/"
    for row in (sap_order(1), sap_order(1, LastChangeDateTime=later)):
        orders.rows = [row]
        await polled(store, erp, tmp_path, "sap-odata")
    assert len(arrived(store)) == 1
    orders.rows = [sap_order(1, LastChangeDateTime=later, TotalQuantity="12")]
    await polled(store, erp, tmp_path, "sap-odata")
    assert [one.order["quantity"] for one in arrived(store)] == [10, 12]


@bounded
async def test_a_refused_order_is_judged_again_with_its_next_revision(
    store: Store, erp: Counterpart, orders: Orders, tmp_path: Path
) -> None:
    orders.rows = [sap_order(1)]
    await polled(store, erp, tmp_path, "sap-odata")
    (first,) = store.arrivals("waiting")
    store.answer(first.digest, "refused", "item: unknown")
    orders.rows = [sap_order(1, LastChangeDateTime=f"/Date({CHANGED_MS + 60_000})/")]
    await polled(store, erp, tmp_path, "sap-odata")
    assert len(store.arrivals("waiting")) == 1


@bounded
async def test_orders_beyond_a_page_of_one_moment_are_not_passed_over_in_silence(
    store: Store,
    erp: Counterpart,
    orders: Orders,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    orders.rows = [sap_order(number) for number in range(1, ORDERS_A_PAGE + 1)]
    await polled(store, erp, tmp_path, "sap-odata", answers=5)
    assert len(store.arrivals("waiting")) == ORDERS_A_PAGE
    said = [record.message for record in caplog.records if "full page" in record.message]
    assert len(said) == 1, "it is said once, not with each poll"
    assert "at 2025-12-11T09:00:00Z comes again" in said[0]


SAME_MOMENT: Final[dict[str, Callable[[int], dict[str, Any]]]] = {
    "sap-odata": sap_order,
    "odoo": lambda number: {
        "name": f"WH/MO/{number}",
        "product_id": [7, "[housing-a] Housing"],
        "product_qty": 10,
        "write_date": "2025-12-11 09:00:00",
    },
    "erpnext": lambda number: {
        "name": f"MFG-{number}",
        "production_item": "housing-a",
        "qty": 10,
        "modified": "2025-12-11 09:00:00.000000",
    },
    "tryton": lambda number: {
        "number": f"{number}",
        "product": {"code": "housing-a"},
        "quantity": 10,
        "unit": {"symbol": "PCE"},
        "write_date": {"__class__": "datetime", "year": 2025, "month": 12, "day": 11, "hour": 9},
    },
}


@bounded
@pytest.mark.parametrize("adapter", SAME_MOMENT)
async def test_all_orders_of_one_moment_come_in(
    adapter: str, store: Store, erp: Counterpart, orders: Orders, tmp_path: Path
) -> None:
    orders.rows = [SAME_MOMENT[adapter](number) for number in range(1, 3 * ORDERS_A_PAGE + 51)]
    orders.is_paged = True
    await polled(store, erp, tmp_path, adapter, answers=5)
    assert [one.reason for one in store.arrivals("refused")] == []
    assert len(store.arrivals("waiting", 1_000)) == 350


@bounded
async def test_an_order_that_no_command_can_hold_is_refused_at_once(
    store: Store, erp: Counterpart, orders: Orders, tmp_path: Path
) -> None:
    orders.rows = [{"order_id": "PO-1", "item": "housing-a", "quantity": 1, "note": "x" * 64_000}]
    await polled(store, erp, tmp_path, "generic")
    (refused,) = store.arrivals("refused")
    assert refused.reason.endswith("bytes: at most 64000")


@bounded
async def test_all_orders_of_one_push_are_safe_before_anybody_waits(
    store: Store, erp: Counterpart
) -> None:
    idoc = (
        "<IDOC><EDI_DC40><DOCNUM>{0}</DOCNUM></EDI_DC40><E1AFKOL><AUFNR>{0}</AUFNR>"
        "<MATNR>housing-a</MATNR><GAMNG>1</GAMNG></E1AFKOL></IDOC>"
    )
    raw = f"<LOIPRO04>{''.join(map(idoc.format, range(1, 6)))}</LOIPRO04>".encode()
    pushing = asyncio.create_task(receiving(store, erp, "sap-odata").push(raw))
    await asyncio.sleep(0.05)
    pushing.cancel()
    await asyncio.wait({pushing})
    assert len(store.arrivals("waiting")) == 5


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a": NaN}', b'{"a": "\\ud800"}', b"1" * 5_000, b"\xff"]
)
def test_an_answer_that_is_no_json_of_ours_is_said_to_be_so(body: bytes) -> None:
    answer = Answer(200, (), body)
    with pytest.raises(MappingError, match="status 200, and the body cannot be read: "):
        _ = answer.document
    assert reason_of(answer).startswith("200 ")


def test_a_page_for_people_says_nothing_of_a_confirmation() -> None:
    page = Answer(200, (("content-type", "text/html; charset=utf-8"),), b"<h1>Log in</h1>")
    assert verdict_of(page) == "unsure"
    generic, odoo = ADAPTERS["generic"], ADAPTERS["odoo"]
    assert generic.taken(confirmation(), page) is None
    assert verdict_of(Answer(200, (), b"")) == "taken"
    nothing = Answer(200, (), json.dumps([{"id": 1, "qty_produced": None}]).encode())
    assert odoo.taken(confirmation(), nothing) is None


class Heard:
    """Hearing with a plant's clock that stands."""

    def __init__(self, store: Store) -> None:
        self.store = store
        clocks = Clocks(lambda: START_MS, lambda: START_MS)
        self.hearing = Hearing(store, PLANT, clocks, lambda _reply: None)

    def order(self, order_id: str = "PO-1") -> None:
        row = {"cell": "mill", "good": 1, "scrap": 0, "rework": 0}
        document = {
            "order_id": order_id,
            "item": "housing-a",
            "quantity": 10,
            "revision": 1,
            "dispatch_status": "running",
            "at_ms": START_MS,
            "operations": [row],
        }
        payload = encode_document(document)
        self._take(f"{LINE}/_state/order/{key_of(order_id)}", payload)

    def consumed(self, at_ms: int) -> None:
        body = {"order_id": "PO-1", "item": "alu-bar", "lot": "L", "quantity": 1.0, "unit": "kg"}
        draft = Draft(f"{LINE}/mill", "consumed", at_ms, body)
        source = f"{PLANT.cells[f'{LINE}/mill'].bridge}:{to_dotted(LINE)}"
        self._take(draft.topic, encode_event(draft, source, 1, 1))

    def _take(self, topic: str, payload: bytes) -> None:
        self.hearing.take(
            [Message(topic, payload, 1, retain=False, dup=False, mid=1, connection=1)]
        )

    @property
    def account(self) -> Account:
        return self.store.account(LINE, "PO-1")


def test_a_clock_that_counts_microseconds_dates_no_confirmation(store: Store) -> None:
    heard = Heard(store)
    heard.order()
    heard.consumed(START_MS * 1_000)
    assert heard.account.operations["mill"].used, "it was heard"
    assert sum(heard.hearing.tell(Rules(0, 0, is_partial=True))) == 1
    (post,) = store.posts(("waiting",))
    assert post.confirmation.day == "2025-12-11"
    assert post.confirmation.at_ms == START_MS


def test_of_foreign_orders_a_counterpart_is_told_only_if_it_wants_to(store: Store) -> None:
    heard = Heard(store)
    heard.order("PO-1")
    own, every = Rules(0, 0, is_partial=True, is_own=True), Rules(0, 0, is_partial=True)
    assert list(heard.hearing.tell(own)) == []
    store.arrive("d1", {"order_id": "PO-1"}, START_MS)
    assert sum(heard.hearing.tell(own)) == 1
    heard.order("PO-2")
    assert (list(heard.hearing.tell(own)), sum(heard.hearing.tell(every))) == ([], 1)


def test_what_is_kept_of_foreign_orders_is_forgotten(store: Store) -> None:
    account = Account(order_id="PO-1", line=LINE, item="pump-a")
    store.keep(account, 1_000)
    store.forget(2_000)
    assert store.open_ids()
    store.forget(2_000, own=True)
    assert not store.open_ids()
