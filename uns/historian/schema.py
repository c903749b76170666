"""The schema as numbered SQL files, and the runner that brings a store up to date.

`sql/NNNN_name.sql` is common to all stores, `sql/<dialect>/NNNN_name.sql` is for one of them; they
run in the order of their numbers, each once, each in its own transaction together with its line in
`schema_version`. A dialect may be optional (`timescale`): its steps run when they can.
"""

from collections.abc import Callable, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final, NamedTuple, Protocol

from uns.historian.errors import SchemaTooNew

VERSIONS: Final = """
CREATE TABLE IF NOT EXISTS schema_version (
    version BIGINT NOT NULL, name TEXT NOT NULL PRIMARY KEY, applied_ms BIGINT NOT NULL)
"""
OVERTAKEN: Final = {"timescale/0003_hypertables.sql": "0007_samples_by_series.sql"}
"""Steps that are left out where another has run: a plain server got its extension after that."""
RECORD: Final = "INSERT INTO schema_version VALUES ($1, $2, $3)"


class Migration(NamedTuple):
    """One file: `name` is its path below sql/."""

    version: int
    name: str
    sql: str


class Target(Protocol):
    """A store as the runner sees it."""

    def applied(self) -> set[str]:
        """The names of the migrations it has; makes the table `schema_version` where missing."""

    def apply(self, migration: Migration, applied_ms: int) -> None:
        """Run one migration and RECORD it, in one transaction."""


def migrations(dialects: Sequence[str]) -> list[Migration]:
    """The migrations of some dialects with the common ones, in order."""
    folder = files("uns.historian") / "sql"
    found = [_read("", file) for file in folder.iterdir() if file.name.endswith(".sql")]
    for dialect in dialects:
        found += [_read(f"{dialect}/", file) for file in (folder / dialect).iterdir()]
    return sorted(found)


def upgrade(target: Target, dialects: Sequence[str], clock: Callable[[], int]) -> list[str]:
    """Apply what is missing; returns the names applied. Raises SchemaTooNew."""
    have = target.applied()
    known = migrations(dialects)
    newest = known[-1].version
    if strangers := sorted(name for name in have if version_of(name) > newest):
        raise SchemaTooNew(f"the store has {strangers[-1]}, this version knows up to {newest:04}")
    done = have | {name for name, later in OVERTAKEN.items() if later in have}
    missing = [migration for migration in known if migration.name not in done]
    for migration in missing:
        target.apply(migration, clock())
    return [migration.name for migration in missing]


def version_of(name: str) -> int:
    """The number of a migration: 3 for `timescale/0003_hypertables.sql`."""
    return int(name.rpartition("/")[2].partition("_")[0])


def _read(prefix: str, file: Traversable) -> Migration:
    name = f"{prefix}{file.name}"
    return Migration(version_of(name), name, file.read_text(encoding="utf-8"))
