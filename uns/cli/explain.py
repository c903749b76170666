"""`uns explain` shows why a figure is what it is: the intervals behind it, and the figure again.

Of a running hub the retained document is explained, of a stopped one the newest on record.
"""

import time
from typing import Annotated, Any, Final

import typer

from uns.cli.errors import CommandError
from uns.cli.folder import Folder, find_folder
from uns.cli.live import per_cent
from uns.cli.options import Data, Json, iso
from uns.cli.output import print_json, print_table, say
from uns.cli.reading import newest, parsed
from uns.cli.store import open_store
from uns.fold import Document
from uns.historian.history.behind import Behind, Interval, behind
from uns.model.path import parse_topic

LOOKS: Final = 20
AGAIN_S: Final = 0.5
"""A document is at the broker a little before the record has the intervals it was made of."""
RATIOS: Final = ("oee", "availability", "effectiveness", "quality_ratio", "nee", "teep", "coverage")


def explain(
    topic: Annotated[str, typer.Argument(help="A topic below `_state/oee…`.")],
    *,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show what a figure is made of. Its intervals by event id; exit code 1 if they do not give it.

    Recomputes the document from its intervals on record and what was open, to the digit.
    """
    found = _explained(find_folder(data), topic)
    if as_json:
        equal = not found.differences
        print_json({"equal": equal, **found.model_dump(mode="json")})
    else:
        _print(found)
    if found.differences:
        raise typer.Exit(1)


def _explained(folder: Folder, topic: str) -> Behind:
    parse_topic(topic)
    document = _document(folder, topic)
    with open_store(folder) as reader:
        found = behind(reader, topic, document)
        for _ in range(LOOKS if folder.running else 0):
            if len(found.intervals) == found.closed:
                break
            time.sleep(AGAIN_S)
            found = behind(reader, topic, document)
    return found


def _document(folder: Folder, topic: str) -> Document:
    payload = newest(folder, topic).get(topic)
    document = parsed(payload) if payload else None
    if not isinstance(document, dict):
        raise CommandError(f"nothing is shown under {topic}")
    return document


def _print(found: Behind) -> None:
    columns = ("event", "element", "state", "from", "for", "good/produced", "ideal", "order")
    print_table(columns, [_row(one) for one in found.intervals])
    say(f"{found.topic}: {found.summary}")
    say(f"{len(found.intervals)} of {found.closed} intervals of {found.path} are on record")
    say(f"open: {_sums(found.open)}")
    say(f"together: {_sums(found.figures['sums'])}")
    say(", ".join(f"{name} {per_cent(found.figures[name])}" for name in RATIOS))
    for one in found.differences:
        say(f"{one.field}: {one.shown!r} is shown, its intervals give {one.recomputed!r}")
    if not found.differences:
        say(f"equal to the digit, by policy {found.policy_id}")


def _row(one: Interval) -> tuple[Any, ...]:
    seconds = f"{(one.end_ms - one.start_ms) / 1_000:.3f} s"
    made = f"{one.gq}/{one.pq}" if one.pq else None
    ideal = f"{one.ideal_ms / 1_000:.3f} s" if one.pq else None
    return (one.id, one.element, one.state, iso(one.start_ms), seconds, made, ideal, one.order_id)


def _sums(sums: dict[str, int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sums.items() if value) or "nothing"
