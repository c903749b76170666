"""Processes of a rig, each started again at once when it ends, as a service manager would.

Owns processes and nothing of what they do. Every end is noted, so that a test can say which ones
it did not cause.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import psutil

ROOT: Final = Path(__file__).parents[2]
DIE_WITH_RIG: Final = ("setpriv", "--pdeathsig", "KILL", "--")
STOP_S_MAX: Final = 15.0
AGAIN_S: Final = 0.02
INSIST_S: Final = 1.0
FAST_ENDS_MAX: Final = 20


class End(NamedTuple):
    """One end of a process: when (monotonic), its code, and whether the rig asked for it."""

    at_s: float
    code: int
    asked: bool


class Child:
    """One process. `kill` and it is back at once; `hold` and it is gone until `start`."""

    def __init__(self, name: str, argv: Sequence[str], log_folder: Path) -> None:
        self.name = name
        self.ends: list[End] = []
        self.rss_bytes_max = 0
        self._argv = [*DIE_WITH_RIG, *argv]
        self._log = log_folder / f"{name}.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: threading.Thread | None = None
        self._keep = False
        self._until_done = False
        self._asked = False
        self._up = threading.Event()

    def move(self, prefix: Sequence[str]) -> None:
        """Start it behind these words from now on: those that enter a network namespace, say."""
        self._argv = [*DIE_WITH_RIG, *prefix, *self._argv[len(DIE_WITH_RIG) :]]

    def start(self) -> None:
        """Start it, and again whenever it ends."""
        self._keep, self._until_done, self._asked = True, False, False
        self._up.clear()
        self._keeper = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._keeper.start()
        assert self._up.wait(STOP_S_MAX), f"{self.name} does not start"

    def kill(self) -> int:
        """kill -9; the process id of who died."""
        with self._lock:
            assert self._process, self.name
            self._asked = True
            self._process.kill()
            return self._process.pid

    def hold(self) -> None:
        """kill -9, and it stays down until `start`."""
        self._leave()
        self.kill()
        self._joined()

    def stop(self, timeout_s: float = STOP_S_MAX) -> None:
        """SIGTERM, and it stays down; whoever does not obey is killed, which is noted."""
        if self._keeper is None or not self._keeper.is_alive():
            return
        self._leave()
        self._asked = True
        self.signal(signal.SIGTERM)
        self._keeper.join(timeout_s)
        if self._keeper.is_alive():
            self.kill()
            self._joined()

    def freeze(self) -> None:
        """SIGSTOP: it does nothing, and its connections stay."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Any signal."""
        with self._lock:
            if self._process:
                self._process.send_signal(number)

    def start_once(self) -> None:
        """Start it, and never again."""
        self.start()
        self._keep = False

    def start_until_done(self) -> None:
        """Start it, and again until it ends with code 0."""
        self.start()
        self._until_done = True

    def waited(self, timeout_s: float) -> int:
        """The code of a process that ends by itself."""
        assert self._keeper
        self._keeper.join(timeout_s)
        assert not self._keeper.is_alive(), f"{self.name} runs on after {timeout_s:g} s"
        return self.ends[-1].code

    def insist(self, timeout_s: float) -> None:
        """SIGTERM, and again until it is done: it may be starting just now, and not hear it."""
        assert self._keeper
        end_s = time.monotonic() + timeout_s
        while self._keeper.is_alive() and time.monotonic() < end_s:
            self.signal(signal.SIGTERM)
            self._keeper.join(INSIST_S)

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    @property
    def running(self) -> bool:
        """Whether it is up, or about to be again."""
        return self._keeper is not None and self._keeper.is_alive()

    @property
    def uncaused(self) -> list[End]:
        """Ends that nobody asked for, but for those with code 0."""
        return [end for end in self.ends if not end.asked and end.code]

    def sample(self) -> int:
        """Its memory now (RSS, bytes); the most is kept in `rss_bytes_max`."""
        try:
            rss = psutil.Process(self.pid).memory_info().rss if self.pid else 0
        except psutil.Error:
            rss = 0
        self.rss_bytes_max = max(self.rss_bytes_max, rss)
        return rss

    def tail(self, lines: int = 8) -> str:
        """The end of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    def _leave(self) -> None:
        """Start it no more: once this has returned, `_process` is the last one."""
        with self._lock:
            self._keep = False

    def _joined(self) -> None:
        assert self._keeper
        self._keeper.join(STOP_S_MAX)
        assert not self._keeper.is_alive(), f"{self.name} outlives its end"

    def _run(self) -> None:
        """The thread that spawns is the one whose end the kernel watches: so it stays."""
        while True:
            with self._log.open("ab") as log, self._lock:
                if not self._keep:
                    return
                self._process = subprocess.Popen(
                    self._argv,
                    cwd=ROOT,
                    env={**os.environ, "MALLOC_ARENA_MAX": "2"},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            self._up.set()
            code = self._process.wait()
            self.ends.append(End(time.monotonic(), code, self._asked))
            self._asked = False
            done = self._until_done and code == 0
            if done or self._ends_at_once():
                return
            time.sleep(AGAIN_S)

    def _ends_at_once(self) -> bool:
        """Whether it has ended too often in too short a time, unasked, to be started again."""
        last = self.uncaused[-FAST_ENDS_MAX:]
        return len(last) == FAST_ENDS_MAX and last[-1].at_s - last[0].at_s < FAST_ENDS_MAX


def role(data: Path, name: str, *arguments: str) -> list[str]:
    """The command line of one of the hub's processes."""
    return [sys.executable, "-m", "uns.cli.child", str(data), name, *arguments]
