"""`uns grafana`: the boards as files, into a running Grafana, and whether the record answers them.

Owns the words and exit codes. What is a board, a rule or a call is the business of `dashboards`.
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from dashboards.alerts import NOBODY
from dashboards.apply import GrafanaFault, Step, Wishes, apply, connect, health
from dashboards.expand import Window
from dashboards.export import BOARDS, files, write
from dashboards.provision import PASSWORD, READER, Database, database
from dashboards.verify import Finding, Server, server, verify
from uns.cli.errors import CommandError, UsageError
from uns.cli.folder import Folder, find_folder
from uns.cli.options import Data, Json, instant_ms
from uns.cli.output import note, print_json, print_table, say
from uns.cli.reading import plant_time
from uns.cli.store import open_store
from uns.historian.reader import open_reader
from uns.historian.store import locate

SHOWN_MS: Final = 8 * 3_600_000
"""What a board shows when it is opened."""
ON_DUCKDB: Final = (
    "Grafana has no source for DuckDB, so the boards ask PostgreSQL or TimescaleDB only: record"
    " with `uns up --store postgresql://...`, or read `uns report`"
)
EXTRA: Final = "grafana-client is not installed: pip install 'uns-mes[grafana]'"

grafana_app = typer.Typer(help="The Grafana boards.", rich_markup_mode=None)


@grafana_app.command("export", epilog="Example: uns grafana export /etc/grafana/uns")
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR")], *, as_json: Json = False
) -> None:
    """Write the boards as files. With what Grafana needs to load them at its start."""
    write(folder)
    names = sorted(files())
    if as_json:
        print_json([str(folder / name) for name in names])
    else:
        say(f"{len(names)} files below {folder}")


@grafana_app.command("apply", epilog="Example: uns grafana apply --url http://grafana:3000")
def apply_to(  # noqa: PLR0913 - the options of the command, each with its default
    *,
    url: Annotated[str, typer.Option(envvar="GRAFANA_URL", help="Grafana's address.")],
    token: Annotated[
        str, typer.Option(envvar="GRAFANA_TOKEN", help="A service account's token, role Admin.")
    ],
    store: Annotated[
        str | None,
        typer.Option(
            "--database",
            metavar="URL",
            help="The store as Grafana reaches it (default: as the hub does, as user reader).",
        ),
    ] = None,
    contact: Annotated[
        str | None, typer.Option(help="Whom alerts tell: mail addresses or a webhook's URL.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Bring the boards into a Grafana. Also folders, data source, alert rules and contact point.

    Writes only what differs, and touches nothing that does not carry the tag uns-mes. The password
    of the store's user is read from UNS_READER_PASSWORD. Exit code 1: something was not ours.
    """
    wishes = Wishes(BOARDS, _database(store, data), os.environ.get(PASSWORD), contact)
    steps = list[Step]()
    try:
        api = connect(url, token)
        steps.extend(apply(api, wishes, dry_run=dry_run))  # keeps what was done before a fault
        sick = None if dry_run else health(api)
    except ImportError:
        raise CommandError(EXTRA) from None
    except GrafanaFault as fault:
        _print_steps(steps, f"not asked: {fault}", contact, as_json=as_json)
        raise CommandError(str(fault)) from None
    _print_steps(steps, sick, contact, as_json=as_json)
    if any(step.action == "foreign" for step in steps):
        raise CommandError("something under our names is not ours: rename or delete it there")


@grafana_app.command("verify", epilog="Example: uns grafana verify --from 8h --slow-ms 500")
def verify_boards(
    *,
    start: Annotated[str | None, typer.Option("--from", help="2026-11-23T06:00, 10m, 2h.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="As --from; default now.")] = None,
    slow_ms: Annotated[int, typer.Option(min=1, help="What takes longer is slow.")] = 1_000,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Run every query of the boards. Says which is empty, slow or wrong; exit code 1: one is wrong.

    Panels, variables and annotations with all there is to choose, and the alert rules.
    """
    folder = find_folder(data)
    what = _server(folder)
    during = _window(folder, start, end)
    with open_store(folder) as reader:
        found = list(verify(reader, BOARDS, during, slow_ms, timescale=what.timescale))
    _print_findings(found, as_json=as_json)
    if wrong := sum(one.verdict == "wrong" for one in found):
        raise CommandError(f"{wrong} of {len(found)} queries are wrong")


def _window(folder: Folder, start: str | None, end: str | None) -> Window:
    now_ms = plant_time(folder)
    to_ms = instant_ms(end, now_ms, now_ms)
    from_ms = instant_ms(start, now_ms, to_ms - SHOWN_MS)
    if from_ms >= to_ms:
        raise UsageError("--from lies behind --to")
    return Window(from_ms, to_ms)


def _server(folder: Folder) -> Server:
    location = folder.load_connection()["store"]
    if locate(location).dsn is None:
        raise CommandError(ON_DUCKDB)
    with open_reader(location) as reader:
        return server(reader)


def _database(url: str | None, data: Path | None) -> Database:
    """The store as Grafana reaches it; what it is, is asked of the hub's own."""
    folder = find_folder(data)
    what = _server(folder)
    try:
        own = folder.load_connection()["store"]
        user = None if url else READER
        return database(url or own, what.version, user, timescale=what.timescale)
    except ValueError as error:
        raise UsageError(f"--database: {error}") from None


def _print_steps(
    steps: Sequence[Step], sick: str | None, contact: str | None, *, as_json: bool
) -> None:
    if as_json:
        print_json({"steps": [step._asdict() for step in steps], "data_source": sick or "ok"})
        return
    print_table(
        ("what", "uid", "", "why"), [(s.kind, s.uid, s.action, s.why or None) for s in steps]
    )
    say(", ".join(f"{n} {action}" for action, n in Counter(s.action for s in steps).items()))
    if sick:
        note(f"the store, as Grafana reaches it: {sick}")
    if contact is None and any(s.kind == "contact point" and s.action == "create" for s in steps):
        note(f"alerts go to {NOBODY}, which nobody reads: name somebody with --contact")


def _print_findings(found: Sequence[Finding], *, as_json: bool) -> None:
    if as_json:
        print_json([one._asdict() for one in found])
        return
    columns = ("board", "query", "verdict", "rows", "ms", "why")
    rows = [
        (f.board, f"{f.kind} {f.title}", f.verdict, f.rows, f.took_ms, f.why or None) for f in found
    ]
    print_table(columns, rows)
    counted = Counter(one.verdict for one in found)
    say(f"{len(found)} queries: " + ", ".join(f"{n} {verdict}" for verdict, n in counted.items()))
