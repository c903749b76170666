"""What every set-up step stands on: places, progress lines, child programs, stamps.

Runs on the system's python3 before anything is installed, so it knows the standard library only.
Everything it prints goes to standard error: standard output belongs to the command that follows.
"""

import hashlib
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARED_CACHE = Path("/var/cache/uns-mes")
STEP_S_MAX = 900
TAIL_LINES = 15
COMMAND_CHARS = 100


class SetupError(Exception):
    """A step that cannot be done here; the message says why and what would help."""


def is_root() -> bool:
    """Whether this process may act for every user of the machine."""
    return os.geteuid() == 0


def cache_dir() -> Path:
    """Return the folder for everything unpacked: $UNS_CACHE, else .cache in the checkout."""
    return Path(os.environ.get("UNS_CACHE") or ROOT / ".cache").absolute()


def prepare_cache() -> None:
    """Make the cache folder; below a private home root's is a link to a folder under /var/cache.

    PostgreSQL refuses to run as root, so the user it runs as must be able to reach its programs.
    """
    cache = cache_dir()
    if is_root() and not cache.exists() and not open_to_others(cache.parent):
        cache.unlink(missing_ok=True)
        SHARED_CACHE.mkdir(parents=True, exist_ok=True)
        cache.symlink_to(SHARED_CACHE)
    cache.mkdir(parents=True, exist_ok=True)


def open_to_others(folder: Path) -> bool:
    """Whether a user without rights of its own may walk down to this folder."""
    return all(
        place.stat().st_mode & 0o001 for place in (folder, *folder.parents) if place.exists()
    )


def say(text: str) -> None:
    """Print one progress line on standard error."""
    print(f"setup: {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Announce a step that may take long, and how long it took."""
    say(f"{text} ...")
    began = time.monotonic()
    yield
    say(f"{text}: done in {time.monotonic() - began:.1f} s")


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    quiet: bool = False,
) -> str:
    """Run a program to its end; return what it printed when quiet, else let it print on stderr.

    Raises SetupError when it is missing, fails or outlasts STEP_S_MAX.
    """
    environ = None if env is None else {**os.environ, **env}
    try:
        done = subprocess.run(
            argv,
            env=environ,
            cwd=cwd,
            check=False,
            timeout=STEP_S_MAX,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if quiet else sys.stderr,
            stderr=subprocess.STDOUT if quiet else None,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"{argv[0]}: {error}") from error
    if done.returncode != 0:
        raise SetupError(failure(argv, done.returncode, done.stdout or ""))
    return done.stdout or ""


def failure(argv: Sequence[str | Path], status: int, output: str) -> str:
    """Word a failed program: its command, its exit status, the end of what it printed."""
    command = textwrap.shorten(" ".join(map(str, argv)), COMMAND_CHARS, placeholder=" ...")
    tail = output.strip().splitlines()[-TAIL_LINES:]
    return "\n".join([f"`{command}` ended with status {status}", *tail])


def fingerprint(*parts: str | Path) -> str:
    """Digest literal strings and the contents of files, in order; a missing file counts as such."""
    digest = hashlib.sha256()
    for part in parts:
        known = isinstance(part, str) or part.is_file()
        content = part.encode() if isinstance(part, str) else part.read_bytes() if known else b""
        digest.update(f"{known}:{len(content)}:".encode() + content)
    return digest.hexdigest()


def is_current(stamp: Path, wanted: str) -> bool:
    """Whether the stamp file holds the fingerprint of what is wanted now."""
    return stamp.is_file() and stamp.read_text() == wanted
