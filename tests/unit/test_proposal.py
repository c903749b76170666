"""Names, quoted text and remarks of a proposed mapping."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from uns.cli.errors import UsageError
from uns.cli.proposed import writing
from uns.model.path import SEGMENT
from uns.model.proposal import REMARK_LENGTH_MAX, Names, quoted, remark, segment_of

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


def test_foreign_words_become_a_segment() -> None:
    assert segment_of("BathTemperature [°C]") == "bath-temperature-c"
    assert segment_of("Größe_2") == "grosse-2"
    assert segment_of("温度") == ""
    assert segment_of("DB10.Saw__Good") == "db10-saw-good"


def test_a_name_says_the_parent_and_more_of_the_path_where_it_must() -> None:
    names = Names()
    paths = [
        ("Plant", "Saw", "Good"),
        ("Plant", "Mill", "Good"),
        ("Annex", "Saw", "Good"),
        ("Annex", "Saw", "Good"),
        ("Annex", "Saw", "good"),
        ("Saw", "Saw.State"),
        ("Running",),
        ("温度",),
        ("17",),
        ("True",),
    ]
    assert [names.take(path) for path in paths] == [
        "saw-good", "mill-good", "annex-saw-good", "annex-saw-good-2", "annex-saw-good-3",
        "saw-state", "running", "tag", "tag-17", "tag-true",
    ]  # fmt: skip


@given(st.lists(st.lists(WORDS, min_size=1, max_size=4), max_size=30))
def test_names_are_segments_and_unique(paths: list[list[str]]) -> None:
    names = Names()
    taken = [names.take(path) for path in paths]
    assert all(map(SEGMENT.fullmatch, taken))
    assert len(set(taken)) == len(taken)


def test_a_thousand_equal_names_are_told_apart() -> None:
    names = Names()
    taken = {names.take(("x" * 60, "Value")) for _ in range(1_000)}
    assert len(taken) == 1_000
    assert all(map(SEGMENT.fullmatch, taken))


@given(WORDS)
def test_quoted_text_reads_as_it_was(text: str) -> None:
    line = f"a: {quoted(text)} # {remark(text)}\nb: 1\n"
    assert YAML(typ="safe", pure=True).load(line) == {"a": text, "b": 1}


@given(WORDS)
def test_a_remark_is_one_short_printable_line(text: str) -> None:
    shown = remark(text)
    assert len(shown) <= REMARK_LENGTH_MAX
    assert shown.isprintable()


def _interrupted(out: Path) -> None:
    with writing(out) as write:
        write("a: 1")
        raise KeyboardInterrupt


def test_a_file_is_there_when_it_is_whole_only(tmp_path: Path) -> None:
    out = tmp_path / "plc.yaml"
    with writing(out) as write:
        write("a: 1")
        assert not out.exists()
    assert out.read_text() == "a: 1\n"
    other = tmp_path / "other.yaml"
    with pytest.raises(KeyboardInterrupt):
        _interrupted(other)
    assert list(tmp_path.iterdir()) == [out]
    with pytest.raises(UsageError, match="exists already"), writing(out):
        pass
