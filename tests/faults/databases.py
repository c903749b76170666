"""PostgreSQL servers in unusual places: on a disk of our own, or at a station of a network.

Owns where they run and lie, and that they sync, which a server for tests does not.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.stores import installation
from tools.postgres import Installation, Server

SYNCING: Final = ("fsync=on", "full_page_writes=on")
"""A server for tests syncs nothing; the last setting of a name counts."""
PASSABLE: Final = 0o755
"""A server runs without privilege and must reach its disk."""
TRUSTED: Final = "host all all 10.0.0.0/8 trust\n"
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True)
class Placed(Installation):
    """An installation whose servers' data lie on a disk, and which run behind a prefix."""

    disk: Path | None = None
    prefix: tuple[str, ...] = ()

    def scratch(self) -> Path:
        """The disk."""
        return self.disk or super().scratch()

    def entrance(self) -> tuple[str, ...]:
        """To the place, then as any server."""
        return (*self.prefix, *super().entrance())


class PlacedServer(Server):
    """A server that listens at an address, and trusts the fault tests' networks."""

    def __init__(self, where: Installation, address: str) -> None:
        super().__init__(where)
        self._address = address

    @property
    def dsn(self) -> str:
        """The address of its first database."""
        return f"postgresql://postgres@{self._address}:{self.port}/postgres"

    def _make_cluster(self) -> None:
        super()._make_cluster()
        with (self.folder / "cluster" / "pg_hba.conf").open("a") as file:
            file.write(TRUSTED)


def server_on(disk: Path) -> Server:
    """A server whose data lie on a mounted disk."""
    disk.chmod(PASSABLE)
    return _server(disk, (), LOOPBACK)


def server_at(prefix: tuple[str, ...], address: str) -> Server:
    """A server at a station."""
    return _server(None, prefix, address)


def _server(disk: Path | None, prefix: tuple[str, ...], address: str) -> Server:
    found = installation("postgresql")
    settings = (*found.settings, *SYNCING, f"listen_addresses={address}")
    where = Placed(found.programs, found.root, found.libraries, settings, disk, prefix)
    return PlacedServer(where, address)
