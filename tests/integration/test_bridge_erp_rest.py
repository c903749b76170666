"""The ERP bridge over HTTP between a real broker, as its own user, and a real HTTP server."""

import asyncio
import http.client
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridges.erp_rest.client import Hub, observe
from bridges.erp_rest.config import ErpRestSettings
from bridges.erp_rest.hearing import Clocks
from tests.brokers import RunningBroker, bounded, free_port, running_broker, small_plant, until
from tests.counterpart import SILENCE, Asked, Books, Counterpart, Said, counterpart
from uns.codec import encode_event
from uns.fold import Draft
from uns.model.observation import Link
from uns.model.path import key_of
from uns.model.plant import Plant
from uns.mqtt.acl import bridge_user
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Message

LINE = "acme/berlin/machining/housing"
NAME = "sap"
PUSH_KEY = "0123456789abcdef"
IDOC = Path(__file__).parents[1] / "golden" / "erp-contracts" / "loipro-order" / "loipro.xml"


def plant_with(settings: dict[str, Any]) -> Plant:
    document = small_plant().model_dump()
    document["items"] = {
        "housing-a": {
            "title": "Housing",
            "routing": {"line": "berlin/machining/housing", "operations": ["mill", "wash"]},
        }
    }
    document["bridges"][NAME] = {"protocol": "erp-rest", **settings}
    return Plant.model_validate(document)


def wall_ms() -> int:
    return int(time.time() * 1000)


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture
def erp(books: Books) -> Iterator[Counterpart]:
    with counterpart(books) as server:
        yield server


class Rig:
    """A broker, and the bridge between it and the ERP."""

    def __init__(self, broker: RunningBroker, settings: dict[str, Any], root: Path) -> None:
        self.broker = broker
        self.settings = ErpRestSettings.model_validate(settings)
        self.root = root
        self.links: list[Link] = []
        self.seq = 0
        self.commands: list[dict[str, Any]] = []
        self.status: dict[str, Any] = {}
        self.client: MqttClient = MqttClient(broker.address(), "tester", clean_session=True)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The bridge while the block lasts; it ends as by a kill."""
        task = asyncio.create_task(self._observe())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _observe(self) -> None:
        hub = Hub(self.broker.address(bridge_user(NAME)), self.root, NAME)
        clocks = Clocks(wall_ms, wall_ms)
        async with aclosing(observe(self.settings, self.broker.plant, clocks, hub)) as batches:
            async for batch in batches:
                self.links += [one for one in batch if isinstance(one, Link)]

    async def listen(self) -> None:
        async for batch in self.client.batches():
            for message in batch:
                await self._heard(message)
            self.client.ack(batch)

    async def _heard(self, message: Message) -> None:
        document = json.loads(message.payload)
        if "/_hub/erp/" in message.topic:
            self.status = document
        else:
            self.commands.append(document)
            await self.reply(document)

    async def reply(self, command: dict[str, Any]) -> None:
        """What the ERP bridge of the folder says: it knows one item."""
        known = command["order"]["item"] == "housing-a"
        body = {
            "request_id": command["request_id"],
            "outcome": "accepted" if known else "refused",
            "reason": "order released" if known else f"unknown item {command['order']['item']!r}",
        }
        draft = Draft("acme/berlin", "reply", 1, body, key_of(command["request_id"]))
        await self.say(draft, "erp:acme.berlin")

    async def say(self, draft: Draft, source: str) -> None:
        self.seq += 1
        await self.client.publish(draft.topic, encode_event(draft, source, 1, self.seq))

    async def show(self, order_id: str, mill: int, wash: int, status: str = "running") -> None:
        """An order's document, and `order-closed` at its end."""
        document = self.document(order_id, mill, wash, status)
        topic = f"{LINE}/_state/order/{key_of(order_id)}"
        await self.client.publish(topic, json.dumps(document).encode(), retain=True)
        if status == "completed":
            body = {"order_id": order_id, "document": document}
            draft = Draft(LINE, "order-closed", wall_ms(), body)
            await self.say(draft, "processor:order-progress:acme.berlin.machining.housing")

    def document(self, order_id: str, mill: int, wash: int, status: str) -> dict[str, Any]:
        rows = {"mill": mill, "wash": wash}
        return {
            "summary": order_id,
            "order_id": order_id,
            "item": "housing-a",
            "quantity": 20,
            "dispatch_status": status,
            "revision": 1,
            "started_ms": 1,
            "at_ms": wall_ms(),
            "operations": [
                {"cell": cell, "good": good, "scrap": 1, "rework": 0} for cell, good in rows.items()
            ],
        }

    async def clear(self, order_id: str) -> None:
        await self.client.publish(f"{LINE}/_state/order/{key_of(order_id)}", b"", retain=True)

    async def consume(self, order_id: str, quantity: float, *, times: int = 1) -> None:
        body = {
            "lot": "L-1",
            "item": "bar",
            "quantity": quantity,
            "unit": "kg",
            "order_id": order_id,
        }
        draft = Draft(f"{LINE}/mill", "consumed", 5, body)
        self.seq += 1
        payload = encode_event(draft, "plc:acme.berlin.machining.housing", 1, self.seq)
        for _ in range(times):
            await self.client.publish(draft.topic, payload)


@asynccontextmanager
async def rig(erp: Counterpart, tmp_path: Path, **settings: Any) -> AsyncIterator[Rig]:
    (tmp_path / "token").write_text("USER:secret\n")
    (tmp_path / "push").write_text(PUSH_KEY + "\n")
    given = {
        "url": erp.url,
        "credentials_file": "token",
        "confirm_every_ms": 100,
        "settle_ms": 300,
        "timeout_ms": 500,
        "retry_ms_min": 10,
        "retry_ms_max": 50,
        **settings,
    }
    folder = tmp_path / "broker"
    with running_broker(folder, plant_with(given)) as broker:
        one = Rig(broker, given, tmp_path)
        async with one.client:
            await one.client.subscribe(["acme/_hub/erp/+", "acme/+/_cmd/order/release"])
            listening = asyncio.create_task(one.listen())
            yield one
            listening.cancel()


@bounded
async def test_an_order_is_confirmed_while_it_runs_and_at_its_end(
    erp: Counterpart, books: Books, tmp_path: Path
) -> None:
    async with rig(erp, tmp_path) as hub, hub.running():
        await hub.show("PO-1", 7, 0)
        await until(lambda: books.total("PO-1", "mill", "good") == 7)
        await hub.consume("PO-1", 2.5, times=3)
        await hub.show("PO-1", 12, 9)
        await until(lambda: books.total("PO-1", "wash", "good") == 9)
        await hub.show("PO-1", 21, 20, "completed")
        await until(lambda: sum(c["final"] for c in books.confirmations.values()) == 2)
        totals = [books.total("PO-1", cell, "good") for cell in ("mill", "wash")]
        consumed = [one for c in books.confirmations.values() for one in c["consumed"]]
        assert totals == [21, 20]
        assert [books.total("PO-1", cell, "scrap") for cell in ("mill", "wash")] == [1, 1]
        assert [(one["lot"], one["quantity"]) for one in consumed] == [("L-1", 2.5)]
        assert books.twice == []
        assert [link.up for link in hub.links] == [True]
        await until(lambda: hub.status.get("sent") == len(books.confirmations))
        assert hub.status["connected"]
        assert hub.status["oldest_ms"] is None


@bounded
async def test_what_happens_while_the_bridge_is_away_is_told_when_it_is_back(
    erp: Counterpart, books: Books, tmp_path: Path
) -> None:
    async with rig(erp, tmp_path) as hub:
        async with hub.running():
            await hub.show("PO-1", 5, 0)
            await until(lambda: books.total("PO-1", "mill", "good") == 5)
        await hub.show("PO-1", 9, 8, "completed")
        await hub.clear("PO-1")
        async with hub.running():
            await until(lambda: books.total("PO-1", "wash", "good") == 8)
            await until(lambda: sum(c["final"] for c in books.confirmations.values()) == 2)
        async with hub.running():
            await hub.show("PO-2", 1, 0)
            await until(lambda: books.total("PO-2", "mill", "good") == 1)
    assert books.total("PO-1", "mill", "good") == 9
    assert books.twice == []


@bounded
async def test_an_order_whose_topic_is_cleared_has_ended(
    erp: Counterpart, books: Books, tmp_path: Path
) -> None:
    async with rig(erp, tmp_path) as hub, hub.running():
        await hub.show("PO-1", 5, 4)
        await until(lambda: books.total("PO-1", "mill", "good") == 5)
        await hub.clear("PO-1")
        await until(lambda: sum(c["final"] for c in books.confirmations.values()) == 2)


@bounded
async def test_a_kill_while_the_erp_is_silent_makes_nothing_twice(
    erp: Counterpart, books: Books, tmp_path: Path
) -> None:
    def swallow(asked: Asked) -> Said:
        if asked.method == "POST":
            books.take(asked)
        return SILENCE

    async with rig(erp, tmp_path) as hub:
        books.trouble = swallow
        async with hub.running():
            await hub.show("PO-1", 5, 0)
            await until(lambda: len(books.confirmations) > 0)
        books.trouble = None
        async with hub.running():
            await hub.show("PO-1", 9, 9, "completed")
            await until(lambda: sum(c["final"] for c in books.confirmations.values()) == 2)
    assert [books.total("PO-1", cell, "good") for cell in ("mill", "wash")] == [9, 9]
    assert books.twice == []


@bounded
async def test_an_erp_that_goes_away_and_comes_back_is_said_as_a_link(
    erp: Counterpart, books: Books, tmp_path: Path
) -> None:
    async with rig(erp, tmp_path) as hub, hub.running():
        await hub.show("PO-1", 1, 0)
        await until(lambda: [link.up for link in hub.links] == [True])
        books.trouble = lambda _asked: Said(503, {"reason": "maintenance"})
        await hub.show("PO-1", 2, 0)
        await until(lambda: [link.up for link in hub.links] == [True, False])
        await until(lambda: hub.status.get("reason") == "503 maintenance")
        books.trouble = None
        await until(lambda: [link.up for link in hub.links] == [True, False, True])
        await until(lambda: books.total("PO-1", "mill", "good") == 2)


@bounded
async def test_orders_are_asked_for_and_commanded_once_each(
    erp: Counterpart, books: Books, tmp_path: Path
) -> None:
    books.orders = [
        {"order_id": "PO-1", "item": "FG-1", "quantity": 5},
        {"order_id": "PO-2", "item": "nothing", "quantity": 5},
        {"order_id": "PO-3", "quantity": 5},
    ]
    async with rig(erp, tmp_path, poll_ms=50, items={"housing-a": "FG-1"}) as hub, hub.running():
        wanted = {"waiting": 0, "accepted": 1, "refused": 2}
        await until(lambda: hub.status.get("orders_in") == wanted)
        books.orders.append({"order_id": "PO-4", "item": "FG-1", "quantity": 6, "revision": 2})
        await until(lambda: hub.status["orders_in"]["accepted"] == 2)
        said = [command["order"] for command in hub.commands]  # again, if the hub is slow to answer
        assert [order for n, order in enumerate(said) if order not in said[:n]] == [
            {"order_id": "PO-1", "item": "housing-a", "quantity": 5},
            {"order_id": "PO-2", "item": "nothing", "quantity": 5},
            {"order_id": "PO-4", "item": "housing-a", "quantity": 6, "revision": 2},
        ]


def push(port: int, body: bytes, token: str = PUSH_KEY, path: str = "/orders") -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", path, body, {"Authorization": f"Bearer {token}"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


@bounded
async def test_orders_are_pushed_and_the_answer_is_the_hubs(
    erp: Counterpart, tmp_path: Path
) -> None:
    port = free_port()
    settings = {
        "listen_port": port,
        "listen_credentials_file": "push",
        "items": {"housing-a": "FG226"},
    }
    async with rig(erp, tmp_path, **settings) as hub, hub.running():
        await until(lambda: bool(hub.status))

        async def pushed(body: bytes, *words: str) -> tuple[int, Any]:
            return await asyncio.to_thread(push, port, body, *words)

        good = json.dumps({"order_id": "PO-1", "item": "FG226", "quantity": 5}).encode()
        bad = json.dumps({"order_id": "PO-2", "item": "else", "quantity": 5}).encode()
        assert (await pushed(good, "wrong"))[0] == 401
        assert (await pushed(good, PUSH_KEY, "/else"))[0] == 404
        status, answer = await pushed(b"{")
        assert (status, answer["reason"][:8]) == (400, "not JSON")
        assert (await pushed(b"x" * 300_000))[0] == 413
        assert hub.commands == []
        status, answer = await pushed(good)
        assert (status, answer["orders"][0]["outcome"]) == (200, "accepted")
        status, answer = await pushed(bad)
        assert (status, answer["orders"][0]["reason"]) == (422, "unknown item 'else'")
        assert (await pushed(good))[0] == 200
        assert len(hub.commands) == 2, "what is known is not commanded again"
        assert (await pushed(bad))[0] == 422
        assert len(hub.commands) == 3, "what was refused is judged again"
        status, answer = await pushed(IDOC.read_bytes())
        assert (status, answer["orders"][0]["order_id"]) == (200, "1000042")
        assert hub.commands[-1]["order"]["item"] == "housing-a"


@bounded
async def test_a_token_that_is_missing_is_said_and_waited_for(
    erp: Counterpart, tmp_path: Path
) -> None:
    async with rig(erp, tmp_path, credentials_file="nowhere") as hub, hub.running():
        await until(lambda: bool(hub.links))
        (link,) = hub.links
        assert not link.up
        assert "credentials_file" in (link.reason or "")


@bounded
async def test_an_order_whose_end_was_lost_is_counted_as_missing(
    erp: Counterpart, books: Books, tmp_path: Path
) -> None:
    async with rig(erp, tmp_path) as hub:
        async with hub.running():
            await hub.show("PO-1", 5, 4)
            await until(lambda: books.total("PO-1", "wash", "good") == 4)
            await until(lambda: hub.status.get("orders_missing") == 0)
        hub.broker.forget()
        hub.status = {}
        async with hub.running():
            await hub.show("PO-2", 1, 1)
            await until(lambda: hub.status.get("orders_missing") == 1)
            await hub.show("PO-1", 5, 5)
            await until(lambda: hub.status.get("orders_missing") == 0)
