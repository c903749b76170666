"""The simulated plant as one asyncio process: simulation, log, protocol servers, ERP.

Owns the order of effects at every tick: step, commit to log and state, then show. Does not know
the hub; whoever starts it says where to listen and when machines may begin.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from uns.demo.erp import Erp
from uns.demo.journal import Journal
from uns.demo.machine import Machine
from uns.demo.modbus_plc import ModbusPlc
from uns.demo.opcua_plc import OpcUaPlc
from uns.demo.pace import Clock, Pace
from uns.demo.plc import Plc, TagName
from uns.demo.readout import readout
from uns.demo.simulation import Simulation
from uns.demo.sparkplug_edge import SparkplugEdge
from uns.model.observation import Scalar
from uns.model.plant import Plant
from uns.mqtt.message import Address

TICK_S: Final = 0.05
FOLDER: Final = "plant"


async def run_plant(  # noqa: PLR0913, PLR0917 - what differs from one run to another
    plant: Plant,
    folder: Path,
    clock: Clock,
    seed: int,
    brokers: Mapping[str, Address],
    go: asyncio.Event,
    freeze: asyncio.Event,
) -> None:
    """Run until cancelled. Machines stand still before `go`, and for good after `freeze`.

    folder: the hub's data folder; the plant's own files are in `plant/` below it.
    brokers: by Sparkplug edge node, where it connects and as whom.
    Raises PlantError: StateUnreadable, PortTaken, WriteRefused.
    """
    journal = Journal(folder / FOLDER)
    simulation = Simulation(plant, journal.state, Pace(clock.speed), seed)
    plcs = _plcs(plant, folder, clock, brokers)
    async with AsyncExitStack() as stack:
        stack.callback(journal.close)
        for plc in plcs.values():
            stack.push_async_callback(plc.stop)
        panel = Panel(simulation, plcs)
        await panel.start(clock())
        await go.wait()
        floor = Floor(simulation, journal, panel, _erp(plant, folder), clock)
        while not freeze.is_set():
            await floor.tick()
            await asyncio.sleep(TICK_S)
        await asyncio.Event().wait()


@dataclass(frozen=True, slots=True)
class Floor:
    """The parts of the plant that a tick moves."""

    simulation: Simulation
    journal: Journal
    panel: "Panel"
    erp: Erp | None
    clock: Clock

    async def tick(self) -> None:
        """Go on to now: step, commit, show, announce. An order is durable before its file is."""
        now_ms = self.clock()
        unannounced = self.simulation.plan(now_ms) if self.erp else []
        self.journal.commit(self.simulation.advance(now_ms))
        await self.panel.show(now_ms)
        if self.erp:
            self.erp.announce(unannounced)


class Panel:
    """What the PLCs show, so that only changes are written."""

    def __init__(self, simulation: Simulation, plcs: Mapping[str, Plc]) -> None:
        self._simulation = simulation
        self._plcs = plcs
        self._shown = dict[TagName, Scalar]()

    async def start(self, now_ms: int) -> None:
        """Start every PLC with the values of its cells."""
        for name, plc in self._plcs.items():
            values = dict[TagName, Scalar]()
            for machine in self._simulation.machines:
                values |= self._changes(machine).get(name, {})
            await plc.start(values, now_ms)
            self._shown |= values

    async def show(self, now_ms: int) -> None:
        """Write what has changed, cell by cell."""
        for machine in self._simulation.machines:
            for bridge, changes in self._changes(machine).items():
                await self._plcs[bridge].write(changes, now_ms)
                self._shown |= changes

    def _changes(self, machine: Machine) -> dict[str, dict[TagName, Scalar]]:
        """What is not shown yet, by the bridge that reads it."""
        place, changes = machine.station.place, dict[str, dict[TagName, Scalar]]()
        for tag, value in readout(place, machine.state).items():
            name = TagName(place.path, tag)
            if name not in self._shown or self._shown[name] != value:
                changes.setdefault(place.bridge_of(tag), {})[name] = value
        return changes


def _plcs(
    plant: Plant, folder: Path, clock: Clock, brokers: Mapping[str, Address]
) -> dict[str, Plc]:
    """The simulated PLC of every bridge that reads tags."""
    made = dict[str, Plc]()
    for name, bridge in plant.bridges.items():
        places, settings = plant.served_by(name), bridge.settings
        match bridge.protocol:
            case "opcua":
                made[name] = OpcUaPlc(places, settings)
            case "modbus":
                made[name] = ModbusPlc(places, settings)
            case "sparkplug":
                broker = brokers[settings["edge_node"]]
                made[name] = SparkplugEdge(places, settings, broker, clock, folder / FOLDER)
    return made


def _erp(plant: Plant, folder: Path) -> Erp | None:
    """The ERP of the first order folder; without one, the lines get no orders."""
    for bridge in plant.bridges.values():
        if bridge.protocol == "erp":
            zone = next(iter(plant.sites.values())).time_zone
            return Erp(folder / bridge.settings.get("folder", "erp"), zone)
    return None
