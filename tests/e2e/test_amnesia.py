"""A demo hub's broker forgets while the hub is stopped: the same tree again, byte for byte."""

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.hub import RunningHub, eventually, plc_totals, recorded_totals, running
from uns.cli.folder import Folder
from uns.cli.keeping import stored_tree
from uns.mqtt.broker import find_mosquitto
from uns.mqtt.client import MqttClient
from uns.runtime.clock import load_clock
from uns.runtime.keeper import Keeper, KeeperWiring

pytestmark = pytest.mark.e2e
ENDLESS = re.compile(r"/_(tag|state)/[^/]+$")
"""Topics without a key: orders and shifts, which have one, end."""


@contextmanager
def broker_of(data: Path) -> Iterator[RunningHub]:
    """The broker of a stopped hub, alone, with what it saved."""
    found = find_mosquitto(data)
    assert found
    command = [found.path, "-c", str(data / "broker" / "mosquitto.conf")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    hub = RunningHub(data, process, time.monotonic())
    try:
        eventually(lambda: hub.document("acme/_meta/node") or _answers(hub), 10, "the broker")
        yield hub
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _answers(hub: RunningHub) -> bool:
    command = ["mosquitto_pub", *hub.login("hub"), "-t", "acme/_hub/broker/probe", "-m", "{}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _tree(hub: RunningHub) -> dict[str, str]:
    found = hub.retained("acme/#")
    return {t: payload for t, payload in found.items() if "/_tag/" in t or "/_state/" in t}


def _forget(data: Path) -> None:
    (data / "broker" / "mosquitto.db").unlink()


async def _look(data: Path) -> str:
    folder, connection = Folder(data), Folder(data).load_connection()
    plant, address = folder.load_plant(), folder.address("hub")
    wiring = KeeperWiring(
        enterprise=plant.enterprise,
        visitor=lambda: MqttClient(address, "keeper", clean_session=True),
        remember=stored_tree(connection["store"], plant),
        note=data / "incarnation.json",
        clock=load_clock(data),
    )
    keeper = Keeper(wiring)
    await keeper.look()
    return keeper.account.summary


async def test_a_broker_emptied_while_the_hub_is_away_shows_the_same_tree(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data, "--duration", "20", "--speed", "20") as hub:
        hub.finish()
    with broker_of(data) as alone:
        before = _tree(alone)
    assert any("/_state/order/" in topic for topic in before)
    assert sum("/_tag/" in topic for topic in before) > 20
    _forget(data)
    with broker_of(data) as alone:
        assert _tree(alone) == {}
        summary = await _look(data)
        assert _tree(alone) == before
    assert summary.startswith(f"forgot: {len(before)} of {len(before)} topics restored, 0 cleared")

    _forget(data)
    with running(data, "--duration", "15") as again:
        said = eventually(lambda: again.document("acme/_hub/broker/tree"), 20, "the tree's account")
        assert said["found"] == "forgot"
        assert said["restored"] == len(before)
        end = again.finish()
    assert (end["gaps"], end["rejects"]) == (0, 0)
    assert recorded_totals(data) == plc_totals(data)
    with broker_of(data) as alone:
        after = _tree(alone)
    assert {topic for topic in before if ENDLESS.search(topic)} <= after.keys()
