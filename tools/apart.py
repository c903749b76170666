"""Foreign Python programs to test against, each in a virtual environment of its own in the cache.

pysparkplug needs an older MQTT client than the hub, and Tryton is GPL: neither can be in .venv, and
no code of the project imports them.
"""

from dataclasses import dataclass
from pathlib import Path

from tools import python_env
from tools.ground import cache_dir, fingerprint, is_current, step


@dataclass(frozen=True)
class Apart:
    """An environment with the packages of tools/lock/NAME.txt."""

    name: str

    def ensure(self) -> None:
        """Make it as locked.

        Raises SetupError when the packages are not to be had.
        """
        stamp = self.folder / ".installed"
        wanted = fingerprint(str(self.folder), self._lock)
        if is_current(stamp, wanted) and self.program("python").exists():
            return
        into = ("--python", self.program("python"))
        with step(f"installing {self.name} beside the hub"):
            python_env.uv("venv", "--quiet", "--clear", "--python", python_env.PYTHON, self.folder)
            python_env.uv("pip", "install", *into, "--require-hashes", "-r", self._lock)
        stamp.write_text(wanted)

    def program(self, name: str) -> Path:
        """Return one of its programs, `python` among them."""
        return self.folder / "bin" / name

    @property
    def folder(self) -> Path:
        """Return where it is; what else lies there is gone when it is made anew."""
        return cache_dir() / self.name

    @property
    def _lock(self) -> Path:
        return python_env.LOCKS / f"{self.name}.txt"


PYSPARKPLUG = Apart("pysparkplug")
TRYTON = Apart("tryton")
