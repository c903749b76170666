"""The simulated ERP: drops order files where the hub's ERP bridge looks for them.

A file is written aside and then renamed, so that nobody ever sees half of one.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from uns.demo.state import Order

INBOX: Final = "in"


class Erp:
    """Order files for one inbox; due dates are given in the site's time zone."""

    def __init__(self, folder: Path, zone: str) -> None:
        self._inbox = folder / INBOX
        self._zone = ZoneInfo(zone)
        self._inbox.mkdir(parents=True, exist_ok=True)

    def announce(self, orders: Iterable[Order]) -> None:
        """Drop a file for each order and mark it announced."""
        for order in orders:
            aside = self._inbox / f"{order.order_id}.tmp"
            aside.write_text(json.dumps(self._document(order), indent=2) + "\n")
            aside.rename(self._inbox / f"{order.order_id}.json")
            order.announced = True

    def _document(self, order: Order) -> dict[str, str | int]:
        due = datetime.fromtimestamp(order.due_ms / 1000, self._zone)
        return {
            "order_id": order.order_id,
            "item": order.item,
            "quantity": order.quantity,
            "due": due.isoformat(timespec="seconds"),
            "priority": order.priority,
            "revision": order.revision,
        }
