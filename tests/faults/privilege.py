"""Who may inject faults: mounts and network namespaces are root's."""

import os
import subprocess

import pytest


def need_root(what: str) -> None:
    """Skip where root is wanted and we are not; in CI that fails, so nothing passes unproven."""
    if os.geteuid() == 0:
        return
    reason = f"{what} needs root: run it as root"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def system(*argv: str | os.PathLike[str]) -> str:
    """Run a program of the system; its output. A failure carries what the program said."""
    command = [os.fspath(word) for word in argv]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, f"{' '.join(command)}: {answer.stderr or answer.stdout}"
    return answer.stdout
