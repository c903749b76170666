"""`uns erp`: what goes from and to an ERP.

Owns options and help. What a command does is imported when it is needed only.
"""

from pathlib import Path
from typing import Annotated

import typer

from uns.cli.options import Data, Json, Namespace, read_plant

erp_app = typer.Typer(help="Orders from and to an ERP.", rich_markup_mode=None)


@erp_app.callback()
def erp() -> None:
    """Orders from and to an ERP."""


@erp_app.command("check", epilog="Example: uns erp check orders.csv --mapping sap.yaml --dry-run")
def check(  # noqa: PLR0913 - the options of the command, each with its default
    file: Annotated[Path, typer.Argument(help="An order file: .json, .xml, .csv or .xlsx.")],
    *,
    mapping: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The mapping file of the bridge.")
    ] = None,
    xsd: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The XML Schema that B2MML must fit.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print each order as it is read.")
    ] = False,
    namespace: Namespace = None,
    as_json: Json = False,
) -> None:
    """Say what the hub would do with an order file. Sends nothing; exit code 1: some are refused.

    Judges each order by the plant and by those before it in the file, not by what is on record.
    """
    from uns.cli import erp_check  # noqa: PLC0415 - see the module's docstring

    plant = read_plant(namespace)
    erp_check.run(file, (mapping, xsd), plant, dry_run=dry_run, as_json=as_json)


Bridge = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Which bridge of protocol erp-rest (default: the only one)."),
]
PostId = Annotated[int, typer.Argument(metavar="ID", help="As `uns erp list` shows it.")]


@erp_app.command("list", epilog="Example: uns erp list")
def list_posts(
    *,
    everything: Annotated[bool, typer.Option("--all", help="What is settled, too.")] = False,
    bridge: Bridge = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List the confirmations that wait for the ERP, and dead letters with their reason."""
    from uns.cli import erp_posts  # noqa: PLC0415 - see the module's docstring

    erp_posts.list_posts(bridge, data, everything=everything, as_json=as_json)


@erp_app.command("show", epilog="Example: uns erp show 17")
def show(
    post_id: PostId, *, bridge: Bridge = None, data: Data = None, as_json: Json = False
) -> None:
    """Print a confirmation as the ERP is told it, in JSON. Sends nothing."""
    from uns.cli import erp_posts  # noqa: PLC0415 - see the module's docstring

    erp_posts.show(post_id, bridge, data, as_json=as_json)


@erp_app.command("retry", epilog="Example: uns erp retry 17")
def retry(
    post_id: PostId, *, bridge: Bridge = None, data: Data = None, as_json: Json = False
) -> None:
    """Send a dead letter again. The ERP is asked first whether it has it."""
    from uns.cli import erp_posts  # noqa: PLC0415 - see the module's docstring

    erp_posts.set_free(post_id, "unsure", bridge, data, as_json=as_json)


@erp_app.command("skip", epilog="Example: uns erp skip 17")
def skip(
    post_id: PostId, *, bridge: Bridge = None, data: Data = None, as_json: Json = False
) -> None:
    """Leave a dead letter for good; what comes later of its order goes on."""
    from uns.cli import erp_posts  # noqa: PLC0415 - see the module's docstring

    erp_posts.set_free(post_id, "skipped", bridge, data, as_json=as_json)


@erp_app.command("orders", epilog="Example: uns erp orders")
def orders(
    *,
    everything: Annotated[bool, typer.Option("--all", help="What was accepted, too.")] = False,
    bridge: Bridge = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List the orders that came in and were refused, with the reason, or are not judged yet."""
    from uns.cli import erp_arrivals  # noqa: PLC0415 - see the module's docstring

    erp_arrivals.list_orders(bridge, data, everything=everything, as_json=as_json)


@erp_app.command("judge", epilog="Example: uns erp judge PO-1001")
def judge(
    order_id: Annotated[str, typer.Argument(metavar="ORDER", help="The order's number.")],
    *,
    bridge: Bridge = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Let a refused order be judged again, once namespace.yaml has what it lacked."""
    from uns.cli import erp_arrivals  # noqa: PLC0415 - see the module's docstring

    erp_arrivals.judge_again(order_id, bridge, data, as_json=as_json)
