"""The order folder looked at by hand: no file is believed that changed under the look."""

from pathlib import Path

from bridges.erp.config import ErpSettings
from bridges.erp.folder import OrderFolder

SETTINGS = ErpSettings(settle_ms=0, half_ms_max=0)


def folder_with(root: Path, *names: str) -> OrderFolder:
    folder = OrderFolder(root, SETTINGS)
    folder.prepare()
    for name in names:
        (root / "in" / name).write_text("{}")
    return folder


def test_a_file_that_changes_before_its_turn_is_left_for_the_next_look(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "a.json", "b.json", "c.json")
    looking = folder.complete(0.0)
    first = next(looking)
    last, gone = sorted({"a.json", "b.json", "c.json"} - {first.path.name})
    (tmp_path / "in" / last).write_text('{"order_id": ')
    (tmp_path / "in" / gone).unlink()
    assert list(looking) == []
    assert {arrived.path.name for arrived in folder.complete(1.0)} == {first.path.name, last}


def test_what_is_put_away_never_replaces_anything(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    for _ in range(3):
        (tmp_path / "in" / "a.json").write_text("{}")
        folder.done(tmp_path / "in" / "a.json", "note")
    names = sorted(path.name for path in (tmp_path / "done").glob("*.json"))
    assert names == ["a.2.json", "a.3.json", "a.json"]
    assert len(list((tmp_path / "done").glob("*.note.txt"))) == 3


def test_bad_rows_lie_once_however_often_they_are_written(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    for text in ("reason\nx\n", "reason\nx\n", "reason\ny\n"):
        folder.bad_rows(tmp_path / "in" / "orders.xlsx", text, "utf-8")
    assert sorted(path.name for path in (tmp_path / "error").iterdir()) == [
        "orders.2.csv",
        "orders.csv",
    ]
