"""What the project says about itself: schemas, AsyncAPI, broker configuration, reference pages."""

import subprocess
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from tests.brokers import free_port
from tests.example import ROOT
from tests.terminal import UNS, Cli
from uns.model.events import EVENTS


def test_every_schema_is_a_schema(uns: Cli) -> None:
    names = uns("schema", "--json").json
    assert uns("schema").out.split() == names
    commands = {"order-release", "order", "stop", "kanban", "chart", "inspection", "hold", "write"}
    kinds = {f"cmd-{name}" for name in commands} | set(EVENTS)
    assert set(names) == {"namespace", "tag", "asyncapi"} | kinds
    for name in set(names) - {"asyncapi"}:
        document = uns("schema", name, "--json").json
        Draft202012Validator.check_schema(document)
        assert document["$id"] == f"urn:uns:schema:{name}:1"
        assert uns("schema", name).json == document


def test_the_schema_of_namespace_yaml_takes_ours_and_refuses_a_wrong_key(uns: Cli) -> None:
    validator = Draft202012Validator(uns("schema", "namespace").json)
    document = YAML(typ="safe", pure=True).load((ROOT / "namespace.yaml").read_text())
    assert [error.message for error in validator.iter_errors(document)] == []
    document["sites"]["berlin"]["areaz"] = {}
    assert not validator.is_valid(document)


def test_the_asyncapi_document_holds_together(uns: Cli) -> None:
    document = uns("schema", "asyncapi", "--json").json
    assert document["asyncapi"] == "3.0.0"
    schemas = document["components"]["schemas"]
    for channel in document["channels"].values():
        named = {part[1:-1] for part in channel["address"].split("/") if part.startswith("{")}
        assert named == set(channel["parameters"])
        for message in channel["messages"].values():
            assert message["payload"]["$ref"].startswith("#/components/schemas/")
    refs = _refs(document)
    assert refs
    assert {ref.removeprefix("#/components/schemas/") for ref in refs} <= set(schemas)
    assert document["channels"]["event-reply"]["address"] == "{place}/_event/reply/{request_id}"


def _refs(node: Any) -> set[str]:
    match node:
        case dict():
            own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
            return own.union(*map(_refs, node.values()))
        case list():
            return set[str]().union(*map(_refs, node))
        case _:
            return set()


def test_the_broker_takes_the_printed_configuration(uns: Cli, tmp_path: Path) -> None:
    home, port = tmp_path / "broker", free_port()
    home.mkdir()
    conf = uns("broker", "config").out
    assert uns("broker", "config", "--json").json == {"conf": conf}
    acl = uns("broker", "config", "--part", "acl").out
    assert "user operator" in acl
    for old, new in {
        "/var/lib/uns/broker": str(home),
        "listener 1883": f"listener {port}",
        "listener 9001": f"listener {free_port()}",
    }.items():
        assert old in conf
        conf = conf.replace(old, new)
    (home / "mosquitto.conf").write_text(conf)
    (home / "acl").write_text(acl)
    subprocess.run(
        ["mosquitto_passwd", "-b", "-c", home / "passwords", "operator", "x"], check=True
    )
    (home / "acl").chmod(0o600)
    log = (tmp_path / "log").open("w+")
    broker = subprocess.Popen(["mosquitto", "-c", home / "mosquitto.conf"], stderr=log, stdout=log)
    try:
        login = ["-p", str(port), "-u", "operator", "-P", "x", "-q", "1", "-t", "acme/_cmd/a"]
        said = ["mosquitto_pub", *login, "-m", "x", "-r"]
        while subprocess.run(said, check=False, capture_output=True).returncode:
            assert broker.poll() is None, (tmp_path / "log").read_text()
        heard = subprocess.run(["mosquitto_sub", *login, "-C", "1", "-W", "5"], check=True)
        assert heard.returncode == 0
    finally:
        broker.kill()
        broker.wait()
        log.close()
    assert "Error" not in (tmp_path / "log").read_text()


def test_the_printed_configuration_is_of_the_plant_named(uns: Cli, tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    text = (ROOT / "namespace.yaml").read_text().replace("enterprise: acme", "enterprise: umbra")
    file.write_text(text)
    acl = uns("broker", "config", "--part", "acl", "--namespace", file).out
    assert "umbra/" in acl
    assert "acme/berlin" not in acl


def test_the_documents_are_what_make_docs_writes(uns: Cli, tmp_path: Path) -> None:
    page = tmp_path / "cli.md"
    write = ["uns.cli.app", "utils", "docs", "--name", "uns", "--output", str(page)]
    subprocess.run([UNS.with_name("typer"), *write], check=True, capture_output=True, cwd=ROOT)
    docs = ROOT / "docs"
    assert (docs / "cli.md").read_text() == page.read_text(), "run make docs"
    for file, name in {"namespace.schema.json": "namespace", "asyncapi.json": "asyncapi"}.items():
        assert (docs / file).read_text() == uns("schema", name).out, "run make docs"
