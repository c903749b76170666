"""The virtual environment: made, filled from the lock files, and left alone while it is current.

The chain is python3 -m venv, then pip, then the pinned uv, then everything else with hashes. pip
runs out of a wheel: the one that Python carries or, where Debian cut it out, python3-pip-whl's.
"""

import ast
import os
import sys
import sysconfig
from collections.abc import Collection
from itertools import chain
from pathlib import Path

from tools import debian
from tools.ground import ROOT, SetupError, fingerprint, is_current, run, step

VENV = ROOT / ".venv"
PYTHON = VENV / "bin/python"
COMMAND = VENV / "bin/uns"
LOCKS = ROOT / "tools/lock"
PIP_PACKAGE = "python3-pip-whl"
PIP_WHEEL = "usr/share/python-wheels/pip-*.whl"
SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
UV_NAME_OF = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}
PIP_SECTIONS = ("global", "install", ":env:")


def ensure(lock: str) -> None:
    """Bring .venv to the state of a lock, `runtime` or `dev`; `dev` contains `runtime`.

    Raises SetupError when pip is not to be had or a download fails.
    """
    if is_ready(lock):
        return
    if not PYTHON.exists():
        create()
    install_uv()
    install(lock)
    stamp(lock).write_text(wanted(lock))


def is_ready(lock: str) -> bool:
    """Whether .venv already holds a lock's packages and the `uns` command."""
    done = any(is_current(stamp(name), wanted(name)) for name in {lock, "dev"})
    return done and COMMAND.exists() and PYTHON.exists()


def stamp(lock: str) -> Path:
    """Return the file that says which state of a lock was installed last."""
    return VENV / f".installed-{lock}"


def wanted(lock: str) -> str:
    """Fingerprint everything that decides what .venv holds for a lock."""
    locks = (LOCKS / f"{name}.txt" for name in ("uv", lock, "build"))
    return fingerprint(str(ROOT), *locks, ROOT / "pyproject.toml")


def packages(lock: str) -> list[str]:
    """Name the Debian packages that `ensure` takes here: pip, where Python lacks it."""
    return [] if is_ready(lock) or pip_wheels() else [PIP_PACKAGE]


def create() -> None:
    """Make the virtual environment, bare."""
    with step(f"making {VENV}"):
        run([sys.executable, "-m", "venv", "--clear", "--without-pip", VENV])


def install_uv() -> None:
    """Install the pinned uv."""
    options = ("--quiet", "--disable-pip-version-check", "--require-hashes")
    with step("installing uv"):
        pip("install", *options, "-r", LOCKS / "uv.txt", quiet=False)


def pip(*arguments: str | Path, quiet: bool = True) -> str:
    """Run pip out of its wheel for .venv; return what it printed when quiet."""
    wheels = pip_wheels()
    if not wheels:
        raise SetupError("this Python has no pip: install python3-venv")
    environ = {"PYTHONPATH": str(wheels[0])}
    return run([PYTHON, "-m", "pip", *arguments], env=environ, quiet=quiet)


def pip_wheels() -> list[Path]:
    """Find the wheels of pip: Python's own, Debian's as installed, Debian's as unpacked."""
    own = Path(sysconfig.get_path("stdlib")).glob("ensurepip/_bundled/pip-*.whl")
    debians = (root.glob(PIP_WHEEL) for root in (Path("/"), debian.tree()))
    return [*own, *chain.from_iterable(debians)]


def uv(*arguments: str | Path) -> None:
    """Run the pinned uv with the index settings that pip has on this machine."""
    environ = uv_environment(pip("config", "list"), os.environ)
    run([VENV / "bin/uv", *arguments], env=environ)


def uv_environment(pip_config: str, environ: Collection[str]) -> dict[str, str]:
    """Translate what `pip config list` prints into uv's variables; those already set stay.

    A later section of PIP_SECTIONS outweighs an earlier one, as it does for pip.
    """
    found = {"UV_PYTHON_DOWNLOADS": "never", "UV_COMPILE_BYTECODE": "1"}
    if SYSTEM_CERTIFICATES.exists():
        found["UV_SYSTEM_CERTS"] = "1"
    options = [line.partition("=") for line in pip_config.splitlines()]
    for section in PIP_SECTIONS:
        for key, _, value in options:
            owner, _, name = key.rpartition(".")
            if owner == section and name in UV_NAME_OF:
                found[UV_NAME_OF[name]] = " ".join(str(ast.literal_eval(value)).split())
    return {name: value for name, value in found.items() if name not in environ}


def install(lock: str) -> None:
    """Install a lock's packages and this project, editable; nothing is uninstalled."""
    into = ("pip", "install", "--python", PYTHON)
    build = ("--no-deps", "--build-constraints", LOCKS / "build.txt")
    with step(f"installing the Python packages of {lock}.txt"):
        uv(*into, "--require-hashes", "-r", LOCKS / f"{lock}.txt")
        uv(*into, *build, "--editable", ROOT)
