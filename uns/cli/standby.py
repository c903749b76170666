"""`uns worker`: a worker beside the hub's own, which takes over the lines of one that is gone."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from uns.cli.child import Context, log_to_stderr, run
from uns.cli.errors import UsageError
from uns.cli.folder import find_folder, locked
from uns.cli.output import note, print_json
from uns.cli.reading import selected_lines
from uns.model.path import TopicError, check_segment
from uns.model.plant import Plant
from uns.runtime.clock import load_clock

OF_THE_HUB: Final = re.compile(r"worker-\d+")


def worker(lines: Sequence[str], data: Path | None, name: str, *, as_json: bool) -> None:
    """Wait for lines and run them, until Ctrl-C or SIGTERM; Fenced when another has taken over."""
    folder = find_folder(data)
    plant = folder.load_plant()
    context = Context(folder, plant, load_clock(folder.root), _checked(name), _wanted(plant, lines))
    log_to_stderr()
    with locked(folder, name):
        asyncio.run(run(context, "standby"))
    if as_json:
        print_json({"worker": name, "lines": list(context.arguments), "ended": "asked to"})
    else:
        note(f"{name} has ended")


def _wanted(plant: Plant, lines: Sequence[str]) -> tuple[str, ...]:
    """The lines by name or path; all, when none is named."""
    named = (path for line in lines for path in selected_lines(plant, line))
    return tuple(dict.fromkeys(named if lines else plant.lines))


def _checked(name: str) -> str:
    """A name that can stand in a topic, and is not one that the hub gives."""
    try:
        check_segment(name)
    except TopicError as error:
        raise UsageError(f"--name: {error}") from None
    if OF_THE_HUB.fullmatch(name):
        raise UsageError(f"--name {name}: the hub calls its own workers so, choose another")
    return name
