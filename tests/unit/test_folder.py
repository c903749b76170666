"""Who looks whether a hub runs on a folder, and who starts one there."""

import fcntl
import threading
from pathlib import Path

import pytest

from uns.cli import folder as module
from uns.cli.folder import Folder, locked
from uns.runtime.errors import AlreadyRunning


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_hub_runs_while_it_holds_the_folder(folder: Folder) -> None:
    assert not folder.running
    with locked(folder):
        assert folder.running
        with pytest.raises(AlreadyRunning, match="a hub runs"), locked(folder):
            pass
    assert not folder.running


def test_who_looks_is_no_hub_and_keeps_none_from_starting(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOKED_AT_S_MAX", 30)
    lock = folder.root / "lock"
    lock.touch()
    with lock.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not folder.running, "two may look at the same time"
        soon = threading.Timer(0.1, fcntl.flock, (looking, fcntl.LOCK_UN))
        soon.start()
        with locked(folder):
            assert folder.running
        soon.join()
