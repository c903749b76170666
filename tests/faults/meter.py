"""A bridge as a process, whose device counts pieces by the wall clock, whoever listens.

    python -m tests.faults.meter DATA METER     (METER: the fields of Meter as JSON)

The bridge runtime is the real one; the device is a function of time: at `start_ms` its counter
begins to move from 0, at `rate` pieces a second, up to `total`. So what has to be on record in the
end is known beforehand, whatever happened in between.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.faults.plant import faults_plant
from uns.cli.folder import Folder
from uns.model.observation import Link, Observation, Reading
from uns.model.plant import Plant
from uns.mqtt.acl import bridge_user
from uns.mqtt.client import MqttClient
from uns.runtime.bridge import BridgeRunner, BridgeWiring
from uns.runtime.clock import load_clock, wall_ms
from uns.runtime.outbox import BYTES_MAX, Outbox

NAME: Final = "meter"
CELL: Final = "acme/works/hall/l01/cut"
TAG: Final = "good"
LOOK_S: Final = 0.02


@dataclass(frozen=True)
class Meter:
    """How the device counts, and how large the bridge's outbox may be."""

    start_ms: int
    total: int
    rate: float
    bytes_max: int = BYTES_MAX

    def reads(self, at_ms: int) -> int:
        """The counter at a time of the wall."""
        return max(0, min(self.total, int((at_ms - self.start_ms) * self.rate / 1000)))


def metered_plant() -> Plant:
    """One line, whose first cell has a counter that this bridge reads."""
    document: dict[str, Any] = faults_plant(1).model_dump(mode="json")
    line = document["sites"]["works"]["areas"]["hall"]["lines"]["l01"]
    line["bridge"] = NAME
    line["cells"]["cut"]["tags"] = {TAG: {"role": "good_count", "source": {"node": "s=Good"}}}
    document["bridges"] = {NAME: {"protocol": "opcua", "url": "opc.tcp://127.0.0.1:4840"}}
    return Plant.model_validate(document)


async def observe(meter: Meter, clock: Any) -> AsyncIterator[list[Observation]]:
    """What the device says, look by look; how long a taker took changes nothing of its count."""
    yield [Link(NAME, ((CELL, TAG),), up=True, at_ms=clock())]
    while True:
        yield [Reading(CELL, TAG, meter.reads(wall_ms()), clock())]
        await asyncio.sleep(LOOK_S)


async def run(folder: Folder, meter: Meter) -> None:
    """The bridge, until it is killed."""
    plant, clock = folder.load_plant(), load_clock(folder.root)
    client = MqttClient(folder.address(bridge_user(NAME)), f"bridge-{NAME}")
    with closing(Outbox(folder.outbox(f"bridge.{NAME}"), bytes_max=meter.bytes_max)) as outbox:
        wiring = BridgeWiring(
            name=NAME,
            protocol="opcua",
            plant=plant,
            places=plant.served_by(NAME),
            home=CELL.rpartition("/")[0],
            outbox=outbox,
            client=client,
            clock=clock,
        )
        async with client:
            await BridgeRunner(wiring).run(observe(meter, clock))


if __name__ == "__main__":
    asyncio.run(run(Folder(Path(sys.argv[1])), Meter(**json.loads(sys.argv[2]))))
