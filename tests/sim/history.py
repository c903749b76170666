"""The product's own proof, on a simulated record: what `uns verify` does, without its command.

The rows go into a real store, and uns.historian.recompute folds them again.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from tests.sim.loop import Process
from tests.sim.store import MemoryStore
from tests.sim.tally import NAME, Tally, Total
from tests.sim.world import EPOCH_MS, World
from uns.historian.duckdb_store import DuckDbStore
from uns.historian.kept import understood
from uns.historian.reader import open_reader
from uns.historian.recompute import Past, recomputed
from uns.historian.recorder import Known
from uns.historian.rows import TABLES, Batch

FILE: Final = "store.duckdb"


def folded_again(world: World) -> list[str]:
    """Lines whose retained state is another than the one that history gives."""
    with _really_stored(world) as store:
        store.close()
        path = store.folder / FILE
        return [found for line in world.plan.lines if (found := _difference(world, path, line))]


def known_to_both(world: World) -> tuple[Known, Known]:
    """What the simulated and the real store remember for a historian that starts."""
    simulated = MemoryStore(world.disk, Process("auditor", world.loop)).known()
    with _really_stored(world) as store:
        return _ordered(simulated), _ordered(store.known())


@contextmanager
def _really_stored(world: World) -> Iterator[DuckDbStore]:
    with tempfile.TemporaryDirectory() as folder:
        store = DuckDbStore(Path(folder) / FILE, lambda: EPOCH_MS)
        store.write(Batch(**{name: world.disk.rows(name) for name in TABLES}))
        yield store
        store.close()


def _ordered(known: Known) -> Known:
    return replace(known, watermarks=sorted(known.watermarks), resumes=sorted(known.resumes))


def _difference(world: World, path: Path, line: str) -> str | None:
    kept = understood(world.broker.retained[f"{line}/_hub/processor/{NAME}"])
    assert kept
    with open_reader(str(path)) as reader:
        refold = recomputed(Past(reader, Tally(), line), kept)
    state = TypeAdapter(Total).dump_python(refold.state, mode="json")
    if (state, refold.marks) == (kept.state, kept.marks):
        return None
    return f"I3 {line} is {kept.state}, history gives {state}"
