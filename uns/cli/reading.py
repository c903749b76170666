"""The commands that read: the live tree while the hub runs, the record always."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from rich.text import Text
from rich.tree import Tree

from uns.cli.errors import CommandError, UsageError
from uns.cli.folder import Folder, find_folder
from uns.cli.live import per_cent
from uns.cli.options import instant_ms, iso, topic_filter
from uns.cli.output import note, print_json, print_table, say
from uns.cli.store import open_store
from uns.cli.subscribe import messages, retained
from uns.historian import queries, walks
from uns.historian.reader import Reader, open_export
from uns.model.path import matches
from uns.model.plant import Plant
from uns.model.reckoning import reckoned_at
from uns.runtime.clock import load_clock

HISTORY_DEFAULT_MS: Final = 3_600_000
WIDTH_MAX: Final = 100
TITLES: Final = ("contains", "was used in")
"""Of the ways of a genealogy."""


def tree(wanted: str | None, data: Path | None, *, as_json: bool) -> None:
    """Print the tree below a filter with the newest value of each topic."""
    folder = find_folder(data)
    selected = topic_filter(wanted or f"{folder.load_plant().enterprise}/#")
    print_tree(selected, newest(folder, selected), as_json=as_json)


def print_tree(selected: str, found: Mapping[str, bytes], *, as_json: bool) -> None:
    """Print topics as a tree, each with its value."""
    if as_json:
        print_json({topic: parsed(payload) for topic, payload in sorted(found.items())})
        return
    branches: dict[str, Tree] = {"": Tree(selected)}
    for topic, payload in sorted(found.items()):
        parent = branches[""]
        parts = topic.split("/")
        for depth, part in enumerate(parts, 1):
            here = "/".join(parts[:depth])
            if here not in branches:
                branches[here] = parent.add(part)
            parent = branches[here]
        parent.label = Text.assemble(parts[-1], (" = ", "dim"), _short(payload))
    say(branches[""])


def watch(
    wanted: str,
    data: Path | None,
    count: int | None,
    duration_s: float | None,
    *,
    as_json: bool,
) -> None:
    """Print messages as they come; of a stopped hub, the newest on record."""
    folder, selected = find_folder(data), topic_filter(wanted)
    if not folder.running:
        note(f"no hub runs on {folder.root}: these are the newest values on record")
        for topic, payload in list(newest(folder, selected).items())[:count]:
            _print_message(topic, payload, as_json=as_json)
        return
    with suppress(KeyboardInterrupt, TimeoutError):
        asyncio.run(_watch(folder, selected, count, duration_s, as_json=as_json))


async def _watch(
    folder: Folder, selected: str, count: int | None, duration_s: float | None, *, as_json: bool
) -> None:
    seen = 0
    async with asyncio.timeout(duration_s):
        async for message in messages(folder.address("operator"), selected):
            _print_message(message.topic, message.payload, as_json=as_json)
            seen += 1
            if seen == count:
                return


def related(identifier: str, data: Path | None, *, as_json: bool) -> None:
    """Print which lots and units a genealogy reaches, in both directions."""
    with open_store(find_folder(data)) as reader:
        found = {way: walks.related(reader, identifier, way) for way in walks.WAYS}
    cut = [way for way, (_, truncated) in found.items() if truncated]
    if as_json:
        print_json(
            {"id": identifier, **{w: ids for w, (ids, _) in found.items()}, "truncated": cut}
        )
        return
    if not any(ids for ids, _ in found.values()):
        raise CommandError(f"nothing on record about {identifier!r}")
    for title, (ids, _) in zip(TITLES, found.values(), strict=True):
        say(f"{identifier} {title} {len(ids)}:")
        print_table(("id",), [(id_,) for id_ in ids])
    _note_cut(cut)


def trace(identifier: str, data: Path | None, *, as_json: bool) -> None:
    """Print both directions of a lot's or unit's genealogy."""
    with open_store(find_folder(data)) as reader:
        found = walks.trace(reader, identifier)
    if as_json:
        print_json(found)
        return
    if not found["contents_of"] and not found["where_used"]:
        raise CommandError(f"nothing on record about {identifier!r}")
    for title, way in zip(TITLES, walks.WAYS, strict=True):
        say(f"{identifier} {title}:")
        rows = found[way]
        columns = list(rows[0]) if rows else []
        print_table(columns, [[row[c] for c in columns] for row in rows])
    _note_cut(found["truncated"])


def _note_cut(parts: Sequence[str]) -> None:
    if parts:
        note(f"there is more than is shown: {', '.join(parts)}")


def oee(line: str | None, shift: str, data: Path | None, *, as_json: bool) -> None:
    """Print OEE by line: the live documents, or a recorded shift by sums."""
    folder = find_folder(data)
    plant = folder.load_plant()
    lines = selected_lines(plant, line)
    if shift == "now":
        suffix = "_state/oee"
        found = newest(folder, f"{plant.enterprise}/#")
        documents = {p: parsed(found[f"{p}/{suffix}"]) for p in lines if f"{p}/{suffix}" in found}
    else:
        with open_store(folder) as reader:
            recorded = {p: _of_shift(reader, plant, p, shift) for p in lines}
            documents = {p: document for p, document in recorded.items() if document}
    if as_json:
        print_json(documents)
        return
    if not documents:
        raise CommandError(f"nothing on record about shift {shift!r}")
    print_table(
        ("line", "OEE", "availability", "effectiveness", "quality", "good/produced", "shift"),
        [_oee_row(path, document, shift) for path, document in documents.items()],
    )


def _of_shift(reader: Reader, plant: Plant, line: str, shift: str) -> dict[str, Any] | None:
    counted = plant.policy.counts_unknown
    place = reckoned_at(plant, line).path
    return queries.oee_of_shift(reader, place, shift, unknown_counted=counted)


def history(
    topic: str,
    window: tuple[str | None, str | None],
    limit: int,
    data: Path | None,
    *,
    as_json: bool,
) -> None:
    """Print the recorded values of a topic."""
    folder = find_folder(data)
    now_ms = plant_time(folder)
    end_ms = instant_ms(window[1], now_ms, now_ms)
    start_ms = instant_ms(window[0], now_ms, end_ms - HISTORY_DEFAULT_MS)
    if start_ms > end_ms:
        raise UsageError("--from lies behind --to")
    with open_store(folder) as reader:
        result = queries.history(reader, topic, start_ms, end_ms, limit)
    _print_result(result.columns, result.rows, as_json=as_json)


def query(sql: str, limit: int, data: Path | None, over: Path | None, *, as_json: bool) -> None:
    """Print the answer to one SELECT over the record, or over an export of it."""
    text = sys.stdin.read() if sql == "-" else sql
    with open_export(over) if over else open_store(find_folder(data)) as reader:
        result = reader.query(text, limit=limit)
    _print_result(result.columns, result.rows, as_json=as_json)
    if result.truncated:
        note(f"only the first {limit} rows: raise --limit for more")


def _print_result(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, as_json: bool) -> None:
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_table(columns, rows)


def newest(folder: Folder, selected: str) -> dict[str, bytes]:
    """What the topics of a filter show: of a running hub the retained tree, else the record."""
    if folder.running:
        return asyncio.run(retained(folder.address("operator"), selected))
    with open_store(folder) as reader:
        recorded = queries.newest(reader)
    return {topic: payload for topic, payload in recorded.items() if matches(selected, topic)}


def plant_time(folder: Folder) -> int:
    """Plant time now; of a stopped hub, when it stopped."""
    if folder.running:
        return load_clock(folder.root)()
    saved: dict[str, int] = json.loads((folder.root / "clock.json").read_text())
    return saved["reached_ms"]


def selected_lines(plant: Plant, wanted: str | None) -> list[str]:
    """Lines by a name or path; every line for None. UsageError where there is none."""
    lines = [p for p in plant.lines if wanted in (None, p, p.rpartition("/")[2])]
    if not lines:
        known = ", ".join(path.rpartition("/")[2] for path in plant.lines)
        raise UsageError(f"no line {wanted!r}: use one of {known}")
    return lines


def _oee_row(path: str, document: dict[str, Any], shift: str) -> list[Any]:
    sums = document["sums"]
    figures = [
        per_cent(document[k]) for k in ("oee", "availability", "effectiveness", "quality_ratio")
    ]
    name = document.get("shift", {}).get("id", shift)
    return [path, *figures, f"{sums['gq']}/{sums['pq']}", name]


def _print_message(topic: str, payload: bytes, *, as_json: bool) -> None:
    if as_json:
        print_json({"topic": topic, "payload": parsed(payload)})
    else:
        say(Text.assemble((topic, "cyan"), " ", _short(payload)))


def parsed(payload: bytes) -> Any:
    """A payload as JSON, or else as its text; None for an empty one."""
    try:
        return json.loads(payload) if payload else None
    except (ValueError, RecursionError):
        return payload.decode(errors="replace")


def _short(payload: bytes) -> str:
    """A payload in one line: a tag's value and unit, a document's summary, else its text."""
    document = parsed(payload)
    if isinstance(document, dict):
        if "summary" in document:
            return str(document["summary"])
        if "value" in document:
            quality = "" if document.get("quality") == "good" else f" ({document.get('quality')})"
            stamp = iso(document.get("timestamp_ms"))
            return f"{document['value']} {document.get('unit') or ''}{quality} at {stamp}"
    text = payload.decode(errors="replace")
    return text if len(text) <= WIDTH_MAX else f"{text[:WIDTH_MAX]}…"
