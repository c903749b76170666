"""What contradicts itself in a foreign namespace is found, and what does not is left in peace."""

import json
from collections.abc import Iterable
from typing import Any, Final

import pytest
from typer.testing import CliRunner

from bridges.mqtt.lint import RULES, Finding, Linter
from bridges.mqtt.mapping import Heard
from bridges.mqtt.points import Address, Known, kind_of
from tests.example import ROOT
from uns.cli.app import app
from uns.cli.errors import UsageError

FOLDER: Final = ROOT / "tests" / "golden" / "foreign" / "virtual-factory"
COMMAND: Final = ["bridge", "lint", str(FOLDER / "record.jsonl")]
SECOND: Final = 1_000


def linted(
    *said: tuple[str, Any], known: Iterable[Known] = (), retained: bool = False
) -> list[Finding]:
    """What is found of messages that come two seconds apart; a list of pairs comes at once."""
    linter = Linter(known)
    for n, (topic, value) in enumerate(said):
        pairs = value if topic == "" else [(topic, value)]
        for name, one in pairs:
            payload = one if isinstance(one, bytes) else json.dumps(one).encode()
            linter.hear(Heard(name, payload, n * 2 * SECOND, retained))
    return linter.findings()


def together(**values: Any) -> tuple[str, Any]:
    return "", [(f"L/{name}", value) for name, value in values.items()]


def rules(*said: tuple[str, Any], **options: Any) -> list[tuple[str, str, str]]:
    return [(one.rule, one.where, one.last) for one in linted(*said, **options)]


@pytest.mark.parametrize(
    ("said", "rule", "where", "evidence"),
    [
        ([("L/outFeed", 99), ("L/outFeed", 3)], "counter-falls", "L/outFeed", "99, then 3"),
        ([("L/good", -1)], "counter-falls", "L/good", "-1"),
        ([("L/rate/standard", 0)], "standard-rate-zero", "L/rate/standard", "0"),
        ([("L/quantitytarget", 0)], "no-target", "L/quantitytarget", "0"),
        ([("L/oee", 1.12)], "beyond-100", "L/oee", "1.12"),
        ([("L/Quality", 104)], "beyond-100", "L/Quality", "104"),
        ([("L/availability", -0.1)], "beyond-100", "L/availability", "-0.1"),
        ([("L/waste", "12")], "number-as-text", "L/waste", 'the text "12"'),
        ([("L/t", 1), ("L/t", "n/a")], "type-changes", "L/t", '1, then "n/a"'),
        ([("L/t", {"v": 1}), ("L/t", {"v": True})], "type-changes", "L/t /v", "1, then true"),
        (
            [together(good=9, scrap=2, total=12)],
            "counts-disagree", "L/good", "good 9 + scrap 2 is not total 12",
        ),
        (
            [together(good=9, scrap=2, infeed=10)],
            "counts-disagree", "L/good", "good 9 + scrap 2 is more than infeed 10",
        ),
        (
            [together(workordernumber="A", workorderid=1), together(workorderid=2)],
            "order-id-made-anew", "L/workorderid", "A had 1, has 2",
        ),
        (
            [
                together(workordernumber="A", workorderid=1, quantitytarget=5),
                together(workordernumber="B", workorderid=2, quantitytarget=5),
                together(workordernumber="A", workorderid=1, quantitytarget=9),
            ],
            "order-id-made-anew", "L/workordernumber", "A had target 5, has 9",
        ),
        (
            [together(quantityactual=6, quantitytarget=5)],
            "target-exceeded", "L/quantityactual", "6 of 5",
        ),
        (
            [together(rateactual=148.1, ratestandard=132)],
            "faster-than-standard", "L/ratestandard", "rate 148.1, standard 132",
        ),
        (
            [together(oee=0.9, availability=0.9, performance=0.9, quality=1)],
            "oee-is-not-its-product", "L/oee", "0.9, but 0.9 x 0.9 x 1 = 0.81",
        ),
        (
            [together(oee=90, availability=90, performance=90, quality=100)],
            "oee-is-not-its-product", "L/oee", "90, but 90 x 90 x 100 = 81",
        ),
        (
            [together(statecode=3, statename="Down"), together(statename="Idle")],
            "one-code-two-names", "L/statecode", "3 is Down and Idle",
        ),
        (
            [("L/x", {"ts": 1_700_000_010, "a": 1}), ("L/x", {"ts": 1_700_000_000, "a": 1})],
            "time-goes-back", "L/x", "back by 10 s",
        ),
    ],
)  # fmt: skip
def test_a_contradiction_is_found(
    said: list[tuple[str, Any]], rule: str, where: str, evidence: str
) -> None:
    assert rules(*said) == [(rule, where, evidence)]


@pytest.mark.parametrize(
    "said",
    [
        [("L/countoutfeed", 1), ("L/countoutfeed", 2), ("L/countoutfeed", 2)],
        [together(good=9, scrap=2, infeed=15), together(quantityactual=5, quantitytarget=5)],
        [together(good=1, scrap=0, total=1), together(good=2), together(total=2)][:1],
        [
            together(workordernumber="A", workorderid=1),
            together(workordernumber="B", workorderid=2),
        ],
        [together(rateactual=137, ratestandard=132)],
        [together(oee=0.81, availability=0.9, performance=0.9, quality=1)],
        [together(oee=81, availability=90, performance=90, quality=100)],
        [together(statecode=3, statename="Down"), together(statecode=4, statename="Idle")],
        [("L/assetid", "12"), ("L/t", 1), ("L/t", 1.5), ("L/t", None), ("L/t", 1)],
        [("L/x", b""), ("L/x", b"\xff"), ("L/x", [1, 2])],
    ],
)
def test_what_fits_is_left_in_peace(said: list[tuple[str, Any]]) -> None:
    assert rules(*said) == []


def test_values_that_change_one_after_the_other_are_compared_when_all_have() -> None:
    linter = Linter()
    for at_ms, name, value in ((0, "good", 9), (1, "scrap", 1), (2, "total", 10)):
        linter.hear(Heard(f"L/{name}", str(value).encode(), at_ms))
    for at_ms, name, value in ((5_000, "good", 10), (5_400, "total", 11), (9_000, "other", 1)):
        linter.hear(Heard(f"L/{name}", str(value).encode(), at_ms))
    assert linter.findings() == []


@pytest.mark.parametrize(
    ("values", "fix"),
    [
        ([99, 3], "a reset: nothing to map, it goes on from 0"),
        ([65_530, 4], "`rollover: 65536`, if that is where it turns over"),
        (
            [84_210, 84_220, 80_000],
            "not a reset to 0: `reset_max: 1000`, the most that it shows after one",
        ),
        ([10, 500, 60], "not a reset to 0: `reset_max: 490`, the most that it shows after one"),
    ],
)
def test_what_to_map_for_a_counter_that_falls(values: list[int], fix: str) -> None:
    (found,) = linted(*(("L/good", value) for value in values))
    assert found.fix == fix


def test_a_mapping_says_what_is_a_code_and_which_there_are() -> None:
    known = [Known("L/+", "code", frozenset({"1"}))]
    assert rules(("L/s", 1), ("L/s", 7), known=known) == [("unknown-code", "L/s", "7")]


def test_a_counter_that_is_retained_only_is_found_after_a_minute() -> None:
    def heard(at_ms: int) -> list[str]:
        linter = Linter()
        linter.hear(Heard("L/infeed", b"5", 0, is_retained=True))
        linter.hear(Heard("L/assetid", b"7", 0, is_retained=True))
        linter.hear(Heard("L/other", b"1", at_ms))
        return [one.rule for one in linter.findings()]

    assert heard(59_999) == []
    assert heard(60_000) == ["never-said-live"]


def test_what_wraps_a_value_is_no_part_of_its_name() -> None:
    wrapped = [together(good={"value": 9}, scrap={"value": 2}, total={"Value": 12})]
    assert rules(*wrapped) == [
        ("counts-disagree", "L/good /value", "good 9 + scrap 2 is not total 12")
    ]
    assert kind_of(Address("L/counts", "/Count Outfeed")) == "good"
    assert kind_of(Address("L/state", "/code")) == "code"


def test_each_rule_is_tried_here() -> None:
    tried = {each[1] for each in test_a_contradiction_is_found.pytestmark[0].args[1]}
    assert {*tried, "unknown-code", "never-said-live"} == set(RULES)


def test_the_list_of_the_virtual_factory() -> None:
    mapped = ["--bridge", "virtual-factory", "--file", str(FOLDER / "namespace.yaml")]
    result = CliRunner().invoke(app, [*COMMAND, *mapped, "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout) == json.loads((FOLDER / "findings.json").read_text())


def test_without_a_mapping_only_what_names_say_is_found() -> None:
    result = CliRunner().invoke(app, COMMAND)
    assert result.exit_code == 1
    assert "order-id-made-anew  Enterprise V/Site1/fillerproduction" in result.stdout
    assert "WO-L03-0948 had 1477, has 538" in result.stdout
    assert "unknown-code" not in result.stdout
    assert "14 findings in 419 messages of 22 values" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a SOURCE"),
        (["no-such-file"], "No such file"),
        (["http://x"], "No such file"),
        (["mqtt://x/y"], "write mqtt://user:password@host:port"),
        (["--bridge", "virtual", "--file", str(FOLDER / "namespace.yaml")], "did you mean"),
        (["mqtt://x", "--filter", "a/#/b"], "no topic filter"),
    ],
)
def test_what_cannot_be_heard_is_said(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["bridge", "lint", *arguments])
    assert isinstance(result.exception, UsageError)
    assert said in str(result.exception)
