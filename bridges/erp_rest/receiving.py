"""Takes orders in: asked for or pushed, each once by its content, and commanded to the hub.

Bridges meet on the broker: an order is released by the command `_cmd/order/release`, which the ERP
bridge judges by the rules of its folder; its answer is the order's outcome. A command is said again
until it is answered. What is no order at all is refused here, with the reason.

Of what is asked for, an order that only has another revision is the same one: the counterpart may
have raised it for a confirmation of ours.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple

from bridges.erp_rest.contract import (
    ORDERS_A_PAGE,
    Adapter,
    Document,
    Page,
    Terms,
    is_ok,
    printable,
    reason_of,
)
from bridges.erp_rest.errors import ErpRestError, ExchangeError, MappingError
from bridges.erp_rest.exchange import Exchange
from bridges.erp_rest.idoc import is_xml, orders_of
from bridges.erp_rest.listener import Response, refusal
from bridges.erp_rest.mapping import DIGEST_LENGTH, digest_of, is_same, site_of
from bridges.erp_rest.store import Arrived, Store
from uns.codec import BYTES_MAX, encode_document, parse_json
from uns.model.events import Reply
from uns.model.plant import Plant
from uns.mqtt.client import MqttClient

SAY_AGAIN_S: Final = 5.0
LOOK_S: Final = 1.0
AT_A_TIME: Final = 100
PUSH_S_MAX: Final = 10.0
"""How long whoever pushes waits; what is not judged then is safe, and judged later."""
CURSOR: Final = "cursor"
_STATUS: Final = {"accepted": 200, "waiting": 202, "refused": 422}

log = logging.getLogger(__name__)


class Source(NamedTuple):
    """Whose orders they are, by the bridge's name."""

    bridge: str
    adapter: Adapter
    terms: Terms
    plant: Plant
    wall_ms: Callable[[], int]


class Receiving:
    """Orders on their way in."""

    def __init__(self, store: Store, source: Source) -> None:
        self._store = store
        self._source = source
        self._wake = asyncio.Event()
        self._judged: dict[str, asyncio.Event] = {}
        self._said_s: dict[str, float] = {}
        self._skip = 0
        self._page: Page | None = None

    def answered(self, reply: Reply) -> None:
        """Take the answer to a command, if it is one of ours."""
        bridge, _, digest = reply.request_id.rpartition("-")
        if bridge != self._source.bridge:
            return
        if self._store.answer(digest, reply.outcome, reply.reason):
            log.info("order %s: %s", reply.outcome, reply.reason)
        self._said_s.pop(digest, None)
        if judged := self._judged.get(digest):
            judged.set()

    async def push(self, raw: bytes) -> Response:
        """Take what was pushed; says what became of it, or that it is safe."""
        try:
            orders = self._read(raw)
        except (MappingError, ValueError) as error:
            return Response(400, refusal(printable(str(error))))
        with self._store.together():
            digests = [self._pushed(order) for order in orders]
        self._wake.set()
        outcomes = await asyncio.gather(*map(self._outcome, digests))
        states = {one["outcome"] for one in outcomes}
        worst = next(one for one in ("refused", "waiting", "accepted") if one in states)
        return Response(_STATUS[worst], {"orders": outcomes})

    async def command(self, client: MqttClient) -> None:
        """Say the commands of what waits, for ever."""
        while True:
            waiting = self._store.arrivals("waiting", AT_A_TIME)
            for one in waiting:
                if self._is_to_be_said(one.digest) and self._is_sayable(one):
                    await client.publish(*self._command(one.digest, one.order))
            digests = {one.digest for one in waiting}
            self._said_s = {d: s for d, s in self._said_s.items() if d in digests}
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            self._wake.clear()

    def _is_sayable(self, arrived: Arrived) -> bool:
        """Whether a command can hold an order; one that was set free by hand may not fit."""
        try:
            self._fitting(arrived.order)
        except MappingError as error:
            self._store.answer(arrived.digest, "refused", printable(str(error)))
            return False
        return True

    def _is_to_be_said(self, digest: str) -> bool:
        """Whether a command was not said yet, or long ago; it is said now, then."""
        now_s = asyncio.get_running_loop().time()
        last_s = self._said_s.get(digest)
        if last_s is not None and now_s - last_s < SAY_AGAIN_S:
            return False
        self._said_s[digest] = now_s
        return True

    async def poll(self, exchange: Exchange, poll_ms: int) -> None:
        """Ask for orders, for ever."""
        said = ""
        while True:
            try:
                reason, is_more = "", await self._asked(exchange)
            except ErpRestError as error:
                reason, is_more = printable(str(error)), False
            if reason != said:
                log.log(logging.WARNING if reason else logging.INFO, "orders: %s", reason or "read")
            said = reason
            if not is_more:
                await asyncio.sleep(poll_ms / 1000)

    async def _asked(self, exchange: Exchange) -> bool:
        """Take one page; whether there may be another one behind it.

        A full page of orders that changed at one moment does not move the cursor: the next one is
        asked for by its place among them.
        """
        adapter, cursor = self._source.adapter, self._store.recall(CURSOR)
        answer = await exchange.send(adapter.orders(cursor, self._skip, self._source.terms))
        if not is_ok(answer):
            raise ExchangeError(reason_of(answer))
        page = adapter.page(answer)
        with self._store.together():
            news = [self._arrive(row) for row in page.rows]
            if page.cursor:
                self._store.remember(CURSOR, page.cursor)
        stands = page.read >= ORDERS_A_PAGE and page.cursor == cursor
        before, self._page = self._page, page if stands else None
        self._skip = self._skip + page.read if stands and page != before else 0
        if stands and page == before:
            stuck = f"a full page of {page.read} orders at {cursor} comes again"
            raise MappingError(f"{stuck}: what lies beyond is not seen until it changes")
        return stands or (any(news) and page.cursor != cursor)

    def _arrive(self, row: Document) -> bool:
        """Take one row in, refused at once when it is no order; whether it is new."""
        now_ms = self._source.wall_ms()
        try:
            order = self._fitting(self._source.adapter.order(row, self._source.terms))
            reason = ""
        except MappingError as error:
            order, reason = row, printable(str(error))
        if not reason and self._is_known(order):
            return False
        is_new = self._store.arrive(digest_of(order), order, now_ms, reason)
        if is_new and reason:
            log.warning("an order is refused: %s", reason)
        self._wake.set()
        return is_new

    def _is_known(self, order: Document) -> bool:
        """Whether it is, but for its revision, what came in last and was not refused."""
        newest = self._store.newest(str(order.get("order_id", "")))
        return newest is not None and newest.state != "refused" and is_same(order, newest.order)

    def _fitting(self, order: Document) -> Document:
        """An order that a command can hold. Raises MappingError."""
        size = len(self._command("", order)[1]) + DIGEST_LENGTH
        if size > BYTES_MAX["_cmd"]:
            raise MappingError(f"the order is {size} bytes: at most {BYTES_MAX['_cmd']}")
        return order

    def _read(self, raw: bytes) -> list[Document]:
        """The orders that were pushed. Raises MappingError or ValueError."""
        if is_xml(raw):
            return orders_of(raw, self._source.terms)
        return [self._fitting(self._source.adapter.order(parse_json(raw), self._source.terms))]

    def _pushed(self, order: Document) -> str:
        """The digest of an order that is safe now, and to be judged."""
        digest = digest_of(order)
        if not self._store.arrive(digest, order, self._source.wall_ms()):
            self._store.judge_again(digest)
        return digest

    async def _outcome(self, digest: str) -> Document:
        judged = self._judged.setdefault(digest, asyncio.Event())
        if self._state(digest)["outcome"] == "waiting":
            with suppress(TimeoutError):
                async with asyncio.timeout(PUSH_S_MAX):
                    await judged.wait()
        self._judged.pop(digest, None)
        return self._state(digest)

    def _state(self, digest: str) -> Document:
        arrived = self._store.arrived(digest)
        if arrived is None:
            return refusal("it was forgotten: push it again")
        return {
            "order_id": arrived.order_id,
            "outcome": arrived.state,
            "reason": arrived.reason or "it is safe here, and not judged yet",
        }

    def _command(self, digest: str, order: dict[str, Any]) -> tuple[str, bytes]:
        """Topic and payload of a release."""
        request = {"request_id": f"{self._source.bridge}-{digest}", "order": order}
        topic = f"{site_of(order, self._source.plant)}/_cmd/order/release"
        return topic, encode_document(request)


def told_orders(store: Store) -> Document:
    """Orders that came in, by what became of them."""
    counts = store.arrival_counts()
    return {state: counts.get(state, 0) for state in _STATUS}
