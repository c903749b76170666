"""PostgreSQL servers for tests and benches: each on a free port of loopback, with data of its own.

Knows how to start an installation without privilege and how to drop privilege where it has some;
knows nothing of tables. A root caller's server runs as `nobody`, because PostgreSQL refuses root.

    with Server(installation) as server:
        psycopg.connect(server.dsn)
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tools import debian
from tools.ground import SetupError, is_root, run

NOBODY = 65534
READY = b"database system is ready to accept connections"
READY_S_MAX = 60
STOP_S_MAX = 30
POLL_S = 0.02


@dataclass(frozen=True)
class Installation:
    """Where a server's programs lie and how they are started.

    `programs` is the folder of initdb and postgres as the started process sees it; `root` is the
    whole Debian tree to change into, if any; `libraries` is a folder to load shared libraries from,
    if any; `settings` are `name=value` for every server.
    """

    programs: Path
    root: Path | None = None
    libraries: Path | None = None
    settings: tuple[str, ...] = ()

    def command(self, program: str, *arguments: str | Path) -> list[str]:
        """Return the command line of a program, run without privilege and inside the root."""
        argv = (*self.entrance(), self.programs / program, *arguments)
        return [os.fspath(part) for part in argv]

    def entrance(self) -> tuple[str, ...]:
        """Return the program that drops privilege, changes the root, or both, then goes on."""
        match is_root(), self.root:
            case True, None:
                return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
            case True, root:
                return ("chroot", f"--userspec={NOBODY}:{NOBODY}", str(root))
            case _, None:
                return ()
            case _, root:
                return ("unshare", "--user", "--map-current-user", f"--root={root}")

    def environ(self) -> dict[str, str]:
        """Return the variables every program of the installation runs under."""
        plain = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        return plain | ({"LD_LIBRARY_PATH": str(self.libraries)} if self.libraries else {})

    def scratch(self) -> Path:
        """Return the folder, as seen from here, that servers keep their data under."""
        return self.root / "tmp" if self.root else Path(tempfile.gettempdir())

    def inside(self, path: Path) -> Path:
        """Translate a path seen from here into what the started process sees."""
        return Path("/") / path.relative_to(self.root) if self.root else path


def installation() -> Installation:
    """Find the machine's PostgreSQL, else the unpacked one.

    Raises SetupError when there is neither.
    """
    postgres = debian.locate("postgres")
    if postgres is None:
        raise SetupError("no PostgreSQL is set up here: `make test` does it")
    cached = postgres.is_relative_to(debian.tree())
    libraries = debian.library_folder(debian.tree()).resolve() if cached else None
    return Installation(postgres.resolve().parent, libraries=libraries)


class Server:
    """One server with an empty cluster: user `postgres`, no password, loopback only.

    Leaving the context stops it and deletes its data; `stop` and `start` in between keep the data.
    Raises SetupError when the server does not come up.
    """

    def __init__(self, where: Installation, port: int = 0) -> None:
        self.where = where
        self.port = port or free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="uns-postgres-", dir=where.scratch()))
        self.process: subprocess.Popen[bytes] | None = None
        if is_root():
            os.chown(self.folder, NOBODY, NOBODY)

    @property
    def dsn(self) -> str:
        """The address of the server's first database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start the server on its data; return when it accepts connections."""
        settings = [f"-c{setting}" for setting in self.where.settings]
        flags = ["-p", str(self.port), "-h", "127.0.0.1", "-k", "", "-F", *settings]
        data = self.where.inside(self.folder) / "cluster"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.where.command("postgres", "-D", data, *flags),
                env=self.where.environ(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait_until_ready(self.process)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT ends it in order, SIGQUIT like a crash that needs recovery."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(STOP_S_MAX)
            self.process = None

    @property
    def log(self) -> Path:
        """What the server printed since its last start."""
        return self.folder / "log"

    def __enter__(self) -> Self:
        try:
            self._make_cluster()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def _make_cluster(self) -> None:
        data = self.where.inside(self.folder) / "cluster"
        flags = ("-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        argv = self.where.command("initdb", "-D", data, *flags)
        run(argv, env=self.where.environ(), cwd=Path("/"), quiet=True)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        give_up = time.monotonic() + READY_S_MAX
        while READY not in self.log.read_bytes():
            if process.poll() is not None or time.monotonic() > give_up:
                raise SetupError(f"PostgreSQL does not start:\n{self.log.read_text()}")
            time.sleep(POLL_S)


def free_port() -> int:
    """Return a port of loopback that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
