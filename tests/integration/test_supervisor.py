"""The supervisor: children come back, stop when told, and never outlive their parent."""

import asyncio
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from uns.runtime.supervisor import Child, ChildSpec, Supervisor

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('up', flush=True); time.sleep(600)"
    ),
]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - a foreign process makes it true
            await asyncio.sleep(0.02)


async def started(folder: Path, argv: list[str]) -> tuple[Supervisor, Child]:
    supervisor = Supervisor(folder)
    await supervisor.start(ChildSpec("sleeper", argv, stop_timeout_s=1))
    await until(lambda: "up" in supervisor.tail("sleeper"))
    return supervisor, supervisor.children["sleeper"]


async def test_a_killed_child_is_started_again(tmp_path: Path) -> None:
    supervisor, child = await started(tmp_path, SLEEPER)
    first = child.pid
    supervisor.restart_with("sleeper", "again")
    supervisor.signal("sleeper", signal.SIGKILL)
    await until(lambda: child.restarts == 1 and child.pid not in (None, first))
    assert child.ended == "signal 9"
    await until(lambda: psutil.Process(child.pid).cmdline()[-1:] == ["again"])
    await supervisor.stop(["sleeper"])


@pytest.mark.parametrize("argv", [SLEEPER, STUBBORN])
async def test_a_stopped_child_stays_stopped(tmp_path: Path, argv: list[str]) -> None:
    supervisor, child = await started(tmp_path, argv)
    pid = child.pid
    await supervisor.stop(["sleeper"])
    assert child.pid is None
    assert pid
    assert not psutil.pid_exists(pid)
    assert child.restarts == 0


def test_children_die_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    program = textwrap.dedent(
        f"""
        import asyncio, sys
        from pathlib import Path
        from uns.runtime.supervisor import ChildSpec, Supervisor
        async def main():
            supervisor = Supervisor(Path({str(tmp_path)!r}))
            await supervisor.start(ChildSpec("sleeper", {SLEEPER!r}))
            while "up" not in supervisor.tail("sleeper"):
                await asyncio.sleep(0.02)
            print(supervisor.children["sleeper"].pid, flush=True)
            await asyncio.sleep(600)
        asyncio.run(main())
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
