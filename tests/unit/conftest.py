"""The command line and the data folders that its tests look at."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers import TESTER, RunningBroker, running_broker, small_plant
from tests.speech import NOON, event, new_writer, output, record, state, tag
from tests.terminal import OEE, Cli
from uns.cli.folder import Folder, locked, write_connection
from uns.cli.run import store_url
from uns.historian.store import open_store
from uns.mqtt.message import Address
from uns.runtime.clock import save_clock, start_clock


@pytest.fixture
def uns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Cli(monkeypatch, capsys)


@pytest.fixture
def stopped_hub(tmp_path: Path) -> Folder:
    """The data folder of a hub that stopped, with a little on record."""
    folder = Folder(tmp_path / "data")
    folder.root.mkdir()
    small = small_plant()
    folder.plant.write_text(small.model_dump_json())
    location = store_url("duckdb", folder.root)
    address = Address("127.0.0.1", 1, TESTER, "secret")
    _connect(folder, location, address)
    save_clock(folder.root, start_clock(folder.root, 1))
    store = open_store(location, lambda: NOON)
    edge = {"input_id": "[/bar]", "output_id": "box", "quantity": 2, "unit": "pcs"}
    record(
        new_writer(store),
        tag(1.5, NOON),
        event(1),
        event(2, "bogus"),
        output(1, "genealogy", "edge", edge),
        state("oee", 1, OEE),
    )
    store.close()
    return folder


def _connect(folder: Folder, location: str, address: Address) -> None:
    document = {"store": location, "host": address.host, "port": address.port, "speed": 1}
    write_connection(folder, {**document, "mqtt": "", "ws": "", "enterprise": "acme"})
    folder.passwords.write_text(json.dumps({"operator": address.password}))


@pytest.fixture
def live_hub(stopped_hub: Folder, tmp_path: Path) -> Iterator[tuple[Folder, RunningBroker]]:
    """The same folder, held by a hub: that is, by this test, with a broker and no other process."""
    with running_broker(tmp_path / "broker", small_plant()) as broker, locked(stopped_hub):
        _connect(stopped_hub, store_url("duckdb", stopped_hub.root), broker.address("operator"))
        yield stopped_hub, broker
