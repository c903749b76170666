"""Disks that lose power, and disks that are small.

Owns mounts and nothing above them: who has files open there is told to stop by others first.
A power cut is ext4's own shutdown without a flush of its journal: what was not synced is gone when
the volume is mounted again. The device below keeps what ext4 had sent to it, in its order; a disk
that lies about a flush is not simulated.
"""

import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.faults.privilege import need_root, system

SHUTDOWN: Final = 0x8004_587D
"""EXT4_IOC_SHUTDOWN = _IOR('X', 125, __u32), fs/ext4/ext4.h."""
NO_LOG_FLUSH: Final = 2
JOURNAL_MB: Final = 8
FREE_S_MAX: Final = 10.0
PIECE: Final = 4096
"""Bytes: what a file system gives at least."""
REPAIRED: Final = (0, 1)
"""Exit codes of e2fsck(8): nothing to mend, or all mended."""


class Volume:
    """An ext4 file system in an image file; `at` is where it is mounted.

    It stays one device from the first mount to `discard`, as a disk does over a power cut: a file
    on another device is another file.
    """

    def __init__(self, image: Path, at: Path, size_mb: int) -> None:
        self.at = at
        self._is_mounted = False
        at.mkdir(parents=True, exist_ok=True)
        with image.open("wb") as file:
            file.truncate(size_mb << 20)
        options = ("-q", "-F", "-m", "0", "-J", f"size={JOURNAL_MB}")
        system("mkfs.ext4", *options, image)
        self._device = system("losetup", "--find", "--show", image).strip()
        self.power_on()

    def lose_power(self) -> None:
        """From now on every access fails; what was not synced is lost."""
        folder = os.open(self.at, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(folder, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(folder)

    def power_off(self) -> None:
        """Unmount; whoever had files open has ended, or is about to."""
        end_s = time.monotonic() + FREE_S_MAX
        while self._is_mounted:
            answer = subprocess.run(["umount", self.at], capture_output=True, check=False)
            self._is_mounted = answer.returncode != 0
            assert time.monotonic() < end_s, f"{self.at}: {answer.stderr.decode()}"
            if self._is_mounted:
                time.sleep(0.02)

    def power_on(self) -> None:
        """Check, which replays the journal, and mount."""
        check = subprocess.run(
            ["e2fsck", "-p", self._device], capture_output=True, text=True, check=False
        )
        assert check.returncode in REPAIRED, check.stdout + check.stderr
        system("mount", self._device, self.at)
        self._is_mounted = True

    def discard(self) -> None:
        """Unmount for good, and give the device back."""
        self.power_off()
        system("losetup", "--detach", self._device)


@contextmanager
def volumes(folder: Path, names: Sequence[str], size_mb: int) -> Iterator[list[Volume]]:
    """Volumes mounted at `folder/name`, for as long as the context lasts."""
    need_root("a loop mount")
    with ExitStack() as stack:
        mounted = list[Volume]()
        for name in names:
            mounted.append(Volume(folder / f"{name}.ext4", folder / name, size_mb))
            stack.callback(mounted[-1].discard)
        yield mounted


class SmallDisk:
    """A disk in memory. `fill` it and nothing more can be written; `clear`, and there is room."""

    def __init__(self, at: Path, size_mb: int) -> None:
        self.at = at
        self._ballast = at / "ballast"
        at.mkdir(parents=True, exist_ok=True)
        system("mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", at)

    def fill(self) -> None:
        """Somebody else's file takes all that is free; again, what has become free since."""
        with self._ballast.open("ab", buffering=0) as ballast, suppress(OSError):
            while True:
                ballast.write(bytes(PIECE))

    def clear(self) -> None:
        """Somebody else's file is gone."""
        self._ballast.unlink()

    @property
    def free_bytes(self) -> int:
        """What may still be written."""
        disk = os.statvfs(self.at)
        return disk.f_bavail * disk.f_frsize


@contextmanager
def small_disk(at: Path, size_mb: int) -> Iterator[SmallDisk]:
    """A small disk, for as long as the context lasts."""
    need_root("a tmpfs")
    disk = SmallDisk(at, size_mb)
    try:
        yield disk
    finally:
        system("umount", "-l", at)
