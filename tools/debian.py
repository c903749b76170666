"""Debian packages without installing them: resolve, download, unpack below the cache folder.

apt works on private state, so it needs no privilege, touches no system file and starts no service;
it still checks every signature and takes what the machine has installed into account. The reasons
are in docs/adr/0002-provisioning.md.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tools.ground import SetupError, cache_dir, run, step

PACKAGE_OF = {
    "mosquitto": "mosquitto",
    "mosquitto_sub": "mosquitto-clients",
    "postgres": "postgresql",
    "mbpoll": "mbpoll",
    "chromium": "chromium",
}
SYSTEM_FOLDERS = ("usr/sbin", "usr/bin", "usr/lib/postgresql/*/bin")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
WRAPPED = ("usr/*bin/mosquitto*", "usr/bin/mbpoll", "usr/lib/chromium/chromium")
WRAPPER = """#!/bin/sh
debian=$(dirname "$0")/../debian
LD_LIBRARY_PATH={libraries} exec "$debian/{program}" "$@"
"""


def tree() -> Path:
    """Return the folder that the packages are unpacked into."""
    return cache_dir() / "debian"


def wrappers() -> Path:
    """Return the folder of ready-to-run commands, made to stand on PATH."""
    return cache_dir() / "bin"


def locate(program: str) -> Path | None:
    """Find a program on PATH, then in the system's folders, then in the cache."""
    on_path = shutil.which(program)
    if on_path:
        return Path(on_path)
    return newest(Path("/"), program) or (newest(tree(), program) if unpacked(program) else None)


def newest(root: Path, program: str) -> Path | None:
    """Find a program below a root; where versions lie side by side, the highest one."""
    found = [path for folder in SYSTEM_FOLDERS for path in root.glob(f"{folder}/{program}")]
    return max(found, key=version_of, default=None)


def version_of(path: Path) -> tuple[int, ...]:
    """Read the version numbers that a path names: .../postgresql/15/bin/postgres is (15,)."""
    return tuple(int(part) for part in path.parts if part.isdecimal())


def unpacked(program: str) -> bool:
    """Whether the package of a program was unpacked to its end."""
    return marker(PACKAGE_OF[program]).is_file()


def marker(package: str) -> Path:
    """Return the file that is written once a package and its needs are unpacked."""
    return tree() / ".unpacked" / package


def provide(packages: Sequence[str]) -> None:
    """Unpack packages, and what they need beyond this machine's own, into the cache.

    Raises SetupError when there is no apt, no network or no such package.
    """
    missing = [package for package in packages if not marker(package).is_file()]
    if not missing:
        return
    unpack(missing, tree())
    for programs in WRAPPED:
        wrap(tree().glob(programs))
    for package in missing:
        marker(package).parent.mkdir(exist_ok=True)
        marker(package).touch()


def wrap(programs: Iterable[Path]) -> None:
    """Write one command per unpacked program that sets its library path and becomes it."""
    wrappers().mkdir(exist_ok=True)
    folder = library_folder(tree())
    folders = [folder, *filter(Path.is_dir, [folder / "pulseaudio"])]  # what Chromium also wants
    libraries = ":".join(f"$debian/{folder.relative_to(tree())}" for folder in folders)
    for program in programs:
        command = wrappers() / program.name
        inside = program.relative_to(tree())
        command.write_text(WRAPPER.format(libraries=libraries, program=inside))
        command.chmod(0o755)


def library_folder(root: Path) -> Path:
    """Return the unpacked shared libraries' folder, such as usr/lib/x86_64-linux-gnu."""
    return next(root.glob("usr/lib/*-linux-*"), root / "usr/lib")


def unpack(packages: Sequence[str], root: Path, suite: str | None = None) -> None:
    """Unpack packages into root with all that this machine lacks; of another suite, with all."""
    if not shutil.which("apt-get"):
        raise SetupError("this machine has no apt-get")
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="apt-", dir=cache_dir()) as folder:
        apt = ["apt-get", *settings(Path(folder), suite), "-y", "-qq"]
        with step(f"looking up Debian packages: {', '.join(packages)}"):
            plan = look_up(apt, packages)
        with step(f"downloading {summary(plan)}"):
            run([*apt, "--download-only", "install", *packages], quiet=True)
        with step(f"unpacking into {root}"):
            merge_usr(root)
            for archive in sorted(Path(folder).glob("cache/archives/*.deb")):
                extract(archive, root)


def look_up(apt: list[str], packages: Sequence[str]) -> str:
    """Return apt's plan for packages; a failure tells also why the lists may be incomplete."""
    warnings = run([*apt, "update"], quiet=True)
    try:
        return run([*apt, "--print-uris", "install", *packages], quiet=True)
    except SetupError as error:
        raise SetupError(f"{error}\n{warnings.strip()}".strip()) from error


def summary(plan: str) -> str:
    """Word apt's `'ADDRESS' FILE BYTES CHECKSUM` lines: how many packages, how much to load."""
    sizes = [int(size) for size in re.findall(r"^'[^']+' \S+\.deb (\d+) ", plan, re.MULTILINE)]
    return f"{len(sizes)} packages, {sum(sizes) / 1e6:.1f} MB"


def settings(folder: Path, suite: str | None) -> Iterator[str]:
    """Yield apt's options for private state in folder; with a suite, for an empty machine of it."""
    for part in ("state/lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    options = {
        "Dir::State": folder / "state",
        "Dir::State::status": "/var/lib/dpkg/status",
        "Dir::Cache": folder / "cache",
        "Debug::NoLocking": "true",
        "APT::Sandbox::User": "root",
        "APT::Install-Recommends": "false",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Acquire::http::Timeout": "30",
    }
    if suite:
        options |= empty_machine(folder, suite)
    for name, value in options.items():
        yield from ("-o", f"{name}={value}")


def empty_machine(folder: Path, suite: str) -> dict[str, Path | str]:
    """Describe a machine with nothing installed, fed from this machine's mirror."""
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n")
    return {
        "Dir::State::status": folder / "status",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
    }


def mirror() -> str:
    """Return the address that this machine gets its own release from."""
    indexes = run(["apt-get", "-o", "Debug::NoLocking=true", "update", "--print-uris"], quiet=True)
    return mirror_of(Path("/etc/os-release").read_text(), indexes)


def mirror_of(os_release: str, indexes: str) -> str:
    """Pick the mirror of a Debian release out of apt's `'ADDRESS/dists/RELEASE/...' ...` lines."""
    facts = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', os_release, re.MULTILINE))
    codename = re.escape(facts.get("VERSION_CODENAME", ""))
    found = re.search(rf"^'(\S+)/dists/{codename}/InRelease'", indexes, re.MULTILINE)
    if facts.get("ID") != "debian" or found is None:
        raise SetupError("apt knows no Debian mirror on this machine")
    return found[1]


def merge_usr(root: Path) -> None:
    """Lay out /bin, /lib and their kin as links into /usr, as every Debian has them."""
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        if not (root / name).is_symlink():
            (root / name).symlink_to(f"usr/{name}")


def extract(archive: Path, root: Path) -> None:
    """Unpack one package file; its links and modes are kept, its owner becomes the caller."""
    contents = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE)
    tar = ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", os.fspath(root)]
    with contents:
        done = subprocess.run(tar, stdin=contents.stdout, check=False)
    if contents.returncode or done.returncode:
        raise SetupError(f"cannot unpack {archive.name} into {root}")
