"""The map between tags and Sparkplug metrics: both ways, and its faults at check time."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.errors import UnsatisfiedAssumption
from ruamel.yaml import YAML

from bridges import PROTOCOLS
from bridges.sparkplug.config import MapRule, SparkplugSettings, SparkplugSource
from bridges.sparkplug.directory import Map, directory_of, edge_nodes
from bridges.sparkplug.rules import Leaf, Origin
from tests.simulated import NAMESPACE, example_plant
from uns.cli.meta import meta_documents
from uns.model.namespace import NamespaceError, parse_namespace
from uns.model.path import SEGMENT_LENGTH_MAX, TopicError, key_of
from uns.model.plant import Plant
from uns.mqtt.acl import broker_users
from uns.sparkplug.naming import UNFIT

NOTHING = SparkplugSource()
CELL = "acme/berlin/assembly/packing/pack"
FOLDERS = {"group": "{enterprise}", "edge_node": "{line}", "metric": "{site}/{area}/{cell}/{tag}"}

names = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12),
    st.sampled_from([":", "a:b", "%", "%3A", "%2", "%%", "/", "a/b", "A-1", "ä", "--", "x--x41"]),
)


def keyed(name: str) -> str:
    try:
        return key_of(name)
    except TopicError:
        raise UnsatisfiedAssumption from None


def rules(*rows: dict[str, Any], delimiter: str = ":") -> Map:
    settings = {"map": list(rows), "delimiter": delimiter}
    return Map(SparkplugSettings.model_validate(settings))


def test_parris_is_the_default() -> None:
    leaf = Leaf(CELL, "good")
    origin = Origin("acme:berlin:assembly", "packing", "pack", "good")
    assert rules().origin_of(leaf, NOTHING) == origin
    assert rules().leaf_of(origin) == leaf
    assert rules(delimiter=".").leaf_of(origin) is None


@pytest.mark.parametrize(
    ("metric", "tag"),
    [("good", "good"), ("Good", "good--u1"), ("Glue °C", key_of("Glue °C"))],
)
def test_a_name_that_is_no_segment_becomes_a_key(metric: str, tag: str) -> None:
    origin = Origin("acme:berlin:assembly", "packing", "pack", metric)
    assert rules().leaf_of(origin) == Leaf(CELL, tag)
    assert rules().origin_of(Leaf(CELL, tag), NOTHING) == origin


def test_a_name_that_holds_the_delimiter_is_escaped() -> None:
    leaf = Leaf(f"acme/{key_of('a:b')}/assembly/packing/pack", "good")
    origin = rules().origin_of(leaf, NOTHING)
    assert origin == Origin("acme:a%3Ab:assembly", "packing", "pack", "good")
    assert rules().leaf_of(origin) == leaf


def test_a_control_character_in_a_name_is_escaped_in_an_id() -> None:
    site, line = key_of("a\n"), key_of("b\x85")
    leaf = Leaf(f"acme/{site}/assembly/{line}/pack", "good")
    origin = rules().origin_of(leaf, NOTHING)
    assert origin == Origin("acme:a%0A:assembly", "b%85", "pack", "good")
    assert rules().leaf_of(origin) == leaf


@pytest.mark.parametrize("rows", [(), (FOLDERS,)])
@given(st.lists(names, min_size=6, max_size=6), st.sampled_from(":.-"))
def test_from_leaf_to_metric_and_back(
    rows: tuple[dict[str, Any], ...], originals: list[str], delimiter: str
) -> None:
    *cell, tag = map(keyed, originals)
    leaf = Leaf("/".join(cell), tag)
    told = rules(*rows, delimiter=delimiter)
    origin = told.origin_of(leaf, NOTHING)
    assert origin is not None
    assert not any(set(UNFIT) & set(each or "") for each in origin[:3])
    assert told.leaf_of(origin) == leaf


TOKENS = ("a", "Z", "%", "%3A", "%2F", "3A", ".", "-", "ä", " ")
part = st.lists(st.sampled_from(TOKENS), min_size=1, max_size=5).map("".join)
SHAPES: list[tuple[tuple[dict[str, Any], ...], Any]] = [
    ((), st.tuples(st.tuples(part, part, part).map(":".join), part, part, part)),
    ((FOLDERS,), st.tuples(part, part, st.none(), st.lists(part, min_size=4, max_size=4))),
]


@pytest.mark.parametrize("shape", SHAPES)
@given(st.data())
def test_from_metric_to_leaf_and_back(
    shape: tuple[tuple[dict[str, Any], ...], Any], data: st.DataObject
) -> None:
    rows, parts = shape
    group, edge_node, device, metric = data.draw(parts)
    name = metric if isinstance(metric, str) else "/".join(metric)
    told, origin = rules(*rows), Origin(group, edge_node, device, name)
    leaf = told.leaf_of(origin)
    assume(leaf is not None)
    assert leaf is not None
    assert all(len(each) <= SEGMENT_LENGTH_MAX for each in (*leaf.cell.split("/"), leaf.tag))
    assert told.origin_of(leaf, NOTHING) == origin


def test_what_the_source_states_goes_before_the_settings_and_these_before_the_map() -> None:
    leaf = Leaf(CELL, "good")
    settings = SparkplugSettings(group="g", edge_node="e")
    told = Map(settings)
    assert told.origin_of(leaf, NOTHING) == Origin("g", "e", "pack", "good")
    assert told.origin_of(leaf, SparkplugSource(metric="M")) == Origin("g", "e", None, "M")
    source = SparkplugSource(group="h", device="d", metric="M")
    assert told.origin_of(leaf, source) == Origin("h", "e", "d", "M")
    assert rules().origin_of(leaf, SparkplugSource(device="d")) == Origin(
        "acme:berlin:assembly", "packing", "d", "good"
    )


def test_the_first_rule_that_fits_is_taken() -> None:
    special = FOLDERS | {"path": "{enterprise}/{site}/{area}/{line}/pack", "metric": "P/{tag}"}
    special |= {"group": "{enterprise}:{site}:{area}"}
    told = rules(special, FOLDERS)
    assert told.origin_of(Leaf(CELL, "good"), NOTHING) == Origin(
        "acme:berlin:assembly", "packing", None, "P/good"
    )
    other = Leaf("acme/berlin/assembly/packing/wrap", "good")
    assert told.origin_of(other, NOTHING) == Origin(
        "acme", "packing", None, "berlin/assembly/wrap/good"
    )


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"metric": "{tag}{cell}"}, "nothing parts"),
        ({"metric": "{tag"}, "a placeholder is written"),
        ({"device": "{cell}-{shift}"}, "{shift} stands on one side only"),
        ({"path": "{enterprise}/{site}/{line}/{cell}"}, "write {enterprise}/{site}"),
        ({"path": "{enterprise}/{site}/{area}/{line}/x-{cell}"}, "neither a name nor one"),
    ],
)
def test_a_rule_that_cannot_be_read_both_ways_is_refused(row: dict[str, str], says: str) -> None:
    parris = {"group": "{enterprise}:{site}:{area}", "edge_node": "{line}", "device": "{cell}"}
    with pytest.raises(ValueError, match=says.replace("{", r"\{")):
        MapRule.model_validate(parris | {"metric": "{tag}"} | row)


# --- uns check


TEXT = NAMESPACE.read_text()


def faults(old: str, new: str, *more: tuple[str, str]) -> list[str]:
    text = TEXT
    for was, becomes in ((old, new), *more):
        assert was in text
        text = text.replace(was, becomes)
    try:
        parse_namespace(text, "namespace.yaml", PROTOCOLS)
    except NamespaceError as error:
        return [str(fault) for fault in error.faults]
    return []


def line_of(part: str, text: str = TEXT) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if part in line)


GOOD = "source: {metric: Good, device: pack}"
SCRAP = "source: {metric: Scrap, device: pack}"


def test_one_metric_for_two_tags_is_refused_with_its_place() -> None:
    (fault,) = faults(SCRAP, GOOD)
    at = line_of(SCRAP)
    assert fault.startswith(f"namespace.yaml:{at}:")
    assert fault.endswith(f"this source already feeds {CELL}/_tag/good")
    (fault,) = faults(SCRAP, "source: {device: pack, metric: good}", (GOOD, "source: {}"))
    assert fault.endswith("this source already feeds acme/berlin/assembly/packing/pack/_tag/good")


def test_empty_sources_are_no_two_sources_of_one_leaf() -> None:
    assert faults(SCRAP, "source: {}", (GOOD, "source: {}")) == []


def with_map(rows: str) -> tuple[str, str]:
    return "    edge_node: packing\n", f"    edge_node: packing\n    map:\n{rows}"


ANY = "{group: '{site}:{area}:{line}', edge_node: e, device: '{cell}', metric: '{tag}', %s}"
OF_ACME = "path: 'acme/{site}/{area}/{line}/{cell}'"
OF_BERLIN = "path: '{site}/berlin/{area}/{line}/{cell}'"


@pytest.mark.parametrize(
    ("second", "says"),
    [
        (OF_ACME, "rule 2 never applies: rule 1 fits all its tags"),
        (OF_BERLIN, "rules 1 and 2 both fit some tags: part them"),
    ],
)
def test_ambiguous_rules_are_refused(second: str, says: str) -> None:
    rows = "".join(f"      - {ANY % path}\n" for path in (OF_ACME, second))
    at = line_of("edge_node: packing") + 3
    assert faults(*with_map(rows)) == [f"namespace.yaml:{at}:9 {says}"]


def test_a_metric_that_another_rule_reads_as_another_tag_is_refused() -> None:
    rows = (
        f"      - {{group: acme, edge_node: packing, metric: good, path: {CELL}, tag: scrap}}\n"
        "      - {group: acme, edge_node: '{line}', metric: '{tag}',"
        " path: 'acme/berlin/assembly/{line}/pack'}\n"
    )
    settings = "    group: acme\n    edge_node: packing\n"
    stated = "source: {group: acme, edge_node: packing, "
    (fault,) = faults(
        settings,
        f"    map:\n{rows}",
        (GOOD, "source: {}"),
        ("source: {metric:", stated + "metric:"),
    )
    assert fault.endswith(f"ambiguous map: metric 'good' reads back as {CELL}/_tag/scrap")


def test_two_hosts_of_one_id_on_one_broker_are_refused() -> None:
    second = "  other:\n    protocol: sparkplug\n    host_id: %s\n  erp:\n"
    (fault,) = faults("  erp:\n", second % "uns-hub")
    assert fault.endswith("host_id 'uns-hub' is already that of bridge 'packing-edge'")
    assert fault.startswith(f"namespace.yaml:{line_of('  erp:') + 2}:5 ")
    assert faults("  erp:\n", second % "other") == []
    elsewhere = second % "uns-hub\n    server: mqtt://plant:1884"
    assert faults("  erp:\n", elsewhere) == []


def test_a_server_that_is_no_url_is_refused_without_its_password() -> None:
    (fault,) = faults("    edge_node: packing\n", "    server: http://u:geheim@h\n")
    assert "write mqtt://user:password@host:port" in fault
    assert "geheim" not in fault


# --- who uses it


def mapped_plant() -> Plant:
    document = YAML(typ="safe").load(TEXT)
    bridge = document["bridges"]["packing-edge"]
    del bridge["group"], bridge["edge_node"]
    area = document["sites"]["berlin"]["areas"]["assembly"]
    tags = area["lines"]["packing"]["cells"]["pack"]["tags"]
    tags["good"]["source"] = {}
    for name in set(tags) - {"good"}:
        tags[name]["source"] |= {"group": "acme", "edge_node": "old"}
    return Plant.model_validate(document)


def test_one_bridge_follows_many_edge_nodes() -> None:
    plant = mapped_plant()
    nodes = {("acme", "old"), ("acme:berlin:assembly", "packing")}
    assert set(edge_nodes(plant)["packing-edge"]) == nodes
    book = directory_of(SparkplugSettings(), plant.served_by("packing-edge"))
    assert book.origins[Leaf(CELL, "good")] == Origin(
        "acme:berlin:assembly", "packing", "pack", "good"
    )


def test_meta_tells_where_a_tag_comes_from() -> None:
    tags = dict(meta_documents(mapped_plant()))[f"{CELL}/_meta/node"]["tags"]
    assert tags["good"]["source"] == {
        "group": "acme:berlin:assembly",
        "edge_node": "packing",
        "device": "pack",
        "metric": "good",
    }
    tags = dict(meta_documents(example_plant()))[f"{CELL}/_meta/node"]["tags"]
    assert tags["state"]["source"]["edge_node"] == "packing"


def rights(plant: Plant) -> dict[str, set[str]]:
    users = broker_users(plant, lambda name: name, edge_nodes(plant))
    return {
        user.name: {f"{g.access} {g.topic_filter}" for g in user.grants if "spBv1.0" in str(g)}
        for user in users
    }


def test_edge_nodes_that_the_map_names_share_a_user_with_their_own_topics() -> None:
    told = rights(mapped_plant())
    assert "write spBv1.0/acme:berlin:assembly/NDATA/packing" in told["edges-packing-edge"]
    assert "write spBv1.0/acme/NDATA/old" in told["edges-packing-edge"]
    assert "write spBv1.0/acme:berlin:assembly/DCMD/packing/+" in told["bridge-packing-edge"]
    assert not any("NDATA" in each for each in told["bridge-packing-edge"] - {"read spBv1.0/#"})
    assert "edge-packing" in rights(example_plant())


@pytest.mark.parametrize("extra", [{"passive": True}, {"server": "mqtt://plant:1884"}])
def test_a_bridge_that_is_silent_or_elsewhere_may_say_nothing_here(extra: dict[str, Any]) -> None:
    document = YAML(typ="safe").load(TEXT)
    document["bridges"]["packing-edge"] |= extra
    told = rights(Plant.model_validate(document))
    assert not any(each.startswith("write") for each in told["bridge-packing-edge"])
    assert ("edge-packing" in told) == ("passive" in extra)
