"""`uns grafana`: what is written into a Grafana, what is left alone, and what the record answers.

Grafana itself is played by tests/fake_grafana.py; the client is the real one.
"""

import copy
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboards import alerts, apply, provision
from dashboards.apply import GrafanaAway, GrafanaRefused, Step, Wishes, connect, health
from dashboards.expand import Query, Window
from dashboards.export import BOARDS
from dashboards.model import TAG, Dashboard, Panel, Target
from dashboards.verify import fault, server, verify
from tests.fake_grafana import TOKEN, Grafana, fake_grafana
from tests.simulated import START_MS
from tests.stopped import stopped_hub
from tests.stores import SERVERS, own_database
from uns.cli.errors import CommandError
from uns.cli.folder import find_folder
from uns.cli.grafana import apply_to, verify_boards
from uns.cli.store import open_store
from uns.historian.answers import Result

DATABASE = provision.database("postgresql://hub@db/uns", 17, "reader", timescale=True)
BOARD = BOARDS[0]
HOUR_MS = 3_600_000
MINUTE_MS = 60_000


@pytest.fixture
def grafana() -> Iterator[Grafana]:
    with fake_grafana() as server:
        yield server


def wishes(*, contact: str | None = None, password: str | None = "secret") -> Wishes:  # noqa: S107 - of nothing
    return Wishes(BOARDS, DATABASE, password, contact)


def applied(grafana: Grafana, wanted: Wishes | None = None, *, dry_run: bool = False) -> list[Step]:
    """The steps of one run; what was called before is forgotten."""
    grafana.calls.clear()
    api = connect(grafana.url, TOKEN)
    return list(apply.apply(api, wanted or wishes(), dry_run=dry_run))


def written(steps: list[Step]) -> dict[tuple[str, str], str]:
    return {(step.kind, step.uid): step.action for step in steps if step.action != "same"}


def test_the_first_run_brings_everything_and_the_second_writes_nothing(grafana: Grafana) -> None:
    first = applied(grafana)
    assert {step.action for step in first} == {"create"}
    assert set(grafana.folders) == set(provision.FOLDERS)
    assert set(grafana.boards) == {board.uid for board in BOARDS}
    assert set(grafana.rules) == {rule.uid for rule in alerts.RULES}
    assert set(grafana.contacts) == {alerts.CONTACT_UID}
    assert len(grafana.writes) == len(first)
    second = applied(grafana)
    assert grafana.writes == []
    assert [(s.kind, s.uid) for s in second] == [(s.kind, s.uid) for s in first]
    assert {step.action for step in second} == {"same"}


def test_a_dry_run_says_the_same_and_only_reads(grafana: Grafana) -> None:
    told = applied(grafana, dry_run=True)
    assert grafana.writes == []
    assert told == applied(grafana)
    grafana.boards[BOARD.uid]["dashboard"]["title"] = "Mine"
    (changed,) = [step for step in applied(grafana, dry_run=True) if step.writes]
    assert (changed.uid, changed.action, changed.why) == (BOARD.uid, "update", "title")
    assert grafana.writes == []
    assert grafana.boards[BOARD.uid]["dashboard"]["title"] == "Mine"


def test_only_what_differs_is_written_again(grafana: Grafana) -> None:
    applied(grafana)
    grafana.boards[BOARD.uid]["dashboard"]["panels"][0]["title"] = "Mine"
    grafana.boards[BOARD.uid]["meta"]["folderUid"] = "uns-alerts"
    steps = applied(grafana)
    assert written(steps) == {("board", BOARD.uid): "update"}
    (call,) = grafana.writes
    assert call.body["overwrite"]
    assert call.body["folderUid"] == "uns-alerts"
    assert next(s.why for s in steps if s.writes) == "panels.0.title"
    assert written(applied(grafana)) == {}
    assert grafana.writes == []


def test_the_choices_of_the_plant_stay(grafana: Grafana) -> None:
    applied(grafana, wishes(contact="shift@example.org"))
    rule, source = alerts.RULES[0], grafana.sources["uns"]
    grafana.rules[rule.uid] |= {"isPaused": True, "for": "1h"}
    grafana.contacts[alerts.CONTACT_UID]["settings"]["addresses"] = "them@example.org"
    grafana.folders["uns"]["title"] = "Plant"
    source |= {"isDefault": True, "url": "old:5432"}
    source["jsonData"]["maxOpenConns"] = 3
    expected = {("data source", "uns"): "update", ("alert rule", rule.uid): "update"}
    assert written(applied(grafana)) == expected
    assert grafana.rules[rule.uid]["isPaused"]
    assert grafana.rules[rule.uid]["for"] == rule.for_
    assert grafana.contacts[alerts.CONTACT_UID]["settings"]["addresses"] == "them@example.org"
    assert grafana.folders["uns"]["title"] == "Plant"
    now = grafana.sources["uns"]
    assert (now["isDefault"], now["url"], now["jsonData"]["maxOpenConns"]) == (True, "db:5432", 3)


@pytest.mark.parametrize("kind", ["board", "data source", "alert rule"])
def test_what_does_not_carry_our_tag_is_not_touched(grafana: Grafana, kind: str) -> None:
    applied(grafana)
    untag: dict[str, tuple[dict[str, Any], str, Any]] = {
        "board": (grafana.boards[BOARD.uid]["dashboard"], "tags", ["theirs"]),
        "data source": (grafana.sources["uns"], "jsonData", {}),
        "alert rule": (grafana.rules[alerts.RULES[0].uid], "labels", {}),
    }
    thing, key, value = untag[kind]
    thing |= {key: value, "title": "theirs"}
    before = copy.deepcopy(thing)
    (step,) = [step for step in applied(grafana) if step.action != "same"]
    assert (step.kind, step.action) == (kind, "foreign")
    assert TAG in step.why
    assert grafana.writes == []
    assert thing == before


def test_a_contact_point_of_our_name_is_somebody_elses(grafana: Grafana) -> None:
    theirs = {"uid": "theirs", "name": alerts.CONTACT, "type": "email", "settings": {}}
    grafana.contacts["theirs"] = dict(theirs)
    (step,) = [step for step in applied(grafana) if step.action != "create"]
    assert (step.kind, step.action) == ("contact point", "foreign")
    assert grafana.contacts == {"theirs": theirs}


def test_a_board_of_the_same_title_is_not_replaced(grafana: Grafana) -> None:
    applied(grafana)
    theirs = grafana.boards.pop(BOARD.uid)
    theirs["dashboard"]["uid"] = "theirs"
    grafana.boards["theirs"] = copy.deepcopy(theirs)
    with pytest.raises(GrafanaRefused, match="of that title"):
        applied(grafana)
    assert grafana.boards["theirs"] == theirs
    assert BOARD.uid not in grafana.boards


def test_what_was_made_from_a_file_is_kept(grafana: Grafana) -> None:
    applied(grafana)
    grafana.boards[BOARD.uid]["meta"]["provisioned"] = True
    grafana.boards[BOARD.uid]["dashboard"]["title"] = "of a file"
    grafana.sources["uns"] |= {"readOnly": True, "url": "elsewhere"}
    grafana.rules[alerts.RULES[0].uid] |= {"provenance": "file", "for": "1h"}
    grafana.contacts[alerts.CONTACT_UID]["provenance"] = "file"
    steps = applied(grafana, wishes(contact="new@example.org"))
    assert set(written(steps).values()) == {"kept"}
    assert len(written(steps)) == 4
    assert grafana.writes == []


def test_staff_may_edit_what_was_brought(grafana: Grafana) -> None:
    applied(grafana)
    alerting = [call for call in grafana.writes if call.path.startswith("v1/provisioning")]
    assert len(alerting) == 1 + len(alerts.RULES)
    assert {call.headers.get("X-Disable-Provenance") for call in alerting} == {"true"}
    stored = [*grafana.rules.values(), *grafana.contacts.values()]
    assert not any("provenance" in thing for thing in stored)


def test_the_password_is_sent_once_and_told_to_nobody(grafana: Grafana) -> None:
    with pytest.raises(GrafanaRefused, match=provision.PASSWORD):
        applied(grafana, wishes(password=None))
    assert "secret" not in repr(wishes())
    applied(grafana)
    assert grafana.passwords == {"uns": "secret"}
    other = wishes(password=secrets.token_hex())
    assert written(applied(grafana, other)) == {}
    del grafana.sources["uns"]["secureJsonFields"]["password"]
    (step,) = [step for step in applied(grafana, other) if step.writes]
    assert (step.kind, step.why) == ("data source", "password")
    assert grafana.passwords == {"uns": other.password}


def test_the_contact_point_tells_who_was_named(grafana: Grafana) -> None:
    applied(grafana)
    point = grafana.contacts[alerts.CONTACT_UID]
    assert (point["type"], point["settings"]) == ("email", {"addresses": alerts.NOBODY})
    steps = applied(grafana, wishes(contact="https://hook.example.org/uns"))
    assert written(steps) == {("contact point", alerts.CONTACT_UID): "update"}
    point = grafana.contacts[alerts.CONTACT_UID]
    assert (point["type"], point["settings"]) == (
        "webhook",
        {"url": "https://hook.example.org/uns"},
    )
    assert written(applied(grafana)) == {}
    assert grafana.writes == []


def test_errors_are_ours_and_say_the_fix(grafana: Grafana) -> None:
    with pytest.raises(GrafanaRefused, match="service account"):
        list(apply.apply(connect(grafana.url, "wrong"), wishes(), dry_run=True))
    grafana.broken = 500
    with pytest.raises(GrafanaAway, match="try again"):
        applied(grafana)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(GrafanaAway, match="no Grafana answers"):
        list(apply.apply(connect(f"http://127.0.0.1:{port}", TOKEN), wishes(), dry_run=True))
    with pytest.raises(GrafanaRefused, match="no address"):
        connect("grafana:3000", TOKEN)


def test_grafana_below_a_path_is_found(grafana: Grafana) -> None:
    api = connect(f"{grafana.url}/below", TOKEN)
    with pytest.raises(GrafanaRefused):  # the fake knows no such place, and says which it was asked
        list(apply.apply(api, wishes(password=None), dry_run=False))
    assert grafana.calls[0].path == "/below/api/folders/uns"


def test_whether_grafana_reaches_the_store_is_said(grafana: Grafana) -> None:
    applied(grafana)
    api = connect(grafana.url, TOKEN)
    assert health(api) is None
    grafana.sick = "connection refused"
    assert health(api) == "connection refused"


@pytest.mark.parametrize(
    ("dsn", "user", "expected"),
    [
        ("postgresql://hub:pw@db:6432/uns", "reader", ("db:6432", "uns", "reader", "require")),
        ("postgres://ro@[::1]/mes", None, ("[::1]:5432", "mes", "ro", "disable")),
        ("postgresql://db/a%20b?sslmode=require", None, ("db:5432", "a b", "reader", "require")),
        ("postgresql:///uns?sslmode=prefer", None, ("localhost:5432", "uns", "reader", "disable")),
    ],
)  # fmt: skip
def test_a_store_as_grafana_reaches_it(
    dsn: str, user: str | None, expected: tuple[str, str, str, str]
) -> None:
    found = provision.database(dsn, 15, user, timescale=False)
    assert found[:4] == expected
    assert "pw" not in str(provision.data_source(found))


def test_an_address_without_a_database_is_refused() -> None:
    with pytest.raises(ValueError, match="without a database"):
        provision.database("postgresql://db", 15, timescale=False)


def test_rules_have_names_of_their_own_and_go_to_our_contact_point() -> None:
    assert len({rule.uid for rule in alerts.RULES}) == len(alerts.RULES)
    for rule in alerts.RULES:
        written_down = rule.to_json()
        assert written_down["notification_settings"] == {"receiver": alerts.CONTACT}
        assert "$labels" not in rule.summary  # a provisioning file would take it for a variable


def test_the_command_writes_files(tmp_path: Path) -> None:
    told = uns("grafana", "export", str(tmp_path), "--json")
    names = json.loads(told.stdout)
    assert all(Path(name).is_file() for name in names)
    assert {Path(name).parent.name for name in names} >= {"json", "alerting", "datasources"}


def uns(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The program, as a user runs it."""
    return subprocess.run(
        [Path(sys.executable).with_name("uns"), *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def answer(columns: str, *rows: tuple[Any, ...], truncated: bool = False) -> Result:
    return Result(tuple(columns.split()), list(rows), truncated)


@pytest.mark.parametrize(
    ("kind", "form", "found", "why"),
    [
        ("panel", "table", answer("a b", (1, 2)), ""),
        ("variable", "table", answer("value", (1,)), "no column __value"),
        ("panel", "time_series", answer("at n", (1, 2)), "without a column time"),
        ("panel", "table", answer("a", (1,), truncated=True), "more than"),
        ("rule", "table", answer("line a b", ("x", 1, 2)), "one column of numbers, not 2"),
        ("rule", "table", answer("line a"), ""),
        ("panel", "time_series", answer("time n", ("1970-01-01T00:30:00Z", 2)), ""),
        ("panel", "time_series", answer("time n", ("1970-01-01T02:30:00Z", 2)), "outside"),
        ("panel", "time_series", answer("time n", (1_800, 2), (9_000, 1)), "outside"),
    ],
)
def test_what_is_wrong_with_an_answer(kind: str, form: str, found: Result, why: str) -> None:
    query = Query(kind, "title", "", form)
    told = fault(query, found, Window(0, HOUR_MS))
    assert (why in told) if why else told == ""


def one_panel(sql: str) -> Dashboard:
    """A board of one panel."""
    panel = Panel("table", "Panel", "Of a test.", (0, 0, 24, 8), Target(sql))
    return Dashboard("uns-test", "Test", "Of a test.", (), (panel,))


@pytest.fixture(scope="module", params=SERVERS)
def recorded(
    request: pytest.FixtureRequest,
    servers: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Path]:
    """The data folder of a stopped hub whose record has some minutes of the example plant."""
    with own_database(servers[request.param]) as dsn:
        yield stopped_hub(tmp_path_factory.mktemp("hub"), dsn, 6 * MINUTE_MS)


def test_every_query_of_the_boards_and_rules_is_answered(recorded: Path) -> None:
    told = uns("grafana", "verify", "--json", "--slow-ms", "60000", "--data", str(recorded))
    assert told.returncode == 0, told.stdout + told.stderr
    found = json.loads(told.stdout)
    assert {one["verdict"] for one in found} <= {"ok", "empty"}, told.stdout
    assert {one["board"] for one in found} == {*(board.uid for board in BOARDS), "alert rules"}
    answered = {(one["board"], one["title"]) for one in found if one["verdict"] == "ok"}
    assert {("alert rules", "Stale line"), ("alert rules", "Bridge down")} <= answered
    assert len(answered) > len(found) / 2


def test_a_query_is_called_wrong_slow_or_empty(recorded: Path) -> None:
    with open_store(find_folder(recorded)) as reader:
        what = server(reader)
        boards = [
            one_panel("SELECT nothing FROM nowhere"),
            one_panel("SELECT ${nobody:sqlstring}"),
            one_panel("SELECT pg_sleep(0.2)"),
            one_panel("SELECT 1 WHERE false"),
            one_panel("SELECT 1"),
            one_panel("DELETE FROM events"),
        ]
        during = Window(START_MS, START_MS + HOUR_MS)
        found = list(verify(reader, boards, during, 100, timescale=what.timescale))
    rules, panels = found[len(boards) :], found[: len(boards)]
    expected = ["wrong", "wrong", "slow", "empty", "ok", "wrong"]
    assert [one.verdict for one in panels] == expected
    assert "nowhere" in panels[0].why
    assert "nobody" in panels[1].why
    assert panels[2].took_ms >= 200
    assert [one.title for one in rules] == [rule.title for rule in alerts.RULES]


def test_a_wrong_query_is_exit_code_1(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uns.cli.grafana.BOARDS", (one_panel("SELECT nothing FROM nowhere"),))
    with pytest.raises(CommandError, match="1 of 6 queries are wrong"):
        verify_boards(data=recorded, slow_ms=10_000)


def test_apply_as_a_user_runs_it(recorded: Path, grafana: Grafana) -> None:
    command = ("grafana", "apply", "--url", grafana.url, "--token", TOKEN, "--data", str(recorded))
    password = secrets.token_hex()
    told = uns(*command, "--json", UNS_READER_PASSWORD=password)
    assert told.returncode == 0, told.stderr
    assert {step["action"] for step in json.loads(told.stdout)["steps"]} == {"create"}
    source = grafana.sources["uns"]
    assert (source["user"], grafana.passwords) == ("reader", {"uns": password})
    with open_store(find_folder(recorded)) as reader:
        assert source["jsonData"]["timescaledb"] == server(reader).timescale
    again = uns(*command)
    assert again.returncode == 0
    count = len(provision.FOLDERS) + len(BOARDS) + len(alerts.RULES) + 2
    assert f"{count} same" in again.stdout
    grafana.boards[BOARD.uid]["dashboard"]["tags"] = []
    foreign = uns(*command)
    assert foreign.returncode == 1
    assert "not ours" in foreign.stderr


def test_what_was_done_before_an_error_is_told(recorded: Path, grafana: Grafana) -> None:
    command = ("grafana", "apply", "--url", grafana.url, "--token", TOKEN, "--data", str(recorded))
    told = uns(*command, "--json")
    assert told.returncode == 1
    assert "set UNS_READER_PASSWORD" in told.stderr
    done = [(step["kind"], step["action"]) for step in json.loads(told.stdout)["steps"]]
    assert done == [("folder", "create")] * len(provision.FOLDERS)


def test_without_the_client_it_says_what_to_install(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "grafana_client.api", None)
    with pytest.raises(CommandError, match=r"pip install 'uns-mes\[grafana\]'"):
        apply_to(url="http://127.0.0.1:1", token=TOKEN, data=recorded)


def test_duckdb_has_no_boards_and_says_what_to_do(tmp_path: Path) -> None:
    folder = stopped_hub(tmp_path, f"duckdb://{tmp_path / 'store.duckdb'}", MINUTE_MS)
    told = uns("grafana", "verify", "--data", str(folder))
    assert told.returncode == 1
    assert "uns report" in told.stderr
    assert "Traceback" not in told.stderr
