import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML

from bridges.sparkplug.config import MapRule, SparkplugSettings, SparkplugSource
from bridges.sparkplug_edge.client import Requests
from bridges.sparkplug_edge.config import SparkplugEdgeSettings
from bridges.sparkplug_edge.mapping import (
    Refused,
    address_of,
    entry_of,
    exports,
    findings,
    is_present,
    properties,
    request,
)
from tests.brokers import small_plant
from uns.model.checks import Finding
from uns.model.commands import WriteTag
from uns.model.events import Tag
from uns.model.path import Topic
from uns.model.plant import Plant
from uns.mqtt.acl import EDGE, READ, WRITE, Grant, broker_users
from uns.mqtt.message import Address
from uns.runtime.clock import PlantClock
from uns.sparkplug.datatype import DataType
from uns.sparkplug.edge import Write
from uns.sparkplug.edge_queue import Entry
from uns.sparkplug.naming import Descriptor, client_id, descriptor
from uns.sparkplug.values import Property

ROOT = Path(__file__).parents[2]
README = ROOT / "bridges" / "sparkplug_edge" / "README.md"
LINE = "acme/berlin/machining/housing"
AT_MS = 1_765_432_100_000
IDS = ("group", "edge_node", "device")


def plant(**settings: Any) -> Plant:
    document = small_plant().model_dump()
    document["bridges"]["shop"] = {"protocol": "sparkplug-edge", **settings}
    return Plant.model_validate(document)


def test_lines_become_edge_nodes_and_cells_their_devices() -> None:
    shown = exports(SparkplugEdgeSettings(), plant())
    assert [(export.line_path, *export.ids) for export in shown] == [
        (LINE, "acme:berlin:machining", "housing"),
        ("acme/berlin/assembly/packing", "acme:berlin:assembly", "packing"),
    ]
    assert list(shown[0].cells) == ["mill", "wash"]
    some = SparkplugEdgeSettings(lines=("berlin/assembly/packing",), group="g", edge_node="{site}")
    assert [str(export.ids) for export in exports(some, plant())] == ["g/berlin"]
    assert str(descriptor(LINE)) == "acme:berlin:machining/housing"


def test_unknown_lines_and_lines_of_one_name_are_faults() -> None:
    assert list(findings(plant())) == []
    (unknown,) = findings(plant(lines=["berlin/machining/hosing"]))
    assert unknown == (
        ("bridges", "shop", "lines", 0),
        "unknown line 'berlin/machining/hosing' (did you mean 'berlin/machining/housing'?)",
    )
    ((where, message),) = findings(plant(group="g", edge_node="e"))
    assert where == ("bridges", "shop", "edge_node")
    assert message == (
        "acme/berlin/assembly/packing of bridge 'shop' and acme/berlin/machining/housing of bridge"
        " 'shop' would both be edge node g/e at the hub's broker"
    )


def second(**settings: Any) -> list[Finding]:
    """What is wrong when a second bridge shows a line that `shop` shows as G/housing."""
    document = plant(lines=["berlin/machining/housing"], **{"group": "G", **settings}).model_dump()
    other = {"protocol": "sparkplug-edge", "lines": ["berlin/assembly/packing"]}
    document["bridges"]["other"] = other | {"group": "g", "edge_node": "Housing"}
    document["bridges"]["other"] |= {"servers": settings.get("others", [])}
    document["bridges"]["shop"].pop("others", None)
    return list(findings(Plant.model_validate(document)))


def test_two_bridges_that_are_one_edge_node_at_one_server_are_a_fault_with_both_places() -> None:
    ((where, message),) = second()
    assert where == ("bridges", "other", "edge_node")
    assert message == (
        "acme/berlin/assembly/packing of bridge 'other' and acme/berlin/machining/housing of"
        " bridge 'shop' would both be edge node g/Housing at the hub's broker"
    )
    one, two = "mqtt://a:x@Scada", "mqtt://b:y@scada:1883"
    ((_, message),) = second(servers=["mqtt://else", one], others=[two])
    assert message.endswith("would both be edge node g/Housing at scada:1883")
    assert second(servers=[one], others=["mqtt://scada:1884"]) == []
    assert second(servers=[one]) == []
    assert second(group="h") == []


def test_edge_nodes_that_differ_are_clients_that_differ() -> None:
    assert client_id(Descriptor("a", "b-c")) != client_id(Descriptor("a-b", "c"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"servers": ["tcp://host"]},
        {"servers": ["mqtt://"]},
        {"servers": ["mqtt://host:x"]},
        {"group": "{plant}"},
        {"group": "{line"},
        {"edge_node": "a/b"},
        {"edge_node": "a\n"},
        {"edge_node": ""},
        {"group": "g" * 129},
        {"primary_host": "a\x00"},
        {"mqtt_version": 4},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SparkplugEdgeSettings.model_validate(wrong)


ROW = {
    "group": "g",
    "edge_node": "e",
    "device": "d",
    "metric": "m",
    "path": "a/b/c/d/e",
    "tag": "t",
}
ID_FIELDS: list[tuple[type[BaseModel], dict[str, Any], str]] = [
    (SparkplugEdgeSettings, {}, "group"),
    (SparkplugEdgeSettings, {}, "edge_node"),
    (SparkplugEdgeSettings, {}, "primary_host"),
    (SparkplugSettings, {}, "group"),
    (SparkplugSettings, {}, "edge_node"),
    (SparkplugSettings, {}, "host_id"),
    *((SparkplugSource, {}, name) for name in IDS),
    *((MapRule, ROW, name) for name in IDS),
]


@pytest.mark.parametrize("char", ["+", "#", "/", "\0", "\n", "\x1f", "\x7f", "\x85", "\ud800"])
@pytest.mark.parametrize(("model", "others", "name"), ID_FIELDS)
def test_an_id_that_no_topic_can_hold_is_refused_with_the_fix(
    model: type[BaseModel], others: dict[str, Any], name: str, char: str
) -> None:
    assert model.model_validate(others | {name: "g"})
    with pytest.raises(ValueError, match=re.escape(f"leave out {char!r}")):
        model.model_validate(others | {name: f"g{char}h"})


def test_servers_are_read_from_their_urls() -> None:
    assert address_of("mqtt://hub:a%40b@host:1884") == Address("host", 1884, "hub", "a@b")
    assert address_of("mqtt://host") == Address("host", 1883)


def test_tags_become_values_of_metrics() -> None:
    tag = Tag(value=7, timestamp_ms=AT_MS, quality="uncertain")
    topic = Topic(f"{LINE}/mill", "_tag", "tag-0")
    assert entry_of(topic, tag) == Entry("mill", "tag-0", 7, AT_MS, 500)


def test_a_birth_states_the_unit() -> None:
    place = small_plant().cells[f"{LINE}/mill"]
    spec = place.cell.tags["tag-0"].model_copy(update={"unit": "mm"})
    cell = place.cell.model_copy(
        update={"tags": {"tag-0": spec, "tag-1": place.cell.tags["tag-1"]}}
    )
    place = place.model_copy(update={"cell": cell})
    assert properties(place, "tag-0") == {"engUnit": Property(DataType.STRING, "mm")}
    assert properties(place, "tag-1") == {}


def test_a_cell_is_lost_when_all_its_tags_are_bad() -> None:
    assert not is_present({"a": 0, "b": 0})
    assert is_present({"a": 0, "b": 500})


def test_a_write_becomes_a_request_that_the_hub_understands() -> None:
    (export, *_) = exports(SparkplugEdgeSettings(), plant())
    wanted = Write("mill", "tag-0", 4.5, DataType.DOUBLE, AT_MS)
    asked = request(wanted, export, "spb-1", AT_MS + 7)
    assert not isinstance(asked, Refused)
    assert (asked.topic, asked.retain) == (f"{LINE}/mill/_cmd/write/tag-0", False)
    command = WriteTag.model_validate(json.loads(asked.payload))
    assert (command.request_id, command.value) == ("spb-1", 4.5)
    assert command.expires_at_ms == AT_MS + 7
    assert command.actor == "sparkplug acme:berlin:machining/housing"
    for device, value in ((None, 1), ("mill", None)):
        write = Write(device, "tag-0", value, DataType.INT64, AT_MS)
        assert isinstance(request(write, export, "spb-1", AT_MS), Refused)


def test_a_write_lives_as_long_on_the_wall_however_fast_plant_time_goes() -> None:
    (export, *_) = exports(SparkplugEdgeSettings(), plant())
    for speed in (1.0, 60.0):
        clock = PlantClock(AT_MS, AT_MS, speed)
        requests = Requests(partial(clock.at_wall, AT_MS + 500), speed)
        requests.ask(Write("mill", "tag-0", 4.5, DataType.DOUBLE, AT_MS), export)
        asked = requests.waiting.get_nowait()
        end_ms = WriteTag.model_validate(json.loads(asked.payload)).expires_at_ms
        assert end_ms == clock.at_wall(AT_MS + 10_500)


def test_the_broker_lets_the_bridge_read_command_and_speak_for_its_lines_only() -> None:
    def grants(**settings: Any) -> set[Grant]:
        users = {user.name: user for user in broker_users(plant(**settings), lambda _: "")}
        return set(users["bridge-shop"].grants)

    line = {"lines": ["berlin/machining/housing"]}
    own = grants(**line)
    assert Grant(READ, f"{LINE}/+/_tag/#") in own
    assert Grant(WRITE, f"{LINE}/+/_cmd/write/+") in own
    assert Grant(WRITE, "spBv1.0/acme:berlin:machining/NBIRTH/housing") in own
    assert not [grant for grant in own if "packing" in grant.topic_filter]
    foreign = grants(**line, servers=["mqtt://host"])
    assert len(own - foreign) == len(EDGE)
    assert not [grant for grant in foreign if grant.topic_filter.startswith("spBv1.0/")]


# --- README


def test_the_readme_shows_what_its_snippet_prints() -> None:
    text = README.read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    printed = subprocess.run(
        [sys.executable, "-c", snippet], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip()
    assert printed.strip() in text


def test_the_readme_sample_is_valid() -> None:
    (sample,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    for bridge in YAML(typ="safe").load(sample)["bridges"].values():
        assert bridge.pop("protocol") == "sparkplug-edge"
        SparkplugEdgeSettings.model_validate(bridge)
