"""`uns worker`, as far as it is refused: names, lines, and two of one name."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.terminal import UNS, Cli
from uns.cli.folder import Folder, locked


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--name", "Standby 2"], "--name: segment 'Standby 2'"),
        (["--name", "../escape"], "--name: segment '../escape'"),
        (["--name", "worker-1"], "the hub calls its own workers so"),
        (["nowhere"], "no line 'nowhere': use one of"),
    ],
)
def test_a_wrong_call_is_exit_2(
    uns: Cli, stopped_hub: Folder, arguments: list[str], said: str
) -> None:
    assert said in uns.fails(2, "worker", *arguments, "--data", stopped_hub.root)


def test_a_second_worker_of_a_name_on_a_folder_is_refused(uns: Cli, stopped_hub: Folder) -> None:
    with locked(stopped_hub, "standby"):
        line = uns.fails(1, "worker", "--data", stopped_hub.root)
    assert line.startswith("uns: a worker of this name runs on")


def test_a_hub_and_a_worker_hold_one_folder_side_by_side(stopped_hub: Folder) -> None:
    with locked(stopped_hub), locked(stopped_hub, "standby"), locked(stopped_hub, "standby-2"):
        assert stopped_hub.running


def test_a_folder_without_a_hub_is_exit_1(uns: Cli, tmp_path: Path) -> None:
    assert "holds no hub" in uns.fails(1, "worker", "--data", tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_waits_for_a_broker_and_ends_when_asked(
    stopped_hub: Folder, number: signal.Signals
) -> None:
    passwords = json.loads(stopped_hub.passwords.read_text())
    stopped_hub.passwords.write_text(json.dumps(passwords | {"processor": "secret"}))
    command: list[str | Path] = [UNS, "worker", "housing", "--json", "--data", stopped_hub.root]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        assert "no connection" in process.stderr.readline()
        os.kill(process.pid, number)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert json.loads(out)["lines"] == ["acme/berlin/machining/housing"]
