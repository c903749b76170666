"""The `uns` command: options and help of every command, and how errors leave the program."""

import io
import sys
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from uns.cli import history, inspection, quality_app, reading, stops_app, times
from uns.cli import replay as replaying
from uns.cli import report as reporting
from uns.cli import verify as verifying
from uns.cli import write as writing
from uns.cli.bridge import bridge_app
from uns.cli.chart_app import chart_app
from uns.cli.discover import discover_app
from uns.cli.epcis_app import epcis_app
from uns.cli.erp_app import erp_app
from uns.cli.errors import CommandError, UsageError
from uns.cli.export import export_app
from uns.cli.folder import DEFAULT
from uns.cli.grafana import grafana_app
from uns.cli.hold_app import hold_app
from uns.cli.hub import HubOptions
from uns.cli.inspections_app import inspection_app
from uns.cli.kanban_app import kanban_app
from uns.cli.opcua import opcua_app
from uns.cli.options import Data, Json, Namespace, read_plant
from uns.cli.orders_app import order_app
from uns.cli.output import note
from uns.cli.run import RunOptions, run_hub, store_url
from uns.cli.sampling_app import sampling_app
from uns.cli.serve import serve
from uns.cli.sparkplug import sparkplug_app
from uns.cli.standby import worker as stand_by
from uns.historian.errors import HistorianError, QueryFailed, QueryRefused
from uns.model.path import TopicError
from uns.mqtt.errors import MqttError
from uns.runtime.errors import RuntimeFault

REPORT: Final = Path("report.html")
ASKED_WRONGLY: Final = (UsageError, typer.TyperException, TopicError, QueryRefused, QueryFailed)
DESIGNED: Final = (
    *ASKED_WRONGLY,
    CommandError,
    HistorianError,
    MqttError,
    RuntimeFault,
    OSError,
)

app = typer.Typer(
    name="uns",
    help="A manufacturing execution system whose whole state lives in one MQTT topic tree.",
    epilog="Every command takes --debug for tracebacks. Exit codes: 0 done, 1 could not be done, "
    "2 asked in a wrong way.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
broker_app = typer.Typer(help="The broker.", rich_markup_mode=None)
app.add_typer(order_app, name="order")
app.add_typer(stops_app.stop_app, name="stop")
app.add_typer(sampling_app, name="sampling")
app.add_typer(inspection_app, name="inspection")
app.add_typer(hold_app, name="hold")
app.add_typer(kanban_app, name="kanban")
app.add_typer(chart_app, name="chart")
app.add_typer(broker_app, name="broker")
app.add_typer(sparkplug_app, name="sparkplug")
app.add_typer(opcua_app, name="opcua")
app.add_typer(discover_app, name="discover")
app.add_typer(bridge_app, name="bridge")
app.add_typer(erp_app, name="erp")
app.add_typer(epcis_app, name="epcis")
app.add_typer(export_app, name="export")
app.add_typer(grafana_app, name="grafana")

Port = Annotated[int | None, typer.Option(min=1, max=65_535, help="MQTT port (default: 1883).")]
Broker = Annotated[
    str | None,
    typer.Option(
        metavar="HOST", help="A broker run elsewhere on DIR/broker/mosquitto.conf (default: ours)."
    ),
]
Store = Annotated[str, typer.Option(help="duckdb, or postgresql://user@host/database.")]
Duration = Annotated[float | None, typer.Option(min=1, metavar="S", help="End after S seconds.")]
DataFolder = Annotated[Path, typer.Option("--data", metavar="DIR", help="Data folder.")]


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer's callbacks take the value
    if wanted:
        typer.echo(f"uns {version('uns-mes')}")
        raise typer.Exit


@app.callback()
def uns(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say it, and end."),
    ] = False,
) -> None:
    """A manufacturing execution system whose whole state lives in one MQTT topic tree."""


@app.command(epilog="Example: uns demo --duration 60 --json --data /tmp/plant")
def demo(  # noqa: PLR0913 - the options of the command, each with its default
    *,
    duration: Duration = None,
    speed: Annotated[
        float, typer.Option(min=0.1, max=200, metavar="X", help="Plant seconds per second.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of the simulated plant.")] = 1,
    data: DataFolder = DEFAULT,
    store: Store = "duckdb",
    port: Port = None,
    namespace: Namespace = None,
    as_json: Json = False,
) -> None:
    """Run a simulated plant through the hub. A live table shows it; Ctrl-C stops all of it."""
    options = HubOptions(store_url(store, data), port, speed, seed)
    run_hub(read_plant(namespace), data, RunOptions(options, duration, as_json))


@app.command(epilog="Example: uns up --namespace plant.yaml --store postgresql://hub@db/mes")
def up(  # noqa: PLR0913 - the options of the command, each with its default
    *,
    duration: Duration = None,
    data: DataFolder = DEFAULT,
    store: Store = "duckdb",
    port: Port = None,
    broker: Broker = None,
    namespace: Namespace = None,
    as_json: Json = False,
) -> None:
    """Run the hub on your plant. The same as demo, without the simulated machines."""
    options = HubOptions(store_url(store, data), port, demo=False, broker=broker)
    run_hub(read_plant(namespace), data, RunOptions(options, duration, as_json))


@app.command(epilog="Example: uns worker pump --name standby-2 --data /srv/uns")
def worker(
    lines: Annotated[
        list[str] | None, typer.Argument(metavar="[LINE...]", help="Names or paths (default: all).")
    ] = None,
    *,
    name: Annotated[str, typer.Option(help="How it is told from other workers.")] = "standby",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Run a standby for lines. It takes over within seconds when their worker is gone."""
    stand_by(lines or [], data, name, as_json=as_json)


@app.command(epilog="Example: uns check namespace.yaml")
def check(
    file: Annotated[Path | None, typer.Argument(help="The plant file.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Check a namespace file. Every fault with line and column; exit code 2 if there is one."""
    inspection.check(file, as_json=as_json)


@app.command(epilog="Example: uns schema namespace > namespace.schema.json")
def schema(
    name: Annotated[
        str | None, typer.Argument(help="A payload, `namespace` or `asyncapi`.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Print a JSON Schema. Of a payload or of namespace.yaml; without NAME, list them."""
    inspection.print_schema(name, as_json=as_json)


@app.command(epilog="Example: uns doctor --data .uns")
def doctor(*, data: Data = None, as_json: Json = False) -> None:
    """Find what is wrong, and its fix. Looks at programs, broker, store, disk and clock."""
    inspection.doctor(data, as_json=as_json)


@broker_app.command("config", epilog="Example: uns broker config > mosquitto.conf")
def broker_config(
    *,
    namespace: Namespace = None,
    part: Annotated[
        Literal["conf", "acl"], typer.Option(help="The configuration or the access list.")
    ] = "conf",
    as_json: Json = False,
) -> None:
    """Print the broker's configuration. The hub generates it from the plant; no passwords."""
    inspection.broker_config(namespace, part, as_json=as_json)


@app.command(epilog="Example: uns tree 'acme/berlin/machining/#'")
def tree(
    topic_filter: Annotated[str | None, typer.Argument(metavar="[FILTER]")] = None,
    *,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show the topic tree. Each topic with its newest value; of a stopped hub, from the record."""
    reading.tree(topic_filter, data, as_json=as_json)


@app.command(epilog="Example: uns watch 'acme/+/+/+/+/_event/#' --count 10")
def watch(
    topic_filter: Annotated[str, typer.Argument(metavar="FILTER")],
    *,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many messages.")] = None,
    duration: Duration = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Print messages as they come. Of a stopped hub, the newest ones on record."""
    reading.watch(topic_filter, data, count, duration, as_json=as_json)


@app.command(
    epilog="Example: uns write acme/berlin/machining/housing/wash/_tag/bath-temperature 58.5",
    context_settings={"ignore_unknown_options": True},  # a negative number is no option
)
def write(
    topic: Annotated[str, typer.Argument(help="A `_tag` topic.")],
    value: Annotated[str, typer.Argument(help="A number, true, false or a text.")],
    *,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Write a value to a device. Prints the hub's answer; exit code 1 when it is refused."""
    writing.write(topic, value, data, as_json=as_json)


@app.command(epilog="Example: uns trace PUM-test-00001")
def trace(
    lot_or_unit: Annotated[str, typer.Argument(metavar="LOT_OR_UNIT")],
    *,
    ids: Annotated[
        bool, typer.Option("--ids", help="Only which, each once, nearest first.")
    ] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show where a lot or unit came from and went. At any depth, with quantities."""
    (reading.related if ids else reading.trace)(lot_or_unit, data, as_json=as_json)


for _command, _example in (*history.COMMANDS, *stops_app.COMMANDS):
    app.command(epilog=f"Example: {_example}")(_command)

for _name, _command, _example in quality_app.COMMANDS:
    app.command(_name, epilog=f"Example: {_example}")(_command)


@app.command(epilog="Example: uns query 'select verdict, count(*) from verdicts group by 1'")
def query(
    sql: Annotated[
        str, typer.Argument(help="One SELECT over the read models, or - for standard input.")
    ],
    *,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 1_000,
    over: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Ask an export instead, by its folder.")
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Ask the record in SQL, read-only.

    Sees tags, events, states, orders, stops, verdicts, genealogy_edges, oee_intervals, rejects,
    gaps.
    """
    reading.query(sql, limit, data, over, as_json=as_json)


app.command(epilog="Example: uns serve --port 8100")(serve)


@app.command(epilog="Example: uns report --from 8h -o shift.html")
def report(  # noqa: PLR0913 - the options of the command, each with its default
    *,
    start: Annotated[str | None, typer.Option("--from", help="2026-11-23T06:00, 8h, 7d.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="As --from; default now.")] = None,
    line: Annotated[str | None, typer.Option(help="A line's name or path (default: all).")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The file.")] = REPORT,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Draw the main charts of a time. One HTML file that needs no network; default: 8 hours.

    OEE with lost time, states, downtime, orders, control charts and the health of the namespace.
    """
    reporting.report((start, end), line, out, data, as_json=as_json)


@app.command(epilog="Example: uns verify --line pump")
def verify(
    *,
    line: Annotated[str | None, typer.Option(help="A line's name or path (default: all).")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Recompute every _state document from history. Compares byte for byte; exit code 1: different.

    Of a running hub with the retained tree, of a stopped one with the newest documents on record.
    Each difference is named by topic and field, with the events that explain it.
    """
    verifying.verify(line, data, as_json=as_json)


@app.command(epilog="Example: uns gaps --data .uns")
def gaps(*, data: Data = None, as_json: Json = False) -> None:
    """List the events that are missing, and why. Also those that may still come."""
    times.gaps(data, as_json=as_json)


@app.command(epilog="Example: uns snapshot 'acme/berlin/#' --at 2026-11-23T06:00")
def snapshot(
    topic_filter: Annotated[str | None, typer.Argument(metavar="[FILTER]")] = None,
    *,
    at: Annotated[
        str | None, typer.Option(help="2026-11-23T06:00, 10m (ago); default now.")
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show the topic tree as it was. Every tag and state topic, by what was on record then."""
    times.snapshot(at, topic_filter, data, as_json=as_json)


@app.command(epilog="Example: uns diff 2h 1h 'acme/+/+/+/_state/#'")
def diff(
    first: Annotated[str, typer.Argument(metavar="T1", help="2026-11-23T06:00, 2h (ago).")],
    second: Annotated[str, typer.Argument(metavar="T2", help="As T1, or now.")],
    topic_filter: Annotated[str | None, typer.Argument(metavar="[FILTER]")] = None,
    *,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show what changed in the tree between two times. Topics that came or went, and fields."""
    times.diff(first, second, topic_filter, data, as_json=as_json)


@app.command(epilog="Example: uns replay --from 2h --to 1h --into replay --speed 60")
def replay(  # noqa: PLR0913 - the options of the command, each with its default
    *,
    start: Annotated[str, typer.Option("--from", help="2026-11-23T06:00, 10m, 2h (ago).")],
    end: Annotated[str | None, typer.Option("--to", help="As --from; default now.")] = None,
    into: Annotated[
        str | None,
        typer.Option(metavar="PREFIX", help="Below this enterprise, with tags: `replay`."),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="X", help="Plant seconds per second (default: no waiting)."),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Publish recorded events again, in their order. Harmless: whoever has them knows them."""
    replaying.replay((start, end), into, speed, data, as_json=as_json)


def main() -> None:
    """Entry point: exit code 0, 1 (could not be done) or 2 (asked in a wrong way)."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) != len(sys.argv) - 1
    if isinstance(sys.stdout, io.TextIOWrapper):  # no terminal is too small for a character
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        sys.exit(app(arguments or ["--help"], prog_name="uns", standalone_mode=False))
    except Exception as error:  # noqa: BLE001 - behind this there is only a traceback
        if debug:
            traceback.print_exc()
        note(f"uns: {' '.join(_said(error).split())}")
        sys.exit(2 if isinstance(error, ASKED_WRONGLY) else 1)


def _said(error: Exception) -> str:
    """What a user gets to read: the message, and where to look further."""
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        hint = f"; see `{context.command_path} --help`" if context else ""
        return error.format_message().rstrip(".") + hint
    if isinstance(error, DESIGNED):
        return str(error)
    return f"unexpected {type(error).__name__}: {error} (--debug shows where: please report it)"
