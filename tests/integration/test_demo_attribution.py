"""What the bridges make of the simulated plant agrees with its own log: cell, order, item, lot."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from bridges.modbus.client import observe as observe_modbus
from bridges.modbus.config import ModbusSettings
from bridges.opcua.client import observe as observe_opcua
from bridges.opcua.config import OpcUaSettings
from bridges.sparkplug.client import observe as observe_sparkplug
from bridges.sparkplug.config import SparkplugSettings
from tests.brokers import bounded, running_broker, until
from tests.integration.test_demo_plant import EDGE, Running, plant_on_free_ports, simulated
from uns.model.observation import Observation, Reading, SetPoint
from uns.model.plant import Place, Plant
from uns.model.signals import Memory, derive
from uns.mqtt.acl import bridge_user, edge_user
from uns.mqtt.message import Address

PIECES = 110
Facts = list[tuple[str, str, Mapping[str, Any]]]


class Derived:
    """The events of all cells, as the bridge runner derives them."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._memory = {cell: Memory() for cell in plant.cells}
        self.facts: Facts = []

    async def follow(self, batches: AsyncIterator[list[Observation]]) -> None:
        async for batch in batches:
            readings: dict[str, list[Reading]] = {}
            for observation in batch:
                if isinstance(observation, Reading):
                    readings.setdefault(observation.cell, []).append(observation)
            for cell, mine in readings.items():
                place = self._plant.cells[cell]
                memory = self._memory[cell]
                self._memory[cell], facts = derive(place, self._plant.items, memory, mine)
                self.facts += [(cell, fact.type, fact.body) for fact in facts]

    def ready(self) -> bool:
        """Whether every cell has its base lines."""
        return all(memory.counters for memory in self._memory.values())

    def counted(self) -> Counter[tuple[Any, ...]]:
        """Pieces by cell, order, item and result."""
        found = Counter[tuple[Any, ...]]()
        for cell, kind, body in self.facts:
            if kind == "counted":
                for result in ("good", "scrap", "rework"):
                    found[cell, body["order_id"], body["item"], result] += body[result]
        return +found

    def produced(self) -> Counter[tuple[Any, ...]]:
        """Good pieces by cell and lot."""
        found = Counter[tuple[Any, ...]]()
        for cell, kind, body in self.facts:
            if kind == "produced":
                found[cell, body["lot"]] += body["quantity"]
        return found

    def units(self) -> list[str]:
        """Serial numbers of produced units, in order."""
        made = (body for _, kind, body in self.facts if kind == "produced")
        return [body["unit_id"] for body in made if body["unit_id"]]


def observers(
    plant: Plant, address: Address, running: Running, folder: Path
) -> list[AsyncIterator[list[Observation]]]:
    def of(name: str) -> tuple[Mapping[str, Any], dict[str, Place]]:
        return plant.bridges[name].settings, plant.served_by(name)

    machining, saws = of("plc-machining")
    assembly, presses = of("plc-assembly")
    packing, packers = of("packing-edge")
    nothing = asyncio.Queue[SetPoint]()
    return [
        observe_opcua(
            OpcUaSettings.model_validate(machining), saws, running.clock, nothing, folder / "pki"
        ),
        observe_modbus(ModbusSettings.model_validate(assembly), presses, running.clock, nothing),
        observe_sparkplug(
            SparkplugSettings.model_validate(packing),
            packers,
            running.clock,
            address,
            nothing,
            folder / "births",
        ),
    ]


@bounded
async def test_every_piece_is_counted_for_its_order_item_and_lot(tmp_path: Path) -> None:
    plant = plant_on_free_ports()
    derived = Derived(plant)
    async with AsyncExitStack() as stack:
        broker = stack.enter_context(running_broker(tmp_path / "broker", plant))
        running = await stack.enter_async_context(
            simulated(tmp_path, plant, broker.address(edge_user(EDGE)))
        )
        address = broker.address(bridge_user("packing-edge"))
        tasks = [
            asyncio.create_task(derived.follow(one))
            for one in observers(plant, address, running, tmp_path)
        ]
        await until(derived.ready)
        running.go.set()
        await until(lambda: len(running.log()) > PIECES)
        running.freeze.set()
        await asyncio.sleep(0.2)
        log = running.log()
        logged = Counter((p["cell"], p["order_id"], p["item"], p["result"]) for p in log)
        await until(lambda: derived.counted().total() >= logged.total())
        assert derived.counted() == logged
        lots = Counter((p["cell"], p["lot"]) for p in log if p["result"] == "good")
        assert derived.produced() == lots
        assert derived.units() == [f"PU-{p['serial']:07d}" for p in log if p["serial"]]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    assert len(lots) > 10
