"""The disks of the fault tests lose what a power cut loses, and nothing else."""

import errno
import os
from pathlib import Path

import pytest

from tests.faults.volumes import small_disk, volumes


def write(path: Path, content: bytes, *, synced: bool) -> None:
    with path.open("ab") as file:
        file.write(content)
        file.flush()
        if synced:
            os.fsync(file.fileno())


def test_a_power_cut_takes_what_was_not_synced_and_keeps_the_rest(tmp_path: Path) -> None:
    with volumes(tmp_path, ["disk"], 32) as [disk]:
        write(disk.at / "kept", b"a", synced=True)
        write(disk.at / "kept", b"b", synced=False)
        write(disk.at / "gone", b"c", synced=False)
        disk.lose_power()
        with pytest.raises(OSError, match="error") as refused:
            write(disk.at / "late", b"d", synced=True)
        disk.power_off()
        disk.power_on()
        assert refused.value.errno == errno.EIO
        assert {path.name for path in disk.at.iterdir()} == {"kept", "lost+found"}
        assert (disk.at / "kept").read_bytes() == b"a"


def test_a_volume_is_the_same_device_after_a_power_cut_though_others_came(tmp_path: Path) -> None:
    with volumes(tmp_path, ["disk"], 32) as [disk]:
        before = disk.at.stat().st_dev
        disk.lose_power()
        disk.power_off()
        with volumes(tmp_path, ["other"], 32):
            disk.power_on()
        assert disk.at.stat().st_dev == before


def test_a_volume_leaves_no_mount_behind(tmp_path: Path) -> None:
    with volumes(tmp_path, ["one", "two"], 32) as disks:
        assert all(disk.at.is_mount() for disk in disks)
    assert not any(disk.at.is_mount() for disk in disks)


def test_a_small_disk_is_full_until_it_is_cleared(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        disk.fill()
        with pytest.raises(OSError, match="space") as refused:
            write(disk.at / "file", bytes(10_000), synced=True)
        assert (refused.value.errno, disk.free_bytes) == (errno.ENOSPC, 0)
        disk.clear()
        write(disk.at / "file", bytes(10_000), synced=True)
    assert not disk.at.is_mount()
