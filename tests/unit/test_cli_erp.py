"""`uns erp check`: what would become of an order file, said without a hub."""

from pathlib import Path

from tests.example import ROOT
from tests.terminal import Cli

PLANT = ("--namespace", ROOT / "namespace.yaml")
GOLDEN = ROOT / "tests/golden/erp/csv-with-mapping"


def test_an_order_file_is_judged_row_by_row(uns: Cli) -> None:
    mapping = ("--mapping", GOLDEN / "mapping.yaml")
    answer = uns("erp", "check", GOLDEN / "input.csv", *mapping, *PLANT)
    assert answer.code == 1
    first, *_ = lines = answer.out.splitlines()
    assert first == "input.csv:2 FA-1: released to acme/berlin/assembly/pump"
    assert len(lines) == 8
    dry = uns("erp", "check", GOLDEN / "input.csv", *mapping, *PLANT, "--dry-run")
    assert '{"order_id": "FA-1", "item": "pump-a", "quantity": 1200' in dry.out


def test_a_good_file_ends_with_0(uns: Cli, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("order_id,item,quantity\nPO-1,pump-a,7\nPO-1,pump-a,7\n")
    answer = uns("erp", "check", file, *PLANT, "--json")
    assert answer.code == 0
    assert [one["outcome"] for one in answer.json["orders"]] == ["new", "known"]
    assert answer.json["format"] == "csv"


def test_what_cannot_be_checked_is_said(uns: Cli, tmp_path: Path) -> None:
    assert "its name ends in .json" in uns.fails(2, "erp", "check", tmp_path / "a.txt", *PLANT)
    missing = tmp_path / "a.csv"
    assert "No such file" in uns.fails(2, "erp", "check", missing, *PLANT)
    missing.write_text("")
    assert "a.csv: the table is empty" in uns.fails(1, "erp", "check", missing, *PLANT)
    bad = tmp_path / "m.yaml"
    bad.write_text("format: {}\n")
    said = uns.fails(2, "erp", "check", missing, "--mapping", bad, *PLANT)
    assert "m.yaml:1:1 unknown key 'format' (did you mean 'formats'?)" in said
