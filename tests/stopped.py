"""The data folder of a hub that has stopped, with a record made in virtual time."""

import json
from pathlib import Path

from tests.plant_history import PlantHistory
from tests.simulated import START_MS, example_plant
from uns.cli.folder import Folder, write_connection
from uns.historian.store import open_store


def stopped_hub(root: Path, store: str, duration_ms: int) -> Path:
    """A folder that commands find, whose store has so much of the example plant's time."""
    folder = Folder(root)
    write_connection(folder, {"store": store})
    folder.plant.write_text(example_plant().model_dump_json())
    opened = open_store(store, lambda: START_MS)
    history = PlantHistory(opened)
    history.run(duration_ms)
    opened.close()
    (root / "clock.json").write_text(json.dumps({"reached_ms": history.now_ms}))
    return root
