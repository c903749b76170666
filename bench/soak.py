"""`python -m bench.soak`: a day of the demo plant at compressed time, and what its bridges keep.

Every process of the hub is looked at in equal steps: resident memory and open files. The slope is
that of a straight line through the second half, when what start-up needs has settled, in per cent
of its mean an hour of plant time. Of the open files the medians of both halves are compared.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import linear_regression, mean, median
from typing import Final, NamedTuple

import psutil

SAMPLES: Final = 240
SLOPE_PERCENT_MAX: Final = 1.0
HOUR_S: Final = 3_600


class Sample(NamedTuple):
    """One look at one process."""

    at_h: float
    rss_bytes: int
    files: int


class Verdict(NamedTuple):
    """What a process did over the day."""

    name: str
    mib: float
    slope_percent_h: float
    files_first: int
    files_last: int

    @property
    def is_flat(self) -> bool:
        """Whether nothing grew."""
        return self.slope_percent_h < SLOPE_PERCENT_MAX and self.files_last <= self.files_first


def main() -> None:
    """Run, print a table, exit 1 if something grew."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak")
    parser.add_argument("--hours", type=float, default=24, help="plant time")
    parser.add_argument("--speed", type=float, default=60, help="plant seconds per second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        verdicts = [judged(*each) for each in soak(Path(folder), options.hours, options.speed)]
    print(f"{'process':24}{'MiB':>8}{'% an hour':>12}{'files':>12}")
    for v in verdicts:
        files = f"{v.files_first} -> {v.files_last}"
        print(f"{v.name:24}{v.mib:8.1f}{v.slope_percent_h:12.3f}{files:>12}")
    sys.exit(not all(verdict.is_flat for verdict in verdicts))


def soak(folder: Path, hours: float, speed: float) -> Iterator[tuple[str, list[Sample]]]:
    """Run the demo; the samples of each process, by name."""
    wall_s = hours * HOUR_S / speed
    uns = str(Path(sys.executable).with_name("uns"))
    command = [uns, "demo", "--json", "--data", str(folder / "data")]
    command += ["--speed", str(speed), "--duration", str(round(wall_s))]
    samples: dict[str, list[Sample]] = {}
    with (folder / "log").open("wb") as log:
        hub = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        began_s = time.monotonic()
        for step in range(1, SAMPLES + 1):
            due_s = began_s + wall_s * step / (SAMPLES + 1)
            time.sleep(max(0.0, due_s - time.monotonic()))
            at_h = (time.monotonic() - began_s) * speed / HOUR_S
            for name, process in _children(hub.pid):
                looked = Sample(at_h, process.memory_info().rss, process.num_fds())
                samples.setdefault(name, []).append(looked)
        output, _ = hub.communicate()
    summary = json.loads(output.splitlines()[-1])
    print(f"{hours:g} hours at speed {speed:g}: {json.dumps(summary['verdicts'])},", end=" ")
    print(f"{summary['gaps']} gaps, {summary['rejects']} rejects")
    yield from samples.items()


def _children(pid: int) -> Iterator[tuple[str, psutil.Process]]:
    """The hub's processes that `uns.cli.child` names."""
    for process in psutil.Process(pid).children(recursive=True):
        words = process.cmdline()
        if "uns.cli.child" in words:
            yield words[words.index("uns.cli.child") + 2], process


def judged(name: str, samples: Sequence[Sample]) -> Verdict:
    """The verdict about one process, from the second half of its samples."""
    early, half = samples[: len(samples) // 2], samples[len(samples) // 2 :]
    middle = mean(s.rss_bytes for s in half)
    slope = linear_regression([s.at_h for s in half], [s.rss_bytes for s in half]).slope
    files = round(median(s.files for s in early)), round(median(s.files for s in half))
    return Verdict(name, middle / 2**20, 100 * slope / middle, *files)


if __name__ == "__main__":
    main()
