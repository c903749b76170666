"""The broker's shell: finds a program, writes its files, says how to start it, waits for it.

Owns the broker's folder. Does not keep processes: the supervisor starts what `broker_command`
returns and starts it again when it dies.
"""

import asyncio
import getpass
import importlib.util
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from uns.mqtt.acl import BrokerUser
from uns.mqtt.broker_config import (
    SALT_BYTES,
    BrokerSetup,
    render_acl,
    render_config,
    render_embedded,
    render_password_file,
)
from uns.mqtt.client import MqttClient
from uns.mqtt.errors import BrokerMissing, LoginRefused, Unreachable
from uns.mqtt.message import Address

MOSQUITTO_MIN: Final = (2, 0)
SYSTEM_FOLDERS: Final = ("/usr/sbin", "/usr/local/sbin")
PASSWORD_BYTES: Final = 16
PROBE_TIMEOUT_S: Final = 5.0
CONFIG: Final = "mosquitto.conf"
EMBEDDED_CONFIG: Final = "embedded.json"
EMBEDDED_IS_WEAKER: Final = (
    "embedded broker (amqtt): MQTT 3.1.1 only, so nothing is written to devices; it forgets all "
    "when it stops, and drops messages under load; install mosquitto for real work"
)


class Found(NamedTuple):
    """A mosquitto that runs here: its path and what its environment needs besides ours."""

    path: str
    env: dict[str, str]
    version: tuple[int, ...]


class Command(NamedTuple):
    """How to start the broker. `weaker`: one line for the user, if guarantees are missing.

    mqtt_5: whether it speaks MQTT 5.
    """

    argv: list[str]
    env: dict[str, str]
    weaker: str | None = None
    mqtt_5: bool = True


def find_mosquitto(cache: Path) -> Found | None:
    """A mosquitto >= 2.0 that answers: on PATH, in /usr/sbin, or unpacked below `cache`/debian."""
    return next((found for path, env in _candidates(cache) if (found := _probe(path, env))), None)


def _candidates(cache: Path) -> Iterator[tuple[str, dict[str, str]]]:
    if on_path := shutil.which("mosquitto"):
        yield on_path, {}
    for folder in SYSTEM_FOLDERS:
        if Path(folder, "mosquitto").exists():
            yield f"{folder}/mosquitto", {}
    unpacked = cache / "debian"
    if (unpacked / "usr/sbin/mosquitto").exists():
        libraries = ":".join(str(path) for path in sorted(unpacked.glob("usr/lib/*-linux-*")))
        yield str(unpacked / "usr/sbin/mosquitto"), {"LD_LIBRARY_PATH": libraries}


def _probe(path: str, env: dict[str, str]) -> Found | None:
    """Ask a program for its version; one that lacks a library or is too old is none."""
    try:
        answer = subprocess.run(  # noqa: S603 - a program found at a fixed place, no shell
            [path, "-h"],
            env=os.environ | env,
            capture_output=True,
            text=True,
            check=False,
            timeout=PROBE_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"mosquitto version (\d+)\.(\d+)\.(\d+)", answer.stdout)
    version = tuple(map(int, match.groups())) if match else ()
    return Found(path, env, version) if version >= MOSQUITTO_MIN else None


def broker_command(found: Found | None, folder: Path) -> Command:
    """How to start the broker on a prepared folder; the embedded one when none was found.

    Raises BrokerMissing when there is neither.
    """
    if found:
        return Command([found.path, "-c", str(folder / CONFIG)], found.env)
    if importlib.util.find_spec("amqtt") is None:
        raise BrokerMissing("no mosquitto 2.x: install it, or `pip install 'uns-mes[embedded]'`")
    argv = [sys.executable, "-m", "uns.mqtt.embedded", "--config", str(folder / EMBEDDED_CONFIG)]
    return Command(argv, {}, EMBEDDED_IS_WEAKER, mqtt_5=False)


def prepare_broker(setup: BrokerSetup, users: Sequence[BrokerUser]) -> None:
    """Write the broker's files into its folder, each whole or not at all, for its owner only."""
    folder = Path(setup.folder)
    write_private(folder / CONFIG, render_config(setup))
    write_private(folder / "acl", render_acl(users))
    write_private(
        folder / "passwords", render_password_file(users, lambda: secrets.token_bytes(SALT_BYTES))
    )
    write_private(folder / EMBEDDED_CONFIG, render_embedded(setup, users))


def current_user() -> str:
    """The system user we are, who has to run the broker on files that only we may read."""
    return getpass.getuser()


def kept_passwords(path: Path) -> Callable[[str], str]:
    """Passwords by user name: those kept in the file, or new ones of 128 random bits.

    A restart on the same folder keeps them, so that programs with a copy can still connect.
    """
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}

    def password_of(name: str) -> str:
        if name not in known:
            known[name] = secrets.token_urlsafe(PASSWORD_BYTES)
            write_private(path, json.dumps(known, indent=2) + "\n")
        return known[name]

    return password_of


def write_private(path: Path, text: str) -> None:
    """Replace a file at once; nobody but its owner may read it, not for a moment."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


async def wait_until_ready(address: Address, timeout_s: float) -> None:
    """Return when a broker at the address lets us in.

    Raises LoginRefused when it answers and refuses, Unreachable when nobody answers.
    """
    client = MqttClient(address, f"ready-{secrets.token_hex(4)}", clean_session=True)
    try:
        async with asyncio.timeout(timeout_s), client:
            await client.ready()
    except TimeoutError:
        place = f"{address.host}:{address.port}"
        if client.refusal:
            raise LoginRefused(f"{place} refuses {address.username}: {client.refusal}") from None
        raise Unreachable(f"no broker at {place} within {timeout_s:g} s") from None
