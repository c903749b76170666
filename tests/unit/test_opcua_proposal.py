"""What variables of a server look like in namespace.yaml."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridges.opcua.config import OpcUaSource
from bridges.opcua.mapping import Sample
from bridges.opcua.proposal import CEFACT, EngineeringUnit, Proposal, Variable
from tests.pasting import proposed

SETTINGS = {"url": "opc.tcp://10.0.0.5:4840/plc", "insecure": True}
AT = datetime(2026, 11, 23, tzinfo=UTC)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def sample(value: Any, kind: str | None = "Double", status: int = 0) -> Sample:
    return Sample(value, kind, status, "BadDeviceFailure" if status else "Good", AT, AT)


def variable(*path: str, node: str = "s=N", **told: Any) -> Variable:
    facts = {"data_type": "Double", "sample": sample(71.3), **told}
    return Variable(path or ("Plant", "Bath"), "urn:plant", node, f"ns=2;{node}", **facts)


def text_of(*variables: Variable) -> str:
    proposal = Proposal("plc", SETTINGS)
    return "\n".join(line for one in variables for line in proposal.lines(one)) + "\n"


def line_of(one: Variable) -> str:
    return text_of(one).splitlines()[-1].strip()


def code(letters: str) -> EngineeringUnit:
    return EngineeringUnit(CEFACT, int.from_bytes(letters.encode()), "as shown")


def test_everything_the_server_says_is_on_the_line() -> None:
    told = variable(
        "Plant", "Wash", "BathTemperature", node="s=Wash.Bath", data_type="Float",
        is_writable=True, unit=EngineeringUnit(CEFACT, 4408652, "°C"), range=(0.0, 100.0),
        description="of the bath", sample=sample(71.3, "Float"),
    )  # fmt: skip
    assert line_of(told) == (
        'wash-bath-temperature: {unit: degC, range: [0, 100], source: {node: "s=Wash.Bath"}} # '
        "ns=2;s=Wash.Bath; Float; read and write (to allow it: writable: {minimum: 0, maximum: "
        "100}); unit °C (CEL); range 0 to 100; 'of the bath'; now 71.3"
    )
    tag = proposed(text_of(told)).cell.tags["wash-bath-temperature"]
    assert (tag.unit, tag.range, tag.writable) == ("degC", (0, 100), None)
    assert tag.source == {"node": "s=Wash.Bath"}


@pytest.mark.parametrize(
    ("unit", "known"),
    [
        (code("MMT"), "mm"), (code("4H"), "um"), (code("L2"), "l/min"), (code("F34"), "mg/s"),
        (code("P1"), "percent"), (code("NU"), "Nm"), (code("PAL"), None),
        (EngineeringUnit("urn:own", 7, "bar"), "bar"), (EngineeringUnit("urn:own", 7, "µm"), "um"),
        (EngineeringUnit("urn:own", 7, "furlong"), None), (EngineeringUnit(CEFACT, -1, ""), None),
    ],
)  # fmt: skip
def test_units_go_by_their_code_else_by_their_text(
    unit: EngineeringUnit, known: str | None
) -> None:
    line = line_of(variable(unit=unit))
    assert line.startswith(f"plant-bath: {{unit: {known}, " if known else "plant-bath: {source: ")
    assert ("which namespace.yaml does not have" in line) is (known is None)


@pytest.mark.parametrize("told", [(5.0, 5.0), (9.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_a_range_that_is_none_is_left_out(told: tuple[float, float]) -> None:
    assert "range" not in line_of(variable(range=told))


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"rank": 1, "sizes": (10,)}, "an array: one tag an element; ns=2;s=N; Double[10]"),
        ({"rank": 2}, "Double[][]"),
        ({"sample": sample([1.0, 2.0])}, "an array of Double"),
        ({"sample": sample({"Limits": {"High": 7}}, "Weld")}, "now 7"),
        ({"is_readable": False, "sample": sample(None, None, 0x801F0000)}, "may not read it"),
        ({"node": "s=two\nlines"}, "no address of namespace.yaml"),
    ],
)
def test_what_cannot_be_a_tag_as_it_is_stands_in_a_comment(told: dict[str, Any], why: str) -> None:
    line = line_of(variable(**told))
    assert line.startswith("# plant-bath: ")
    assert why in line


def test_of_arrays_and_structures_the_path_of_a_part_is_shown() -> None:
    assert 'path: "[0]"' in line_of(variable(rank=1))
    structure = sample([{"Limits": {"High": 7}}], "Weld")
    assert 'path: "[0].Limits.High"' in line_of(variable(sample=structure))


def test_a_bad_value_is_proposed_and_said() -> None:
    line = line_of(variable(sample=sample(None, None, 0x80000000)))
    assert line.startswith("plant-bath: {source")
    assert line.endswith("now bad: BadDeviceFailure")


def test_a_node_of_another_namespace_says_so() -> None:
    other = variable("A", "B", node="i=7")._replace(namespace_uri="urn:other")
    tags = proposed(text_of(variable(), other)).cell.tags
    assert [OpcUaSource.model_validate(tag.source).namespace_uri for tag in tags.values()] == [
        None,
        "urn:other",
    ]


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        (True, "Boolean", "to allow it: writable: {one_of: [true, false]}"),
        ("A", "String", "to allow it: writable: {one_of: [TEXT, TEXT]}"),
        (7, "Int16", "to allow it: writable: {minimum: LOW, maximum: HIGH}"),
        (AT, "DateTime", "but this bridge writes no DateTime"),
    ],
)
def test_how_a_node_would_be_written_goes_by_its_type(value: Any, kind: str, said: str) -> None:
    told = variable(data_type="Own", is_writable=True, sample=sample(value, kind))
    assert f"read and write ({said})" in line_of(told)


def test_groups_follow_the_objects() -> None:
    names = [("Plant", "Saw", "A"), ("Plant", "Saw", "B"), ("Plant", "Mill", "A"), ("Top",)]
    text = text_of(*(variable(*path, node=f"i={i}") for i, path in enumerate(names)))
    groups = [line for line in text.splitlines() if line.startswith("  # ")]
    assert groups == ["  # Plant / Saw", "  # Plant / Mill", "  # Objects"]
    assert list(proposed(text).cell.tags) == ["saw-a", "saw-b", "mill-a", "top"]


@given(st.lists(st.tuples(WORDS, WORDS, WORDS, WORDS), min_size=1, max_size=5, unique=True))
@settings(max_examples=30, deadline=None)
def test_whatever_the_server_says_the_result_passes_the_check(
    foreign: list[tuple[str, str, str, str]],
) -> None:
    rows = [
        variable(
            parent, name, node=f"s={i}{told}", data_type=told, description=told,
            unit=EngineeringUnit(told, 7, told), sample=sample(value, "String"),
        )
        for i, (parent, name, told, value) in enumerate(foreign)
    ]  # fmt: skip
    text = text_of(variable(), *rows)
    tags = proposed(text).cell.tags
    live = [
        line for line in text.partition("\ntags:")[2].splitlines()[1:] if line.strip()[:1] != "#"
    ]
    assert len(tags) == len(live)
    assert {tag.source["node"] for tag in tags.values()} <= {"s=N", *(row.node for row in rows)}


def test_documents_say_the_same_for_programs() -> None:
    (text,) = Proposal("plc", SETTINGS).documents(variable(range=(0.0, 9.0)))
    document = json.loads(text)
    assert (document["name"], document["node"], document["range"], document["value"]) == (
        "plant-bath", "s=N", [0.0, 9.0], "71.3",
    )  # fmt: skip
