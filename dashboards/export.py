"""Writes the boards and what Grafana needs to load them at its start.

Owns the layout of the folder. The data source is the one docker-compose.yml starts.
"""

import json
from pathlib import Path
from typing import Final

from dashboards.model import DATA_SOURCE, Dashboard
from dashboards.plant_overview import PLANT_OVERVIEW

BOARDS: Final[tuple[Dashboard, ...]] = (PLANT_OVERVIEW,)

DATA_SOURCES: Final = f"""\
# Made by `python -m dashboards`. Grafana sends whatever SQL a board holds, so its user only reads.
apiVersion: 1
datasources:
  - name: UNS record
    uid: {DATA_SOURCE["uid"]}
    type: {DATA_SOURCE["type"]}
    access: proxy
    url: store:5432
    user: reader
    secureJsonData:
      password: $UNS_READER_PASSWORD
    jsonData:
      database: uns
      sslmode: disable
      postgresVersion: 1700
      timescaledb: true
    isDefault: true
"""

PROVIDERS: Final = """\
# Made by `python -m dashboards`.
apiVersion: 1
providers:
  - name: uns
    folder: UNS
    folderUid: uns
    type: file
    allowUiUpdates: false
    options:
      path: /etc/grafana/dashboards
"""


def files() -> dict[str, str]:
    """The text of every file by its path in the folder."""
    boards = {f"json/{board.uid}.json": _text(board) for board in BOARDS}
    return {
        **boards,
        "provisioning/datasources/uns.yaml": DATA_SOURCES,
        "provisioning/dashboards/uns.yaml": PROVIDERS,
    }


def write(folder: Path) -> None:
    """Write all files, over older ones. Raises OSError."""
    for name, text in files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _text(board: Dashboard) -> str:
    return json.dumps(board.to_json(), indent=2) + "\n"
