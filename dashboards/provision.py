"""What Grafana needs beside the boards: data source, folders, alerting.

Owns their names and the text of the provisioning files, which Grafana reads at its start. The data
source of the files is the store that docker-compose.yml starts; `$NAME` in them is a variable of
Grafana's environment.
"""

import io
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString

from dashboards.alerts import FOLDER, FOLDER_UID, GROUP, RULES, contact
from dashboards.model import DATA_SOURCE, TAG, Json

BOARDS_FOLDER_UID: Final = "uns"
FOLDERS: Final = {BOARDS_FOLDER_UID: "UNS", FOLDER_UID: FOLDER}
READER: Final = "reader"
PASSWORD: Final = "UNS_READER_PASSWORD"  # noqa: S105 - the name of a variable
EMAIL: Final = "UNS_ALERT_EMAIL"
MADE: Final = "# Made by `uns grafana export`."
SSL_MODES: Final = ("disable", "require", "verify-ca", "verify-full")
LOCAL: Final = ("localhost", "127.0.0.1", "::1", "")
PORT: Final = 5432
WIDTH: Final = 1_000


class Database(NamedTuple):
    """The store as Grafana reaches it; `version` is the server's major version."""

    address: str
    name: str
    user: str
    ssl_mode: str
    version: int
    timescale: bool


COMPOSED: Final = Database("store:5432", "uns", READER, "disable", 17, timescale=True)


def database(dsn: str, version: int, user: str | None = None, *, timescale: bool) -> Database:
    """A store's URL as Grafana's form has it; passwords in it are left out.

    user: instead of the one in the URL. Without `sslmode` TLS is asked for, but not on this
    machine. Raises ValueError for a URL without a database.
    """
    parts = urlsplit(dsn)
    name = unquote(parts.path.lstrip("/"))
    if not name:
        raise ValueError(f"{parts.scheme} address without a database: use postgresql://host/name")
    host = parts.hostname or "localhost"
    asked = parse_qs(parts.query).get("sslmode", [""])[0]
    mode = "disable" if host in LOCAL else "require"
    known = unquote(user or parts.username or READER)
    address = f"[{host}]" if ":" in host else host
    return Database(
        f"{address}:{parts.port or PORT}",
        name,
        known,
        asked if asked in SSL_MODES else mode,
        version,
        timescale,
    )


def data_source(where: Database) -> Json:
    """The data source without its password. Its user may only read: Grafana checks no SQL."""
    return {
        "name": "UNS record",
        "uid": DATA_SOURCE["uid"],
        "type": DATA_SOURCE["type"],
        "access": "proxy",
        "url": where.address,
        "user": where.user,
        "jsonData": {
            "database": where.name,
            "sslmode": where.ssl_mode,
            "postgresVersion": where.version * 100,
            "timescaledb": where.timescale,
            "tag": TAG,
        },
    }


def files() -> dict[str, str]:
    """The text of every provisioning file by its path in Grafana's provisioning folder."""
    return {
        "datasources/uns.yaml": _text({"datasources": [_source_entry()]}, SOURCE_NOTE),
        "dashboards/uns.yaml": _text({"providers": [PROVIDER]}),
        "alerting/uns.yaml": _text(_alerting(), ALERT_NOTE),
    }


PROVIDER: Final[Json] = {
    "name": "uns",
    "folder": FOLDERS[BOARDS_FOLDER_UID],
    "folderUid": BOARDS_FOLDER_UID,
    "type": "file",
    "allowUiUpdates": False,
    "options": {"path": "/etc/grafana/dashboards"},
}
SOURCE_NOTE: Final = "# Grafana sends whatever SQL a board holds, so its user only reads."
ALERT_NOTE: Final = f"# {EMAIL} must name somebody: Grafana does not start without."


def _source_entry() -> Json:
    return {
        **data_source(COMPOSED),
        "secureJsonData": {"password": f"${PASSWORD}"},
        "isDefault": True,
    }


def _alerting() -> Json:
    group = {
        "orgId": 1,
        "name": GROUP,
        "folder": FOLDER,
        "interval": "1m",
        "rules": [rule.to_json() for rule in RULES],
    }
    told = contact(f"${EMAIL}")
    name = told.pop("name")
    return {
        "contactPoints": [{"orgId": 1, "name": name, "receivers": [told]}],
        "groups": [group],
    }


def _text(document: Mapping[str, Any], note: str = "") -> str:
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = io.StringIO()
    yaml.dump(_blocks({"apiVersion": 1, **document}), out)
    return "\n".join(part for part in (MADE, note, out.getvalue()) if part)


def _blocks(value: Any) -> Any:
    """The same, with texts of several lines as blocks, so that SQL can be read."""
    match value:
        case dict():
            return {key: _blocks(inner) for key, inner in value.items()}
        case list():
            return [_blocks(inner) for inner in value]
        case str() if "\n" in value:
            return LiteralScalarString(value.strip() + "\n")
        case _:
            return value
