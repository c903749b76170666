"""What the outputs of a Sparkplug host session say about tags and links."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from bridges.sparkplug.config import SparkplugSettings, SparkplugSource
from bridges.sparkplug.directory import Directory, Endpoint, directory_of
from bridges.sparkplug.mapping import REJECT_CLASS, UNHEARD, down, observations, unmapped
from bridges.sparkplug.rules import Leaf, Origin
from tests.simulated import example_plant
from uns.model.observation import BadInput, Link, Reading
from uns.model.plant import TagSpec
from uns.sparkplug.datatype import DataType
from uns.sparkplug.outputs import Ignored, MetricValue, Online, RebirthRequest, Rejected, Stale
from uns.sparkplug.values import DataSet, Metric

ROOT = Path(__file__).parents[2]
README = ROOT / "bridges" / "sparkplug" / "README.md"
CELL = "acme/berlin/assembly/packing/pack"
SETTINGS = SparkplugSettings(group="acme", edge_node="packing")
BOOK = Directory(
    {
        Origin("acme", "packing", None, "Cabinet"): Leaf("acme/b/a/l/c1", "cabinet"),
        Origin("acme", "packing", "d1", "Good"): Leaf("acme/b/a/l/c1", "good"),
        Origin("acme", "packing", "d1", "State"): Leaf("acme/b/a/l/c1", "state"),
        Origin("acme", "packing", "d2", "Good"): Leaf("acme/b/a/l/c2", "good"),
        Origin("acme", "labels", "d1", "Good"): Leaf("acme/b/a/l/c3", "good"),
    }
)
D1_FEEDS = (("acme/b/a/l/c1", "good"), ("acme/b/a/l/c1", "state"))
NOW_MS = 1_765_432_100_000


def value(
    given: Any,
    *,
    quality: int = 192,
    device: str | None = "d1",
    name: str = "Good",
    old: bool = False,
) -> MetricValue:
    return MetricValue("acme", "packing", device, name, given, 5, DataType.DOUBLE, old, quality)


def told(*outputs: Any) -> list[Any]:
    return observations(outputs, BOOK, NOW_MS)


def test_the_directory_of_the_example_plant() -> None:
    book = directory_of(SETTINGS, example_plant().served_by("packing-edge"))
    assert list(book.nodes) == [("acme", "packing")]
    endpoint = Endpoint("acme", "packing", "pack")
    assert list(book.by_endpoint) == [endpoint]
    assert book.feeds(endpoint) == tuple(book.origins)
    origin, leaf = Origin(*endpoint, "GlueTemperature"), Leaf(CELL, "glue-temperature")
    assert (book.tags[origin], book.origins[leaf]) == (leaf, origin)


def test_a_value_is_a_reading_of_the_tag_that_shows_it() -> None:
    assert told(value(7)) == [Reading("acme/b/a/l/c1", "good", 7, 5)]
    assert told(value(8, device="d2")) == [Reading("acme/b/a/l/c2", "good", 8, 5)]
    assert told(value(1.5, device=None, name="Cabinet")) == [
        Reading("acme/b/a/l/c1", "cabinet", 1.5, 5)
    ]


def test_what_no_tag_shows_and_what_is_history_says_nothing() -> None:
    assert told(value(7, name="Spare"), value(7, device="d3"), value(7, old=True)) == []
    assert told(Ignored("late", "t"), RebirthRequest("acme", "packing")) == []


@pytest.mark.parametrize(
    ("output", "quality", "shown", "says"),
    [
        (value(7, quality=0), "bad", None, "quality 0 (bad)"),
        (value(7, quality=500), "bad", None, "quality 500 (stale)"),
        (value(7, quality=64), "uncertain", 7, "quality 64"),
        (value(None), "bad", None, "null"),
        (value(None, quality=0), "bad", None, "quality 0 (bad)"),
        (value(float("nan")), "bad", None, "nan is no number"),
        (value(float("-inf")), "bad", None, "-inf is no number"),
        (value(b"ab"), "bad", None, "a DOUBLE is no value of a tag"),
        (value((1, 2)), "bad", None, "a DOUBLE is no value of a tag"),
        (value(DataSet((), (), ())), "bad", None, "a DOUBLE is no value of a tag"),
    ],
)
def test_quality_and_values_that_no_tag_can_hold(
    output: MetricValue, quality: str, shown: Any, says: str
) -> None:
    (reading,) = told(output)
    assert (reading.quality, reading.value, reading.reason) == (quality, shown, says)


def test_births_and_deaths_move_the_links_of_their_own_device() -> None:
    born = (Metric("Good", 1, DataType.UINT32), Metric("State", 4, DataType.UINT32))
    assert told(Online("acme", "packing", "d1", 9, born)) == [
        Link("acme/packing/d1", D1_FEEDS, up=True, at_ms=9)
    ]
    assert told(Stale("acme", "packing", "d1", 9, "the device died")) == [
        Link("acme/packing/d1", D1_FEEDS, up=False, at_ms=9, reason="the device died")
    ]
    assert told(Stale("acme", "packing", "d3", 9, "the device died")) == []
    (link,) = down(BOOK, Endpoint("acme", "packing", None), "gone", 9)
    assert (link.endpoint, link.feeds, link.up) == (
        ("acme/packing", (("acme/b/a/l/c1", "cabinet"),), False)
    )


def test_nodes_of_one_bridge_do_not_speak_for_each_other() -> None:
    born = (Metric("Good", 1, DataType.UINT32),)
    assert told(Online("acme", "labels", "d1", 9, born)) == [
        Link("acme/labels/d1", (("acme/b/a/l/c3", "good"),), up=True, at_ms=9)
    ]
    assert told(value(7)._replace(edge_node="labels")) == [Reading("acme/b/a/l/c3", "good", 7, 5)]


def test_by_a_kept_birth_only_what_is_heard_has_a_value() -> None:
    born = (Metric("Good", 1, DataType.UINT32), Metric("State", 4, DataType.UINT32))
    online = Online("acme", "packing", "d1", 9, born, kept=True)
    link, unheard, heard = told(online, value(7))
    assert isinstance(link, Link)
    assert (unheard.tag, unheard.value, unheard.quality, unheard.reason) == (
        ("state", None, "bad", UNHEARD)
    )
    assert heard == Reading("acme/b/a/l/c1", "good", 7, 5)


def test_a_birth_without_a_wanted_metric_turns_that_tag_bad() -> None:
    link, reading = told(Online("acme", "packing", "d1", 9, (Metric("Good", 1, DataType.UINT32),)))
    assert isinstance(link, Link)
    assert (reading.tag, reading.quality, reading.value) == ("state", "bad", None)
    assert reading.reason == "no metric 'State' in the birth"


def test_metrics_that_no_tag_shows_are_listed_without_the_sessions_own() -> None:
    names = ("bdSeq", "Node Control/Rebirth", "Cabinet", "Spare")
    metrics = tuple(Metric(name, 1, DataType.INT64) for name in names)
    assert unmapped(Online("acme", "packing", None, 9, metrics), BOOK) == ["Spare"]


def test_rubbish_keeps_its_bytes() -> None:
    assert told(Rejected("no protobuf", "spBv1.0/acme/DDATA/packing/d1", b"\xff")) == [
        BadInput("spBv1.0/acme/DDATA/packing/d1", REJECT_CLASS, "no protobuf", b"\xff", NOW_MS)
    ]


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
    document = YAML(typ="safe").load(sample)
    for bridge in document["bridges"].values():
        assert bridge.pop("protocol") == "sparkplug"
        SparkplugSettings.model_validate(bridge)
    assert document["tags"]
    for tag in document["tags"].values():
        SparkplugSource.model_validate(TagSpec.model_validate(tag).source)
