"""The broker's files and its users: rendered from one source, safe to write, as explained."""

import stat
from pathlib import Path

import pytest

from bridges.sparkplug.config import SparkplugSettings
from tests.brokers import small_plant
from uns.model.path import matches
from uns.mqtt import broker
from uns.mqtt.acl import HOST_ID_DEFAULT, WRITE, BrokerUser, Grant, broker_users
from uns.mqtt.broker import Found, broker_command, find_mosquitto, kept_passwords, prepare_broker
from uns.mqtt.broker_config import (
    CONTAINER,
    PACKET_BYTES_MAX,
    QUEUE_MIN,
    SETTINGS,
    BrokerSetup,
    hash_password,
    password_matches,
    queue_messages_for,
    render_acl,
    render_config,
    render_password_file,
    render_readme_table,
)
from uns.mqtt.errors import BrokerMissing
from uns.mqtt.message import PAYLOAD_BYTES_MAX, RECEIVE_WINDOW
from uns.mqtt.paho_setup import SESSION_EXPIRY_S

EXPLAINED = Path(__file__).parents[2] / "broker"
SALT = bytes(range(12))


def settings_of(config: str) -> list[str]:
    return [line for line in config.splitlines() if line and not line.startswith("#")]


def test_the_explained_file_and_the_readme_are_what_the_generator_says() -> None:
    assert (EXPLAINED / "mosquitto.conf").read_text() == render_config(CONTAINER), (
        "run python broker/render.py"
    )
    assert render_readme_table() in (EXPLAINED / "README.md").read_text(), (
        "run python broker/render.py"
    )


def test_every_setting_stands_under_its_reason() -> None:
    config = render_config(BrokerSetup("/data"))
    assert len(settings_of(config)) == len(SETTINGS)
    for block in config.split("\n\n")[1:]:
        *reason, setting = block.strip().splitlines()
        assert reason
        assert all(line.startswith("# ") for line in reason)
        assert not setting.startswith("#")


def test_the_setup_is_filled_in() -> None:
    settings = settings_of(render_config(BrokerSetup("/data", 1, 2, "::1", "me", 3)))
    assert {
        "listener 1 ::1",
        "listener 2 ::1",
        "user me",
        "max_queued_messages 3",
        "acl_file /data/acl",
        "password_file /data/passwords",
        "persistence_location /data/",
    } <= set(settings)


def test_without_a_word_it_listens_on_loopback_and_lets_nobody_in_without_a_name() -> None:
    settings = settings_of(render_config(BrokerSetup("/data")))
    assert [line.split()[2] for line in settings if line.startswith("listener ")] == [
        "127.0.0.1"
    ] * 2
    assert "allow_anonymous false" in settings


def test_broker_and_client_agree_on_their_bounds() -> None:
    values = {setting.key: setting.value for setting in SETTINGS}
    assert int(values["max_inflight_messages"]) == RECEIVE_WINDOW
    assert int(values["max_packet_size"]) == PACKET_BYTES_MAX > PAYLOAD_BYTES_MAX + 65_535
    assert values["persistent_client_expiration"] == f"{SESSION_EXPIRY_S // 86_400}d"


def test_the_queue_grows_with_the_plant() -> None:
    assert queue_messages_for(small_plant(tags=2)) == QUEUE_MIN
    assert queue_messages_for(small_plant(tags=20_000)) == 50 * 3 * 20_000


def test_a_password_is_hashed_as_mosquitto_passwd_does() -> None:
    theirs = (
        "$7$101$zKmxk6wl7Grhiv1i$PO/X04EP7PQmzyNE7glVHxF1v9PR+FHVTm041Uh9AF5V+"
        "Pzi0PeMtU6hSihmx19pVJDg0i2Mi2ExbxuVtb1kFg=="
    )
    assert password_matches("s3cret", theirs)
    assert not password_matches("S3cret", theirs)
    assert hash_password("a", SALT) != hash_password("a", bytes(12))


def test_a_salt_that_mosquitto_would_refuse_is_refused_here() -> None:
    with pytest.raises(ValueError, match="12 bytes"):
        hash_password("a", bytes(16))


@pytest.mark.parametrize("name", ["", "a:b", "a\ntopic readwrite #", " a", "a/b", "a" * 129])
def test_a_user_name_cannot_break_out_of_its_line(name: str) -> None:
    users = [BrokerUser(name, "x", (Grant(WRITE, "x"),))]
    with pytest.raises(ValueError, match="user name"):
        render_acl(users)
    with pytest.raises(ValueError, match="user name"):
        render_password_file(users, lambda: SALT)


def test_the_access_list_reads_as_mosquitto_wants_it() -> None:
    users = [
        BrokerUser("a", "x", (Grant("read", "x/#"), Grant("write", "y/+"))),
        BrokerUser("b", "y", ()),
    ]
    assert render_acl(users).splitlines()[2:] == [
        "user a",
        "topic read x/#",
        "topic write y/+",
        "",
        "user b",
    ]


def writers(topic: str) -> list[str]:
    return [
        user.name
        for user in broker_users(small_plant(), lambda name: name)
        if any(access == WRITE and matches(f, topic) for access, f in user.grants)
    ]


REPEATER = "hub"
"""Says again what the broker forgot, from the record, and nothing of its own."""


def test_every_tag_of_the_plant_has_exactly_one_writer() -> None:
    plant = small_plant()
    for path, place in plant.cells.items():
        for tag in place.cell.tags:
            assert writers(f"{path}/_tag/{tag}") == [REPEATER, f"bridge-{place.line.bridge}"]


def test_every_state_of_the_plant_has_exactly_one_writer() -> None:
    for path in small_plant().cells:
        assert writers(f"{path}/_state/oee") == ["processor", REPEATER]


def test_what_no_record_gives_back_is_not_for_the_hub_to_repeat() -> None:
    line = next(iter(small_plant().cells.values())).line_path
    for topic in (f"{line}/_hub/processor/oee", f"{line}/_event/counted", f"{line}/_tag/speed"):
        assert REPEATER not in writers(topic)
    assert REPEATER not in writers("acme/_hub/watermark/plc/acme")


def test_each_user_has_its_own_password() -> None:
    users = broker_users(small_plant(), lambda name: f"password of {name}")
    assert [user.password for user in users] == [f"password of {user.name}" for user in users]
    assert len({user.name for user in users}) == len(users) == 8


def test_the_host_id_that_is_granted_is_the_one_the_bridge_takes() -> None:
    assert SparkplugSettings.model_fields["host_id"].default == HOST_ID_DEFAULT


def test_files_are_for_their_owner_only_and_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    setup = BrokerSetup(str(folder))
    users = broker_users(small_plant(), kept_passwords(folder / "secrets.json"))
    for _ in range(2):
        prepare_broker(setup, users)
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert files == dict.fromkeys(
        ["acl", "embedded.json", "mosquitto.conf", "passwords", "secrets.json"], 0o600
    )
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not any(user.password in (folder / "passwords").read_text() for user in users)


def test_passwords_stay_over_a_restart_and_are_long_and_different(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    first = {name: kept_passwords(path)(name) for name in ("hub", "operator", "historian")}
    again = kept_passwords(path)
    assert {name: again(name) for name in first} == first
    assert len(set(first.values())) == 3
    assert all(len(password) * 6 >= 128 for password in first.values())


def _fake_mosquitto(folder: Path, script: str) -> None:
    folder.mkdir(parents=True)
    program = folder / "mosquitto"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.fixture
def no_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(broker, "SYSTEM_FOLDERS", ())


@pytest.mark.usefixtures("no_system")
def test_an_unpacked_mosquitto_is_found_with_its_libraries(tmp_path: Path) -> None:
    libraries = tmp_path / "debian/usr/lib/x86_64-linux-gnu"
    libraries.mkdir(parents=True)
    _fake_mosquitto(
        tmp_path / "debian/usr/sbin",
        f'[ "$LD_LIBRARY_PATH" = "{libraries}" ] && echo mosquitto version 2.0.21',
    )
    found = find_mosquitto(tmp_path)
    program = str(tmp_path / "debian/usr/sbin/mosquitto")
    assert found == Found(program, {"LD_LIBRARY_PATH": str(libraries)}, (2, 0, 21))
    assert broker_command(found, Path("/data")).argv == [program, "-c", "/data/mosquitto.conf"]
    assert broker_command(found, Path("/data")).weaker is None


@pytest.mark.usefixtures("no_system")
@pytest.mark.parametrize(
    "script", ["echo mosquitto version 1.6.12", "echo cannot open shared object >&2; exit 127"]
)
def test_a_mosquitto_that_is_too_old_or_does_not_run_is_none(tmp_path: Path, script: str) -> None:
    _fake_mosquitto(tmp_path / "debian/usr/sbin", script)
    assert find_mosquitto(tmp_path) is None


@pytest.mark.usefixtures("no_system")
def test_a_mosquitto_on_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("bin", "debian/usr/sbin"):
        _fake_mosquitto(tmp_path / folder, "echo mosquitto version 2.0.18")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    found = find_mosquitto(tmp_path)
    assert found is not None
    assert found.path == str(tmp_path / "bin/mosquitto")


@pytest.mark.usefixtures("no_system")
def test_nothing_at_all_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_mosquitto(tmp_path) is None
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(BrokerMissing, match="install"):
        broker_command(None, tmp_path)
