"""Writes the boards and what Grafana needs to load them at its start.

Owns the layout of the folder.
"""

import json
from pathlib import Path
from typing import Final

from dashboards import provision
from dashboards.downtime import DOWNTIME
from dashboards.genealogy import GENEALOGY
from dashboards.handover import HANDOVER
from dashboards.health import HEALTH
from dashboards.line import LINE_BOARD
from dashboards.losses import LOSSES
from dashboards.model import Dashboard
from dashboards.plant_overview import PLANT_OVERVIEW
from dashboards.quality import QUALITY

BOARDS: Final[tuple[Dashboard, ...]] = (
    PLANT_OVERVIEW,
    LINE_BOARD,
    DOWNTIME,
    QUALITY,
    GENEALOGY,
    LOSSES,
    HANDOVER,
    HEALTH,
)


def files() -> dict[str, str]:
    """The text of every file by its path in the folder."""
    boards = {f"json/{board.uid}.json": _text(board) for board in BOARDS}
    return {
        **boards,
        **{f"provisioning/{name}": text for name, text in provision.files().items()},
    }


def write(folder: Path) -> None:
    """Write all files, each whole at once over an older one. Raises OSError."""
    for name, text in files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.new")
        new.write_text(text)
        new.replace(path)


def _text(board: Dashboard) -> str:
    return json.dumps(board.to_json(), indent=2) + "\n"
