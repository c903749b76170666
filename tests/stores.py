"""Stores for tests: a DuckDB file, and databases of their own on real servers.

`UNS_TEST_DSN` names a server to use instead of an own one; its role must be able to create
databases.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

from tools import postgres, timescale
from tools.ground import SetupError
from tools.postgres import Installation, Server

DSN: Final = os.environ.get("UNS_TEST_DSN")
INSTALLATIONS: Final[dict[str, Callable[[], Installation]]] = {
    "postgresql": postgres.installation,
    "timescaledb": timescale.installation,
}
STORES: Final = [
    pytest.param("duckdb"),
    pytest.param("postgresql", marks=pytest.mark.postgres),
    pytest.param("timescaledb", marks=pytest.mark.timescale),
]
SERVERS: Final = STORES[1:]


@contextmanager
def server_dsn(kind: str) -> Iterator[str]:
    """The address of a running server of a kind, for as long as the context lasts."""
    if DSN:
        yield DSN
        return
    with Server(installation(kind)) as server:
        yield server.dsn


def installation(kind: str) -> Installation:
    """The server programs; the test is skipped where there are none, but never in CI as root."""
    try:
        return INSTALLATIONS[kind]()
    except SetupError as error:
        if os.environ.get("CI") and os.geteuid() == 0:
            raise
        pytest.skip(str(error))


@contextmanager
def own_database(dsn: str) -> Iterator[str]:
    """The DSN of an empty database, dropped afterwards."""
    name = f"uns_test_{secrets.token_hex(4)}"
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        yield in_database(dsn, name)
        admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


def in_database(dsn: str, name: str) -> str:
    """The DSN with another database."""
    known = conninfo_to_dict(dsn)
    user, host, port = known["user"], known["host"], known.get("port", 5432)
    password = f":{known['password']}" if known.get("password") else ""
    return f"postgresql://{user}{password}@{host}:{port}/{name}"
