"""`uns kanban`: the loops on record, and where a command goes; the answer is in test_desk.py."""

from typing import Any, Final

import pytest

from tests.brokers import small_plant
from tests.speech import LINE, NOON, new_writer, record, state
from tests.terminal import Cli
from uns.cli.errors import UsageError
from uns.cli.folder import Folder
from uns.cli.kanban import line_of
from uns.cli.run import store_url
from uns.historian.store import open_store
from uns.model.plant import Plant

CARD: Final = {"card": 1, "state": "empty", "since_ms": NOON, "pull_id": "bars-1-4"}
LOOP: Final = {"item": "bar", "cards": 1, "quantity": 50}
DOCUMENT: Final = {
    "summary": "bars: 0 full, 1 empty, 0 ordered of bar",
    "item": "bar",
    "quantity": 50.0,
    "full": 0,
    "empty": 1,
    "ordered": 0,
    "cards": [CARD],
    "at_ms": NOON,
}


def with_loops(**of_lines: tuple[str, ...]) -> Plant:
    """The small plant, whose lines have loops."""
    document: dict[str, Any] = small_plant().model_dump()
    document["items"] |= {"bar": {"title": "Bar"}}
    areas = document["sites"]["berlin"]["areas"].values()
    lines = {name: line for area in areas for name, line in area["lines"].items()}
    for line, loops in of_lines.items():
        lines[line]["kanban"] = dict.fromkeys(loops, LOOP)
    return Plant.model_validate(document)


@pytest.fixture
def supplied(stopped_hub: Folder) -> Folder:
    """A stopped hub with a loop on record whose bin is empty."""
    stopped_hub.plant.write_text(with_loops(housing=("bars",)).model_dump_json())
    store = open_store(store_url("duckdb", stopped_hub.root), lambda: NOON)
    record(new_writer(store), state("kanban/bars", 1, DOCUMENT))
    store.close()
    return stopped_hub


def test_loops_are_listed_with_what_empty_bins_ask_for(uns: Cli, supplied: Folder) -> None:
    where = ("--data", supplied.root)
    (found,) = uns("kanban", "list", *where, "--json").json
    assert (found["line"], found["loop"], found["empty"]) == (LINE, "bars", 1)
    assert "bars-1-4" in uns("kanban", "list", "housing", *where).out
    assert "no line 'moon'" in uns.fails(2, "kanban", "list", "moon", *where)


def test_a_plant_without_loops_says_how_to_have_them(uns: Cli, stopped_hub: Folder) -> None:
    assert "under `kanban`" in uns("kanban", "list", "--data", stopped_hub.root).out


def test_a_command_needs_a_running_hub(uns: Cli, supplied: Folder) -> None:
    for command in ("empty", "ordered", "full"):
        said = uns.fails(1, "kanban", command, "bars", "--data", supplied.root)
        assert "no hub runs" in said


def test_a_loop_is_found_by_its_name_and_else_the_nearest_is_named() -> None:
    plant = with_loops(housing=("bars", "rods"))
    assert line_of(plant, "bars", None) == line_of(plant, "bars", "housing") == LINE
    with pytest.raises(UsageError, match=r"no loop 'bar' \(did you mean 'bars'\?\)"):
        line_of(plant, "bar", None)
    with pytest.raises(UsageError, match="no loop 'bars'"):
        line_of(plant, "bars", "packing")


def test_a_name_of_several_loops_needs_the_line() -> None:
    plant = with_loops(housing=("bars",), packing=("bars",))
    with pytest.raises(UsageError, match="have a loop 'bars': name one with --line"):
        line_of(plant, "bars", None)
    assert line_of(plant, "bars", "packing") == "acme/berlin/assembly/packing"
