"""The claim of a (processor, line) on a real broker: one owner, whatever is lost or forgotten."""

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from tests.brokers import RunningBroker, bounded, free_port, unique, until
from uns.codec import encode_document
from uns.mqtt.client import MqttClient
from uns.mqtt.errors import ConnectionOver
from uns.mqtt.message import Address
from uns.runtime.errors import Fenced
from uns.runtime.ownership import Claim, Claimant, Visit, check, claim

LINE = "acme/berlin/machining/housing"
TOPIC = f"{LINE}/_hub/processor/tally"
SAID_AT = f"{TOPIC}/claim"
RACERS = 8


def visits(address: Address) -> Visit:
    return lambda: MqttClient(address, unique("visit"), clean_session=True, once=True)


class Rig:
    """Claims on one broker, with the rights that a processor has."""

    def __init__(self, broker: RunningBroker) -> None:
        self.broker = broker
        self.visit = visits(broker.address("processor"))
        self._at_ms: Iterator[int] = itertools.count(1_000)

    async def claim(self, by: str, known_epoch: int = 0) -> Claim:
        claimant = Claimant(by, unique("nonce"))
        return await claim(self.visit, TOPIC, claimant, lambda: next(self._at_ms), known_epoch)

    async def say(self, topic: str, payload: bytes) -> None:
        async with MqttClient(self.broker.address(), unique("said"), clean_session=True) as client:
            await client.publish(topic, payload, retain=True)

    async def retained(self) -> dict[str, Any]:
        async with MqttClient(self.broker.address(), unique("look"), clean_session=True) as client:
            await client.subscribe([SAID_AT])
            (message,) = await client.receive()
            return dict(json.loads(message.payload))


@pytest.fixture
def rig(mosquitto: RunningBroker) -> Rig:
    return Rig(mosquitto)


@bounded
async def test_each_owner_has_a_larger_epoch_and_the_one_before_is_fenced(rig: Rig) -> None:
    first = await rig.claim("a")
    await check(rig.visit, first)
    second = await rig.claim("b")
    assert (first.owner_epoch, second.owner_epoch) == (1, 2)
    document = await rig.retained()
    assert (document["owner_epoch"], document["by"]) == (2, "b")
    await check(rig.visit, second)
    with pytest.raises(Fenced, match="owner 2"):
        await check(rig.visit, first)


@bounded
async def test_an_epoch_is_above_those_of_the_record_and_of_the_resume_document(rig: Rig) -> None:
    assert (await rig.claim("a", known_epoch=6)).owner_epoch == 7
    await rig.say(TOPIC, encode_document({"owner_epoch": 11, "rev": 3}))
    assert (await rig.claim("b")).owner_epoch == 12


@bounded
async def test_a_resume_document_of_a_newer_owner_fences(rig: Rig) -> None:
    claimed = await rig.claim("a")
    await rig.say(TOPIC, encode_document({"owner_epoch": 1, "rev": 9}))
    await check(rig.visit, claimed)
    await rig.say(TOPIC, encode_document({"owner_epoch": 2, "rev": 1}))
    with pytest.raises(Fenced):
        await check(rig.visit, claimed)


@bounded
async def test_of_claims_at_the_same_moment_each_epoch_has_one_owner(rig: Rig) -> None:
    for _ in range(5):
        claims = [rig.claim(f"racer-{n}") for n in range(RACERS)]
        results = await asyncio.gather(*claims, return_exceptions=True)
        won = [r.owner_epoch for r in results if isinstance(r, Claim)]
        lost = [r for r in results if isinstance(r, Fenced)]
        assert won
        assert len(won) + len(lost) == RACERS
        assert len(won) == len(set(won))


@bounded
async def test_of_two_claims_of_one_epoch_the_first_holds(rig: Rig) -> None:
    """The rival says its claim between our look and our own: both would be owner 1."""
    rival = encode_document({"owner_epoch": 1, "nonce": "rival", "by": "rival"})
    made = list[MqttClient]()

    def visit() -> MqttClient:
        made.append(_Late(rig.broker.address("processor"), rival))
        return made[-1]

    with pytest.raises(Fenced):
        await claim(visit, TOPIC, Claimant("late", "n"), lambda: 1)
    assert len(made) == 1


class _Late(MqttClient):
    """A visitor whose claim comes just after a rival's."""

    def __init__(self, address: Address, rival: bytes) -> None:
        super().__init__(address, unique("late"), clean_session=True, once=True)
        self._rival = rival

    async def publish(self, topic: str, payload: bytes, **how: Any) -> None:
        if topic == SAID_AT:
            await super().publish(topic, self._rival, retain=True)
        await super().publish(topic, payload, **how)


@bounded
async def test_a_forgotten_claim_is_said_again_so_that_the_next_is_newer(rig: Rig) -> None:
    first = await rig.claim("a", known_epoch=4)
    rig.broker.forget()
    await check(rig.visit, first)
    assert (await rig.claim("b")).owner_epoch == 6


@bounded
async def test_two_owners_that_a_forgetful_broker_gave_one_epoch_do_not_both_stay(rig: Rig) -> None:
    first = await rig.claim("a")
    rig.broker.forget()
    second = await rig.claim("b")
    assert first.owner_epoch == second.owner_epoch
    with pytest.raises(Fenced):
        await check(rig.visit, first)
    await check(rig.visit, second)


@bounded
async def test_a_claim_waits_for_the_broker_and_a_check_does_not(rig: Rig) -> None:
    claimed = await rig.claim("a")
    rig.broker.kill()
    with pytest.raises(ConnectionOver):
        await check(rig.visit, claimed)
    waiting = asyncio.create_task(rig.claim("b"))
    await asyncio.sleep(0)
    rig.broker.start()
    assert (await waiting).owner_epoch >= 1


@bounded
async def test_before_a_reconnect_the_hook_is_asked_and_may_end_the_client(rig: Rig) -> None:
    answers = deque[Exception | None]([ConnectionOver("not now"), None, Fenced("not ours")])
    asked = list[int]()

    async def hook() -> None:
        asked.append(len(asked))
        if answer := answers.popleft():
            raise answer

    owner = MqttClient(rig.broker.address(), unique("owner"), before_reconnect=hook)
    async with owner:
        await owner.ready()
        assert asked == []
        rig.broker.restart()
        await until(lambda: len(asked) == 2 and owner.connected.is_set())
        await owner.ready()
        rig.broker.restart()
        with pytest.raises(Fenced):
            await owner.receive()


@bounded
async def test_a_first_connect_that_finds_no_broker_asks_the_hook_the_next_time() -> None:
    asked = asyncio.Event()

    async def hook() -> None:
        asked.set()
        raise Fenced("not ours")

    nobody = Address("127.0.0.1", free_port())
    async with MqttClient(nobody, unique("owner"), before_reconnect=hook) as owner:
        await asked.wait()
        with pytest.raises(Fenced):
            await owner.ready()
