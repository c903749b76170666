"""The hub's own part in a rig, as a process: it keeps the retained tree, as `uns run` does.

    python -m tests.faults.keep DATA

SIGTERM: look once more, until the tree is whole, then exit 0.
"""

import asyncio
import logging
import signal
import sys
from pathlib import Path
from typing import Final

from uns.cli.folder import Folder
from uns.cli.keeping import stored_tree
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Session
from uns.runtime.clock import load_clock
from uns.runtime.keeper import Keeper, KeeperWiring

LOOKS_MAX: Final = 10
RECORDED_S: Final = 2.0
"""What was said last, as the workers ended, is on record then."""


async def keep(folder: Folder) -> None:
    """Look after each connect, until SIGTERM."""
    plant, address = folder.load_plant(), folder.address("hub")
    wiring = KeeperWiring(
        enterprise=plant.enterprise,
        visitor=lambda: MqttClient(address, "hub.keeper", clean_session=True),
        remember=stored_tree(folder.load_connection()["store"], plant),
        note=folder.root / "incarnation.json",
        clock=load_clock(folder.root),
    )
    keeper, over = Keeper(wiring), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)

    async def connected(_session: Session) -> None:
        keeper.look_soon()

    async with MqttClient(address, "hub", clean_session=True, on_connect=connected):
        keeping = asyncio.create_task(keeper.run())
        await over.wait()
        keeping.cancel()
    for _ in range(LOOKS_MAX):
        await asyncio.sleep(RECORDED_S)
        if await keeper.look():
            return
    raise SystemExit(f"retained tree {keeper.account.summary}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(keep(Folder(Path(sys.argv[1]))))
