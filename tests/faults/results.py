"""What the fault tests found, as JSON lines that tools/reliability.py makes a page of.

The short form prints its figures; the full one adds them to the file of results.
"""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.faults.rig import full

FILE: Final = Path(__file__).parents[2] / "docs" / "reliability.jsonl"


def record(fault: str, injected: str, figures: Mapping[str, Any], *, passed: bool) -> None:
    """Note one row. fault: its number in the matrix. figures: each by a name with its unit."""
    row = {
        "fault": fault,
        "injected": injected,
        "passed": passed,
        "figures": dict(figures),
        "profile": "full" if full() else "short",
        "day": datetime.now(UTC).date().isoformat(),
    }
    line = json.dumps(row)
    print(line)  # noqa: T201 - a figure for the reader
    if full():
        path = Path(os.environ.get("UNS_FAULT_RESULTS", FILE))
        with path.open("a") as file:
            file.write(f"{line}\n")
