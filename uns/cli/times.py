"""The commands that look back: the tree as it was, what changed since, and what is missing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rich.text import Text

from uns.cli.audit import STAMPS
from uns.cli.difference import Change, changes
from uns.cli.errors import UsageError
from uns.cli.folder import Folder, find_folder
from uns.cli.options import instant_ms, iso, topic_filter
from uns.cli.output import note, print_json, print_table, say
from uns.cli.reading import parsed, plant_time, print_tree
from uns.cli.store import open_store
from uns.historian import queries
from uns.historian.gaps import GAPS_MAX, Missing
from uns.historian.gaps import gaps as missing
from uns.model.path import matches

FIELDS_PRINTED_MAX: Final = 6
STYLES: Final = {"added": "green", "removed": "red", "changed": "yellow"}


def snapshot(at: str | None, wanted: str | None, data: Path | None, *, as_json: bool) -> None:
    """Print the tree as it was at an instant."""
    folder = find_folder(data)
    at_ms, selected = _instant(folder, at), _selected(folder, wanted)
    found = _as_it_was(folder, at_ms, selected)
    if not as_json:
        note(f"{len(found)} topics at {iso(at_ms)}")
    print_tree(selected, found, as_json=as_json)


def diff(first: str, second: str, wanted: str | None, data: Path | None, *, as_json: bool) -> None:
    """Print which topics came, went and changed between two instants."""
    folder = find_folder(data)
    from_ms, to_ms = _instant(folder, first), _instant(folder, second)
    if from_ms > to_ms:
        raise UsageError(f"{iso(from_ms)} lies behind {iso(to_ms)}: name the earlier time first")
    selected = _selected(folder, wanted)
    before, after = (_as_it_was(folder, at_ms, selected) for at_ms in (from_ms, to_ms))
    found = {
        "added": {t: parsed(after[t]) for t in sorted(after.keys() - before.keys())},
        "removed": {t: parsed(before[t]) for t in sorted(before.keys() - after.keys())},
        "changed": _changed(before, after),
    }
    if as_json:
        said = {t: [c._asdict() for c in changed] for t, changed in found["changed"].items()}
        print_json({"from_ms": from_ms, "to_ms": to_ms, **found, "changed": said})
    else:
        _print_diff(found)
        say(", ".join(f"{len(topics)} {kind}" for kind, topics in found.items()))


def gaps(data: Path | None, *, as_json: bool) -> None:
    """Print every event that is missing, and why."""
    with open_store(find_folder(data)) as reader:
        found = missing(reader)
    if as_json:
        print_json([gap._asdict() for gap in found])
        return
    if found:
        columns = ("source", "epoch", "from", "to", "events", "seen by", "since", "why")
        print_table(columns, [_gap_row(gap) for gap in found])
    if len(found) == GAPS_MAX:
        note(f"only the first {GAPS_MAX} gaps")
    waiting = sum(gap.open for gap in found)
    say(
        f"{len(found)} gaps, {waiting} of them may still be filled"
        if found
        else "nothing is missing"
    )


def _gap_row(gap: Missing) -> list[Any]:
    count = gap.to_seq - gap.from_seq + 1
    span = [gap.source, gap.epoch, gap.from_seq, gap.to_seq, count]
    return [*span, gap.seen_by, iso(gap.since_ms), gap.why]


def _instant(folder: Folder, text: str | None) -> int:
    now_ms = plant_time(folder)
    return instant_ms(text, now_ms, now_ms)


def _selected(folder: Folder, wanted: str | None) -> str:
    return topic_filter(wanted or f"{folder.load_plant().enterprise}/#")


def _as_it_was(folder: Folder, at_ms: int, selected: str) -> dict[str, bytes]:
    with open_store(folder) as reader:
        found = queries.snapshot(reader, at_ms)
    return {topic: payload for topic, payload in found.items() if matches(selected, topic)}


def _changed(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> dict[str, list[Change]]:
    """The stamps of a document are no news: it is said again, as it was, by every new owner."""
    found = {
        topic: [
            change
            for change in changes(parsed(before[topic]), parsed(after[topic]))
            if change.field not in STAMPS
        ]
        for topic in sorted(before.keys() & after.keys())
    }
    return {topic: changed for topic, changed in found.items() if changed}


def _print_diff(found: Mapping[str, Mapping[str, Any]]) -> None:
    for kind, topics in found.items():
        for topic, what in topics.items():
            say(Text.assemble((f"{kind:8}", STYLES[kind]), f" {topic}"))
            if kind == "changed":
                _print_changes(what)


def _print_changes(what: list[Change]) -> None:
    for one in what[:FIELDS_PRINTED_MAX]:
        say(f"         {one.field}: {one.before!r} -> {one.after!r}")
    if len(what) > FIELDS_PRINTED_MAX:
        say(f"         ... and {len(what) - FIELDS_PRINTED_MAX} more fields")
