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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "hub" / "births"
    for birth in ALL:
        BirthFolder(made).keep(birth)
    return made


def test_what_was_kept_is_there_again_nodes_first(folder: Path) -> None:
    found = BirthFolder(folder).load()
    assert set(found) == set(ALL)
    assert {found[0], found[1]} == {NODE, STRANGER}
    assert BirthFolder(folder / "none").load() == []


def test_a_later_birth_takes_the_place_of_the_earlier(folder: Path) -> None:
    BirthFolder(folder).keep(NODE._replace(raw=b"later"))
    assert {birth.raw for birth in BirthFolder(folder).load()} == {b"later", b"\x00d", b"", b"s"}
    assert len(list(folder.iterdir())) == len(ALL)


def test_a_device_goes_alone_and_a_node_with_its_devices(folder: Path) -> None:
    BirthFolder(folder).drop(DropBirths("acme:b", "Süd %2F.1", "d"))
    assert set(BirthFolder(folder).load()) == {NODE, OTHER, STRANGER}
    BirthFolder(folder).drop(DropBirths("acme:b", "Süd %2F.1", None))
    assert BirthFolder(folder).load() == [STRANGER]


@pytest.mark.parametrize("content", [b"", b"short", b"\x00" * 40])
def test_a_damaged_file_is_removed_and_said(
    folder: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    broken = next(path for path in folder.iterdir() if "%2Fe." in path.name)
    broken.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert OTHER not in BirthFolder(folder).load()
    assert not broken.exists()
    assert "damaged and removed: spBv1.0/acme:b/DBIRTH" in caplog.text


def test_the_kept_births_are_bounded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(births, "BIRTHS_MAX", len(ALL))
    BirthFolder(folder).keep(KeepBirth("spBv1.0/x/NBIRTH/y", b"x"))
    BirthFolder(folder).keep(NODE._replace(raw=b"later"))
    assert {birth.raw for birth in BirthFolder(folder).load()} == {b"later", b"\x00d", b"", b"s"}
    assert "is not kept" in caplog.text


def test_a_birth_that_cannot_be_written_is_said_and_no_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    BirthFolder(tmp_path).keep(KeepBirth(f"spBv1.0/x/NBIRTH/{'y' * 300}", b"x"))
    assert "is not kept: File name too long" in caplog.text
