"""`uns report`: the main charts of a time as one HTML file, whole or not at all."""

import os
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from dashboards.report.facts import gather
from dashboards.report.page import page
from uns.cli.errors import UsageError
from uns.cli.folder import find_folder
from uns.cli.options import instant_ms
from uns.cli.output import print_json, say
from uns.cli.reading import plant_time, selected_lines
from uns.cli.store import open_store
from uns.historian.history.period import Period, period

SHOWN_MS: Final = 8 * 3_600_000
"""A shift: what is told when no time is named."""


def report(
    window: tuple[str | None, str | None],
    line: str | None,
    out: Path,
    data: Path | None,
    *,
    as_json: bool,
) -> None:
    """Write the report of a time over a file of the same name."""
    folder = find_folder(data)
    plant = folder.load_plant()
    asked = _asked(window, plant_time(folder))
    with open_store(folder) as reader:
        facts = gather(reader, plant, asked, selected_lines(plant, line))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    text = page(facts, f"uns-mes {version('uns-mes')}, made {now}")
    write_whole(out, text.encode())
    if as_json:
        told = {"file": str(out), "bytes": len(text.encode()), "lines": len(facts.lines)}
        print_json({**told, "from_ms": asked.from_ms, "to_ms": asked.to_ms})
    else:
        say(f"{out}: {len(facts.lines)} lines, {len(text.encode()) // 1024} kB")


def _asked(window: tuple[str | None, str | None], now_ms: int) -> Period:
    to_ms = min(instant_ms(window[1], now_ms, now_ms), now_ms)
    from_ms = instant_ms(window[0], now_ms, to_ms - SHOWN_MS)
    if from_ms >= to_ms:
        raise UsageError("--from lies behind --to")
    return period(from_ms, to_ms)


def write_whole(out: Path, content: bytes) -> None:
    """Write a file of which a reader never sees half."""
    handle, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(out)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
