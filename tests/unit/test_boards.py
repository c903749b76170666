"""The boards as data: names, links, places on the screen; and what Grafana makes of their SQL."""

import json
import re
from itertools import combinations
from typing import Any

import pytest

from dashboards import expand, places
from dashboards.expand import ExpandError, Window, choices, duration_text, expanded, queries, window
from dashboards.export import BOARDS
from dashboards.looks import COLOURS
from dashboards.model import DATA_SOURCE, TAG, Dashboard
from uns.model.equipment import STATES

JSON: dict[str, dict[str, Any]] = {board.uid: board.to_json() for board in BOARDS}
EIGHT = Window(0, 28_800_000, 60_000)
CHOSEN: dict[str, expand.Value] = {"cell": ["acme/b/m/l/mill", "it's"], "lot": "L'1", "n": 5}
OF_NO_TIME = {
    ("uns-genealogy", "Made of, and went into"),
    ("uns-genealogy", "Steps"),
    ("uns-genealogy", "Found in samples"),
    ("uns-genealogy", "Orders it passed through"),
}
"""A lot has a past of its own, whatever time is chosen."""
PLACES = {variable.name for variable in places.CHAIN}


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("${cell:sqlstring}", "'acme/b/m/l/mill','it''s'"),
        ("${lot:sqlstring}", "'L''1'"),
        ("'$lot' [[lot]] ${lot}", "'L''1' L''1 L''1"),
        ("IN ($cell)", "IN ('acme/b/m/l/mill','it''s')"),
        ("${cell:csv}", "acme/b/m/l/mill,it's"),
        ("${cell:queryparam}", "var-cell=acme%2Fb%2Fm%2Fl%2Fmill&var-cell=it%27s"),
        ("${n} $n ${n:sqlstring}", "5 5 '5'"),
        ("${__from} ${__to:date:seconds}", "0 28800"),
        ("${__to:date:iso} ${__from:date}", "1970-01-01T08:00:00.000Z 1970-01-01T00:00:00.000Z"),
        ("'$__interval' ${__interval_ms} $__interval_ms", "'1m' 60000 60000"),
        ("$__unixEpochFrom() $__unixEpochTo()", "0 28800"),
        ("${__url_time_range}", "from=0&to=28800000"),
        ("$__time(at)", 'at AS "time"'),
        (
            "$__timeFilter(at)",
            "at BETWEEN '1970-01-01T00:00:00.000Z' AND '1970-01-01T08:00:00.000Z'",
        ),
        ("$__timeFrom()", "'1970-01-01T00:00:00.000Z'"),
        ("$__unixEpochFilter(at)", "at >= 0 AND at <= 28800"),
        ("$__timeGroup(at, '5m')", "floor(extract(epoch from at)/300)*300"),
        (
            "$__timeGroupAlias(at,$__interval)",
            'floor(extract(epoch from at)/60)*60 AS "time"',
        ),
        ("regexp_replace(path, '/[^/]+$', '')", "regexp_replace(path, '/[^/]+$', '')"),
    ],
)
def test_sql_is_expanded_as_grafana_does(written: str, sent: str) -> None:
    assert expanded(written, EIGHT, CHOSEN) == sent


def test_timescale_groups_by_its_own_buckets() -> None:
    found = expanded("$__timeGroup(at, '1h')", EIGHT, timescale=True)
    assert found == "time_bucket('3600.000s',at)"


def test_a_double_quote_is_sent_as_grafana_sends_it() -> None:
    assert expanded("${x:sqlstring}", EIGHT, {"x": 'a"b'}) == "'a\\\"b'"


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("${site:sqlstring}", "no variable site"),
        ("${lot:lucene}", "no format lucene"),
        ("$__timeGroup(at)", "wants 2 arguments"),
        ("$__timeGroup(at, soon)", "no duration"),
        ("$__unknown(at)", "no macro"),
        ("$__unknown", "filled by nothing"),
        ("${__to:date:YYYY}", "depends on who looks"),
    ],
)
def test_what_grafana_would_not_fill_is_an_error(written: str, why: str) -> None:
    with pytest.raises(ExpandError, match=why):
        expanded(written, EIGHT, CHOSEN)


@pytest.mark.parametrize(
    ("hours", "least", "interval_ms"),
    [(8, None, 30_000), (8, "1m", 60_000), (1, None, 5_000), (24 * 365, None, 21_600_000)],
)
def test_the_interval_of_a_panel_is_rounded(
    hours: int, least: str | None, interval_ms: int
) -> None:
    assert window(0, hours * 3_600_000, least).interval_ms == interval_ms


@pytest.mark.parametrize(
    ("length_ms", "text"),
    [(1, "1ms"), (1_500, "1500ms"), (90_000, "90s"), (43_200_000, "12h"), (604_800_000, "7d")],
)
def test_a_duration_is_written_in_its_largest_whole_unit(length_ms: int, text: str) -> None:
    assert duration_text(length_ms) == text


def test_choices_are_all_the_first_or_given() -> None:
    asked = list[str]()

    def ask(sql: str) -> list[dict[str, Any]]:
        asked.append(sql)
        return [{"__value": f"{len(asked)}a"}, {"__value": f"{len(asked)}b"}]

    found = choices(JSON[places.LINE], EIGHT, ask, {"area": ["here"]})
    assert found["enterprise"] == ["1a", "1b"]
    assert found["area"] == ["here"]
    assert found["order"] == "5a"
    assert "'here'" in asked[2]
    assert choices(JSON[places.HEALTH], EIGHT, lambda _: [])["quiet_ms"] == "900000"
    assert choices(JSON[places.LINE], EIGHT, lambda _: [])["order"] == ""


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
class TestBoard:
    def test_has_stable_names_and_one_source(self, board: Dashboard) -> None:
        made = JSON[board.uid]
        assert (made["id"], made["tags"]) == (None, [TAG])
        assert re.fullmatch(r"uns-[a-z-]{1,36}", board.uid)
        of_queries = [v for v in made["templating"]["list"] if v["type"] == "query"]
        parts = made["panels"] + of_queries + made["annotations"]["list"]
        assert all(part["datasource"] == DATA_SOURCE for part in parts)
        assert len({panel["title"] for panel in made["panels"]}) == len(made["panels"])

    def test_begins_with_the_whole_chain_of_places(self, board: Dashboard) -> None:
        assert board.variables[: len(places.CHAIN)] == places.CHAIN

    def test_each_panel_leads_on_with_time_and_places(self, board: Dashboard) -> None:
        for panel in board.panels:
            assert panel.url, panel.title
            uid = panel.url.removeprefix("/d/").partition("?")[0]
            assert uid in JSON
            assert f"/d/{uid}?${{__url_time_range}}&" in panel.url
            given = set(re.findall(r"(?:var-|\$\{)(\w+)(?:=|:queryparam)", panel.url))
            known = {variable["name"] for variable in JSON[uid]["templating"]["list"]}
            assert given >= PLACES
            assert given <= known, panel.title

    def test_a_link_reads_columns_that_its_query_gives(self, board: Dashboard) -> None:
        for panel in board.panels:
            for column in re.findall(r"__data\.fields\.(\w+)", panel.url or ""):
                assert re.search(rf"\b{column}\b", panel.target.sql), panel.title

    def test_panels_lie_on_the_grid_and_on_no_other(self, board: Dashboard) -> None:
        for x, _, width, _ in (panel.grid for panel in board.panels):
            assert 0 <= x < x + width <= 24
        for one, other in combinations((panel.grid for panel in board.panels), 2):
            assert any(
                one[side] + one[side + 2] <= other[side]
                or other[side] + other[side + 2] <= one[side]
                for side in (0, 1)
            )

    def test_each_query_is_bounded_in_time_and_quotes_choices(self, board: Dashboard) -> None:
        for query in queries(JSON[board.uid]):
            is_timed = "${__to}" in query.sql or query.title in PLACES
            assert is_timed != ((board.uid, query.title) in OF_NO_TIME), query.title
            for name, how in re.findall(r"\$\{([a-z]\w*):?(\w*)\}", query.sql):
                assert how == "sqlstring" or name == "quiet_ms", query.title

    def test_is_plain_json(self, board: Dashboard) -> None:
        made = JSON[board.uid]
        assert json.loads(json.dumps(made)) == made
        assert [panel["id"] for panel in made["panels"]] == [*range(1, len(made["panels"]) + 1)]


def test_every_state_has_one_colour() -> None:
    assert sorted(name for names in COLOURS.values() for name in names) == sorted(STATES)
