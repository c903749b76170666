"""A foreign namespace, adapted by namespace.yaml alone: recorded, mapped, folded, and explained."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from bridges.mqtt.config import MqttSettings
from bridges.mqtt.mapping import Adapter, Heard
from tests.golden.cases import differences, played, shown
from tests.virtual_factory import (
    BRIDGE,
    GOLDEN,
    ORDERS,
    TICK_MS,
    Said,
    bottler,
    recorded,
    virtual_factory,
)
from uns.fold import Draft, Tick
from uns.model.events import EVENTS, Event
from uns.model.observation import Fact, Observation, Reading
from uns.model.plant import Plant
from uns.model.releasing import Known
from uns.model.signals import Memory, derive

FILLING: Final = "bottler/site1/fillerproduction/fillingline01"
MIXING: Final = "bottler/site1/liquidprocessing/mixroom01"


class Hub:
    """What the runner of a bridge does with observations, in memory: facts by key, and cells."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.places = plant.served_by(BRIDGE)
        self.facts: dict[str, dict[str, Any]] = {}
        self.memory = {path: Memory() for path in self.places}
        self.drafts: list[Draft] = []
        self.readings: list[Reading] = []
        self.connect()

    def connect(self) -> None:
        """A bridge that was started anew: only what is on disk is known."""
        settings = MqttSettings.model_validate(self.plant.bridges[BRIDGE].settings)
        self.adapter = Adapter(settings, self.plant, self.places)

    def hear(self, said: list[Said]) -> None:
        """Messages that came together."""
        heard = [Heard(one.topic, one.payload.encode(), one.at_ms, one.retain) for one in said]
        self._take(self.adapter.take(heard, said[-1].at_ms + 100, self._known))

    def _known(self, line: str, order_id: str) -> Known:
        prefix = f"{line}:{order_id}@"
        return {key: body for key, body in self.facts.items() if key.startswith(prefix)}

    def _take(self, told: list[Observation]) -> None:
        readings = [one for one in told if isinstance(one, Reading)]
        self.readings += readings
        for path in dict.fromkeys(reading.cell for reading in readings):
            of_cell = [reading for reading in readings if reading.cell == path]
            self.memory[path], facts = derive(
                self.places[path], self.plant.items, self.memory[path], of_cell
            )
            self.drafts += [Draft(path, fact.type, fact.at_ms, fact.body) for fact in facts]
        for fact in told:
            if isinstance(fact, Fact) and fact.business_key not in self.facts:
                self.facts[fact.business_key or ""] = dict(fact.body)
                self.drafts.append(Draft(fact.path, fact.type, fact.at_ms, fact.body))

    def events(self, line: str) -> list[Event]:
        """The events of a line, numbered as its source numbers them."""
        source = f"{BRIDGE}:{line.replace('/', '.')}"
        rows = [draft for draft in self.drafts if draft.path.startswith(line)]
        return [
            EVENTS[draft.type].model_validate(
                {
                    "id": f"{source}:1:{seq}",
                    "source": source,
                    "epoch": 1,
                    "seq": seq,
                    "type": draft.type,
                    "path": draft.path,
                    "at_ms": draft.at_ms,
                    **draft.body,
                }
            )
            for seq, draft in enumerate(rows, 1)
        ]

    def of_type(self, event_type: str) -> list[dict[str, Any]]:
        return [dict(draft.body) for draft in self.drafts if draft.type == event_type]


def bursts(said: list[Said]) -> Iterator[list[Said]]:
    """The messages of one instant come together."""
    at = dict.fromkeys(one.at_ms for one in said)
    for at_ms in at:
        yield [one for one in said if one.at_ms == at_ms]


@pytest.fixture(scope="module")
def hub() -> Hub:
    one = Hub(bottler())
    for burst in bursts(virtual_factory()[0]):
        one.hear(burst)
    return one


def test_the_record_is_the_generators() -> None:
    said, _ = virtual_factory()
    assert (GOLDEN / "record.jsonl").read_text() == "".join(f"{recorded(one)}\n" for one in said)


def test_what_comes_of_the_record(hub: Hub) -> None:
    expected = json.loads((GOLDEN / "expected.json").read_text())
    events: list[Event | Tick] = [*hub.events(FILLING)]
    outputs, documents = played("order-progress", events, hub.plant)
    alerts, kpis = played("oee", events, hub.plant)
    told = [one for one in (*outputs, *alerts) if one.type in expected["types"]]
    assert list(differences(expected["outputs"], shown(told), "outputs")) == []
    assert list(differences(expected["documents"], {**documents, **kpis}, "documents")) == []


def test_pieces_and_times_are_those_of_the_factorys_own_books(hub: Hub) -> None:
    books = virtual_factory()[1]
    counted = hub.of_type("counted")
    for number in (order.number for order in ORDERS):
        of_order = [body for body in counted if body["order_id"] == number]
        assert sum(body["good"] for body in of_order) == books.good[number]
        assert sum(body["scrap"] for body in of_order) == books.scrap[number]
    _, documents = played("oee", list(hub.events(FILLING)), hub.plant)
    sums = documents[f"{FILLING}/filler/_state/oee"]["sums"]
    assert (sums["apt_ms"], sums["adet_ms"]) == (books.running_ms, books.down_ms)


def test_an_order_id_made_anew_is_no_new_order(hub: Hub) -> None:
    ids = {
        one.payload
        for one in virtual_factory()[0]
        if one.topic.endswith("/workorderid") and one.at_ms
    }
    assert len(ids) == 3
    assert [body["order_id"] for body in hub.of_type("released")] == [o.number for o in ORDERS]
    assert [body["order_id"] for body in hub.of_type("loaded")] == [
        *(order.number for order in ORDERS),
        ORDERS[0].number,
    ]


def test_a_standard_rate_of_0_is_none(hub: Hub) -> None:
    shown_rates = {(r.cell, r.value, r.reason) for r in hub.readings if r.tag == "standard-rate"}
    assert shown_rates == {
        (f"{FILLING}/filler", 132, "retained: the last value known there"),
        (f"{FILLING}/filler", 132, None),
        (f"{MIXING}/vat01", None, "0 stands for none"),
    }


def test_a_code_that_the_mapping_does_not_have_is_unknown(hub: Hub) -> None:
    states = [event for event in hub.events(MIXING) if event.type == "state-changed"]
    assert [state.model_dump()["state"] for state in states] == [
        "EXECUTE",
        "UNKNOWN",
        "EXECUTE",
        "UNKNOWN",
        "EXECUTE",
    ]


def test_a_restart_and_all_retained_again_tells_nothing_new() -> None:
    said, _ = virtual_factory()
    hub, last = Hub(bottler()), dict[str, Said]()
    for burst in bursts(said):
        if burst[0].at_ms == said[0].at_ms + 10 * TICK_MS:
            before = list(hub.drafts)
            hub.connect()
            at_ms = burst[0].at_ms - 1
            hub.hear([one._replace(at_ms=at_ms, retain=True) for one in last.values()])
            assert hub.drafts == before
        hub.hear(burst)
        last |= {one.topic: one for one in burst}
    assert sum(body["good"] for body in hub.of_type("counted")) == sum(
        virtual_factory()[1].good.values()
    )
