"""The API on a port of its own, over a store with something of everything, and a feed to speak."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import httpx
import uvicorn
from fastapi import FastAPI

from tests.brokers import small_plant
from tests.speech import NOON, Sent, event, new_writer, output, record, state, tag
from uns.api.app import build
from uns.api.context import Context, Readers
from uns.api.feed import Feed, Said
from uns.api.gate import LOOPBACK
from uns.historian.reader import open_reader
from uns.historian.store import open_store

NOW: Final = NOON + 3_600_000
START_TIMEOUT_S: Final = 20.0
ORDER: Final = {
    "order_id": "PO/1",
    "item": "housing-a",
    "quantity": 100,
    "dispatch_status": "running",
    "good": 40,
    "scrap": 1,
    "rework": 0,
    "started": 41,
    "remaining": 59,
    "released_ms": NOON,
    "started_ms": NOON + 5,
    "completed_ms": None,
    "due_ms": None,
    "at_ms": NOON + 9,
}
BORE: Final = {"name": "bore", "lower": 1, "upper": 2.5, "unit": "mm"}
STOP: Final = {"stop_id": "s1", "state": "ABORTED", "reason": "jam", "order_id": "PO/1"}
INTERVAL: Final = {
    "element": "apt",
    "state": "EXECUTE",
    "start_ms": NOON,
    "end_ms": NOON + 60_000,
    "shift_id": "2025-12-11-early",
    "policy_id": "p",
    "order_id": "PO/1",
    "item": "housing-a",
    "pq": 41,
    "gq": 40,
    "sq": 1,
    "rq": 0,
    "ideal_ms": 41_000,
    "ideal_good_ms": 40_000,
}


def everything() -> Iterator[Sent]:
    """A message of every kind that a question reads."""
    yield from (tag(n, NOON + n * 1_000) for n in range(20))
    yield state("oee", 3, {"oee": 0.5, "at_ms": NOON})
    yield state("order/po-1--x504f2f31", 7, ORDER)
    for n, name in enumerate(("EXECUTE", "ABORTED", "EXECUTE")):
        yield event(n + 1, "state-changed", {"state": name}, at_ms=NOON + n * 60_000)
    judged = [{**BORE, "value": 1.5 + n, "verdict": "pass" if n < 2 else "fail"} for n in range(3)]
    said: list[tuple[str, dict[str, Any]]] = [
        ("stop-ended", {**STOP, "start_ms": NOON, "duration_ms": 60_000, "micro": False}),
        ("oee-interval", INTERVAL),
        *(("edge", _edge(*pair.split())) for pair in ("bar blank", "blank part", "part pump")),
        *(("verdict", _verdict(f"S{n}", one)) for n, one in enumerate(judged)),
    ]
    for n, (kind, body) in enumerate(said):
        yield output(n + 1, "any", kind, body, at_ms=NOON + 60_000 + n)


def fill(location: str) -> str:
    """Record everything; gives the location back."""
    store = open_store(location, lambda: NOON)
    record(new_writer(store), *everything())
    store.close()
    return location


def _edge(input_id: str, output_id: str) -> dict[str, Any]:
    return {"input_id": input_id, "output_id": output_id, "quantity": 1, "unit": "pcs"}


def _verdict(sample_id: str, judged: dict[str, Any]) -> dict[str, Any]:
    verdict = judged["verdict"]
    return {"sample_id": sample_id, "verdict": verdict, "lot": "part", "characteristics": [judged]}


class Mouth:
    """The tree that a test speaks for."""

    def __init__(self) -> None:
        self._said: asyncio.Queue[Said] = asyncio.Queue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listened = threading.Event()

    async def listen(self) -> AsyncIterator[Said]:
        """A Source."""
        self._loop = asyncio.get_running_loop()
        self._listened.set()
        while True:
            yield await self._said.get()

    def say(self, topic: str, payload: bytes) -> None:
        """Say something; it is told soon."""
        assert self._listened.wait(START_TIMEOUT_S)
        assert self._loop
        self._loop.call_soon_threadsafe(self._said.put_nowait, (topic, payload))


def context_over(location: str, mouth: Mouth) -> Context:
    """A context of the small plant at NOW."""
    readers = Readers(partial(open_reader, location))
    return Context(small_plant(), readers, lambda: NOW, Feed(mouth.listen))


@contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    """The address of an application that is served over real HTTP while the context lasts."""
    config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        try:
            httpx.get(f"{url}/v1/plant", timeout=START_TIMEOUT_S)  # answered when all is up
            yield url
        finally:
            server.should_exit = True
            thread.join(START_TIMEOUT_S)
            assert not thread.is_alive()


@contextmanager
def served(location: str, token: str | None = None) -> Iterator[tuple[str, Mouth]]:
    """The address of the API over a store, and what speaks for the tree."""
    mouth = Mouth()
    with listening(build(context_over(location, mouth), token, LOOPBACK)) as url:
        yield url, mouth
