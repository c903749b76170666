"""docker-compose.yml: accepted by its own client where there is one, and safe as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ruamel.yaml import YAML

from tools import postgres
from tools.ground import ROOT

FILE = ROOT / "docker-compose.yml"
SECRETS = ("UNS_STORE_PASSWORD", "UNS_READER_PASSWORD", "UNS_GRAFANA_PASSWORD")
REQUIRED = re.compile(r"\$\{(\w+):\?[^}]+\}")
SERVICES: dict[str, Any] = YAML(typ="safe").load(FILE)["services"]


def compose(*arguments: str, secrets: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if name not in SECRETS}
    return subprocess.run(
        ["docker", "compose", "--file", FILE, *arguments],
        env=plain | dict.fromkeys(secrets, "secret"),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def client() -> None:
    try:
        answer = compose("version", secrets=())
    except FileNotFoundError:
        pytest.skip("no docker client here")
    if answer.returncode:
        pytest.skip("the docker client here has no compose")


@pytest.mark.usefixtures("client")
def test_docker_compose_accepts_it() -> None:
    answer = compose("config", "--quiet", secrets=SECRETS)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("missing", SECRETS)
def test_docker_compose_asks_for_each_password(missing: str) -> None:
    answer = compose("config", "--quiet", secrets=tuple(set(SECRETS) - {missing}))
    assert answer.returncode != 0
    assert missing in answer.stderr


def test_it_has_the_whole_stack_at_fixed_versions() -> None:
    images = {name: service.get("image", "") for name, service in SERVICES.items()}
    assert images.pop("hub") == ""
    names = {"broker": "eclipse-mosquitto", "store": "timescale/timescaledb"}
    for name, image in (names | {"grafana": "grafana/grafana"}).items():
        assert re.fullmatch(rf"{image}:\d+\.\d+\.\d+(-pg17)?", images.pop(name))
    assert not images


def test_no_password_stands_in_it() -> None:
    values = [
        (name, value)
        for service in SERVICES.values()
        for name, value in service.get("environment", {}).items()
        if "PASSWORD" in name
    ]
    asked = {match[1] for _, value in values if (match := REQUIRED.fullmatch(value))}
    assert all(REQUIRED.fullmatch(value) for _, value in values)
    assert asked == set(SECRETS)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_listens_on_loopback_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", SERVICES)
def test_whatever_it_mounts_is_in_the_project(name: str) -> None:
    sources = [volume.partition(":")[0] for volume in SERVICES[name].get("volumes", [])]
    assert all((ROOT / source).exists() for source in sources if source.startswith("."))


def test_the_hub_understands_its_command_line() -> None:
    command, *options = SERVICES["hub"]["command"]
    uns = Path(sys.executable).with_name("uns")
    told = subprocess.run([uns, command, "--help"], capture_output=True, text=True, check=True)
    known = set(re.findall(r"--[a-z-]+", told.stdout))
    assert {option.partition("=")[0] for option in options} <= known


@pytest.mark.postgres
def test_the_reader_may_read_and_only_read() -> None:
    with postgres.Server(postgres.installation()) as server:
        with psycopg.connect(server.dsn) as owner:
            owner.execute("CREATE TABLE tags (value float)")
        environ = {
            "PATH": f"{server.where.programs}:{os.environ['PATH']}",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(server.port),
            "POSTGRES_USER": "postgres",
            "POSTGRES_DB": "postgres",
            "UNS_READER_PASSWORD": 'it\'s "secret"',
        }
        script = ROOT / "deploy/store/reader.sh"
        subprocess.run([script], env=server.where.environ() | environ, check=True)
        reader_dsn = server.dsn.replace("postgres@", "reader@")
        with psycopg.connect(reader_dsn, autocommit=True) as reader:
            assert reader.execute("SELECT count(*) FROM tags").fetchone() == (0,)
            reader.execute("SET default_transaction_read_only = off")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute("INSERT INTO tags VALUES (1)")
