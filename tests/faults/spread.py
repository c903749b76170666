"""A rig spread over a network: generator, worker, historian and database each at a station.

Owns who stands where. The broker, the auditor and the outside subscriber are at station `tester`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from tests.faults.databases import server_at
from tests.faults.namespaces import OURS, Network, network
from tests.faults.rig import Rig, Scene
from tools.postgres import Server

STORE: Final = "store"
STATIONS: Final = ("generator", "worker", "historian", STORE)


class Spread(NamedTuple):
    """A running rig, its network and its database."""

    rig: Rig
    net: Network
    server: Server


@contextmanager
def spread(root: Path, scene: Scene) -> Iterator[Spread]:
    """Every process at its station, nothing cut."""
    with network() as net:
        addresses = {name: net.join(name) for name in STATIONS}
        with server_at(net.prefix(STORE), addresses[STORE]) as server:
            rig = Rig(root, replace(scene, store=server.dsn, host=net.address(OURS)))
            rig.historian.move(net.prefix("historian"))
            rig.generator.move(net.prefix("generator"))
            for worker in rig.workers:
                worker.move(net.prefix("worker"))
            with rig:
                yield Spread(rig, net, server)
