"""The desk on a real broker, as its own user, with the processors that answer; no hub."""

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from processors import PROCESSORS
from tests.brokers import RunningBroker, bounded, running_broker, unique, until
from tests.example import PUMP, plant
from tests.records import GivenRecord
from uns.cli import holding, inspecting, kanban, orders
from uns.cli.bridging import run_bridge
from uns.cli.chart_app import decide, listed
from uns.cli.child import Context
from uns.cli.errors import UsageError
from uns.cli.folder import Folder, locked, write_connection
from uns.codec import Codec, encode_document, encode_event
from uns.fold import Draft
from uns.model.path import to_dotted
from uns.model.plant import Plant, digest
from uns.model.spc.settings import ChartCommand
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Message, Outgoing
from uns.runtime.clock import PlantClock, wall_ms
from uns.runtime.outbox import Outbox
from uns.runtime.ownership import Claimant
from uns.runtime.runner import Runner, RunnerWiring

PACKING: Final = "acme/berlin/assembly/packing"
CELL: Final = f"{PUMP}/press"
NAME: Final = "order-progress"


def a_plant() -> Plant:
    """The example plant: pumps can be made on the packing line too; the press inspects them."""
    document = plant().model_dump()
    packing = document["sites"]["berlin"]["areas"]["assembly"]["lines"]["packing"]
    packing["cells"]["pack"]["ideal_cycle_ms"]["pump-a"] = 900
    pressed = document["items"]["pump-a"]["specifications"]["press"]
    pressed["inspections"] = {"first": {"when": "first-article", "by_hand": True}}
    pressed["on_fail"] = {"hold": "lot", "halt_order": True, "alert_role": "quality"}
    document["may_release_holds"] = ["anna"]
    return Plant.model_validate(document)


class Rig:
    """A desk and two lines' processors that can be killed; a tester that asks and looks on."""

    def __init__(self, broker: RunningBroker, folder: Folder) -> None:
        self.broker, self.folder, self.plant = broker, folder, broker.plant
        self.client = MqttClient(broker.address(), unique("tester"), clean_session=True)
        self.seen: list[Message] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.clock = PlantClock(wall_ms(), wall_ms())

    def start(self, *names: str) -> None:
        """`desk`, a line's path for its orders, or a processor's name for that of the pump line."""
        for name in names:
            line, processor = (PUMP, name) if name in PROCESSORS else (name, NAME)
            work = self._desk() if name == "desk" else self._processor(line, processor)
            self.tasks[name] = asyncio.create_task(work)

    async def kill(self, *names: str) -> None:
        for name in names:
            task = self.tasks.pop(name)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _desk(self) -> None:
        await run_bridge(Context(self.folder, self.plant, self.clock, "bridge-desk", ()), "desk")

    async def _processor(self, line: str, name: str) -> None:
        address = self.broker.address("processor")
        wiring: RunnerWiring[Any] = RunnerWiring(
            processor=PROCESSORS[name](self.plant),
            line=line,
            enterprise=self.plant.enterprise,
            plant=digest(self.plant),
            codec=Codec(self.plant),
            client=MqttClient(address, f"{name}.{to_dotted(line)}"),
            visit=lambda: MqttClient(address, unique("visitor"), clean_session=True, once=True),
            claimant=Claimant(name, secrets.token_hex(8)),
            outbox=Outbox(self.folder.outbox(f"{name}.{to_dotted(line)}")),
            clock=self.clock,
            record=GivenRecord(),
        )
        await Runner(wiring).run()

    async def look(self) -> None:
        async for batch in self.client.batches():
            self.seen += batch
            self.client.ack(batch)

    async def release(self, order_id: str, quantity: int = 10, seq: int = 1) -> None:
        """As the ERP bridge would."""
        body = {"order_id": order_id, "item": "pump-a", "quantity": quantity}
        draft = Draft(PUMP, "released", self.clock(), body)
        payload = encode_event(draft, f"erp:{to_dotted(PUMP)}", 1, seq)
        await self.client.publish(draft.topic, payload)
        await until(lambda: order_id in json.dumps(self.document(PUMP, "queue/orders")))

    async def load(self, order_id: str) -> None:
        """As the bridge of the press would."""
        draft = Draft(CELL, "loaded", self.clock(), {"order_id": order_id, "item": "pump-a"})
        payload = encode_event(draft, f"plc-assembly:{to_dotted(PUMP)}", 1, 1)
        await self.client.publish(draft.topic, payload)

    async def measure(self, name: str, values: Iterable[float]) -> None:
        """As the bridge of the final assembly would."""
        for seq, value in enumerate(values, 1):
            body = {"sample_id": f"s{seq}", "values": {name: value}, "item": "pump-a"}
            draft = Draft(f"{PUMP}/fit", "inspected", self.clock(), body)
            payload = encode_event(draft, f"plc-assembly:{to_dotted(PUMP)}", 1, seq)
            await self.client.publish(draft.topic, payload)

    async def say(self, topic: str, request_id: str, **fields: Any) -> None:
        await self.client.publish(topic, encode_document({"request_id": request_id, **fields}))

    async def ask(self, topic: str, request_id: str, **fields: Any) -> tuple[str, str]:
        """The outcome and reason of a command, given once."""
        await self.say(topic, request_id, **fields)
        await until(lambda: bool(self.replies(request_id)))
        reply = self.replies(request_id)[-1]
        return reply["outcome"], reply["reason"]

    def said(self, topic_end: str) -> list[dict[str, Any]]:
        """Events of a topic, each once, however often it was sent."""
        found = [json.loads(m.payload) for m in self.seen if m.topic.endswith(topic_end)]
        return list({document["id"]: document for document in found}.values())

    def replies(self, request_id: str) -> list[dict[str, Any]]:
        return self.said(f"/_event/reply/{request_id}")

    def waits(self, line: str) -> bool:
        """Whether pieces that a line gave away still wait in its processor."""
        return bool(self._newest(f"{line}/_hub/processor/{NAME}")["state"]["transfers"])

    def document(self, place: str, name: str) -> dict[str, Any]:
        return self._newest(f"{place}/_state/{name}")

    def _newest(self, topic: str) -> dict[str, Any]:
        newest = next((m for m in reversed(self.seen) if m.topic == topic), None)
        return dict(json.loads(newest.payload)) if newest and newest.payload else {}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[RunningBroker, Folder]]:
    with running_broker(tmp_path / "broker", a_plant()) as broker:
        folder = Folder(tmp_path / "data")
        folder.root.mkdir()
        address = broker.address("operator")
        connection = {"host": address.host, "port": address.port, "mqtt_5": True}
        write_connection(folder, connection)
        users = ("operator", "bridge-desk", "processor")
        passwords = {user: broker.address(user).password for user in users}
        folder.passwords.write_text(json.dumps(passwords))
        folder.plant.write_text(broker.plant.model_dump_json())
        yield broker, folder


@pytest.fixture
async def rig(hub: tuple[RunningBroker, Folder]) -> AsyncIterator[Rig]:
    rig = Rig(*hub)
    async with rig.client:
        await rig.client.subscribe([f"{rig.plant.enterprise}/#"])
        looking = asyncio.create_task(rig.look())
        rig.start("desk", PUMP, PACKING)
        await until(lambda: bool(rig.document(PUMP, "queue/orders")))
        await until(lambda: bool(rig.document(PACKING, "queue/orders")))
        await until(lambda: any("_hub/bridge/desk" in m.topic for m in rig.seen))
        yield rig
        await rig.kill(*rig.tasks)
        looking.cancel()


@bounded
async def test_a_command_is_a_fact_on_record_and_is_answered(rig: Rig) -> None:
    await rig.release("PO-1")
    asked = {"order_id": "PO-1", "actor": "anna", "reason": "no bearings"}
    assert await rig.ask(f"{PUMP}/_cmd/order/cancel", "r-1", **asked) == (
        "accepted",
        "PO-1 is cancelled",
    )
    (fact,) = rig.said("/_event/order-commanded")
    assert fact["source"] == f"desk:{to_dotted(PUMP)}"
    assert {key: fact[key] for key in ("command", *asked)} == {"command": "cancel", **asked}
    (reply,) = rig.replies("r-1")
    assert reply["source"] == f"processor:{NAME}:{to_dotted(PUMP)}"
    await until(lambda: rig.document(PUMP, "order/po-1--u3").get("dispatch_status") == "cancelled")
    outcome, reason = await rig.ask(f"{PUMP}/_cmd/order/hold", "r-2", order_id="PO-1")
    assert (outcome, reason.partition(":")[0]) == ("refused", "PO-1 is cancelled")


@bounded
async def test_a_request_that_comes_again_is_followed_once_and_answered_again(rig: Rig) -> None:
    await rig.release("PO-1", quantity=10)
    split = {"order_id": "PO-1", "quantity": 2}
    for _ in range(3):
        await rig.say(f"{PUMP}/_cmd/order/split", "r-1", **split)
    await until(lambda: bool(rig.replies("r-1")))
    before = len(rig.replies("r-1"))
    await rig.say(f"{PUMP}/_cmd/order/split", "r-1", **split)
    await until(lambda: len(rig.replies("r-1")) > before)
    assert {reply["reason"] for reply in rig.replies("r-1")} == {"2 of PO-1 are PO-1-2 now"}
    assert len(rig.said("/_event/order-commanded")) == 1
    await rig.ask(f"{PUMP}/_cmd/order/hold", "end", order_id="PO-1")
    await until(lambda: rig.document(PUMP, "order/po-1--u3").get("quantity") == 8)


@bounded
async def test_a_request_id_that_was_used_for_something_else_is_refused(rig: Rig) -> None:
    await rig.release("PO-1", quantity=10)
    asked = f"{PUMP}/_cmd/order/update"
    assert (await rig.ask(asked, "r-1", order_id="PO-1", priority=90))[0] == "accepted"
    await rig.say(asked, "r-1", order_id="PO-1", priority=10)
    await until(lambda: len(rig.replies("r-1")) > 1)
    other = rig.replies("r-1")[-1]
    assert (other["outcome"], other["reason"].partition(":")[0]) == (
        "refused",
        "this request_id was used for something else",
    )
    await rig.say(asked, "r-1", order_id="PO-1", priority=90)
    await until(lambda: len(rig.replies("r-1")) > 2)
    assert rig.replies("r-1")[-1]["outcome"] == "accepted"
    assert len(rig.said("/_event/order-commanded")) == 1


@bounded
async def test_a_command_that_nobody_understands_is_refused_by_the_desk(rig: Rig) -> None:
    order = {"order_id": "PO-1"}
    asked: list[tuple[str, dict[str, Any], str]] = [
        (f"{PUMP}/_cmd/order/hodl", order, "no command 'order/hodl' (did you mean 'order/hold'?)"),
        (f"{CELL}/_cmd/order/hold", order, f"give order/hold at a line, not at {CELL}"),
        (f"{PUMP}/_cmd/order/split", order, "order/split needs quantity"),
        (f"{PUMP}/_cmd/order/update", order, "needs one of quantity, priority, due_ms"),
        (f"{PUMP}/_cmd/order/hold", {**order, "cell": "fit"}, "order/hold takes no cell"),
        (f"{PUMP}/_cmd/order/hold", {}, "order_id: Field required"),
        (f"{PUMP}/_cmd/order/release", {"order": {}}, "orders are released at their site"),
        (f"{PUMP}/_cmd/stop/classify", {"stop_id": "s"}, "give stop/classify at a cell"),
        (f"{CELL}/_cmd/stop/classify", {"stop_id": "s"}, "needs reason_code"),
    ]
    for n, (topic, fields, words) in enumerate(asked):
        outcome, reason = await rig.ask(topic, f"r-{n}", **fields)
        assert outcome == "refused"
        assert words in reason
    assert not rig.said("/_event/order-commanded")
    assert not rig.said("/_event/stop-commanded")


@bounded
async def test_a_stop_command_becomes_a_fact_at_its_cell(rig: Rig) -> None:
    fields = {"stop_id": "s-1", "reason_code": "e11", "comment": "tool", "actor": "anna"}
    await rig.say(f"{CELL}/_cmd/stop/classify", "r-1", **fields)
    await until(lambda: bool(rig.said(f"{CELL}/_event/stop-commanded")))
    (fact,) = rig.said("/_event/stop-commanded")
    assert {key: fact[key] for key in ("command", *fields)} == {"command": "classify", **fields}


@bounded
async def test_an_emptied_bin_becomes_a_fact_at_its_line(rig: Rig) -> None:
    fields = {"loop": "bearings", "card": 2, "actor": "scanner-3"}
    await rig.say(f"{PUMP}/_cmd/kanban/empty", "r-1", **fields)
    await until(lambda: bool(rig.said(f"{PUMP}/_event/kanban-commanded")))
    (fact,) = rig.said("/_event/kanban-commanded")
    assert {key: fact[key] for key in ("command", *fields)} == {"command": "empty", **fields}


@bounded
async def test_a_retained_command_is_refused(rig: Rig) -> None:
    await rig.kill("desk")
    payload = encode_document({"request_id": "r-1", "order_id": "PO-1"})
    await rig.client.publish(f"{PUMP}/_cmd/order/hold", payload, retain=True)
    rig.start("desk")
    await until(lambda: bool(rig.replies("r-1")))
    assert rig.replies("r-1")[0]["reason"] == "commands are refused when retained"


@bounded
async def test_the_desk_writes_nothing_else(rig: Rig) -> None:
    topics = [f"{CELL}/_tag/state", f"{PUMP}/_state/x", f"{CELL}/_event/counted", "acme/_hub/x"]
    async with MqttClient(rig.broker.address("bridge-desk"), unique("desk")) as writer:
        await writer.publish_many(Outgoing(topic, b"{}") for topic in topics)
        await writer.publish(f"{PUMP}/_event/reply/end", b'{"id":"end"}')
    await until(lambda: bool(rig.replies("end")))
    assert not {message.topic for message in rig.seen} & set(topics)


@bounded
@pytest.mark.parametrize("killed", [("desk",), (PUMP,), (PACKING,), ("desk", PUMP, PACKING)])
async def test_a_moved_order_is_released_once_whoever_is_killed(
    rig: Rig, killed: tuple[str, ...]
) -> None:
    await rig.release("PO-1", quantity=24)
    move = {"order_id": "PO-1", "quantity": 20, "to_line": PACKING}
    await rig.say(f"{PUMP}/_cmd/order/move", "r-1", **move)
    await until(lambda: bool(rig.said("/_event/order-commanded")))
    await rig.kill(*killed)
    rig.start(*killed)
    await until(lambda: bool(rig.document(PACKING, "order/po-1-2--u3")))
    await until(lambda: bool(rig.replies("r-1")))
    await until(lambda: not rig.waits(PUMP))
    moved = rig.document(PACKING, "order/po-1-2--u3")
    assert (moved["quantity"], moved["split_from"]) == (20, "PO-1")
    await until(lambda: rig.document(PUMP, "order/po-1--u3").get("quantity") == 4)
    assert len(rig.said(f"{PACKING}/_event/released")) == 1
    assert len(rig.said(f"{PUMP}/_event/order-moved")) == 1


@bounded
async def test_an_order_is_asked_for_from_a_shell(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    await rig.release("PO-1")
    where = orders.Where(rig.folder.root, None)
    with locked(rig.folder):
        await asyncio.to_thread(
            orders.ask_for, "update", "PO-1", {"quantity": 12}, where, as_json=False
        )
        assert capsys.readouterr().out == "accepted: PO-1 is for 12 pieces now\n"
        with pytest.raises(typer.Exit):
            await asyncio.to_thread(orders.ask_for, "resume", "PO-1", {}, where, as_json=True)
        assert json.loads(capsys.readouterr().out)["outcome"] == "refused"
        with pytest.raises(UsageError, match="name the line with --line"):
            await asyncio.to_thread(orders.ask_for, "hold", "PO-9", {}, where, as_json=False)


@bounded
async def test_a_bin_is_emptied_from_a_shell(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    rig.start("kanban")
    await until(lambda: bool(rig.document(PUMP, "kanban/bearings")))
    where = orders.Where(rig.folder.root, None)
    with locked(rig.folder):
        await asyncio.to_thread(
            kanban.command, "empty", "bearings", {"card": 2}, where, as_json=False
        )
        assert capsys.readouterr().out == "accepted: card 2 of bearings is empty\n"
        with pytest.raises(typer.Exit):
            await asyncio.to_thread(
                kanban.command, "empty", "bearings", {"card": 2}, where, as_json=True
            )
        assert "card 2 of bearings is empty" in json.loads(capsys.readouterr().out)["reason"]
        await until(lambda: rig.document(PUMP, "kanban/bearings")["empty"] == 1)
        await asyncio.to_thread(kanban.loops, "pump", rig.folder.root, as_json=True)
        (shown,) = json.loads(capsys.readouterr().out)
        assert (shown["loop"], shown["cards"][1]["pull_id"]) == ("bearings", "bearings-2-1")
    assert len(rig.said("/_event/pull-requested")) == 1


@bounded
async def test_limits_of_a_chart_are_decided_from_a_shell(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    rig.start("spc")
    await until(lambda: any(m.topic == f"{PUMP}/_hub/processor/spc" for m in rig.seen))
    chart = "spc/torque/pump-a"
    await rig.measure("torque", [10.0, 10.1, 9.9, 10.0, 10.2] * 3)
    await until(lambda: rig.document(f"{PUMP}/fit", chart).get("phase_one", {}).get("points") == 3)
    asked_for = {"characteristic": "torque", "item": "pump-a", "reason": "trial"}

    async def say(command: ChartCommand, **more: Any) -> None:
        body = {**asked_for, **more}
        await asyncio.to_thread(decide, command, "fit", body, rig.folder.root, as_json=False)

    with locked(rig.folder):
        await say("freeze")
        assert capsys.readouterr().out == "accepted: limits 1 hold from now on\n"
        await say("exclude", points=[2])
        assert capsys.readouterr().out == "accepted: limits 2 hold from now on\n"
        await until(lambda: len(rig.said("/_event/limits-frozen")) == 2)
        await until(lambda: rig.document(f"{PUMP}/fit", chart)["limits"]["version"] == "2")
        await asyncio.to_thread(listed, data=rig.folder.root, as_json=True)
    (shown,) = json.loads(capsys.readouterr().out)
    assert shown["cell"] == f"{PUMP}/fit"
    (excluded,) = shown["phase_one"]["excluded"]
    assert (excluded["point"], excluded["reason"], excluded["actor"]) == (2, "trial", "operator")


@bounded
@pytest.mark.parametrize("killed", [(), ("desk",)])
async def test_an_order_does_not_complete_while_an_inspection_is_open(
    rig: Rig, killed: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    rig.start("quality")
    await until(lambda: any(m.topic == f"{PUMP}/_hub/processor/quality" for m in rig.seen))
    await rig.release("PO-1")
    await rig.kill(*killed)
    await rig.load("PO-1")
    await until(lambda: bool(rig.document(CELL, "inspections")))
    rig.start(*killed)
    waits = ["inspection-open"]
    await until(lambda: rig.document(PUMP, "order/po-1--u3").get("flags") == waits)
    complete = f"{PUMP}/_cmd/order/complete"
    why = "PO-1 may not complete: inspection first is open at press"
    assert await rig.ask(complete, "r-1", order_id="PO-1") == ("refused", why)
    (one,) = rig.document(CELL, "inspections")["open"]
    with locked(rig.folder):
        await asyncio.to_thread(inspecting.inspections, "pump", rig.folder.root, as_json=False)
        assert one["inspection_id"] in capsys.readouterr().out
        await asyncio.to_thread(
            inspecting.command,
            "record",
            one["inspection_id"],
            {"values": {"press_force": 10.0}},
            rig.folder.root,
            as_json=False,
        )
    assert capsys.readouterr().out == "accepted: first: pass\n"
    await until(lambda: rig.document(PUMP, "order/po-1--u3").get("flags") == [])
    assert await rig.ask(complete, "r-2", order_id="PO-1") == ("accepted", "PO-1 is completed")
    (verdict,) = rig.said(f"{CELL}/_event/verdict")
    assert (verdict["operator"], verdict["specification"]) == ("operator", "pump-a/press/7")


@bounded
@pytest.mark.parametrize("killed", [(), ("desk",)])
async def test_what_fails_is_held_everywhere_until_somebody_with_the_right_releases_it(
    rig: Rig, killed: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    rig.start("quality")
    await until(lambda: any(m.topic == f"{PUMP}/_hub/processor/quality" for m in rig.seen))
    await rig.release("PO-1")
    await rig.load("PO-1")
    await until(lambda: rig.document(PUMP, "order/po-1--u3").get("dispatch_status") == "running")
    await rig.kill(*killed)
    body = {"sample_id": "s1", "values": {"press_force": 99.0}, "lot": "B-7", "order_id": "PO-1"}
    sample = Draft(CELL, "inspected", rig.clock(), {**body, "item": "pump-a"})
    payload = encode_event(sample, f"plc-assembly:{to_dotted(PUMP)}", 1, 2)
    await rig.client.publish(sample.topic, payload)
    await until(lambda: rig.document(PUMP, "hold/1").get("state") == "held")
    rig.start(*killed)
    await until(lambda: rig.document(PUMP, "order/po-1--u3").get("dispatch_status") == "held")
    heard = {PUMP, PACKING, "acme/berlin/machining/housing"}
    await until(lambda: {one["path"] for one in rig.said("/_event/hold-said")} == heard)
    (alert,) = [one for one in rig.said("/_event/alert") if one["code"] == "out-of-specification"]
    assert alert["evidence"]["role"] == "quality"
    hold_id = rig.document(PUMP, "hold/1")["hold_id"]
    go_on = f"{PUMP}/_cmd/order/unhold"
    halted = f"PO-1 is halted by hold {hold_id}: release that first"
    assert await rig.ask(go_on, "r-1", order_id="PO-1") == ("refused", halted)
    why = {"reason": "measured again", "actor": "anna"}
    with locked(rig.folder):
        await asyncio.to_thread(
            holding.holds, "pump", rig.folder.root, everything=False, as_json=False
        )
        assert hold_id in capsys.readouterr().out
        ben = {**why, "actor": "ben"}
        with pytest.raises(typer.Exit):
            await asyncio.to_thread(holding.release, hold_id, ben, rig.folder.root, as_json=False)
        assert "ben may not release holds: anna may" in "".join(capsys.readouterr())
        await asyncio.to_thread(holding.release, hold_id, why, rig.folder.root, as_json=False)
    assert capsys.readouterr().out == f"accepted: B-7 is released from {hold_id}\n"
    await until(lambda: len(rig.said("/_event/hold-said")) == 2 * len(heard))
    assert await rig.ask(go_on, "r-2", order_id="PO-1") == ("accepted", "PO-1 is running")
    assert rig.document(PUMP, "hold/1")["state"] == "released"
