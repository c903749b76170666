"""The example plant, simulated in virtual time: no server, no waiting."""

from collections.abc import Iterator
from pathlib import Path

from bridges import PROTOCOLS
from uns.demo.pace import Pace
from uns.demo.readout import readout
from uns.demo.simulation import Simulation
from uns.demo.state import Finished, PlantState
from uns.model.namespace import parse_namespace
from uns.model.observation import Scalar
from uns.model.plant import Plant

START_MS = 1_765_432_100_000
TICK_WALL_MS = 50
NAMESPACE = Path(__file__).parents[1] / "namespace.yaml"


def example_plant() -> Plant:
    """The plant of namespace.yaml."""
    return parse_namespace(NAMESPACE.read_text(), NAMESPACE.name, PROTOCOLS)


class VirtualPlant:
    """A simulation and its clock; `log` is what the PLCs would have written."""

    def __init__(
        self, plant: Plant, seed: int = 1, speed: float = 1.0, state: PlantState | None = None
    ) -> None:
        self.simulation = Simulation(plant, state or PlantState(), Pace(speed), seed)
        self.now_ms = START_MS
        self.log: list[Finished] = []
        self._tick_ms = round(TICK_WALL_MS * speed)

    def ticks(self, duration_ms: int) -> Iterator[int]:
        """Run for so much plant time; yields after each tick."""
        end_ms = self.now_ms + duration_ms
        while self.now_ms < end_ms:
            self.simulation.plan(self.now_ms)
            self.log += self.simulation.advance(self.now_ms)
            yield self.now_ms
            self.now_ms += self._tick_ms

    def run(self, duration_ms: int) -> list[Finished]:
        """Run for so much plant time; the whole log."""
        for _ in self.ticks(duration_ms):
            pass
        return self.log

    def shown(self) -> dict[str, dict[str, Scalar]]:
        """What every cell's tags show, by cell and tag."""
        return {
            machine.station.path: readout(machine.station.place, machine.state)
            for machine in self.simulation.machines
        }
