"""Starts the hub's processes, starts them again when they die, stops them in order.

Owns processes and their log files. Knows nothing of MQTT or what the children do; a child that
must be up for another is simply waited for by that other. Children die with their parent.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

RESTART_DELAY_S_MIN: Final = 0.2
RESTART_DELAY_S_MAX: Final = 5.0
HEALTHY_AFTER_S: Final = 10.0
LOG_BYTES_MAX: Final = 20_000_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """A process to keep alive. `stop_timeout_s` passes between SIGTERM and SIGKILL."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    stop_timeout_s: float = 8.0


@dataclass
class Child:
    """A running child: its process, how often it was started again, and why it last ended."""

    spec: ChildSpec
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    ended: str | None = None
    stopping: bool = False
    keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        running = self.process is not None and self.process.returncode is None
        return self.process.pid if running and self.process else None


class Supervisor:
    """Keeps children alive; `log_folder` gets one file a child."""

    def __init__(self, log_folder: Path) -> None:
        self._log_folder = log_folder
        self._log_folder.mkdir(parents=True, exist_ok=True)
        self._prefix = _die_with_parent()
        self.children: dict[str, Child] = {}

    async def start(self, spec: ChildSpec) -> None:
        """Start a child and keep it alive."""
        child = Child(spec)
        self.children[spec.name] = child
        await self._spawn(child)
        child.keeper = asyncio.create_task(self._keep(child))

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a child that runs."""
        process = self.children[name].process
        if process and process.returncode is None:
            process.send_signal(number)

    def restart_with(self, name: str, argument: str) -> None:
        """Give a child one more argument, should it have to be started again."""
        child = self.children[name]
        child.spec = replace(child.spec, argv=[*child.spec.argv, argument])

    async def stop(self, names: Sequence[str]) -> None:
        """Stop some children together: SIGTERM, then SIGKILL after their time-out."""
        await asyncio.gather(*(self._stop(self.children[n]) for n in names if n in self.children))

    async def _stop(self, child: Child) -> None:
        child.stopping = True
        if child.keeper:
            child.keeper.cancel()
        process = child.process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(child.spec.stop_timeout_s):
                await process.wait()
        except TimeoutError:
            log.warning("%s did not stop in time: killed", child.spec.name)
            process.kill()
            await process.wait()

    async def _spawn(self, child: Child) -> None:
        path = self._log_folder / f"{child.spec.name}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
            path.replace(path.with_suffix(".log.old"))
        with path.open("ab") as output:
            child.process = await asyncio.create_subprocess_exec(
                *self._prefix,
                *child.spec.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **child.spec.env},
                start_new_session=True,
            )

    async def _keep(self, child: Child) -> None:
        loop, delay_s = asyncio.get_running_loop(), RESTART_DELAY_S_MIN
        while child.process:
            started_s = loop.time()
            code = await child.process.wait()
            child.ended = f"signal {-code}" if code < 0 else f"exit code {code}"
            child.restarts += 1
            if loop.time() - started_s > HEALTHY_AFTER_S:
                delay_s = RESTART_DELAY_S_MIN
            log.warning("%s ended (%s): again in %.1f s", child.spec.name, child.ended, delay_s)
            delay_s = await self._insist(child, delay_s)

    async def _insist(self, child: Child, delay_s: float) -> float:
        """Start a child, however often that takes; the delay before the next time."""
        while True:
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, RESTART_DELAY_S_MAX)
            try:
                await self._spawn(child)
            except OSError as error:
                log.error("%s cannot be started: %s", child.spec.name, error)  # noqa: TRY400 - designed
            else:
                return delay_s

    def tail(self, name: str, lines: int = 5) -> str:
        """The last lines of a child's log."""
        with contextlib.suppress(OSError):
            text = (self._log_folder / f"{name}.log").read_text(errors="replace")
            return "\n".join(text.splitlines()[-lines:])
        return ""


def _die_with_parent() -> list[str]:
    """A prefix that lets the kernel end a child whose parent died (util-linux)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
