"""The commands about yields and defects: as JSON and as tables, and what they refuse."""

from pathlib import Path

import pytest

from tests.served import everything
from tests.speech import LINE, MILL, NOON, new_writer, record
from tests.terminal import Cli
from uns.cli.folder import Folder
from uns.cli.run import store_url
from uns.historian.store import open_store

MINUTE_MS = 60_000


@pytest.fixture
def window(stopped_hub: Folder) -> tuple[str | Path | int, ...]:
    """The options of a question about the minutes in which something of everything happened."""
    store = open_store(store_url("duckdb", stopped_hub.root), lambda: NOON)
    record(new_writer(store), *everything(), received_ms=NOON + 10 * MINUTE_MS)
    store.close()
    return ("--from", NOON, "--to", NOON + 4 * MINUTE_MS, "--data", stopped_hub.root)


def test_yields_are_shown_with_their_steps(uns: Cli, window: tuple[str | Path | int, ...]) -> None:
    found = uns("yield", LINE, *window, "--by", "cell", "--json").json
    (mill,) = found["groups"]
    assert (mill["key"], mill["started"], mill["good"], mill["scrap"]) == (MILL, 41, 40, 1)
    assert mill["fpy"] == mill["rty"] == 40 / 41
    assert "97.6 %" in uns("yield", "housing", *window).out
    assert "Invalid value" in uns.fails(2, "yield", "--by", "moon", *window)


def test_defects_are_shown_with_their_share(uns: Cli, window: tuple[str | Path | int, ...]) -> None:
    (bar,) = uns("defects", "mill", *window, "--json").json["bars"]
    assert (bar["key"], bar["defects"], bar["opportunities"]) == ("bore", 1, 3)
    assert "333333" in uns("defects", *window).out
    assert "limit 300" in uns.fails(2, "defects", *window, "--limit", 300)
