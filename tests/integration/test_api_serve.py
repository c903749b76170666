"""`uns serve` as a process on a data folder: where it listens, for whom, and what it hears live."""

import json
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httpx
import i3x  # type: ignore[import-untyped]  # it has no types
import pytest

from tests.brokers import RunningBroker
from tests.certificates import issued
from tests.served import fill
from tests.speech import MILL, NOON
from tests.terminal import UNS, Cli
from uns.cli.folder import Folder, locked, write_connection
from uns.cli.serving import ServeOptions, in_the_clear
from uns.cli.store import store_location
from uns.codec import encode_tag
from uns.runtime.clock import load_clock, save_clock, start_clock

BORE: Final = f"{MILL}/_tag/tag-0"
TOKEN: Final = "a-token-of-this-test"  # noqa: S105 - it opens nothing else
STOP_TIMEOUT_S: Final = 30
PUBLISHED_MAX: Final = 1_000


@pytest.fixture
def folder(mosquitto: RunningBroker, tmp_path: Path) -> Folder:
    """The data folder of a hub with a broker and something of everything on record."""
    folder = Folder(tmp_path / "data")
    folder.root.mkdir()
    folder.plant.write_text(mosquitto.plant.model_dump_json())
    shutil.copy(mosquitto.folder / "secrets.json", folder.passwords)
    save_clock(folder.root, start_clock(folder.root, 1))
    store = store_location(folder.root)
    write_connection(folder, {"host": "127.0.0.1", "port": mosquitto.port, "store": store})
    fill(str(folder.database))
    return folder


@contextmanager
def serving(folder: Folder, *options: str, **env: str) -> Iterator[dict[str, str]]:
    """What `uns serve` says of where it listens; it ends well when it is told to."""
    process = subprocess.Popen(
        [UNS, "serve", "--port", "0", "--json", "--data", str(folder.root), *options],
        stdout=subprocess.PIPE,
        env={"XDG_STATE_HOME": str(folder.root), **env},
        text=True,
    )
    try:
        assert process.stdout
        yield json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_TIMEOUT_S) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()


def publish(broker: RunningBroker, value: float) -> None:
    at, payload = broker.address(), encode_tag(value, NOON, "good", "rpm")
    login = ["-h", at.host, "-p", str(at.port), "-u", str(at.username), "-P", str(at.password)]
    command = ["mosquitto_pub", *login, "-q", "1", "-r", "-t", BORE, "-s"]
    subprocess.run(command, input=payload, check=True)


def test_a_stopped_hub_is_served_up_to_when_it_stopped(folder: Folder) -> None:
    reached_ms = json.loads((folder.root / "clock.json").read_text())["reached_ms"]
    with serving(folder) as where:
        assert httpx.get(f"{where['api']}/health").json() == {"status": "ok", "at_ms": reached_ms}
        found = httpx.get(f"{where['api']}/last", params={"topic": "acme/#"}).json()
        assert [one["topic"] for one in found["items"]][-1] == BORE
        assert httpx.get(where["openapi"]).json()["info"]["title"] == "uns"


def test_what_the_hub_says_is_heard_live(folder: Folder, mosquitto: RunningBroker) -> None:
    with locked(folder), serving(folder) as where, i3x.Client(where["i3x"]) as client:
        assert httpx.get(f"{where['api']}/health").json()["at_ms"] <= load_clock(folder.root)()
        mine = client.create_subscription()
        client.register_items(mine, [BORE])
        seen = list[float]()
        for n in range(PUBLISHED_MAX):
            publish(mosquitto, 100 + n)
            batches = client.sync_subscription(mine)
            seen = [one.value for batch in batches for one in batch.updates]
            if len(seen) > 1:
                break
        assert seen[0] == 19, "what was on record when it was registered"
        assert seen[1] >= 100


def test_any_name_of_the_loopback_is_our_own(folder: Folder) -> None:
    with serving(folder, "--host", "127.0.0.2") as where:
        assert httpx.get(f"{where['api']}/plant").status_code == HTTPStatus.OK


def test_whether_a_token_goes_in_the_clear_is_known(tmp_path: Path) -> None:
    elsewhere = ServeOptions("0.0.0.0", 0, TOKEN)  # noqa: S104 - nothing listens there
    assert in_the_clear(elsewhere)
    assert not in_the_clear(elsewhere._replace(host="127.0.0.2"))
    assert not in_the_clear(elsewhere._replace(tls=(tmp_path, tmp_path)))
    assert not in_the_clear(elsewhere._replace(token=None))


def test_elsewhere_it_listens_with_a_token_and_tls(folder: Folder, tmp_path: Path) -> None:
    ours = issued("localhost", uri=None)
    pem, key = tmp_path / "server.pem", tmp_path / "server.key"
    pem.write_bytes(ours.pem)
    key.write_bytes(ours.key_pem)
    tls = ("--host", "0.0.0.0", "--certificate", str(pem), "--key", str(key))  # noqa: S104 - as asked for
    with serving(folder, *tls, UNS_TOKEN=TOKEN) as where:
        url = where["api"].replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - what it said
        trust = ssl.create_default_context(cadata=ours.pem.decode())
        trust.check_hostname = False
        with httpx.Client(verify=trust) as client:
            assert client.get(f"{url}/plant").status_code == HTTPStatus.UNAUTHORIZED
            known = client.get(f"{url}/plant", headers={"Authorization": f"Bearer {TOKEN}"})
            assert known.status_code == HTTPStatus.OK


@pytest.fixture
def uns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("UNS_TOKEN", raising=False)
    return Cli(monkeypatch, capsys)


def test_what_cannot_be_served_says_why(uns: Cli, folder: Folder, tmp_path: Path) -> None:
    data = ("--data", folder.root)
    for host in ("0.0.0.0", "::", "plant.example"):  # noqa: S104 - it is refused
        refusal = uns.fails(2, "serve", "--host", host, *data)
        assert f"--host {host} can be reached from elsewhere: give a token" in refusal
    assert "16 characters" in uns.fails(2, "serve", "--token", "short", *data)
    for token in ("a token of two or more words", "geheimnisträger-der-anlage"):
        assert "no header can say" in uns.fails(2, "serve", "--token", token, *data)
    nothing = tmp_path / "nothing.pem"
    assert "nothing.pem" in uns.fails(2, "serve", "--certificate", nothing, *data)
    assert "both" in uns.fails(2, "serve", "--key", folder.plant, *data)
    assert "holds no hub" in uns.fails(1, "serve", "--data", tmp_path / "none")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port}: Address" in uns.fails(1, "serve", "--port", port, *data)
