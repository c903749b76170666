"""Orders that came in from an ERP over HTTP, and those refused judged again.

Works whether the hub runs or not; a running bridge says the order to the hub again within a second.
"""

from contextlib import closing
from pathlib import Path
from typing import Any, Final

from bridges.erp_rest.store import Arrived, Store, store_path
from uns.cli.erp_posts import found_bridge
from uns.cli.errors import CommandError
from uns.cli.options import iso
from uns.cli.output import print_json, print_table, say

COLUMNS: Final = ("order_id", "revision", "state", "since", "reason")


def list_orders(bridge: str | None, data: Path | None, *, everything: bool, as_json: bool) -> None:
    """The orders that are not judged yet or were refused; or all that are kept."""
    folder, name = found_bridge(bridge, data)
    with closing(Store(store_path(folder.root, name))) as store:
        arrived = [*store.arrivals("refused"), *store.arrivals("waiting")]
        if everything:
            arrived += store.arrivals("accepted")
    shown = [_shown(one) for one in sorted(arrived, key=lambda one: one.position)]
    if as_json:
        print_json(shown)
    else:
        print_table(COLUMNS, [[row[column] for column in COLUMNS] for row in shown])


def judge_again(order_id: str, bridge: str | None, data: Path | None, *, as_json: bool) -> None:
    """Let the hub judge the newest revision of a refused order once more."""
    folder, name = found_bridge(bridge, data)
    with closing(Store(store_path(folder.root, name))) as store:
        arrived = store.newest(order_id)
        if arrived is None:
            raise CommandError(f"no order {order_id} came in: `uns erp orders --all` shows them")
        if not store.judge_again(arrived.digest):
            raise CommandError(
                f"{order_id} is {arrived.state}, not refused: there is nothing to do"
            )
        arrived = store.newest(order_id) or arrived
    if as_json:
        print_json(_shown(arrived))
    else:
        say(f"{order_id} is judged again")


def _shown(arrived: Arrived) -> dict[str, Any]:
    return {
        "order_id": arrived.order_id,
        "revision": arrived.order.get("revision"),
        "state": arrived.state,
        "since": iso(arrived.entered_ms),
        "reason": arrived.reason or None,
    }
