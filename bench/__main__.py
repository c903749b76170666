"""`make bench`: a table and one JSON line. `--only loop,latency` picks parts.

A part that takes minutes and much disk, `hundred-million`, runs by name only.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench import (
    devices,
    hundred_million,
    ingest,
    processor,
    protection,
    queries,
    sparkplug,
    store,
)
from bench.rig import Figure, Rig, as_json, as_table, broker

Part = Callable[[Rig, Path], Coroutine[Any, Any, list[Figure]]]


async def _loop(rig: Rig, folder: Path) -> list[Figure]:
    return [await processor.loop(rig, folder)]


async def _publish(rig: Rig, _folder: Path) -> list[Figure]:
    return [await processor.publish_rate(rig)]


async def _sparkplug(_rig: Rig, _folder: Path) -> list[Figure]:
    return sparkplug.figures()


PARTS: Final[dict[str, Part]] = {
    "publish": _publish,
    "loop": _loop,
    "latency": processor.latency,
    "opcua": devices.opcua,
    "modbus": devices.modbus,
    "sparkplug": _sparkplug,
    "duckdb": store.duckdb,
    "postgres": store.postgres,
    "duckdb-ingest": ingest.duckdb_ingest,
    "postgres-ingest": ingest.postgres_ingest,
    "queries": queries.answers,
    "protection": protection.protection,
}


def main() -> None:
    """Run the parts, each on a fresh broker."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--samples", type=int, default=hundred_million.SAMPLES)
    asked = parser.parse_args()
    parts: dict[str, Part] = {
        **PARTS,
        "hundred-million": partial(hundred_million.volume, asked.samples),
    }
    figures = list[Figure]()
    for name in asked.only.split(","):
        with tempfile.TemporaryDirectory() as folder, broker(Path(folder)) as rig:
            figures += asyncio.run(parts[name](rig, Path(folder)))
    print(as_table(figures))
    print(as_json(figures))


if __name__ == "__main__":
    main()
