"""The commands that look back: snapshot, diff, gaps, replay."""

import asyncio
import json
from typing import Any

import pytest

from tests.brokers import TESTER, RunningBroker
from tests.speech import LINE, MILL, NOON, PLC, cleared, event, new_writer, record, state, tag
from tests.terminal import OEE, Cli
from uns.cli.folder import Folder
from uns.cli.replay import Window, said_by
from uns.cli.run import store_url
from uns.historian.playback import Played
from uns.historian.store import open_store
from uns.model.events import Counted
from uns.mqtt.client import MqttClient

TAG = f"{MILL}/_tag/tag-0"
LIVE_OEE = f"{LINE}/_state/oee"


@pytest.fixture
def past(stopped_hub: Folder) -> Folder:
    """A second after noon a tag moved and a document came; two seconds after, that was cleared."""
    store = open_store(store_url("duckdb", stopped_hub.root), lambda: NOON)
    writer = new_writer(store)
    order = state("order/po-1", 1, {"order_id": "po-1", "good": 3})
    record(writer, tag(2.5, NOON + 900), state("oee", 2, OEE), order, received_ms=NOON + 1_000)
    record(writer, event(5), cleared(order.topic), received_ms=NOON + 2_000)
    store.close()
    return stopped_hub


def test_a_snapshot_is_the_tree_of_then(uns: Cli, past: Folder) -> None:
    def at(after_ms: int) -> Any:
        return uns("snapshot", "--at", NOON + after_ms, "--data", past.root, "--json").json

    assert set(at(0)) == {TAG, LIVE_OEE}
    assert at(0)[TAG]["value"] == 1.5
    assert set(at(1_000)) == {TAG, LIVE_OEE, f"{LINE}/_state/order/po-1"}
    assert (at(1_000)[TAG]["value"], at(1_000)[LIVE_OEE]["rev"]) == (2.5, 2)
    assert set(at(2_000)) == {TAG, LIVE_OEE}
    assert at(-1) == {}
    answer = uns("snapshot", "acme/+/+/+/+/_tag/#", "--at", NOON + 1_000, "--data", past.root)
    assert "tag-0 = 2.5 rpm at 2025-12-11T12:00:00.900+00:00" in answer.out
    assert "1 topics at 2025-12-11T12:00:01.000+00:00" in answer.err


def test_a_diff_names_topics_and_fields_and_no_stamps(uns: Cli, past: Folder) -> None:
    first = uns("diff", NOON, NOON + 1_000, "--data", past.root, "--json").json
    assert list(first["added"]) == [f"{LINE}/_state/order/po-1"]
    assert first["removed"] == {}
    changed = {t: [c["field"] for c in changes] for t, changes in first["changed"].items()}
    assert changed == {LIVE_OEE: ["summary"], TAG: ["value", "timestamp_ms"]}
    assert first["changed"][TAG][0] == {"field": "value", "before": 1.5, "after": 2.5}
    answer = uns("diff", NOON + 1_000, NOON + 2_000, f"{LINE}/#", "--data", past.root)
    assert answer.out.split() == [
        *("removed", f"{LINE}/_state/order/po-1"),
        *("0", "added,", "1", "removed,", "0", "changed"),
    ]
    assert "name the earlier time first" in uns.fails(
        2, "diff", NOON + 1, NOON, "--data", past.root
    )


def test_gaps_say_what_is_missing_since_when_and_why(uns: Cli, past: Folder) -> None:
    (gap,) = uns("gaps", "--data", past.root, "--json").json
    assert (gap["source"], gap["from_seq"], gap["to_seq"]) == (PLC, 3, 4)
    assert gap["open"]
    said = uns("gaps", "--data", past.root).out
    assert "waiting: its source may still send it" in " ".join(said.split())
    assert "1 gaps, 1 of them may still be filled" in said


def test_events_are_replayed_by_their_own_writers(
    uns: Cli, past: Folder, live_hub: tuple[Folder, RunningBroker]
) -> None:
    _, broker = live_hub
    passwords = {user: broker.address(user).password for user in ("operator", "bridge-plc")}
    past.passwords.write_text(json.dumps(passwords))
    asyncio.run(listen(broker, "acme/#"))
    answer = uns("replay", "--from", NOON, "--to", NOON + 5_000, "--data", past.root, "--json")
    assert (answer.json["events"], answer.json["skipped"]) == (2, 1)
    assert "nobody is processor any more" in answer.err
    heard = asyncio.run(listen(broker, "acme/#"))
    assert [json.loads(payload)["seq"] for _, payload in heard] == [1, 5]
    assert {topic for topic, _ in heard} == {f"{MILL}/_event/counted"}


def test_a_replay_into_another_enterprise_has_its_places_and_the_tags(
    uns: Cli, past: Folder, live_hub: tuple[Folder, RunningBroker]
) -> None:
    _, broker = live_hub
    asyncio.run(listen(broker, "replay/#"))
    window = ("--from", NOON, "--to", NOON + 5_000, "--data", past.root)
    said = uns("replay", *window, "--into", "replay", "--speed", 100, "--json").json
    assert (said["events"], said["tags"]) == (3, 2)
    heard = dict(asyncio.run(listen(broker, "replay/#"))[1:])
    assert json.loads(heard[TAG.replace("acme", "replay")])["value"] == 2.5
    counted = json.loads(heard[f"{MILL}/_event/counted".replace("acme", "replay")])
    assert counted["path"] == MILL.replace("acme", "replay")
    assert counted["source"] == PLC.replace("acme", "replay")
    assert "use --into replay" in uns.fails(1, "replay", *window, "--into", "umbra")


@pytest.mark.parametrize(
    ("into", "said"), [("acme", "that is this plant"), ("A/b", "is no enterprise")]
)
def test_a_wrong_enterprise_is_refused(
    uns: Cli, live_hub: tuple[Folder, RunningBroker], into: str, said: str
) -> None:
    data = live_hub[0].root
    assert said in uns.fails(2, "replay", "--from", "1h", "--into", into, "--data", data)


def test_a_stopped_hub_takes_no_replay(uns: Cli, past: Folder) -> None:
    assert "no hub runs" in uns.fails(1, "replay", "--from", "1h", "--data", past.root)


def test_an_enterprise_that_stands_alone_moves_too() -> None:
    fields = {"id": "i", "at_ms": NOON, "path": "acme", "epoch": 1, "seq": 1, "good": 1, "scrap": 0}
    counted = Counted(source="erp:acme", **fields)
    window = Window(0, 1, "acme", "replay", None)
    moved = said_by(Played(NOON, "acme/_event/counted", counted, b""), window)
    assert moved.topic == "replay/_event/counted"
    document = json.loads(moved.payload)
    assert (document["path"], document["source"]) == ("replay", "erp:replay")


async def listen(broker: RunningBroker, topic_filter: str) -> list[tuple[str, bytes]]:
    """What came since the last call, for a session that the broker keeps."""
    async with MqttClient(broker.address(TESTER), "listener") as client:
        await client.subscribe([topic_filter])
        heard = list[tuple[str, bytes]]()
        while batch := await client.receive(timeout_s=0.5):
            heard += [(message.topic, message.payload) for message in batch]
            client.ack(batch)
        return heard
