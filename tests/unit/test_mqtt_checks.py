"""What `uns check` finds wrong with an MQTT bridge, and who may say what for one."""

from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from bridges import PROTOCOLS
from bridges.mqtt.checks import findings
from tests.example import ROOT
from uns.codec import Codec, Message, Reject, encode_event
from uns.fold import Draft
from uns.model.checks import Finding
from uns.model.plant import Plant
from uns.mqtt.acl import READ, WRITE, Grant, broker_users

FILE: Final = Path(ROOT, "tests", "golden", "foreign", "virtual-factory", "namespace.yaml")
FILLING: Final = "bottler/site1/fillerproduction/fillingline01"
LINE: Final = ("sites", "site1", "areas", "fillerproduction", "lines", "fillingline01")
FILLER: Final = (*LINE, "cells", "filler", "tags")
BRIDGE: Final = ("bridges", "virtual-factory")


def document() -> Any:
    return YAML(typ="safe").load(FILE.read_text())


def found(*where: str | int, value: Any = None) -> list[Finding]:
    """What is found once something stands somewhere else in the file; None takes it out."""
    changed = at = document()
    for step in where[:-1]:
        at = at[step]
    if value is None:
        del at[where[-1]]
    else:
        at[where[-1]] = value
    return list(findings(Plant.model_validate(changed)))


def test_the_golden_plant_is_sound() -> None:
    assert list(findings(Plant.model_validate(document()))) == []
    assert PROTOCOLS["mqtt"].check is findings


@pytest.mark.parametrize(
    ("where", "value", "finding"),
    [
        (
            (*BRIDGE, "orders", 0, "lines", 0),
            "site1/fillerproduction/fillingline1",
            "unknown line 'site1/fillerproduction/fillingline1' (did you mean '{line}'?)",
        ),
        (
            (*BRIDGE, "orders", 0, "item", "values", "Cola Soda 0.5L"),
            "cola-5",
            "unknown item 'cola-5' (did you mean 'cola-05'?)",
        ),
        (
            (*FILLER, "state", "source", "values", "3"),
            "ABORT",
            "unknown state 'ABORT' (did you mean 'ABORTED'?)",
        ),
        (
            (*FILLER, "item", "source"),
            {"order": "due"},
            "the rule in 'orders' for this line says no 'due'",
        ),
        (
            (*FILLER, "scrap", "source"),
            {"topic": "{site}/{area}/fillingline01/metric/input/countoutfeed"},
            f"this source already feeds {FILLING}/filler/_tag/good",
        ),
    ],
)
def test_a_word_that_leads_nowhere_is_found(
    where: tuple[str | int, ...], value: Any, finding: str
) -> None:
    (at, said), *_ = found(*where, value=value)
    assert said == finding.replace("{line}", "site1/fillerproduction/fillingline01")
    assert at[: len(where) - 1] == where[:-1]


def test_a_tag_of_an_order_needs_a_rule_and_a_line_has_one_only() -> None:
    without = found(*BRIDGE, "orders")
    assert {(where[-2], said) for where, said in without} == {
        (name, "no rule in 'orders' of the bridge is for this line") for name in ("order", "item")
    }
    (rule,) = document()["bridges"]["virtual-factory"]["orders"]
    twice = found(*BRIDGE, "orders", value=[rule, rule])
    assert [said for _, said in twice] == [
        "'site1/fillerproduction/fillingline01' has a rule already: rule 1"
    ]


@pytest.mark.parametrize("root", ["bottler", "bottler/old", "spBv1.0", "replay"])
def test_on_the_hubs_broker_a_foreign_namespace_begins_elsewhere(root: str) -> None:
    changed = document()
    changed["bridges"]["virtual-factory"].update(root=root, server=None)
    ((where, said),) = findings(Plant.model_validate(changed))
    assert where == (*BRIDGE, "root")
    assert "not a foreign namespace" in said
    changed["bridges"]["virtual-factory"]["server"] = "mqtt://x"
    assert list(findings(Plant.model_validate(changed))) == []


def grants(server: str | None) -> dict[str, tuple[Grant, ...]]:
    changed = document()
    del changed["bridges"]["virtual-factory"]["server"]
    if server:
        changed["bridges"]["virtual-factory"]["server"] = server
    users = broker_users(Plant.model_validate(changed), lambda _: "")
    return {user.name: user.grants for user in users}


def test_on_the_hubs_broker_the_bridge_reads_what_its_publisher_writes_and_nothing_else() -> None:
    ours, theirs = grants(None), Grant(READ, "Enterprise V/#")
    assert theirs in ours["bridge-virtual-factory"]
    assert ours["foreign-virtual-factory"] == (theirs, Grant(WRITE, "Enterprise V/#"))
    away = grants("mqtt://x")
    assert theirs not in away["bridge-virtual-factory"]
    assert "foreign-virtual-factory" not in away


def said_by(bridge: str, line: str) -> Message | Reject:
    plant = document()
    plant["bridges"]["other"] = {"protocol": "mqtt", "root": "Y"}
    body = {"order_id": "WO-1", "item": "cola-05", "quantity": 1}
    draft = Draft(line, "released", 1, body)
    codec = Codec(Plant.model_validate(plant))
    return codec.decode(
        draft.topic, encode_event(draft, f"{bridge}:{line.replace('/', '.')}", 1, 1)
    )


def test_a_bridge_releases_orders_of_the_lines_that_it_reads_only() -> None:
    assert isinstance(said_by("virtual-factory", FILLING), Message)
    refused = said_by("other", FILLING)
    assert isinstance(refused, Reject)
    assert refused.reject_class == "wrong-writer"
