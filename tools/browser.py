"""A browser without a window: Debian's Chromium, on files of this machine only.

Owns how it is found and started. What a picture must show is its callers' business.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from tools import debian
from tools.ground import SetupError

START_S_MAX = 120
PLAIN = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
QUIET = ("--hide-scrollbars", "--no-first-run", "--disable-extensions", "--disable-sync")
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND"


def chromium() -> Path:
    """Find the program; raises SetupError where there is none."""
    found = Path(shutil.which("chromium") or debian.wrappers() / "chromium")
    if not found.exists():
        raise SetupError("no Chromium is set up here: `make test` does it")
    return found


def browse(page: Path, size: tuple[int, int], *task: str) -> str:
    """Open a file in a window of a size and do a task; what the browser printed.

    It has a profile of its own for the time, no network, and START_S_MAX. Raises SetupError.
    """
    window = f"--window-size={size[0]},{size[1]}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = (*PLAIN, *QUIET, OFFLINE, f"--user-data-dir={profile}", window)
        done = subprocess.run(
            [chromium(), *options, *task, page.resolve().as_uri()],
            capture_output=True,
            text=True,
            check=False,
            timeout=START_S_MAX,
        )
    if done.returncode:
        raise SetupError(f"chromium ended with {done.returncode}: {done.stderr[-2_000:]}")
    return done.stdout


def screenshot(page: Path, picture: Path, size: tuple[int, int]) -> None:
    """Open a file and take its picture (PNG)."""
    browse(page, size, f"--screenshot={picture.resolve()}")


def content_after(page: Path, size: tuple[int, int]) -> str:
    """Open a file, let it run, and return its content as it is then."""
    return browse(page, size, "--dump-dom", "--virtual-time-budget=5000")
