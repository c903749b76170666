"""`uns explain`: every document of OEE is made of intervals on record, and again to the digit."""

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.plant_history import PlantHistory
from tests.simulated import START_MS, example_plant
from tests.speech import LINE, MILL
from tests.terminal import Cli
from uns.cli.folder import Folder, write_connection
from uns.fold import Document
from uns.historian import queries
from uns.historian.history.behind import Behind, behind
from uns.historian.reader import open_reader
from uns.historian.store import open_store
from uns.model.path import parse_topic

MINUTE_MS = 60_000
BEFORE_TWO_MS = START_MS + 25_420_000  # 13:52 in Berlin: the early shift ends at 14:00
KINDS = {"oee", "oee-shift", "oee-day", "oee-item", "oee-order"}


@pytest.fixture(scope="module")
def hub(shared_location: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped hub after 16 minutes over a shift edge."""
    root = tmp_path_factory.mktemp("hub")
    folder = Folder(root)
    write_connection(folder, {"store": shared_location})
    folder.plant.write_text(example_plant().model_dump_json())
    store = open_store(shared_location, lambda: BEFORE_TWO_MS)
    history = PlantHistory(store, BEFORE_TWO_MS)
    history.run(16 * MINUTE_MS)
    store.close()
    (root / "clock.json").write_text(json.dumps({"reached_ms": history.now_ms}))
    return root


@pytest.fixture(scope="module")
def shown(hub: Path, shared_location: str) -> dict[str, Document]:
    """The documents of OEE that the hub shows."""
    assert hub.exists()
    with open_reader(shared_location) as reader:
        newest = queries.newest(reader)
    chosen = (t for t in newest if parse_topic(t).kind == "_state" and parse_topic(t).name in KINDS)
    return {topic: json.loads(newest[topic]) for topic in chosen}


@pytest.fixture
def uns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


def explained(location: str, topic: str, document: Document) -> Behind:
    with open_reader(location) as reader:
        return behind(reader, topic, document)


def test_every_document_is_what_its_intervals_give(
    shared_location: str, shown: dict[str, Document]
) -> None:
    kinds = Counter[str]()
    for topic, document in shown.items():
        found = explained(shared_location, topic, document)
        assert found.differences == (), topic
        assert len(found.intervals) == found.closed
        assert len({one.id for one in found.intervals}) == found.closed
        kinds[parse_topic(topic).name] += found.closed
    assert set(kinds) == KINDS
    assert all(kinds.values()), kinds


def test_what_does_not_follow_from_intervals_is_named(
    shared_location: str, shown: dict[str, Document]
) -> None:
    topic = next(t for t in shown if "/oee-shift/" in t and t.startswith(MILL))
    document = shown[topic]
    wrong = {**document, "oee": 0.99, "sums": {**document["sums"], "pq": 0}}
    found = explained(shared_location, topic, wrong)
    assert (found.differences[0].shown, found.differences[0].recomputed) == (0.99, document["oee"])
    assert [one.field for one in found.differences] == ["oee", "sums"]
    behind_it = document["intervals"]
    fewer = {**document, "intervals": {**behind_it, "closed": behind_it["closed"] + 1}}
    (missing,) = explained(shared_location, topic, fewer).differences
    closed = behind_it["closed"]
    assert (missing.field, missing.shown, missing.recomputed) == ("intervals", closed + 1, closed)


def test_the_command_lists_intervals_and_the_figures_again(uns: Cli, hub: Path) -> None:
    where = ("--data", hub)
    found = uns("explain", f"{LINE}/_state/oee", *where, "--json").json
    assert found["equal"]
    assert found["path"] == MILL
    said = uns("explain", f"{LINE}/_state/oee", *where)
    assert said.code == 0
    assert "equal to the digit, by policy iso22400-bottleneck-1" in said.out
    assert all(one["id"] in said.out for one in found["intervals"])
    refused = uns.fails(2, "explain", f"{MILL}/_state/cell", *where)
    assert "only documents of oee with figures" in refused
    assert "nothing is shown under" in uns.fails(1, "explain", f"{LINE}/_state/oee-day/x", *where)
