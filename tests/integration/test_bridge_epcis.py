"""The EPCIS bridge killed in the middle of a document: each event is said once, and can be read."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bridges.epcis.client import EVENTS_A_BATCH, Inbox
from bridges.epcis.config import EpcisSettings
from bridges.epcis.folder import EventFolder
from bridges.epcis.mapping import terms_of
from tests.brokers import small_plant
from uns.codec import Codec, Message
from uns.model.events import Produced
from uns.model.plant import Plant
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Address
from uns.runtime.bridge import BridgeRunner, BridgeWiring
from uns.runtime.outbox import Outbox

NAME = "partners"
START_MS = 1_765_454_400_000
WASH = "acme/berlin/machining/housing/wash"
EVENTS = 3 * EVENTS_A_BATCH
BAD_EVERY = 50
SETTINGS = EpcisSettings(settle_ms=0)


def plant() -> Plant:
    """The small plant, whose cell `wash` is told by EPCIS."""
    document = small_plant().model_dump(mode="json")
    document["bridges"][NAME] = {"protocol": "epcis"}
    cells = document["sites"]["berlin"]["areas"]["machining"]["lines"]["housing"]["cells"]
    cells["wash"] |= {"bridge": NAME, "tags": {}}
    return Plant.model_validate(document)


PLANT = plant()


def told(n: int) -> dict[str, Any]:
    return {
        "type": "TransformationEvent",
        "eventTime": f"2025-12-11T12:{n // 60 % 60:02}:{n % 60:02}Z",
        "eventTimeZoneOffset": "+01:00" if n % BAD_EVERY else "+1:00",
        "inputQuantityList": [{"epcClass": "urn:acme:lot:1", "quantity": 1}],
        "outputEPCList": [f"urn:acme:unit:{n}"],
        "readPoint": {"id": f"https://acme.invalid/loc/{WASH}"},
    }


def document(events: list[dict[str, Any]]) -> str:
    head = {"@context": "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"}
    head |= {"type": "EPCISDocument", "schemaVersion": "2.0"}
    head["creationDate"] = "2025-12-11T12:00:00Z"
    return json.dumps({**head, "epcisBody": {"eventList": events}})


class Process:
    """What runs until it is killed: an inbox on the folder, a runner on the outbox."""

    def __init__(self, folder: Path) -> None:
        self.outbox = Outbox(folder / "outbox.sqlite")
        self.runner = BridgeRunner(
            BridgeWiring(
                name=NAME,
                protocol="epcis",
                plant=PLANT,
                places=PLANT.served_by(NAME),
                home="acme/berlin",
                outbox=self.outbox,
                client=MqttClient(Address("127.0.0.1", 1), "never-connected"),
                clock=lambda: START_MS,
            )
        )
        terms = terms_of(SETTINGS, PLANT, PLANT.served_by(NAME))
        files = EventFolder(folder, SETTINGS)
        known = self.runner.known_fact
        self.inbox = Inbox(files, SETTINGS, terms, lambda: START_MS, known)

    async def run(self, batches_max: int) -> None:
        count = 0
        async for batch in self.inbox.look(0.0):
            await self.runner.take(batch)
            count += 1
            if count == batches_max:
                return

    def said(self) -> Iterator[Message]:
        codec, after = Codec(PLANT), 0
        while entries := self.outbox.unsettled(after):
            after = entries[-1].position
            for entry in entries:
                message = codec.decode(entry.topic, entry.payload)
                assert isinstance(message, Message), message
                yield message


async def test_each_event_is_on_record_once_whenever_the_bridge_is_killed(tmp_path: Path) -> None:
    inbox = tmp_path / "in"
    inbox.mkdir()
    (inbox / "a.jsonld").write_text(document([told(n) for n in range(EVENTS)]))
    first = Process(tmp_path)
    await first.run(2)
    first.outbox.close()
    assert (inbox / "a.jsonld").exists()
    last = Process(tmp_path)
    await last.run(1_000)
    (inbox / "again.jsonld").write_text(document([told(n) for n in reversed(range(EVENTS))]))
    await last.run(1_000)

    sound = {n for n in range(EVENTS) if n % BAD_EVERY}
    types = Counter(message.topic.name for message in last.said())
    assert types["traced"] == types["consumed"] == types["produced"] == len(sound)
    units = [m.value.unit_id for m in last.said() if isinstance(m.value, Produced)]
    assert Counter(units) == Counter(f"urn:acme:unit:{n}" for n in sound)
    reason = (tmp_path / "error" / "a.jsonld.reason.txt").read_text()
    known = len([n for n in sound if n < 2 * EVENTS_A_BATCH])
    new, bad = len(sound) - known, EVENTS - len(sound)
    assert reason.startswith(f"{EVENTS} events: {new} new, {known} known already, {bad} refused\n")
    assert list(inbox.iterdir()) == []
    last.outbox.close()
