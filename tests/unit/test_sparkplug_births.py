"""Births kept in files."""

import logging
from pathlib import Path

import pytest

from bridges.sparkplug import births
from bridges.sparkplug.births import BirthFolder
from uns.sparkplug.outputs import DropBirths, KeepBirth

NODE = KeepBirth("spBv1.0/acme:b/NBIRTH/Süd %2F.1", b"n")
DEVICE = KeepBirth("spBv1.0/acme:b/DBIRTH/Süd %2F.1/d", b"\x00d")
OTHER = KeepBirth("spBv1.0/acme:b/DBIRTH/Süd %2F.1/e", b"")
STRANGER = KeepBirth("spBv1.0/acme/NBIRTH/Süd %2F.1", b"s")
ALL = [DEVICE, NODE, OTHER, STRANGER]


def opened(folder: Path) -> BirthFolder:
    made = BirthFolder(folder)
    made.load()
    return made


def file_of(folder: Path, birth: KeepBirth) -> Path:
    """The file of a device's birth of ALL."""
    name = birth.topic.replace("/", "%2F")[-4:]
    (found,) = (path for path in folder.iterdir() if path.name.endswith(f"{name}.birth"))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "hub" / "births"
    kept = opened(made)
    for birth in ALL:
        kept.keep(birth)
    return made


def test_what_was_kept_is_there_again_nodes_first(folder: Path) -> None:
    found = BirthFolder(folder).load()
    assert set(found) == set(ALL)
    assert {found[0], found[1]} == {NODE, STRANGER}
    assert BirthFolder(folder / "none").load() == []


def test_a_later_birth_takes_the_place_of_the_earlier(folder: Path) -> None:
    opened(folder).keep(NODE._replace(raw=b"later"))
    assert {birth.raw for birth in BirthFolder(folder).load()} == {b"later", b"\x00d", b"", b"s"}
    assert len(list(folder.iterdir())) == len(ALL)


def test_a_device_goes_alone_and_a_node_with_its_devices(folder: Path) -> None:
    kept = opened(folder)
    kept.drop(DropBirths("acme:b", "Süd %2F.1", "d"))
    kept.drop(DropBirths("acme:b", "Süd %2F.1", "never kept"))
    assert set(BirthFolder(folder).load()) == {NODE, OTHER, STRANGER}
    kept.drop(DropBirths("acme:b", "Süd %2F.1", None))
    assert BirthFolder(folder).load() == [STRANGER]
    kept.keep(DEVICE)
    kept.drop(DropBirths("acme:b", "Süd %2F.1", None))
    assert BirthFolder(folder).load() == [STRANGER]


@pytest.mark.parametrize("content", [b"", b"short", b"\x00" * 40])
def test_a_damaged_file_is_removed_and_said(
    folder: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    broken = file_of(folder, OTHER)
    broken.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert OTHER not in BirthFolder(folder).load()
    assert not broken.exists()
    assert f"damaged and removed: {broken}" in caplog.text


def test_the_kept_births_are_bounded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(births, "BIRTHS_MAX", len(ALL))
    kept = opened(folder)
    kept.keep(KeepBirth("spBv1.0/x/NBIRTH/y", b"x"))
    kept.keep(NODE._replace(raw=b"later"))
    assert {birth.raw for birth in BirthFolder(folder).load()} == {b"later", b"\x00d", b"", b"s"}
    assert "is not kept" in caplog.text
    kept.drop(DropBirths("acme", "Süd %2F.1", None))
    kept.keep(KeepBirth("spBv1.0/x/NBIRTH/y", b"x"))
    assert b"x" in {birth.raw for birth in BirthFolder(folder).load()}


def test_the_folder_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = opened(folder)
    for way in ("glob", "iterdir"):
        monkeypatch.setattr(Path, way, None)
    kept.keep(KeepBirth("spBv1.0/x/NBIRTH/y", b"x"))
    kept.drop(DropBirths("acme:b", "Süd %2F.1", None))
    monkeypatch.undo()
    assert {birth.raw for birth in BirthFolder(folder).load()} == {b"s", b"x"}


# --- what cannot be read, written or removed is told, with the file, and is no failure


def test_a_birth_that_cannot_be_written_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened(tmp_path).keep(KeepBirth(f"spBv1.0/x/NBIRTH/{'y' * 300}", b"x"))
    assert "yyy.birth is not kept: File name too long" in caplog.text


def test_where_a_later_birth_cannot_be_written_the_earlier_does_not_stay(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept, path = opened(folder), file_of(folder, DEVICE)
    path.with_suffix(".new").mkdir()
    kept.keep(DEVICE._replace(raw=b"later"))
    assert f"{path} is not kept: Is a directory" in caplog.text
    assert set(BirthFolder(folder).load()) == {NODE, OTHER, STRANGER}


def test_a_birth_that_cannot_be_read_is_said_and_still_dropped(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = file_of(folder, OTHER)
    path.unlink()
    path.symlink_to(path)
    kept = BirthFolder(folder)
    assert set(kept.load()) == {NODE, DEVICE, STRANGER}
    assert f"not read: {path}: Too many levels of symbolic links" in caplog.text
    kept.drop(DropBirths("acme:b", "Süd %2F.1", "e"))
    assert not path.is_symlink()


def test_a_birth_that_cannot_be_removed_is_said(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept, path = opened(folder), file_of(folder, DEVICE)
    path.unlink()
    path.mkdir()
    kept.drop(DropBirths("acme:b", "Süd %2F.1", None))
    assert f"not removed: {path}: Is a directory" in caplog.text
    assert BirthFolder(folder).load() == [STRANGER]


def test_a_folder_that_is_none_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = tmp_path / "file"
    place.touch()
    assert BirthFolder(place).load() == []
    assert f"no kept birth is read: {place}: Not a directory" in caplog.text


def test_a_foreign_file_is_no_birth(folder: Path) -> None:
    (folder / "x.birth").mkdir()
    assert set(BirthFolder(folder).load()) == set(ALL)
