"""TimescaleDB for tests: a tree of a newer Debian, unpacked into the cache and run inside it.

The machine's Debian has no TimescaleDB, a newer one has the Apache edition: hypertables and
time_bucket, but no compression, continuous aggregates or policies. To enter the tree takes root or
a kernel that lets users make namespaces.

    python3 -m tools.timescale [PORT]     serves until interrupted, prints its address
"""

import os
import signal
import sys
from pathlib import Path

from tools import debian
from tools.ground import SetupError, cache_dir, fingerprint, is_current, is_root, prepare_cache, run
from tools.postgres import NOBODY, Installation, Server

SUITE = "trixie"
PACKAGES = ("dash", "postgresql-17-timescaledb")
PROGRAMS = Path("/usr/lib/postgresql/17/bin")
PRELOAD = "shared_preload_libraries=timescaledb"
ENDING = (signal.SIGINT, signal.SIGTERM)
QUIET = "timescaledb.telemetry_level=off"


def ensure() -> None:
    """Unpack the tree unless it is there.

    Raises SetupError when it is not to be had, or would not be to be entered.
    """
    if is_current(stamp(), wanted()):
        return
    try:
        run(Installation(Path("/usr/bin"), root=Path("/")).command("true"), quiet=True)
    except SetupError as error:
        raise SetupError(f"to enter its tree takes root or user namespaces: {error}") from error
    debian.unpack(PACKAGES, tree(), SUITE)
    furnish(tree())
    stamp().write_text(wanted())


def installation() -> Installation:
    """Return the unpacked TimescaleDB.

    Raises SetupError when `ensure` has not succeeded here.
    """
    if not is_current(stamp(), wanted()):
        raise SetupError("no TimescaleDB is set up here: `make test` does it")
    return Installation(PROGRAMS, root=tree(), settings=(PRELOAD, QUIET))


def tree() -> Path:
    """Return the folder of the whole Debian tree."""
    return cache_dir() / "timescale"


def stamp() -> Path:
    """Return the file that says which packages the tree was made from."""
    return cache_dir() / ".unpacked-timescale"


def wanted() -> str:
    """Fingerprint what decides the tree."""
    return fingerprint(SUITE, *PACKAGES, str(os.geteuid()))


def furnish(root: Path) -> None:
    """Add what installing the packages would have made: one user, /tmp, shared memory, a sink."""
    user = NOBODY if is_root() else os.getuid()
    (root / "etc/passwd").write_text(f"postgres:x:{user}:{user}::/:/bin/sh\n")
    for name in ("tmp", "dev/shm"):
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name).chmod(0o1777)
    (root / "dev/null").touch()
    (root / "dev/null").chmod(0o666)


def main() -> None:
    """Serve on a port, by default a free one, until interrupted."""
    prepare_cache()
    ensure()
    port = int(sys.argv[1]) if sys.argv[1:] else 0
    with Server(installation(), port) as server:
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        print(server.dsn, flush=True)
        signal.sigwait(ENDING)


if __name__ == "__main__":
    main()
