"""The Python package pysparkplug, foreign Sparkplug code to test against, in an environment alone.

It needs an older MQTT client than the hub, so it cannot be in .venv.
"""

from pathlib import Path

from tools import python_env
from tools.ground import cache_dir, fingerprint, is_current, step

LOCK = python_env.LOCKS / "pysparkplug.txt"


def ensure() -> None:
    """Make its virtual environment as locked.

    Raises SetupError when the package is not to be had.
    """
    if is_current(stamp(), wanted()) and python().exists():
        return
    with step("installing pysparkplug beside the hub"):
        python_env.uv("venv", "--quiet", "--clear", "--python", python_env.PYTHON, folder())
        python_env.uv("pip", "install", "--python", python(), "--require-hashes", "-r", LOCK)
    stamp().write_text(wanted())


def python() -> Path:
    """Return the interpreter that can import it."""
    return folder() / "bin/python"


def folder() -> Path:
    """Return its virtual environment."""
    return cache_dir() / "pysparkplug"


def stamp() -> Path:
    """Return the file that says what the environment was made from."""
    return folder() / ".installed"


def wanted() -> str:
    """Fingerprint what decides the environment."""
    return fingerprint(str(folder()), LOCK)
