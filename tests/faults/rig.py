"""A hub of real processes to be treated badly: broker, historian, workers, and a generator.

Owns how they are started and where their files lie. Every fault is a test of its own that takes a
rig, does harm while events flow, then lets the auditor count.

    with Rig(tmp_path, Scene(count=20_000)) as rig:
        rig.generate()
        rig.workers[0].kill()
        rig.drain()
        rig.finish()
        assert rig.audit().clean
"""

import fcntl
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from processors import PROCESSORS
from tests.brokers import RunningBroker
from tests.faults.auditor import Audit, audit
from tests.faults.children import INSIST_S, Child, role
from tests.faults.generator import Orders
from tests.faults.journal import Heads
from tests.faults.plant import faults_plant
from tests.faults.watch import Passing, Reader, Watch
from uns.cli.folder import Folder, write_connection
from uns.cli.store import store_location
from uns.model.plant import Plant
from uns.runtime.clock import start_clock

UNS: Final = Path(sys.executable).with_name("uns")
READY_S_MAX: Final = 90.0
EMPTY_S_MAX: Final = 120.0
VERIFY_S_MAX: Final = 1_800.0
READ_TREE_S: Final = 3


@dataclass(frozen=True)
class Scene:
    """The size of a rig.

    orders: what the generator makes. lines, lines_per_worker: how the plant is cut. store: the
    location of a PostgreSQL; None: a DuckDB file in the data folder. speed: plant seconds a second.
    parts: folders, by name below the data folder (`outbox`, `broker`, `store`), that lie elsewhere.
    host: where the broker listens. plant: another one than `faults_plant`.
    """

    orders: Orders
    lines: int = 20
    lines_per_worker: int = 4
    store: str | None = None
    speed: float = 60.0
    parts: Mapping[str, Path] = field(default_factory=dict)
    host: str = "127.0.0.1"
    plant: Plant | None = None


class Rig:
    """See the module. `broker`, `historian`, `workers` and `generator` may be killed at will."""

    def __init__(self, root: Path, scene: Scene) -> None:
        self.scene = scene
        self.folder = Folder((root / "data").resolve())
        self.journal = root / "journal.jsonl"
        self.plant = scene.plant or faults_plant(scene.lines)
        self.lines = list(self.plant.lines)
        self.heads = Heads(self.journal)
        self._lay_out()
        self.broker = RunningBroker(self.folder.broker, self.plant, host=scene.host)
        self.store = scene.store or store_location(self.folder.root)
        self._write_files()
        self.watch = Watch(self.broker.address(), self.plant.enterprise)
        self.historian = self.child("historian", "historian")
        self.workers = [self._worker(number) for number in range(self._worker_count())]
        self.standbys = list[Child]()
        self.keeper = self._script("keeper", "tests.faults.keep")
        orders = json.dumps(asdict(scene.orders))
        self.generator = self._script(
            "generator", "tests.faults.generator", str(self.journal), orders
        )
        self.tree: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        self._lock = (self.folder.root / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)  # what a hub that runs holds
        self.broker.start()
        self.watch.start()
        for child in (self.historian, *self.workers, self.keeper):
            child.start()
        owned = {Reader(line, name) for line in self.lines for name in PROCESSORS}
        self.watch.until(lambda: owned <= self.watch.owners.keys(), READY_S_MAX, "all lines owned")
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _tb: TracebackType | None,
    ) -> None:
        if error:
            self._print_tails()
        self.watch.stop()
        for child in reversed(self.children):
            if child.running:
                child.hold()
        self.broker.kill()
        self._lock.close()

    def _print_tails(self) -> None:
        """What every process said last, and how it ended: for whoever reads a failure."""
        for child in (one for one in self.children if one.ends or one.running):
            print(f"-- {child.name} {child.ends[-3:]}\n{child.tail()}")  # noqa: T201 - as said

    @property
    def children(self) -> list[Child]:
        """Every process but the broker."""
        return [self.historian, *self.workers, *self.standbys, self.keeper, self.generator]

    def child(self, name: str, *arguments: str, data: Path | None = None) -> Child:
        """One more of the hub's processes; it is not started yet."""
        return Child(name, role(data or self.folder.root, name, *arguments), self.folder.logs)

    def lines_of(self, worker: Child) -> list[str]:
        """The lines that a worker has."""
        return self.lines[self.workers.index(worker) :: len(self.workers)]

    def generate(self) -> None:
        """Let events flow; the generator ends by itself when all of them are settled."""
        self.generator.start_until_done()

    def drain(self, timeout_s: float) -> float:
        """Wait until the generator has made all and everything is settled; seconds."""
        since_s = time.monotonic()
        code = self.generator.waited(timeout_s)
        assert code == 0, f"generator: {code}\n{self.generator.tail()}"
        return time.monotonic() - since_s

    def enough(self, timeout_s: float) -> float:
        """Make no more events, then as `drain`."""
        since_s = time.monotonic()
        self.generator.insist(timeout_s)
        self.drain(INSIST_S)
        return time.monotonic() - since_s

    def passing(self, *workers: Child) -> Passing:
        """From now until events made after now are folded by every processor of these workers."""
        return self.passing_of([line for worker in workers for line in self.lines_of(worker)])

    def passing_of(self, lines: Sequence[str]) -> Passing:
        """The same for lines."""
        heads = self.heads.read()
        targets = {Reader(line, name): heads[line] + 1 for line in lines for name in PROCESSORS}
        return self.watch.passing(targets)

    def add(self, worker: Child) -> None:
        """Start one more worker, which ends with the others."""
        self.standbys.append(worker)
        worker.start()

    def finish(self) -> None:
        """End everything in order but the broker, and read the retained tree with mosquitto_sub.

        The outputs of processors are waited for: their outboxes are empty, or it fails.
        """
        end_s = time.monotonic() + EMPTY_S_MAX
        while waiting := self.waiting():
            assert time.monotonic() < end_s, f"outboxes do not empty: {waiting}"
            time.sleep(0.2)
        for worker in (*self.standbys, *self.workers):
            worker.stop()
        self.keeper.stop(EMPTY_S_MAX)
        assert self.keeper.ends[-1].code == 0, self.keeper.tail()
        self.historian.stop(EMPTY_S_MAX)
        self.tree = self.retained(f"{self.plant.enterprise}/#")

    def waiting(self) -> dict[str, int]:
        """What waits in outboxes, by file, where anything does.

        A worker that waits while another one runs its lines may keep entries: they are on record,
        or were said anew by the other one.
        """
        outboxes = self.folder.root / "outbox"
        counts = dict[str, int]()
        for path in outboxes.rglob("*.sqlite"):
            worker = self._owner_of(path.stem) if path.parent == outboxes else path.parent.name
            if self.watch.workers.get(worker, {}).get("role") != "standby":
                counts[path.stem] = _entries(path)
        return {name: count for name, count in counts.items() if count}

    def _owner_of(self, outbox: str) -> str:
        """The hub's own worker that writes an outbox; empty for a bridge's."""
        of_line = {
            line.replace("/", "."): w.name for w in self.workers for line in self.lines_of(w)
        }
        return next((name for line, name in of_line.items() if outbox.endswith(line)), "")

    def retained(self, topic_filter: str) -> dict[str, bytes]:
        """What mosquitto_sub (C, MQTT 3.1.1) sees retained."""
        at = self.broker.address()
        command = ["mosquitto_sub", "-h", at.host, "-p", str(at.port), "-u", at.username or ""]
        command += ["-P", at.password or "", "-V", "311", "-t", topic_filter, "--retained-only"]
        command += ["-W", str(READ_TREE_S), "-F", "%t %p"]
        answer = subprocess.run(command, capture_output=True, check=False)
        pairs = (line.partition(b" ") for line in answer.stdout.splitlines())
        return {topic.decode(): payload for topic, _, payload in pairs}

    def audit(self) -> Audit:
        """Count: the journal against the record and the tree."""
        return audit(self.journal, self.store, self.tree)

    def verify(self, *options: str) -> dict[str, Any]:
        """`uns verify --json` as a user runs it: {"code": …, "out": …}."""
        command = [str(UNS), "verify", "--json", "--data", str(self.folder.root), *options]
        answer = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=VERIFY_S_MAX
        )
        return {"code": answer.returncode, "out": answer.stdout, "error": answer.stderr}

    def verified(self) -> bool:
        """Whether `uns verify` says that everything is equal; what it says else is printed."""
        answer = self.verify()
        if answer["code"]:
            print(answer["out"][-4_000:], answer["error"][-2_000:])  # noqa: T201 - for the reader
        return bool(answer["code"] == 0)

    def _worker_count(self) -> int:
        return -(-self.scene.lines // self.scene.lines_per_worker)

    def _worker(self, number: int) -> Child:
        lines = self.lines[number :: self._worker_count()]
        return self.child(f"worker-{number + 1}", "worker", *lines)

    def _script(self, name: str, module: str, *arguments: str) -> Child:
        """A process of ours on the data folder."""
        argv = [sys.executable, "-m", module, str(self.folder.root), *arguments]
        return Child(name, argv, self.folder.logs)

    def _lay_out(self) -> None:
        self.folder.root.mkdir(parents=True, exist_ok=True)
        for name, place in self.scene.parts.items():
            (self.folder.root / name).symlink_to(place, target_is_directory=True)

    def _write_files(self) -> None:
        """What `uns run` writes for its children."""
        self.folder.plant.write_text(self.plant.model_dump_json())
        start_clock(self.folder.root, self.scene.speed)
        shutil.copy(self.folder.broker / "secrets.json", self.folder.passwords)
        at = self.broker.address("operator")
        write_connection(
            self.folder,
            {
                "store": self.store,
                "host": at.host,
                "port": at.port,
                "mqtt": f"mqtt://{at.username}:{at.password}@{at.host}:{at.port}",
                "mqtt_5": True,
                "username": at.username,
                "password": at.password,
                "enterprise": self.plant.enterprise,
                "speed": self.scene.speed,
            },
        )


def _entries(outbox: Path) -> int:
    with sqlite3.connect(f"file:{outbox}?mode=ro", uri=True, timeout=5) as db:
        (count,) = db.execute("select count(*) from entry").fetchone()
    return int(count)


def full() -> bool:
    """Whether the acceptance's figures are asked for (`make faults`), or the short form."""
    return os.environ.get("UNS_FAULTS") == "full"
