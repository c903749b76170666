"""A session that ends under a write: what was heard before the end counts, and one answer comes."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from bridges.sparkplug import client
from bridges.sparkplug.config import SparkplugSettings
from tests.simulated import example_plant
from uns.model.observation import Link, SetPoint, Written
from uns.mqtt.message import Address, Message
from uns.sparkplug.datatype import DataType
from uns.sparkplug.edge import Change, EdgeNode
from uns.sparkplug.outputs import Publish
from uns.sparkplug.values import Metric

PLACES = example_plant().served_by("packing-edge")
(CELL,) = PLACES
NOW_MS: Final = 1_765_432_100_000
TIMEOUT_MS: Final = 200
SECONDS_MAX: Final = 10.0
SETTINGS = SparkplugSettings(group="acme", edge_node="packing", write_timeout_ms=TIMEOUT_MS)
LATER: Final = SetPoint("later", CELL, "weight", 1)
NOWHERE = Path(os.devnull) / "births"  # a folder that cannot be made: nothing is kept


class Session:
    """In place of a connection: a born device whose answer to a write is the session's last word.

    After it no session hears anything.
    """

    is_up = True
    trouble = "no broker"

    def __init__(self, words: list[Publish], last: list[Publish]) -> None:
        self.lost = asyncio.Event()
        self._words = words
        self._last = last

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        yield

    async def received(self) -> list[Message]:
        await asyncio.sleep(0.01)
        heard = [_message(word) for word in self._words]
        self._words.clear()
        return heard

    async def send(self, message: Publish) -> bool:
        if "/DCMD/" in message.topic:
            self._words += self._last
            self.lost.set()
        return True

    async def contradict(self, _: Message) -> None:
        """Nobody says anything of this host."""


def _message(word: Publish) -> Message:
    return Message(word.topic, word.payload, qos=0, retain=False, dup=False, mid=0, connection=1)


async def answers_of(monkeypatch: pytest.MonkeyPatch, *, is_heard: bool) -> list[Written]:
    """What is told, until a later write is answered, of one of 5 in a session that ends with it."""
    node = EdgeNode("acme", "packing", 0)
    weight = Metric("Weight", 3, DataType.INT32, NOW_MS)
    births = [node.node_birth([], NOW_MS), node.device_birth("pack", [weight], NOW_MS)]
    last = [node.data([Change("Weight", 5, NOW_MS + 1)], NOW_MS + 1, "pack")] if is_heard else []
    sessions = iter([Session(births, last)])
    monkeypatch.setattr(client, "Connection", lambda *_: next(sessions, Session([], [])))
    queue: asyncio.Queue[SetPoint] = asyncio.Queue()
    told = client.observe(SETTINGS, PLACES, lambda: NOW_MS + 2, Address("", 0), queue, NOWHERE)
    answers = list[Written]()
    async with asyncio.timeout(SECONDS_MAX), aclosing(told):
        async for batch in told:
            answers += [each for each in batch if isinstance(each, Written)]
            links = [each for each in batch if isinstance(each, Link)]
            if any(link.up for link in links):
                queue.put_nowait(SetPoint("r1", CELL, "weight", 5))
            if answers:
                break
        asyncio.get_running_loop().call_later(2 * TIMEOUT_MS / 1000, queue.put_nowait, LATER)
        async for batch in told:
            answers += [each for each in batch if isinstance(each, Written)]
            if answers[-1].request_id == LATER.request_id:
                break
    return answers[:-1]


async def test_an_answer_heard_before_the_end_of_the_session_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (answer,) = await answers_of(monkeypatch, is_heard=True)
    assert answer == Written("r1", CELL, "weight", NOW_MS + 1, 5)


async def test_a_write_that_outlives_its_session_gets_one_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (answer,) = await answers_of(monkeypatch, is_heard=False)
    assert answer.reason == "not confirmed within 200 ms: the host lost the broker"
