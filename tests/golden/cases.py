"""Golden cases of processors: a folder with facts, what must come of them, and why (README.md).

events.jsonl holds one fact a line; `at` is local or any other ISO time, and a line with `tick`
lets time pass. expected.json may leave keys out: what it states must hold, and it states all
outputs and all topics. A `..._ms` key may be given as an ISO time there. plant.json, where there is
one, says how the plant differs from the example: a JSON merge patch (RFC 7396).
"""

import json
from collections.abc import Iterator
from datetime import datetime
from math import isclose
from pathlib import Path
from typing import Any

from processors import PROCESSORS
from tests.example import numbered, plant
from uns.fold import Document, Draft, Tick, advance, key_of_event
from uns.model.events import Event
from uns.model.plant import Plant


def at_ms(text: str) -> int:
    """ISO time to ms since epoch."""
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


def facts(lines: str) -> list[Event | Tick]:
    """Events, numbered as one source's, and ticks, in the order of the lines."""
    rows = [json.loads(line) for line in lines.splitlines() if line]
    events = iter(
        numbered(
            {**{k: v for k, v in row.items() if k != "at"}, "at_ms": at_ms(row["at"])}
            for row in rows
            if "tick" not in row
        )
    )
    return [Tick(at_ms(row["tick"])) if "tick" in row else next(events) for row in rows]


def plant_of(folder: Path) -> Plant:
    """The example plant as a case has it."""
    patch = folder / "plant.json"
    if not patch.exists():
        return plant()
    example = plant().model_dump(mode="json")
    return Plant.model_validate(merged(example, json.loads(patch.read_text())))


def merged(document: Any, patch: Any) -> Any:
    """A document with a merge patch applied: objects are merged, null takes a key out."""
    if not isinstance(patch, dict):
        return patch
    found = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        found[key] = merged(found.get(key), value)
    return {key: value for key, value in found.items() if key not in patch or value is not None}


def played(
    name: str, steps: list[Event | Tick], of_plant: Plant | None = None
) -> tuple[list[Draft], dict[str, Document]]:
    """What a processor puts out, and its documents at the end."""
    processor = PROCESSORS[name](of_plant or plant())
    line = next(key_of_event(step) for step in steps if not isinstance(step, Tick))
    state, outputs = processor.initial(line or ""), list[Draft]()
    for step in steps:
        if isinstance(step, Tick):
            state = processor.fold(state, step).state
        else:
            done = advance(processor, state, step)
            state, outputs = done.state, [*outputs, *done.outputs]
    return outputs, dict(processor.documents(state))


def differences(expected: Any, actual: Any, where: str = "") -> Iterator[str]:
    """Where `actual` does not have what `expected` states; lists must match in length."""
    match expected, actual:
        case dict(), dict():
            yield from _missing(expected, actual, where)
        case list(), list() | tuple():
            if len(expected) != len(actual):
                yield f"{where}: {len(actual)} instead of {len(expected)}"
            for i, (one, other) in enumerate(zip(expected, actual, strict=False)):
                yield from differences(one, other, f"{where}[{i}]")
        case float(), float():
            if not isclose(expected, actual, rel_tol=1e-12):
                yield f"{where}: {actual} instead of {expected}"
        case _:
            if type(expected) is not type(actual) or expected != actual:
                yield f"{where}: {actual!r} instead of {expected!r}"


def _missing(expected: Document, actual: Document, where: str) -> Iterator[str]:
    for key, value in expected.items():
        if key not in actual:
            yield f"{where}/{key}: missing"
            continue
        wanted = at_ms(value) if key.endswith("_ms") and isinstance(value, str) else value
        yield from differences(wanted, actual[key], f"{where}/{key}")


def shown(outputs: list[Draft]) -> list[Document]:
    """Outputs as expected.json states them."""
    return [{"type": o.type, "path": o.path, "at_ms": o.at_ms, **o.body} for o in outputs]


def case_folders(root: Path, name: str) -> list[Path]:
    """The cases of one processor."""
    return sorted(path.parent for path in (root / name).glob("*/events.jsonl"))
