"""`make lock`: resolve the dependencies of pyproject.toml into the files of tools/lock.

A lock names versions and hashes for every platform and never a download address, so that each
machine uses the package index it is set up for.
"""

from pathlib import Path

from tools.ground import step
from tools.python_env import LOCKS, uv

OPTIONS = (
    "--universal",
    "--python-version=3.11",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-annotate",
    "--no-header",
    "--quiet",
    "--upgrade",
)
PROJECT = ("pyproject.toml", "--extra=embedded")
EXTRAS = ("--extra=grafana", "--extra=analytics", "--extra=b2mml")


def resolve(name: str, *sources: str | Path) -> None:
    """Write tools/lock/NAME.txt from uv's sources."""
    with step(f"resolving {name}.txt"):
        uv("pip", "compile", *OPTIONS, "--output-file", LOCKS / f"{name}.txt", *sources)


def main() -> None:
    """Resolve all locks; runtime.txt takes the versions that dev.txt settled on."""
    resolve("dev", *PROJECT, *EXTRAS, "--group=dev")
    resolve("runtime", *PROJECT, "--constraints", LOCKS / "dev.txt")
    resolve("build", "--group=build")
    resolve("uv", "--group=uv")
    resolve("node", "--group=node")
    resolve("pysparkplug", "--group=pysparkplug")
    resolve("tryton", "--group=tryton")


if __name__ == "__main__":
    main()
