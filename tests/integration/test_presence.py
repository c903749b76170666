"""Workers that wait for one line on a real broker: at any time one has the turn, and it goes on."""

import asyncio
import contextlib
import json

import pytest

from tests.brokers import RunningBroker, bounded, unique, until
from uns.mqtt.client import MqttClient
from uns.mqtt.goodbye import saying_goodbye
from uns.runtime import presence, rivals
from uns.runtime.errors import Fenced
from uns.runtime.presence import Presence, PresenceWiring, last_will, worker_topic

ENTERPRISE = "acme"
LINE = "acme/berlin/machining/housing"
CROWD = 6


class Worker:
    """A presence that wants one line; `kill` it by its task."""

    def __init__(self, broker: RunningBroker, name: str) -> None:
        self.name, self.has_turn = name, False
        will = last_will(ENTERPRISE, name, 0)
        address = broker.address("processor")
        self.client = MqttClient(address, unique(name), clean_session=True, will=will)
        wiring = PresenceWiring(
            ENTERPRISE, name, unique("nonce"), (LINE,), lambda: 0, float, self.client, lambda: 0
        )
        self.presence = Presence(wiring)
        self._will = will
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with self.client, saying_goodbye(self.client, self._will), asyncio.TaskGroup() as t:
            t.create_task(self.presence.run())
            await self.presence.turn(LINE)
            self.has_turn = True

    async def end(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


@bounded
async def test_of_many_at_once_one_has_the_turn_and_then_the_next(mosquitto: RunningBroker) -> None:
    crowd = [Worker(mosquitto, f"w{n}") for n in range(CROWD)]
    while crowd:
        await until(lambda: any(worker.has_turn for worker in crowd))
        async with asyncio.timeout(5):
            await heard_all(mosquitto, crowd)
        (owner,) = [worker for worker in crowd if worker.has_turn]
        assert owner.presence.role == "active"
        await owner.end()
        crowd.remove(owner)


async def heard_all(broker: RunningBroker, crowd: list[Worker]) -> None:
    """Wait until each has said live what it is, and one of them that it runs the line."""
    async with MqttClient(broker.address(), unique("look"), clean_session=True) as client:
        await client.subscribe([worker_topic(ENTERPRISE, "+")])
        roles, settled = dict[str, str](), ["active", *["standby"] * (len(crowd) - 1)]
        while sorted(roles.values()) != settled:
            for message in await client.receive():
                document = json.loads(message.payload)
                if not message.retain and not document.get("gone"):
                    roles[message.topic.rpartition("/")[2]] = document["role"]


@bounded
async def test_one_that_falls_silent_is_replaced(
    mosquitto: RunningBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rivals, "SILENT_S_MAX", 0.5)
    monkeypatch.setattr(presence, "SAY_EVERY_S", 0.1)
    first = Worker(mosquitto, "first")
    await until(lambda: first.has_turn)
    second = Worker(mosquitto, "second")
    await until(lambda: first.presence._rivals.waits([LINE]))
    assert not second.has_turn
    monkeypatch.setattr(first.presence, "_say", asyncio.Event().wait)
    await until(lambda: second.has_turn)
    await asyncio.gather(first.end(), second.end())


@bounded
async def test_one_that_was_stopped_ends_if_another_waits(
    mosquitto: RunningBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Worker(mosquitto, "first")
    await until(lambda: first.has_turn)
    second = Worker(mosquitto, "second")
    await until(lambda: first.presence._rivals.waits([LINE]))
    monkeypatch.setattr(first.presence, "_pulse_s", first.presence._pulse_s - 10)
    with pytest.raises(BaseExceptionGroup) as raised:
        await first.task
    assert raised.value.subgroup(Fenced)
    await until(lambda: second.has_turn)
    monkeypatch.setattr(second.presence, "_pulse_s", second.presence._pulse_s - 10)
    await asyncio.sleep(3 * presence.LOOK_S)
    assert not second.task.done(), "nobody else is there to take over"
    await second.end()
