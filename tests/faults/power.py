"""A rig whose outboxes, broker and store lie on disks of their own, and lose power together.

Owns the disks, the database server on one of them, and the order of a cut. What lies outside: the
generator's journal and what an outside subscriber heard of watermarks, which is what the auditor
counts with.
"""

import random
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.faults.auditor import rows
from tests.faults.databases import PASSABLE, server_on
from tests.faults.privilege import system
from tests.faults.rig import Rig, Scene
from tests.faults.volumes import Volume, volumes
from tools.postgres import Server

DISKS: Final = ("outbox", "broker", "store")
DISK_MB: Final = 512


class Mains:
    """The power of a rig: `cut` and it is gone, `restore` and all of it starts again."""

    def __init__(self, rig: Rig, disks: list[Volume], server: Server | None, seed: int) -> None:
        self.rig = rig
        self._disks = disks
        self._server = server
        self._chance = random.Random(seed)

    def cut(self) -> None:
        """All processes stand still, then memory is gone: of the disks, and of the processes."""
        running = [child for child in self.rig.children if child.running]
        for child in running:
            child.freeze()
        self.rig.broker.freeze()
        self._chance.shuffle(self._disks)
        for disk in self._disks:
            disk.lose_power()
        for child in running:
            child.hold()
        self.rig.broker.kill()
        if self._server:
            self._server.stop(signal.SIGQUIT)
        for disk in self._disks:
            disk.power_off()
            disk.power_on()

    def start_store(self) -> None:
        """Let the database recover; an embedded one does so when it is opened."""
        if self._server:
            self._server.start()

    def restore(self) -> None:
        """All processes start at once, as after a power cut."""
        self.rig.broker.start()
        for child in (self.rig.historian, *self.rig.workers, self.rig.keeper):
            child.start()
        self.rig.generate()


def missing(store: str, heard: Mapping[str, tuple[int, int, int]]) -> list[str]:
    """What a watermark said to be on record and is not. `heard`: source -> epoch, seq, settled."""
    absent = list[str]()
    for source, (epoch, seq, _settled) in heard.items():
        if source.startswith("processor:"):
            continue
        places = f"source = '{source}' AND epoch = {epoch} AND seq <= {seq}"
        [(there,)] = rows(store, f"SELECT count(DISTINCT seq) FROM events WHERE {places}")  # noqa: S608 - ours
        if there != seq:
            absent.append(f"{source} {epoch}: {seq} were on record, {there} are")
    return absent


@contextmanager
def mains(root: Path, scene: Scene, store: str, seed: int) -> Iterator[Mains]:
    """A running rig on disks that can lose power. store: duckdb or postgresql."""
    with ExitStack() as stack:
        ground = Path(
            stack.enter_context(TemporaryDirectory(prefix="uns-disks-", ignore_cleanup_errors=True))
        )
        ground.chmod(PASSABLE)
        disks = stack.enter_context(volumes(ground, DISKS, DISK_MB))
        parts = {disk.at.name: disk.at for disk in disks}
        server, location = None, f"duckdb://{parts['store'] / 'store.duckdb'}"
        if store == "postgresql":
            server = stack.enter_context(server_on(parts["store"]))
            location = server.dsn
        rig = Rig(root, replace(scene, store=location, parts=parts))
        for disk in disks:
            system("sync", "-f", disk.at)  # what was set up long before a cut is on disk
        stack.enter_context(rig)
        yield Mains(rig, disks, server, seed)
