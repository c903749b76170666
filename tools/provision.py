"""What a make target needs on a fresh machine, and only that: `python3 -m tools.provision TARGET`.

One table says what each target needs; what is there already costs a look at a stamp. What cannot be
had is said in one line. That ends the set-up for the Python packages, and with CI set also for
everything else; otherwise the target goes on with less.
"""

import fcntl
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tools import debian, node, python_env, timescale
from tools.apart import PYSPARKPLUG, TRYTON
from tools.ground import SetupError, cache_dir, prepare_cache, say

UMASK = 0o022
WITHOUT_BROKER = "uns will use the embedded broker amqtt, and says what is weaker"
WITHOUT_SERVICE = "tests that need it are skipped"


@dataclass(frozen=True)
class Target:
    """What a make target stands on.

    `lock` is the Python packages' lock, `programs` are keys of debian.PACKAGE_OF, `services` are
    further steps by name, `without` says what the lack of a program or service means.
    """

    lock: str
    programs: tuple[str, ...] = ()
    services: tuple[tuple[str, Callable[[], None]], ...] = ()
    without: str = ""


SERVICES = (
    ("Node.js", node.ensure),
    ("pysparkplug", PYSPARKPLUG.ensure),
    ("Tryton", TRYTON.ensure),
    ("TimescaleDB", timescale.ensure),
)
TARGETS = {
    "demo": Target("runtime", ("mosquitto", "mosquitto_sub"), without=WITHOUT_BROKER),
    "lint": Target("dev"),
    "test": Target("dev", tuple(debian.PACKAGE_OF), SERVICES, WITHOUT_SERVICE),
}


def provide(target: Target, lacks: list[str]) -> None:
    """Set up a target; append to lacks what could not be had, and why.

    Raises SetupError when the Python packages cannot be had.
    """
    attempt("Debian packages", lambda: debian.provide(packages_for(target)), lacks)
    python_env.ensure(target.lock)
    for name, ensure in target.services:
        attempt(name, ensure, lacks)


def packages_for(target: Target) -> Sequence[str]:
    """Name the Debian packages of what the machine lacks."""
    missing = [program for program in target.programs if debian.locate(program) is None]
    return [*python_env.packages(target.lock), *(debian.PACKAGE_OF[program] for program in missing)]


def attempt(name: str, ensure: Callable[[], None], lacks: list[str]) -> None:
    """Try a step; when it fails, append its name and the reason to lacks."""
    try:
        ensure()
    except SetupError as error:
        lacks.append(f"no {name}: {error}")


def main() -> int:
    """Set up the target named on the command line; return the exit status."""
    os.umask(UMASK)
    target = TARGETS[sys.argv[1]]
    lacks: list[str] = []
    try:
        prepare_cache()
        with (cache_dir() / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            provide(target, lacks)
    except PermissionError as error:
        say(f"{error}; if another user's run left it, remove .cache and .venv")
        return 1
    except SetupError as error:
        say(str(error))
        return 1
    finally:
        for lack in lacks:
            say(lack)
    if lacks:
        say(target.without)
    return 1 if lacks and os.environ.get("CI") else 0


if __name__ == "__main__":
    sys.exit(main())
