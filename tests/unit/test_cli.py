"""The command line as its users meet it: help, exit codes, one-line errors, answers in JSON."""

import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from bridges import PROTOCOLS
from tests.brokers import TESTER, RunningBroker, free_port, running_broker, small_plant
from tests.example import ROOT, plant
from tests.speech import LINE, MILL, NOON, event, new_writer, output, record, state, tag
from uns.cli.app import app, main
from uns.cli.folder import Folder, locked, open_folder, write_connection
from uns.cli.hub import free_port as next_free_port
from uns.cli.live import Live
from uns.cli.output import console
from uns.cli.run import store_url
from uns.historian.store import open_store
from uns.model.events import COMMANDS, EVENTS
from uns.model.namespace import parse_namespace
from uns.mqtt.message import Address
from uns.runtime.clock import save_clock, start_clock

UNS = Path(sys.executable).with_name("uns")
LEVELS = {"enterprise": "acme", "site": "acme/berlin", "line": LINE, "cell": MILL}
SUMS = {
    "pbt_ms": 1000,
    "apt_ms": 500,
    "pq": 4,
    "gq": 3,
    "sq": 1,
    "rq": 0,
    "ideal_ms": 400,
}
OEE = {"oee": 0.3, "availability": 0.5, "effectiveness": 0.8, "quality_ratio": 0.75, "sums": SUMS}


class Answer(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Cli:
    """`uns` in this process, with its own idea of the folder used last."""

    def __init__(self, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._patch = patch
        self._capsys = capsys

    def __call__(self, *arguments: str | Path) -> Answer:
        self._patch.setattr(sys, "argv", ["uns", *map(str, arguments)])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code or 0
        assert isinstance(code, int)
        return Answer(code, *self._capsys.readouterr())

    def fails(self, code: int, *arguments: str | Path) -> str:
        """The one line on standard error of a command that cannot be done."""
        answer = self(*arguments)
        assert (answer.code, answer.out) == (code, ""), answer
        (line,) = answer.err.splitlines()
        assert line.startswith("uns: "), line
        return line


@pytest.fixture
def uns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Cli(monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """The data folder of a hub that stopped, with a little on record."""
    folder = Folder(tmp_path / "data")
    folder.root.mkdir()
    small = small_plant()
    folder.plant.write_text(small.model_dump_json())
    location = store_url("duckdb", folder.root)
    address = Address("127.0.0.1", 1, TESTER, "secret")
    _connect(folder, location, address)
    save_clock(folder.root, start_clock(folder.root, 1))
    store = open_store(location, lambda: NOON)
    edge = {"input_id": "[/bar]", "output_id": "box", "quantity": 2, "unit": "pcs"}
    record(
        new_writer(store),
        tag(1.5, NOON),
        event(1),
        event(2, "bogus"),
        output(1, "genealogy", "edge", edge),
        state("oee", 1, OEE),
    )
    store.close()
    return folder


def _connect(folder: Folder, location: str, address: Address) -> None:
    document = {"store": location, "host": address.host, "port": address.port, "speed": 1}
    write_connection(folder, {**document, "mqtt": "", "ws": "", "enterprise": "acme"})
    folder.passwords.write_text(json.dumps({"operator": address.password}))


@pytest.fixture
def live_folder(folder: Folder, tmp_path: Path) -> Iterator[tuple[Folder, RunningBroker]]:
    """The same folder, held by a hub: that is, by this test, with a broker and no other process."""
    with running_broker(tmp_path / "broker", small_plant()) as broker, locked(folder):
        _connect(folder, store_url("duckdb", folder.root), broker.address("operator"))
        yield folder, broker


def commands() -> dict[str, Any]:
    """Every command by its words."""
    found, rest = {}, [((), typer.main.get_command(app))]
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
        "check",
        "tree",
        "watch",
        "order submit",
        "trace",
        "oee",
        "history",
        "query",
        "broker config",
        "doctor",
        "schema",
    }


@pytest.mark.parametrize("words", COMMANDS_OF_UNS)
def test_every_command_has_help_with_an_example_and_answers_in_json(uns: Cli, words: str) -> None:
    answer = uns(*words.split(), "--help")
    assert (answer.code, answer.err) == (0, "")
    assert f"Example: uns {words}" in " ".join(answer.out.split())
    assert "--json" in answer.out


@pytest.mark.parametrize("words", COMMANDS_OF_UNS)
def test_every_example_is_a_call_that_is_understood(words: str) -> None:
    command = COMMANDS_OF_UNS[words]
    example = command.epilog.removeprefix(f"Example: uns {words}").partition(" > ")[0]
    with command.make_context(words, shlex.split(example)) as context:
        assert context.params


@pytest.mark.parametrize(
    "words", ["tree", "watch", "order submit", "trace", "oee", "history", "query", "doctor"]
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
    uns: Cli, folder: Folder, call: tuple[str, ...], said: str
) -> None:
    assert said in uns.fails(2, *call, "--data", folder.root)


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


def test_the_folder_used_last_is_the_default(uns: Cli, folder: Folder) -> None:
    open_folder(folder.root)
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


def test_what_nobody_foresaw_is_one_line_too(uns: Cli, folder: Folder) -> None:
    folder.connection.write_text("[]")
    assert "unexpected TypeError" in uns.fails(1, "query", "select 1", "--data", folder.root)


def test_what_the_system_refuses_is_one_line(uns: Cli, folder: Folder) -> None:
    folder.passwords.unlink()
    folder.passwords.mkdir()
    with locked(folder):
        assert "Is a directory" in uns.fails(1, "tree", "--data", folder.root)


def test_a_second_hub_on_a_folder_is_refused(uns: Cli, tmp_path: Path) -> None:
    with locked(open_folder(tmp_path)):
        assert "already: stop it first" in uns.fails(1, "demo", "--data", tmp_path)


def test_a_port_that_is_taken_is_exit_1(uns: Cli, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = uns.fails(1, "demo", "--data", tmp_path / "data", "--port", str(port))
    assert line == f"uns: port {port} is taken: name another with --port, or none"


def test_without_a_wish_the_next_free_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert next_free_port(port) != port
    assert next_free_port(port) == port
    assert next_free_port(65_535) <= 65_535


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
    uns: Cli, folder: Folder, content: bytes, said: str
) -> None:
    file = folder.root / "order.json"
    file.write_bytes(content)
    assert said in uns.fails(2, "order", "submit", file, "--data", folder.root)


def test_an_order_for_a_hub_that_does_not_run_is_exit_1(uns: Cli, folder: Folder) -> None:
    file = folder.root / "order.json"
    file.write_text("{}")
    line = uns.fails(1, "order", "submit", file, "--data", folder.root)
    assert "no hub runs on" in line


def test_nobody_answers_an_order(
    uns: Cli,
    live_folder: tuple[Folder, RunningBroker],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, _ = live_folder
    file = folder.root / "order.json"
    file.write_text("{}")
    monkeypatch.setattr("uns.cli.orders.REPLY_TIMEOUT_S", 0.2)
    line = uns.fails(1, "order", "submit", file, "--data", folder.root)
    assert "no reply within 0.2 s: is the ERP bridge running?" in line


def test_a_broker_that_is_gone_is_exit_1(
    uns: Cli, live_folder: tuple[Folder, RunningBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, broker = live_folder
    broker.kill()
    monkeypatch.setattr("uns.cli.subscribe.CONNECT_TIMEOUT_S", 0.3)
    assert f"broker at 127.0.0.1:{broker.port}" in uns.fails(1, "tree", "--data", folder.root)
    _connect(folder, store_url("duckdb", folder.root), Address("127.0.0.1", 1, "operator", "x"))


def test_payloads_that_are_not_json_are_shown_all_the_same(
    uns: Cli, live_folder: tuple[Folder, RunningBroker]
) -> None:
    folder, broker = live_folder
    odd = [b"[/x] :smile:", b"\xff", rb'{"value":"\ud800"}', b"[" * 100_000]
    for number, payload in enumerate(odd):
        login = ["-u", TESTER, "-P", broker.address().password, "-p", str(broker.port)]
        topic = f"acme/_cmd/odd/{number}"
        subprocess.run(
            ["mosquitto_pub", *login, "-r", "-q", "1", "-t", topic, "-s"], input=payload, check=True
        )
    where = ("acme/_cmd/#", "--data", folder.root)
    found = uns("tree", *where, "--json").json
    assert found["acme/_cmd/odd/0"] == "[/x] :smile:"
    assert found["acme/_cmd/odd/1"] == "\N{REPLACEMENT CHARACTER}"
    assert "0 = [/x] :smile:" in uns("tree", *where).out
    assert "acme/_cmd/odd/0 [/x] :smile:" in uns("watch", *where, "--count", "4").out
    lines = uns("watch", *where, "--count", "4", "--json").out.splitlines()
    assert {json.loads(line)["topic"] for line in lines} == set(found)


def test_every_answer_about_a_stopped_hub_is_json(uns: Cli, folder: Folder) -> None:
    where = ("--data", folder.root, "--json")
    assert uns("tree", *where).json[f"{MILL}/_tag/tag-0"]["value"] == 1.5
    (line,) = uns("watch", f"{MILL}/#", *where).out.splitlines()
    assert json.loads(line)["topic"] == f"{MILL}/_tag/tag-0"
    (edge,) = uns("trace", "box", *where).json["contents_of"]
    assert (edge["id"], edge["quantity"], edge["depth"]) == ("[/bar]", 2, 1)
    assert uns("trace", "nothing", *where).json["where_used"] == []
    assert uns("oee", *where).json == {LINE: {"summary": "rev 1", **OEE, "rev": 1}}
    (sample,) = uns("history", f"{MILL}/_tag/tag-0", "--from", "1970-01-01", *where).json
    assert (sample["at_ms"], sample["value"], sample["unit"]) == (NOON, 1.5, "rpm")
    (row,) = uns("query", "select reject_class from rejects", *where).json
    assert row == {"reject_class": "unknown-event"}
    findings = uns("doctor", *where).json
    assert {"python", "mosquitto", "store", "hub"} <= {finding["subject"] for finding in findings}


def test_tables_show_every_character_and_every_column(uns: Cli, folder: Folder) -> None:
    where = ("--data", folder.root)
    assert "[/bar]" in uns("trace", "box", *where).out
    sql = f"select '[red]x[/]' as a, ':smile:' as b, '{'long ' * 30}' as c"  # noqa: S608 - no table
    shown = uns("query", sql, *where).out
    assert "[red]x[/]" in shown
    assert ":smile:" in shown
    assert "30.0 %" in uns("oee", *where).out
    assert "1.5" in uns("history", f"{MILL}/_tag/tag-0", "--from", "0", *where).out
    assert "tag-0 = 1.5 rpm" in uns("tree", *where).out
    assert f"{MILL}/_tag/tag-0 1.5 rpm" in uns("watch", "acme/#", *where).out
    assert uns("doctor", *where).code == 0
    assert "nothing on record about 'none'" in uns.fails(1, "trace", "none", *where)
    assert "only the first 1 rows" in uns("query", "from events", "--limit", "1", *where).err


def test_the_live_table_takes_device_texts_as_they_are() -> None:
    live = Live(small_plant())
    stop = {"summary": "[/] jam :smile:", "since_ms": 1}
    quality = {"summary": "[bold]", "at_ms": 1, "last": {"verdict": "fail"}}
    for name, document in (
        ("oee", {**OEE, "state": "EXECUTE"}),
        ("stop", stop),
        ("quality", quality),
    ):
        live.take(f"{LINE}/_state/{name}", json.dumps(document).encode())
    live.take(f"{LINE}/_state/wip", b"[" * 100_000)
    with console.capture() as shown:
        console.print(live.table(), width=200)
    for text in ("EXECUTE", "3/1", "30.0 %", "[/] jam :smile:", "fail [bold]"):
        assert text in shown.get()


def test_check_names_every_fault_with_its_place(uns: Cli, tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    text = (ROOT / "namespace.yaml").read_text()
    file.write_text(text.replace("tags:", "tagz:", 1))
    first = uns("check", file)
    assert (first.code, first.err) == (2, "")
    assert len(first.out.splitlines()) == 2
    for line in first.out.splitlines():
        place, _, message = line.removeprefix(f"{file}:").partition(" ")
        assert all(number.isdigit() for number in place.split(":")), line
        assert message
    found = uns("check", file, "--json")
    assert found.code == 2
    assert [
        f"{fault['file']}:{fault['line']}:{fault['column']} {fault['message']}"
        for fault in found.json["faults"]
    ] == first.out.splitlines()
    run = uns("demo", "--namespace", file, "--data", tmp_path / "data")
    assert (run.code, run.out) == (2, "")
    assert run.err.splitlines() == [*first.out.splitlines(), f"uns: {file}: 2 faults"]
    assert not (tmp_path / "data").exists()


def test_check_counts_what_a_good_file_holds(uns: Cli) -> None:
    counts = uns("check", ROOT / "namespace.yaml", "--json").json
    assert (counts["faults"], counts["lines"], counts["cells"], counts["tags"]) == ([], 3, 7, 87)
    assert "3 lines, 7 cells, 87 tags" in uns("check", ROOT / "namespace.yaml").out


def test_every_schema_is_a_schema(uns: Cli) -> None:
    names = uns("schema", "--json").json
    assert uns("schema").out.split() == names
    kinds = {f"cmd-{name.replace('/', '-')}" for name in COMMANDS} | set(EVENTS)
    assert set(names) == {"namespace", "tag", "asyncapi"} | kinds
    for name in set(names) - {"asyncapi"}:
        document = uns("schema", name, "--json").json
        Draft202012Validator.check_schema(document)
        assert document["$id"] == f"urn:uns:schema:{name}:1"
        assert uns("schema", name).json == document


def test_the_schema_of_namespace_yaml_takes_ours_and_refuses_a_wrong_key(uns: Cli) -> None:
    validator = Draft202012Validator(uns("schema", "namespace").json)
    document = YAML(typ="safe", pure=True).load((ROOT / "namespace.yaml").read_text())
    assert [error.message for error in validator.iter_errors(document)] == []
    document["sites"]["berlin"]["areaz"] = {}
    assert not validator.is_valid(document)


def test_the_asyncapi_document_holds_together(uns: Cli) -> None:
    document = uns("schema", "asyncapi", "--json").json
    assert document["asyncapi"] == "3.0.0"
    schemas = document["components"]["schemas"]
    for channel in document["channels"].values():
        named = {part[1:-1] for part in channel["address"].split("/") if part.startswith("{")}
        assert named == set(channel["parameters"])
        for message in channel["messages"].values():
            assert message["payload"]["$ref"].startswith("#/components/schemas/")
    refs = _refs(document)
    assert refs
    assert {ref.removeprefix("#/components/schemas/") for ref in refs} <= set(schemas)
    assert document["channels"]["event-reply"]["address"] == "{place}/_event/reply/{request_id}"


def _refs(node: Any) -> set[str]:
    match node:
        case dict():
            own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
            return own.union(*map(_refs, node.values()))
        case list():
            return set[str]().union(*map(_refs, node))
        case _:
            return set()


def test_the_broker_takes_the_printed_configuration(uns: Cli, tmp_path: Path) -> None:
    home, port = tmp_path / "broker", free_port()
    home.mkdir()
    conf = uns("broker", "config").out
    assert uns("broker", "config", "--json").json == {"conf": conf}
    acl = uns("broker", "config", "--part", "acl").out
    assert "user operator" in acl
    for old, new in {
        "/var/lib/uns/broker": str(home),
        "listener 1883": f"listener {port}",
        "listener 9001": f"listener {free_port()}",
    }.items():
        assert old in conf
        conf = conf.replace(old, new)
    (home / "mosquitto.conf").write_text(conf)
    (home / "acl").write_text(acl)
    subprocess.run(
        ["mosquitto_passwd", "-b", "-c", home / "passwords", "operator", "x"], check=True
    )
    (home / "acl").chmod(0o600)
    log = (tmp_path / "log").open("w+")
    broker = subprocess.Popen(["mosquitto", "-c", home / "mosquitto.conf"], stderr=log, stdout=log)
    try:
        login = ["-p", str(port), "-u", "operator", "-P", "x", "-q", "1", "-t", "acme/_cmd/a"]
        said = ["mosquitto_pub", *login, "-m", "x", "-r"]
        while subprocess.run(said, check=False, capture_output=True).returncode:
            assert broker.poll() is None, (tmp_path / "log").read_text()
        heard = subprocess.run(["mosquitto_sub", *login, "-C", "1", "-W", "5"], check=True)
        assert heard.returncode == 0
    finally:
        broker.kill()
        broker.wait()
        log.close()
    assert "Error" not in (tmp_path / "log").read_text()


def test_the_printed_configuration_is_of_the_plant_named(uns: Cli, tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    text = (ROOT / "namespace.yaml").read_text().replace("enterprise: acme", "enterprise: umbra")
    parse_namespace(text, "plant.yaml", PROTOCOLS)
    file.write_text(text)
    acl = uns("broker", "config", "--part", "acl", "--namespace", file).out
    assert "umbra/" in acl
    assert "acme/berlin" not in acl


def test_the_documents_are_what_make_docs_writes(uns: Cli, tmp_path: Path) -> None:
    typer_program = UNS.with_name("typer")
    command = [typer_program, "uns.cli.app", "utils", "docs", "--name", "uns"]
    command += ["--output", tmp_path / "cli.md"]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    docs = ROOT / "docs"
    assert (docs / "cli.md").read_text() == (tmp_path / "cli.md").read_text(), "run make docs"
    for file, name in {"namespace.schema.json": "namespace", "asyncapi.json": "asyncapi"}.items():
        assert (docs / file).read_text() == uns("schema", name).out, "run make docs"


def test_as_a_process_an_error_is_one_line_and_a_pipe_that_closes_is_no_traceback() -> None:
    wrong = subprocess.run(
        [UNS, "demo", "--speed", "0"], capture_output=True, text=True, check=False
    )
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)
    shown = subprocess.run(
        f"{UNS} schema namespace | head -c 10",
        shell=True,
        capture_output=True,
        text=True,
        check=False,  # noqa: S602 - a pipe
    )
    assert (len(shown.stdout), shown.stderr) == (10, "")
    small = {**os.environ, "PYTHONIOENCODING": "ascii"}
    helped = subprocess.run([UNS, "--help"], env=small, capture_output=True, check=False)
    assert helped.returncode == 0
