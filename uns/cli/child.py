"""One process of the hub: `python -m uns.cli.child DATA NAME ROLE [ARGUMENT...]`.

Each role imports its own libraries only, so that ten processes stay small.
"""

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple

from uns.cli.folder import Folder
from uns.model.plant import Plant
from uns.mqtt.acl import edge_user
from uns.mqtt.client import MqttClient
from uns.runtime.clock import PlantClock, load_clock
from uns.runtime.errors import Fenced

SETTLED_AFTER_S: Final = 5.0
NICE: Final = {"worker": 5, "standby": 5}
"""Who gives way when a machine is full: sources and the record must keep up, or what is unsettled
is sent again on top of it all. A process that starts has its first seconds in full."""

log = logging.getLogger(__name__)


class Context(NamedTuple):
    """What every role works with."""

    folder: Folder
    plant: Plant
    clock: PlantClock
    name: str
    arguments: tuple[str, ...]


Role = Callable[[Context], Awaitable[None]]


async def run_bridges(context: Context) -> None:
    """The bridges given as arguments."""
    from uns.cli.bridging import run_bridges as run_them

    await run_them(context)


async def run_worker(context: Context) -> None:
    """All processors of the lines given as arguments."""
    from processors import PROCESSORS
    from uns.cli.worker import run_lines

    await run_lines(context, PROCESSORS)


async def run_standby(context: Context) -> None:
    """The same beside the hub's own workers, with outboxes of its own."""
    from processors import PROCESSORS
    from uns.cli.worker import run_lines

    await run_lines(context, PROCESSORS, f"{context.name}/")


async def run_historian(context: Context) -> None:
    """The one writer of the store."""
    from processors import PROCESSORS
    from uns.historian.sayings import last_will
    from uns.historian.service import INBOX_LIMIT, HistorianSetup
    from uns.historian.service import run_historian as record

    setup = HistorianSetup(
        name="main",
        plant=context.plant,
        location=context.folder.load_connection()["store"],
        client=MqttClient(
            context.folder.address("historian"),
            "historian",
            will=last_will(context.plant.enterprise, "main", context.clock()),
            inbox_limit=INBOX_LIMIT,
        ),
        voice=MqttClient(
            context.folder.address("historian"), "historian-voice", clean_session=True
        ),
        processors={name: build(context.plant).states for name, build in PROCESSORS.items()},
        clock=context.clock,
    )
    await record(setup)


async def run_plant(context: Context) -> None:
    """The simulated plant of `uns demo`."""
    from uns.demo.plant import run_plant as simulate

    loop, go, freeze = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, go.set)
    loop.add_signal_handler(signal.SIGUSR2, freeze.set)
    addresses = {
        bridge.settings["edge_node"]: context.folder.address(
            edge_user(bridge.settings["edge_node"])
        )
        for bridge in context.plant.bridges.values()
        if bridge.protocol == "sparkplug"
    }
    seed, *going = context.arguments
    if going:
        go.set()
    await simulate(
        context.plant, context.folder.root, context.clock, int(seed), addresses, go, freeze
    )


ROLES: Final[dict[str, Role]] = {
    "bridge": run_bridges,
    "worker": run_worker,
    "standby": run_standby,
    "historian": run_historian,
    "plant": run_plant,
}


async def run(context: Context, role: str) -> None:
    """Run a role until SIGTERM or SIGINT."""
    task = asyncio.ensure_future(ROLES[role](context))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    loop.call_later(SETTLED_AFTER_S, _settle, NICE.get(role, 0))
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _settle(nice: int) -> None:
    """Give back what imports and start-up left behind: half of a process with large libraries.

    What remains of it stays: it need not be looked through again for what can be given back.
    """
    os.nice(nice)
    gc.collect()
    gc.freeze()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def log_to_stderr() -> None:
    """The log of a process that has no terminal to answer to."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for noisy in ("asyncua", "pymodbus"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def main() -> None:
    """Entry point of every child process."""
    root, name, role, *arguments = sys.argv[1:]
    log_to_stderr()
    folder = Folder(Path(root))
    context = Context(folder, folder.load_plant(), load_clock(folder.root), name, tuple(arguments))
    log.info("%s starts", name)
    try:
        asyncio.run(run(context, role))
    except Fenced as lost:
        sys.exit(str(lost))


if __name__ == "__main__":
    main()
