"""`uns verify`: what processors show is what history gives, and a changed byte is named."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest

from processors import PROCESSORS
from tests.brokers import RunningBroker, running_broker, small_plant
from tests.foldings import Folding
from tests.speech import LINE, MILL, NOON, PLC, Sent, event, new_writer, record
from tests.terminal import Answer, Cli
from uns.cli import verify
from uns.cli.folder import Folder, locked, write_connection
from uns.cli.run import store_url
from uns.cli.store import StoreRecord
from uns.fold import Document, Tick
from uns.historian.owners import line_readers
from uns.historian.store import open_store
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Address, Outgoing
from uns.runtime.clock import start_clock

PLANT = small_plant()
ORDER = {"order_id": "PO-1", "item": "housing"}
FACTS: list[tuple[str, Document]] = [
    ("loaded", ORDER),
    ("state-changed", {"state": "EXECUTE"}),
    ("counted", {"good": 3, "scrap": 1, **ORDER}),
    ("inspected", {"sample_id": "s1", "values": {"bore_mm": 10.01}, **ORDER}),
    ("counted", {"good": 2, "scrap": 0, **ORDER}),
]
OEE = f"{LINE}/_state/oee"
QUALITY = f"{MILL}/_state/quality"
OEE_RESUME = f"{LINE}/_hub/processor/oee"


class Told(NamedTuple):
    """A data folder with its record, and what is retained."""

    folder: Folder
    retained: dict[str, bytes]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is on its way here: the second look comes at once."""
    monkeypatch.setattr(verify, "AGAIN_S", 0.01)
    monkeypatch.setattr(verify, "LOOKS", 2)


FOLDED = sum(kind in build(PLANT).inputs for kind, _body in FACTS for build in PROCESSORS.values())
"""A fact counts once with each processor that folds it."""


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """Both lines, every processor: each fact is folded, committed and recorded."""
    folder = Folder(tmp_path / "data")
    folder.root.mkdir()
    folder.plant.write_text(PLANT.model_dump_json())
    connect(folder, Address("127.0.0.1", 1, "operator", "secret"))
    now_ms = start_clock(folder.root, 1)()
    said = [event(n, kind, body, at_ms=now_ms + n) for n, (kind, body) in enumerate(FACTS, 1)]
    sent = list(said)
    for line in PLANT.lines:
        for build in PROCESSORS.values():
            folding = Folding(build(PLANT), PLANT, line)
            sent += folding.commit()
            for one in said if line == LINE else []:
                folding.take(one)
                sent += [*folding.tick(now_ms), *folding.commit()]
    keep(folder, *sent)
    retained = {one.topic: one.payload for one in sent if "/_event/" not in one.topic}
    return Told(folder, retained)


def keep(folder: Folder, *sent: Sent) -> None:
    """Put messages on record."""
    store = open_store(store_url("duckdb", folder.root), lambda: NOON)
    states = {name: build(PLANT).states for name, build in PROCESSORS.items()}
    record(new_writer(store, line_readers(PLANT.lines, states)), *sent)
    store.close()


def connect(folder: Folder, address: Address) -> None:
    location = store_url("duckdb", folder.root)
    document = {"store": location, "host": address.host, "port": address.port, "speed": 1}
    write_connection(folder, {**document, "mqtt": "", "ws": "", "enterprise": "acme"})
    folder.passwords.write_text(json.dumps({"operator": address.password}))


Publish = Callable[[str, bytes], None]


@pytest.fixture
def publish(told: Told, tmp_path: Path) -> Iterator[Publish]:
    """A running hub: this test, with a broker where everything is retained; puts in other bytes."""
    with running_broker(tmp_path / "broker", PLANT) as broker, locked(told.folder):
        connect(told.folder, broker.address("operator"))
        asyncio.run(retain(broker, told.retained))
        yield lambda topic, payload: asyncio.run(retain(broker, {topic: payload}))


async def retain(broker: RunningBroker, messages: dict[str, bytes]) -> None:
    async with MqttClient(broker.address(), "writer", clean_session=True) as client:
        await client.publish_many(Outgoing(*one, retain=True) for one in messages.items())


def flipped(payload: bytes, key: str) -> bytes:
    """The same with another last digit of a field's number."""
    number = str(json.loads(payload)[key]).encode()
    at = payload.index(f'"{key}":'.encode()) + len(key) + 3 + len(number) - 1
    return payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]


def differences(answer: Answer) -> dict[str, dict[str, Any]]:
    """What differs by topic."""
    assert answer.code == 1, answer
    return {one["topic"]: one for part in answer.json["parts"] for one in part["differences"]}


def test_a_record_that_holds_together_is_equal(uns: Cli, told: Told) -> None:
    answer = uns("verify", "--data", told.folder.root)
    assert answer.code == 0, answer
    assert answer.out.count("equal") == 1 + len(PLANT.lines) * len(PROCESSORS)
    assert "byte for byte" in answer.out.splitlines()[-1]
    report = uns("verify", "--data", told.folder.root, "--json").json
    assert report["equal"]
    assert report["documents"] == sum("/_state/" in topic for topic in told.retained)
    assert report["events"] == FOLDED
    assert report["events_per_s"] > 0


@pytest.mark.usefixtures("publish")
def test_the_tree_of_a_running_hub_is_equal(uns: Cli, told: Told) -> None:
    answer = uns("verify", "--data", told.folder.root, "--json")
    assert answer.code == 0, answer
    assert answer.json["events"] == FOLDED
    one = uns("verify", "--line", "housing", "--data", told.folder.root, "--json").json
    assert {part["line"] for part in one["parts"]} == {LINE}


@pytest.mark.parametrize("key", ["good", "rev", "owner_epoch"])
def test_a_flipped_byte_of_a_document_is_named(
    uns: Cli, told: Told, publish: Publish, key: str
) -> None:
    topic = f"{MILL}/_state/cell"
    publish(topic, flipped(told.retained[topic], key))
    answer = uns("verify", "--line", "housing", "--data", told.folder.root, "--json")
    assert list(differences(answer)) == [topic]


def test_a_flipped_byte_of_a_resume_document_is_named(
    uns: Cli, told: Told, publish: Publish
) -> None:
    broken = flipped(told.retained[OEE_RESUME], "ticked_ms")
    publish(OEE_RESUME, broken)
    found = differences(uns("verify", "--line", "housing", "--data", told.folder.root, "--json"))
    assert list(found) == [OEE_RESUME]
    assert found[OEE_RESUME]["fault"] == "does not fit its sha256"


def test_each_difference_has_its_field_values_and_events(
    uns: Cli, told: Told, publish: Publish
) -> None:
    forged = told.retained[QUALITY].replace(b'"pass":0', b'"pass":7')
    assert forged != told.retained[QUALITY]
    publish(QUALITY, forged)
    answer = uns("verify", "--line", "housing", "--data", told.folder.root)
    assert answer.code == 1
    (head,) = [line for line in answer.out.splitlines() if line.startswith(QUALITY)]
    assert f"somebody else wrote it; it was last moved by {PLC}:1:4" in head
    assert "current.pass: 7 is there, history gives 0" in answer.out
    assert answer.out.splitlines()[-1].startswith("DIFFERENT: 1 of ")


def test_a_document_left_behind_names_the_events_that_are_not_in_it(
    uns: Cli, told: Told, publish: Publish
) -> None:
    now_ms = json.loads(told.retained[OEE_RESUME])["ticked_ms"]
    behind = behind_of(now_ms)
    publish(behind.topic, behind.payload)
    answer = uns("verify", "--line", "housing", "--data", told.folder.root, "--json")
    why = differences(answer)[behind.topic]["why"]
    assert why.startswith(f"as it was after {PLC}:1:3;")
    assert why.endswith(f"{PLC}:1:5")


def behind_of(now_ms: int) -> Sent:
    """The cell's document as it was after the third fact, drawn when the newest one was."""
    folding = Folding(PROCESSORS["oee"](PLANT), PLANT)
    shown = list[Sent](folding.commit())
    for n in (1, 2, 3):
        folding.take(event(n, *FACTS[n - 1], at_ms=now_ms + n))
        shown += [*folding.tick(now_ms), *folding.commit()]
    return [one for one in shown if one.topic == f"{MILL}/_state/cell"][-1]


def test_missing_and_foreign_topics_are_named(uns: Cli, told: Told, publish: Publish) -> None:
    strange = f"{LINE}/_state/weather"
    extra = f"{MILL}/_state/oee-order/po-9"
    publish(QUALITY, b"")
    publish(strange, b'{"summary": "sunny"}')
    publish(extra, told.retained[OEE])
    answer = uns("verify", "--line", "housing", "--data", told.folder.root, "--json")
    found = differences(answer)
    assert {topic: one["fault"] for topic, one in found.items()} == {
        QUALITY: "is not there",
        extra: "no processor shows it",
    }
    assert answer.json["foreign"] == [strange]


def test_an_event_that_is_gone_from_the_record_shows(uns: Cli, told: Told) -> None:
    with duckdb.connect(str(told.folder.database)) as db:
        db.execute("DELETE FROM events WHERE type = 'counted' AND seq = 3")
    found = differences(uns("verify", "--line", "housing", "--data", told.folder.root, "--json"))
    assert {OEE, OEE_RESUME} <= found.keys()
    assert found[OEE_RESUME]["fault"] == "holds another state"


def test_another_plant_is_said_and_not_compared(uns: Cli, told: Told) -> None:
    other = PLANT.model_copy(update={"policy": PLANT.policy.model_copy(update={"id": "other"})})
    told.folder.plant.write_text(other.model_dump_json())
    found = differences(uns("verify", "--data", told.folder.root, "--json"))
    assert "written under another plant" in found[OEE_RESUME]["why"]


def test_a_runner_without_a_document_is_given_the_state_of_history(told: Told) -> None:
    processor = PROCESSORS["oee"](PLANT)
    rebuilt = asyncio.run(StoreRecord(told.folder).rebuilt(processor, LINE))
    assert rebuilt
    resume = json.loads(told.retained[OEE_RESUME])
    assert {source: list(mark) for source, mark in rebuilt.marks.items()} == resume["marks"]
    ticked = processor.fold(rebuilt.state, Tick(resume["ticked_ms"])).state
    assert ticked.model_dump(mode="json") == resume["state"]
    assert [list(run) for run in rebuilt.order] == resume["order"]
    assert rebuilt.order_no == resume["order_no"]
