"""What commands answer: JSON for programs, tables and trees for people, the same content."""

import json
import subprocess
from pathlib import Path

from tests.brokers import TESTER, RunningBroker, small_plant
from tests.example import ROOT
from tests.speech import LINE, MILL, NOON
from tests.terminal import OEE, Cli
from uns.cli.folder import Folder
from uns.cli.live import Live
from uns.cli.output import console


def test_payloads_that_are_not_json_are_shown_all_the_same(
    uns: Cli, live_hub: tuple[Folder, RunningBroker]
) -> None:
    folder, broker = live_hub
    odd = [b"[/x] :smile:", b"\xff", rb'{"value":"\ud800"}', b"[" * 100_000]
    for number, payload in enumerate(odd):
        login = ["-u", TESTER, "-P", broker.address().password or "", "-p", str(broker.port)]
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


def test_every_answer_about_a_stopped_hub_is_json(uns: Cli, stopped_hub: Folder) -> None:
    where = ("--data", stopped_hub.root, "--json")
    assert uns("tree", *where).json[f"{MILL}/_tag/tag-0"]["value"] == 1.5
    (line,) = uns("watch", f"{MILL}/#", *where).out.splitlines()
    assert json.loads(line)["topic"] == f"{MILL}/_tag/tag-0"
    (edge,) = uns("trace", "box", *where).json["contents_of"]
    assert (edge["id"], edge["quantity"], edge["depth"]) == ("[/bar]", 2, 1)
    assert uns("trace", "nothing", *where).json["where_used"] == []
    related = {"id": "box", "contents_of": ["[/bar]"], "where_used": [], "truncated": []}
    assert uns("trace", "box", "--ids", *where).json == related
    assert uns("oee", *where).json == {LINE: {"summary": "rev 1", **OEE, "rev": 1}}
    (sample,) = uns("history", f"{MILL}/_tag/tag-0", "--from", "1970-01-01", *where).json
    assert (sample["at_ms"], sample["value"], sample["unit"]) == (NOON, 1.5, "rpm")
    (row,) = uns("query", "select reject_class from rejects", *where).json
    assert row == {"reject_class": "unknown-event"}
    findings = uns("doctor", *where).json
    assert {"python", "mosquitto", "store", "hub"} <= {finding["subject"] for finding in findings}


def test_tables_show_every_character_and_every_column(uns: Cli, stopped_hub: Folder) -> None:
    where = ("--data", stopped_hub.root)
    assert "[/bar]" in uns("trace", "box", *where).out
    which = uns("trace", "box", "--ids", *where).out
    assert "box contains 1:" in which
    assert "[/bar]" in which
    assert "nothing on record about 'none'" in uns.fails(1, "trace", "none", "--ids", *where)
    sql = f"select '[red]x[/]' as a, ':smile:' as b, '{'long ' * 30}' as c"
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
    quality = {"summary": "fail: [bold]", "at_ms": 1}
    for name, document in (
        ("oee", {**OEE, "state": "EXECUTE"}),
        ("stop", stop),
        ("quality", quality),
    ):
        live.take(f"{LINE}/_state/{name}", json.dumps(document).encode())
    live.take(f"{LINE}/_state/wip", b"[" * 100_000)
    with console.capture() as shown:
        console.print(live.table(), width=200)
    for text in ("EXECUTE", "3/1", "30.0 %", "[/] jam :smile:", "fail: [bold]"):
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
