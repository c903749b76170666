"""Fixtures of the integration tests: each store, empty, at a location of its own."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.recorded import Recorded
from tests.stores import STORES, own_database, server_dsn


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, str]]:
    """The DSNs of the servers that were started so far, by kind."""
    with ExitStack() as stack:
        yield _Servers(stack)


class _Servers(dict[str, str]):
    """Starts a server when it is first asked for."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def __missing__(self, kind: str) -> str:
        self[kind] = self._stack.enter_context(server_dsn(kind))
        return self[kind]


@contextmanager
def empty_store(kind: str, servers: dict[str, str], folder: Path) -> Iterator[str]:
    """The location of an empty store of a kind."""
    if kind == "duckdb":
        yield str(folder / "store.duckdb")
        return
    with own_database(servers[kind]) as dsn:
        yield dsn


@pytest.fixture(params=STORES)
def location(
    request: pytest.FixtureRequest, servers: dict[str, str], tmp_path: Path
) -> Iterator[str]:
    """The location of an empty store; the test runs once for each kind of store."""
    with empty_store(request.param, servers, tmp_path) as found:
        yield found


@pytest.fixture
def recorded(location: str) -> Iterator[Recorded]:
    """An empty store to write to, to keep in order and to read from."""
    opened = Recorded(location)
    yield opened
    opened.store.close()


@pytest.fixture(params=STORES, scope="module")
def shared_location(
    request: pytest.FixtureRequest,
    servers: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """The same, one for all tests of a module that only read."""
    with empty_store(request.param, servers, tmp_path_factory.mktemp("store")) as found:
        yield found
