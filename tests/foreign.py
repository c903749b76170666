"""Foreign servers for tests: made with npm packages, controlled by lines of JSON.

Owns their processes and the talk with them. What they offer and understand stands at the top of
each tests/node/*_server.cjs.
"""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.brokers import free_port

NODE: Final = Path(__file__).parent / "node"
START_S_MAX: Final = 60.0
ANSWER_S_MAX: Final = 20.0
LINE_BYTES_MAX: Final = 2**24


class ForeignServer:
    """A server process; `told` is what it said once it listened."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.told: dict[str, Any] = {}
        self._process = process
        self._turn = asyncio.Lock()

    @property
    def port(self) -> int:
        """Where it listens, on the loopback."""
        return int(self.told["port"])

    async def ask(self, **order: Any) -> dict[str, Any]:
        """Give an order and wait for its answer."""
        assert self._process.stdin
        async with self._turn:
            self._process.stdin.write(f"{json.dumps(order)}\n".encode())
            return await self.answer(ANSWER_S_MAX)

    async def answer(self, seconds_max: float) -> dict[str, Any]:
        """The next line it says."""
        assert self._process.stdout
        async with asyncio.timeout(seconds_max):
            line = await self._process.stdout.readline()
        assert line, f"the server ended with {await self._process.wait()}"
        answer: dict[str, Any] = json.loads(line)
        return answer


def missing(*packages: str) -> str | None:
    """What the machine lacks to start a server of these npm packages."""
    if shutil.which("node") and all((NODE / "node_modules" / one).is_dir() for one in packages):
        return None
    return f"needs Node.js and {', '.join(packages)} in tests/node/node_modules"


def require(*packages: str) -> None:
    """Skip the test when its server cannot be had here; in CI that is a failure."""
    if reason := missing(*packages):
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@asynccontextmanager
async def foreign_server(script: str, port: int, *arguments: str) -> AsyncIterator[ForeignServer]:
    """One of tests/node, listening; killed at the end."""
    process = await asyncio.create_subprocess_exec(
        *("node", str(NODE / script), str(port), *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        limit=LINE_BYTES_MAX,
    )
    server = ForeignServer(process)
    try:
        server.told = await server.answer(START_S_MAX)
        yield server
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def opcua_server(folder: Path, port: int | None = None) -> AsyncIterator[ForeignServer]:
    """npm node-opcua-server; its certificates are kept in the folder."""
    require("node-opcua-server")
    async with foreign_server("opcua_server.cjs", port or free_port(), str(folder)) as server:
        yield server


@asynccontextmanager
async def modbus_server(port: int | None = None) -> AsyncIterator[ForeignServer]:
    """npm modbus-serial."""
    require("modbus-serial")
    async with foreign_server("modbus_server.cjs", port or free_port()) as server:
        yield server
