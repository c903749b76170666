"""`uns sparkplug`: look at a Sparkplug network, or be an edge node or a host to be examined.

Owns options and help of these commands. What is seen is sparkplug_view's, what is obeyed
sparkplug_profile's.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from bridges.sparkplug.profile_edge import EdgeOptions
from bridges.sparkplug.profile_host import HostOptions
from uns.cli import sparkplug_profile, sparkplug_view
from uns.cli.options import Data, Json

sparkplug_app = typer.Typer(help="Sparkplug B.", rich_markup_mode=None)

Server = Annotated[
    str | None,
    typer.Option(metavar="URL", help="mqtt://user:password@host:port (default: the hub's)."),
]
Servers = Annotated[
    list[str] | None,
    typer.Option("--server", metavar="URL", help="A broker (default: mqtt://127.0.0.1:1883)."),
]
Version = Annotated[Literal["3.1.1", "5"], typer.Option("--mqtt", help="Version of MQTT.")]
Count = Annotated[int | None, typer.Option(min=1, help="End after so many messages.")]
Duration = Annotated[float | None, typer.Option(min=1, metavar="S", help="End after S seconds.")]


@sparkplug_app.command(epilog="Example: uns sparkplug watch 'spBv1.0/acme/+/packing/#'")
def watch(  # noqa: PLR0913 - the options of the command, each with its default
    topic_filter: Annotated[str, typer.Argument(metavar="[FILTER]")] = "spBv1.0/#",
    *,
    count: Count = None,
    duration: Duration = None,
    server: Server = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Print Sparkplug messages as they come, decoded. Never sends.

    Aliases get their names from the births that the hub kept and from those seen; one that is not
    known is shown as #7.
    """
    wanted = sparkplug_view.selected(topic_filter)
    place = sparkplug_view.place_of(server, data)
    sparkplug_view.watch(wanted, place, count, duration, as_json=as_json)


@sparkplug_app.command(epilog="Example: uns sparkplug nodes --duration 10")
def nodes(
    *,
    duration: Annotated[float, typer.Option(min=1, metavar="S", help="Listen for S seconds.")] = 5,
    server: Server = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show every edge node that is heard or remembered. Listens for a while; never sends.

    Online: its births hold and nothing is missing. Awaiting: it sends, and its birth is not known.
    Gaps and rebirths are those of the time listened.
    """
    place = sparkplug_view.place_of(server, data)
    sparkplug_view.nodes(place, duration, as_json=as_json)


@sparkplug_app.command(
    epilog="Example: uns sparkplug edge --group tck --node edge1 --device dev1 --primary-host h1"
)
def edge(  # noqa: PLR0913 - the options of the command, each with its default
    *,
    group: Annotated[str, typer.Option(help="Group id.")] = "uns",
    node: Annotated[str, typer.Option(help="Edge node id.")] = "edge",
    device: Annotated[list[str] | None, typer.Option(help="A device id; may be repeated.")] = None,
    primary_host: Annotated[
        str | None, typer.Option(metavar="ID", help="Wait for the STATE of this host.")
    ] = None,
    server: Servers = None,
    version: Version = "3.1.1",
    bd_seq: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep bdSeq over restarts.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Do not connect before `on`.")] = False,
    as_json: Json = False,
) -> None:
    """Be an edge node that obeys lines on standard input, for a conformance run.

    on, off, data [DEVICE], bad [DEVICE], history [DEVICE], death DEVICE, birth DEVICE, rebirth; the
    end of standard input is `off`. Several servers are walked one at a time.
    """
    servers = sparkplug_profile.addresses_of(server)
    options = EdgeOptions(group, node, device or [], servers, primary_host, version, bd_seq)
    sparkplug_profile.run_edge(options, wait=wait, as_json=as_json)


@sparkplug_app.command(
    epilog="Example: uns sparkplug host --host-id h1 --server mqtt://127.0.0.1:1883"
)
def host(  # noqa: PLR0913 - the options of the command, each with its default
    *,
    host_id: Annotated[str, typer.Option(metavar="ID", help="Host id.")] = "uns-host",
    server: Servers = None,
    version: Version = "3.1.1",
    reorder_timeout: Annotated[
        int, typer.Option(min=10, metavar="MS", help="How long a gap in seq may wait.")
    ] = 2_000,
    rebirth_interval: Annotated[
        int, typer.Option(min=100, metavar="MS", help="One rebirth request a node in this time.")
    ] = 5_000,
    forgive: Annotated[
        bool, typer.Option("--forgive", help="Leave out metrics that cannot be read.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Do not connect before `on`.")] = False,
    as_json: Json = False,
) -> None:
    """Be a host application that obeys lines on standard input, for a conformance run.

    on, off, rebirth GROUP/NODE[/DEVICE], write GROUP/NODE[/DEVICE] VALUE METRIC; the end of
    standard input is `off`. It is on all its servers at once. A node that sends what cannot be read
    is not believed and asked for its births; with --forgive only those metrics are left out.
    """
    servers = sparkplug_profile.addresses_of(server)
    options = HostOptions(host_id, servers, version, reorder_timeout, rebirth_interval, forgive)
    sparkplug_profile.run_host(options, wait=wait, as_json=as_json)
