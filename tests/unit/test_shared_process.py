"""Bridges in one process: what befalls one is its own, and it starts again by itself."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.brokers import bounded, until
from tests.example import plant
from uns.cli import bridging
from uns.cli.child import Context
from uns.cli.folder import Folder
from uns.runtime.clock import PlantClock

FAILURES: list[BaseException] = [RuntimeError("a fault of ours"), asyncio.CancelledError()]


@bounded
async def test_a_bridge_that_fails_starts_again_and_its_neighbour_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    starts = Counter[str]()
    ended = list[str]()

    async def run_bridge(_context: Context, name: str) -> None:
        starts[name] += 1
        if name == "bad" and starts[name] <= len(FAILURES):
            raise FAILURES[starts[name] - 1]
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    monkeypatch.setattr(bridging, "run_bridge", run_bridge)
    monkeypatch.setattr(bridging, "AGAIN_S", 0.0)
    names = ("bad", "well")
    context = Context(Folder(tmp_path), plant(), PlantClock(0, 0), "bridge-both", names)
    both = asyncio.create_task(bridging.run_bridges(context))
    await until(lambda: starts == {"bad": len(FAILURES) + 1, "well": 1})
    assert ended == []
    both.cancel()
    await asyncio.wait({both})
    assert both.cancelled()
    assert sorted(ended) == ["bad", "well"]
