"""The example plant's hours on record, in virtual time: nothing is started and nothing waits.

The simulated machines, the pure halves of bridges and processors, and the real writer of a real
store. What a broker and protocols add is left out; the same seed gives the same record.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from processors import PROCESSORS
from tests.foldings import Folding
from tests.simulated import START_MS, VirtualPlant, example_plant
from tests.speech import Sent
from uns.codec import Codec, encode_event, encode_tag
from uns.fold import Draft
from uns.historian.owners import line_readers
from uns.historian.store import Store
from uns.historian.writer import Writer
from uns.model.observation import Reading, Scalar
from uns.model.path import parent, to_dotted
from uns.model.plant import Place, Plant
from uns.model.signals import Memory, derive

SPEED: Final = 20.0
BATCH_MS: Final = 60_000
TAGS_EVERY_MS: Final = 20_000
LAG_MS: Final = 250


class PlantHistory:
    """Writes the plant's time to a store, from `now_ms` on, which is how far it has come."""

    def __init__(self, store: Store, start_ms: int = START_MS, seed: int = 1) -> None:
        self._plant = plant = example_plant()
        self._machines = VirtualPlant(plant, seed, SPEED)
        self._machines.now_ms = start_ms
        self._cells = {path: _CellReadings(plant, place) for path, place in plant.cells.items()}
        self._foldings = {
            line: [Folding(build(plant), plant, line) for build in PROCESSORS.values()]
            for line in plant.lines
        }
        self._seqs = Counter[str]()
        self._writer = _writer(store, plant)

    @property
    def now_ms(self) -> int:
        """Plant time."""
        return self._machines.now_ms

    def run(self, duration_ms: int) -> None:
        """Go on for so much plant time."""
        waiting = list[Sent]()
        due_ms = self.now_ms + BATCH_MS
        for now_ms in self._machines.ticks(duration_ms):
            waiting += self._told(now_ms)
            if now_ms >= due_ms:
                self._record(waiting, now_ms)
                waiting, due_ms = [], now_ms + BATCH_MS
        self._record(waiting, self.now_ms)

    def say(self, *messages: Sent) -> None:
        """Record something beside what the plant does."""
        self._record(list(messages), self.now_ms)

    def _record(self, facts: list[Sent], now_ms: int) -> None:
        said = list(facts)
        for line, foldings in self._foldings.items():
            of_line = [m for m in facts if "/_event/" in m.topic and m.topic.startswith(f"{line}/")]
            for folding in foldings:
                folding.take(*of_line)
                folding.resume.tick(now_ms)
                said += folding.commit()
        self._writer.commit(self._writer.prepare(said, now_ms + LAG_MS))

    def _told(self, now_ms: int) -> Iterator[Sent]:
        for order in self._machines.simulation.plan(now_ms):
            order.announced = True
            line = self._plant.line_of_item(order.item)
            assert line
            body = {
                "order_id": order.order_id,
                "item": order.item,
                "quantity": order.quantity,
                "due_ms": order.due_ms,
            }
            yield self._event("erp", Draft(line, "released", now_ms, body))
        for path, shown in self._machines.shown().items():
            cell = self._cells[path]
            for draft in cell.facts(shown, now_ms):
                yield self._event(cell.bridge, draft)
            yield from cell.samples(now_ms)

    def _event(self, bridge: str, draft: Draft) -> Sent:
        source = f"{bridge}:{to_dotted(parent(draft.path, 'line'))}"
        self._seqs[source] += 1
        return Sent(draft.topic, encode_event(draft, source, 1, self._seqs[source]))


class _CellReadings:
    """What a bridge remembers of a cell."""

    def __init__(self, plant: Plant, place: Place) -> None:
        self._place, self._items = place, plant.items
        self.bridge = place.line.bridge
        self._memory = Memory()
        self._shown: dict[str, Scalar] = {}
        self._published: dict[str, Scalar] = {}
        self._due_ms = 0

    def facts(self, shown: dict[str, Scalar], now_ms: int) -> list[Draft]:
        """The facts in what changed."""
        path = self._place.path
        changed = [
            Reading(path, tag, value, now_ms)
            for tag, value in shown.items()
            if self._shown.get(tag) != value
        ]
        self._shown = dict(shown)
        self._memory, facts = derive(self._place, self._items, self._memory, changed)
        return [Draft(path, fact.type, fact.at_ms, fact.body) for fact in facts]

    def samples(self, now_ms: int) -> Iterator[Sent]:
        """The tags that changed, each at most once in TAGS_EVERY_MS."""
        if now_ms < self._due_ms:
            return
        self._due_ms = now_ms + TAGS_EVERY_MS
        for tag, value in self._shown.items():
            if self._published.get(tag) != value:
                unit = self._place.cell.tags[tag].unit
                payload = encode_tag(value, now_ms, "good", unit)
                yield Sent(f"{self._place.path}/_tag/{tag}", payload)
        self._published = dict(self._shown)


def _writer(store: Store, plant: Plant) -> Writer:
    states = {name: build(plant).states for name, build in PROCESSORS.items()}
    writer = Writer(Codec(plant), store, line_readers(plant.lines, states), ("acme/_hub/reject/",))
    writer.start()
    return writer
