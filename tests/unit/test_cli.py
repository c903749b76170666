"""The command line as its users meet it: help, exit codes, and errors of one line."""

import json
import os
import shlex
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main

from tests.brokers import RunningBroker
from tests.speech import MILL
from tests.terminal import UNS, Cli
from uns.cli.app import app
from uns.cli.folder import Folder, locked, open_folder
from uns.cli.hub import free_port


def commands() -> dict[str, Any]:
    """Every command by its words."""
    found: dict[str, Any] = {}
    rest: list[tuple[tuple[str, ...], Any]] = [((), typer.main.get_command(app))]
    while rest:
        words, command = rest.pop()
        inner = getattr(command, "commands", None)
        if inner is None:
            found[" ".join(words)] = command
        else:
            rest += [((*words, name), one) for name, one in inner.items()]
    return found


COMMANDS_OF_UNS = commands()


def test_the_commands_that_scripts_rely_on_are_there() -> None:
    assert set(COMMANDS_OF_UNS) == {
        "demo",
        "up",
        "worker",
        "chart exclude",
        "chart freeze",
        "chart list",
        "chart restart",
        "check",
        "tree",
        "watch",
        "epcis check",
        "epcis export",
        "epcis import",
        "erp check",
        "erp judge",
        "erp list",
        "erp orders",
        "erp retry",
        "erp show",
        "erp skip",
        "explain",
        "hold list",
        "hold place",
        "hold release",
        "inspection cancel",
        "inspection list",
        "inspection record",
        "inspection resume",
        "kanban empty",
        "kanban full",
        "kanban list",
        "kanban ordered",
        "order abort",
        "order cancel",
        "order clear",
        "order close",
        "order complete",
        "order hold",
        "order move",
        "order pause",
        "order resume",
        "order revoke-start",
        "order split",
        "order start",
        "order stop",
        "order submit",
        "order unhold",
        "order update",
        "write",
        "trace",
        "oee",
        "history",
        "last",
        "timeline",
        "downtime",
        "orders",
        "spc",
        "losses",
        "yield",
        "defects",
        "reliability",
        "bottleneck",
        "energy",
        "stop list",
        "stop story",
        "stop classify",
        "stop split",
        "stop merge",
        "sampling plan",
        "query",
        "verify",
        "gaps",
        "snapshot",
        "diff",
        "replay",
        "broker config",
        "doctor",
        "schema",
        "serve",
        "report",
        "export parquet",
        "grafana export",
        "grafana apply",
        "grafana verify",
        "sparkplug watch",
        "sparkplug nodes",
        "sparkplug edge",
        "sparkplug host",
        "opcua certificate",
        "opcua trust",
        "discover opcua",
        "discover modbus",
        "bridge test",
        "bridge lint",
    }


@pytest.mark.parametrize("words", COMMANDS_OF_UNS)
def test_every_command_has_help_with_an_example_and_answers_in_json(uns: Cli, words: str) -> None:
    answer = uns(*words.split(), "--help")
    assert (answer.code, answer.err) == (0, "")
    assert f"Example: uns {words}" in " ".join(answer.out.split())
    assert "--json" in answer.out


@pytest.mark.parametrize("words", COMMANDS_OF_UNS)
def test_every_example_is_a_call_that_is_understood(
    monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setenv("GRAFANA_TOKEN", "secret")  # a token stands in no command line
    command = COMMANDS_OF_UNS[words]
    example = command.epilog.removeprefix(f"Example: uns {words}").partition(" > ")[0]
    with command.make_context(words, shlex.split(example)) as context:
        assert context.params


@pytest.mark.parametrize(
    "words",
    [
        *("tree", "watch", "order submit", "write", "trace", "oee", "history", "query", "doctor"),
        *("verify", "gaps", "snapshot", "diff", "replay"),
    ],
)
def test_every_command_that_reads_takes_a_data_folder(words: str) -> None:
    assert "data" in {parameter.name for parameter in COMMANDS_OF_UNS[words].params}


def test_without_arguments_it_helps(uns: Cli) -> None:
    assert uns().out == uns("--help").out
    assert "Exit codes" in uns().out


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("demo --bogus", "No such option: --bogus; see `uns demo --help`"),
        ("demo --speed 0", "'--speed'"),
        ("demo --speed", "requires an argument"),
        ("demo --speed fast", "'--speed'"),
        ("demo --duration 0", "'--duration'"),
        ("demo --port 99999", "65535"),
        ("demo --port 0", "'--port'"),
        ("demo --store nonsense", "--store 'nonsense': use duckdb or postgresql://"),
        ("demo --data /dev/null/x", "--data /dev/null/x: Not a directory"),
        ("demo --data /proc/uns/x", "--data /proc/uns/x: No such file"),
        ("up --namespace none.yaml", "none.yaml: No such file or directory"),
        ("dmeo", "did you mean 'demo'"),
        ("order", "Missing command; see `uns order --help`"),
        ("order submit", "Missing argument 'file'"),
        ("order submit none.json", "none.json: No such file or directory"),
        ("query", "Missing argument 'sql'"),
        ("query a b", "unexpected extra argument"),
        ("query x --limit 0", "'--limit'"),
        ("check none.yaml", "none.yaml: No such file or directory"),
        ("check /dev", "/dev: Is a directory"),
        ("schema vedict", "no schema 'vedict' (did you mean 'verdict'?)"),
        ("schema nonsense", "no schema 'nonsense': `uns schema` lists them"),
        ("schema [/x]", "no schema '[/x]'"),
        ("broker config --part nope", "'conf', 'acl'"),
        ("sparkplug watch acme/#", "'acme/#' does not begin with spBv1.0/"),
        ("sparkplug nodes --server http://x", "--server: write mqtt://"),
        ("sparkplug edge --node a/b", "the id 'a/b' contains '+', '#', '/' or NUL"),
        ("sparkplug host --host-id +", "the id '+' contains"),
        ("sparkplug host --mqtt 4", "'3.1.1', '5'"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_2(
    uns: Cli, call: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said.lower() in uns.fails(2, *call.split()).lower()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (("query", "drop table events"), "only SELECT"),
        (("query", "select 1; select 2"), "2 statements: only one"),
        (("query", "select nope from events"), "nope"),
        (("query", "selec 1"), "syntax error"),
        (("history", "acme/x"), "no kind in 'acme/x'"),
        (("history", "acme/_tag/BAD"), "segment 'BAD'"),
        (("history", "acme/_meta/node"), "no history"),
        (("history", f"{MILL}/_tag/tag-0", "--from", "yesterday"), "'yesterday' is no time"),
        (("history", f"{MILL}/_tag/tag-0", "--from", "1h", "--to", "2h"), "--from lies behind"),
        (("oee", "--line", "nope"), "no line 'nope': use one of housing, packing"),
        (("tree", "a/#/b"), "'a/#/b' is no topic filter"),
        (("watch", "a+/b"), "'a+/b' is no topic filter"),
        (("watch", ""), "'' is no topic filter"),
    ],
)
def test_a_wrong_question_is_one_line_and_exit_2(
    uns: Cli, stopped_hub: Folder, call: tuple[str, ...], said: str
) -> None:
    assert said in uns.fails(2, *call, "--data", stopped_hub.root)


@pytest.mark.parametrize("call", ["tree", "watch #", "oee", "trace x", "query x", "history acme/x"])
def test_a_folder_without_a_hub_is_exit_1_and_says_how_to_start_one(
    uns: Cli, tmp_path: Path, call: str
) -> None:
    (tmp_path / "file").touch()
    for where in ("empty", "file"):
        line = uns.fails(1, *call.split(), "--data", tmp_path / where)
        assert f"holds no hub: start one with `uns demo --data {tmp_path / where}`" in line


def test_no_folder_at_all_is_exit_1(
    uns: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no data folder yet" in uns.fails(1, "tree")


def test_the_folder_used_last_is_the_default(uns: Cli, stopped_hub: Folder) -> None:
    open_folder(stopped_hub.root)
    assert f"{MILL}/_tag/tag-0" in uns("tree", "--json").json


def test_a_machine_without_a_home_still_runs_a_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
    assert open_folder(tmp_path / "data").root.is_dir()


def test_debug_shows_where(uns: Cli) -> None:
    answer = uns("schema", "nonsense", "--debug")
    assert answer.code == 2
    assert answer.err.startswith("Traceback")
    assert answer.err.splitlines()[-1].startswith("uns: no schema")


def test_what_nobody_foresaw_is_one_line_too(uns: Cli, stopped_hub: Folder) -> None:
    stopped_hub.connection.write_text("[]")
    assert "unexpected TypeError" in uns.fails(1, "query", "select 1", "--data", stopped_hub.root)


def test_what_the_system_refuses_is_one_line(uns: Cli, stopped_hub: Folder) -> None:
    stopped_hub.passwords.unlink()
    stopped_hub.passwords.mkdir()
    with locked(stopped_hub):
        assert "Is a directory" in uns.fails(1, "tree", "--data", stopped_hub.root)


def test_a_second_hub_on_a_folder_is_refused(uns: Cli, tmp_path: Path) -> None:
    with locked(open_folder(tmp_path)):
        assert "already: stop it first" in uns.fails(1, "demo", "--data", tmp_path)


def test_a_port_that_is_taken_is_exit_1(uns: Cli, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = uns.fails(1, "demo", "--data", tmp_path / "data", "--port", str(port))
    assert line == f"uns: port {port} is taken: name another with --port, or none"


def test_without_a_wish_the_free_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert free_port(port) != port
    assert free_port(port) == port
    assert free_port(65_535) <= 65_535


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "not JSON"),
        (b"[]", "an order is a JSON object"),
        (b"\xff", "not UTF-8 at byte 0"),
        (b" " * 60_001, "larger than 60000 bytes"),
    ],
)
def test_an_order_file_that_is_none_is_exit_2(
    uns: Cli, stopped_hub: Folder, content: bytes, said: str
) -> None:
    file = stopped_hub.root / "order.json"
    file.write_bytes(content)
    assert said in uns.fails(2, "order", "submit", file, "--data", stopped_hub.root)


def test_an_order_for_a_hub_that_does_not_run_is_exit_1(uns: Cli, stopped_hub: Folder) -> None:
    file = stopped_hub.root / "order.json"
    file.write_text("{}")
    line = uns.fails(1, "order", "submit", file, "--data", stopped_hub.root)
    assert "no hub runs on" in line


def test_nobody_answers_an_order(
    uns: Cli,
    live_hub: tuple[Folder, RunningBroker],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, _ = live_hub
    file = folder.root / "order.json"
    file.write_text("{}")
    monkeypatch.setattr("uns.cli.asking.TRY_S", 0.05)
    line = uns.fails(1, "order", "submit", file, "--data", folder.root)
    assert "no reply within 0.25 s: is the bridge of acme/berlin running?" in line


def test_a_broker_that_is_gone_is_exit_1(
    uns: Cli, live_hub: tuple[Folder, RunningBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, broker = live_hub
    broker.kill()
    monkeypatch.setattr("uns.cli.subscribe.CONNECT_TIMEOUT_S", 0.3)
    assert f"broker at 127.0.0.1:{broker.port}" in uns.fails(1, "tree", "--data", folder.root)


def test_as_a_process_an_error_is_one_line() -> None:
    wrong = subprocess.run(
        [UNS, "demo", "--speed", "0"], capture_output=True, text=True, check=False
    )
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)


def test_a_pipe_that_closed_is_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    shown = subprocess.run([UNS, "schema"], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (shown.returncode, shown.stderr) == (1, b"")


def test_no_terminal_is_too_small_for_a_character(stopped_hub: Folder) -> None:
    command = [str(UNS), "query", "select 'ü' as u", "--data", str(stopped_hub.root)]
    small = {**os.environ, "PYTHONIOENCODING": "ascii"}
    table = subprocess.run(command, env=small, capture_output=True, check=True)
    assert b"| \\xfc |" in table.stdout
    answer = subprocess.run([*command, "--json"], env=small, capture_output=True, check=True)
    assert json.loads(answer.stdout) == [{"u": "ü"}]
