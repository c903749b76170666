"""A hub started as its users start it, and what they look at it with. Shares no code with it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
UNS = Path(sys.executable).with_name("uns")
GRAMMAR = re.compile(
    r"acme(/[a-z0-9][a-z0-9-]{0,62}){0,4}/_(tag|state|event|cmd|meta|hub)"
    r"(/[a-z0-9][a-z0-9-]{0,62})+"
)


class RunningHub:
    """`uns demo` as a process on a data folder."""

    def __init__(self, data: Path, process: "subprocess.Popen[str]", started_s: float) -> None:
        self.data = data
        self.process = process
        self.started_s = started_s

    @property
    def connection(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.data / "connection.json").read_text())
        return document

    def login(self, user: str = "operator") -> list[str]:
        """Arguments of mosquitto's programs for a user of the broker."""
        password = json.loads((self.data / "passwords.json").read_text())[user]
        port = str(self.connection["port"])
        return ["-h", "127.0.0.1", "-p", port, "-u", user, "-P", password]

    def retained(self, topic_filter: str, wait_s: float = 2) -> dict[str, str]:
        """What mosquitto_sub (C, MQTT 3.1.1) sees retained."""
        command = ["mosquitto_sub", *self.login(), "-V", "311", "-t", topic_filter]
        command += ["--retained-only", "-W", str(int(wait_s)), "-F", "%t %p"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        pairs = (line.partition(" ") for line in answer.stdout.splitlines())
        return {topic: payload for topic, _, payload in pairs}

    def document(self, topic: str) -> dict[str, Any]:
        """One retained document, or an empty one."""
        command = ["mosquitto_sub", *self.login(), "-t", topic, "-C", "1", "-W", "2"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        return json.loads(answer.stdout) if answer.stdout else {}

    def publish(self, user: str, topic: str, payload: bytes, *options: str) -> None:
        """Publish with mosquitto_pub."""
        command = ["mosquitto_pub", *self.login(user), "-q", "1", "-t", topic, *options]
        command.append("-s" if payload else "-n")
        subprocess.run(command, input=payload, check=True)

    def child(self, name: str) -> psutil.Process | None:
        """A child process of the hub by its name; the broker by its program."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if name in words or (name == "broker" and words and words[0].endswith("mosquitto")):
                return process
        return None

    def tree_of_processes(self) -> list[psutil.Process]:
        """The hub and all its children."""
        hub = psutil.Process(self.process.pid)
        return [hub, *hub.children(recursive=True)]

    def kill(self) -> None:
        """`kill -9` of the hub; its children do not outlive it."""
        everything = self.tree_of_processes()
        self.process.kill()
        _gone, alive = psutil.wait_procs(everything, timeout=20)
        assert not [process for process in alive if process.is_running()]

    def finish(self, timeout_s: float = 60) -> dict[str, Any]:
        """Wait for the end; the last line of standard output is the summary."""
        stdout, stderr = self.process.communicate(timeout=timeout_s)
        assert self.process.returncode == 0, stderr
        summary: dict[str, Any] = json.loads(stdout.splitlines()[-1])
        return summary

    def interrupt(self, timeout_s: float = 60) -> dict[str, Any]:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        return self.finish(timeout_s)


@contextmanager
def running(data: Path, *options: str) -> Iterator[RunningHub]:
    """Start `uns demo` and be sure that nothing of it is left in the end."""
    started_s = time.monotonic()
    process = subprocess.Popen(
        [UNS, "demo", "--json", "--data", str(data), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_STATE_HOME": str(data.parent / "state")},
    )
    hub = RunningHub(data, process, started_s)
    try:
        eventually((data / "connection.json").exists, 60, "connection.json")
        yield hub
    finally:
        if process.poll() is None:
            left = hub.tree_of_processes()
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
            for one in left:
                if one.is_running():
                    one.kill()


def eventually(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Wait for a condition to be true, with a bound; its value."""
    end_s = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end_s, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.05)
    return value


def uns(*arguments: str, data: Path | None = None, code: int = 0) -> str:
    """Run a command; its standard output."""
    where = ["--data", str(data)] if data else []
    answer = subprocess.run(
        [UNS, *arguments, *where], capture_output=True, text=True, check=False, timeout=60
    )
    assert answer.returncode == code, f"{arguments}: {answer.returncode} {answer.stderr}"
    assert "Traceback" not in answer.stderr
    return answer.stdout


def uns_json(*arguments: str, data: Path | None = None) -> Any:
    """Run a command with --json; its parsed answer."""
    return json.loads(uns(*arguments, "--json", data=data))


def plc_totals(data: Path) -> dict[str, tuple[int, int]]:
    """Good and scrap pieces by cell from the simulated PLCs' own log."""
    totals: dict[str, list[int]] = {}
    for line in (data / "plant" / "plc.jsonl").read_text().splitlines():
        piece = json.loads(line)
        if piece.get("result") in ("good", "scrap"):
            counts = totals.setdefault(piece["cell"], [0, 0])
            counts[piece["result"] == "scrap"] += 1
    return {cell: (good, scrap) for cell, (good, scrap) in totals.items()}


def recorded_totals(data: Path) -> dict[str, tuple[int, int]]:
    """Good and scrap pieces by cell from the record."""
    sql = (
        "select path, sum((payload->>'good')::int) as good, sum((payload->>'scrap')::int) as scrap "
        "from events where type = 'counted' group by path"
    )
    rows = uns_json("query", sql, data=data)
    return {row["path"]: (int(row["good"]), int(row["scrap"])) for row in rows}
