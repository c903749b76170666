"""The whole hub and an ERP over HTTP: what the ERP has booked is what the PLCs' own logs say.

The ERP takes and stays silent now and then, and the bridge is killed meanwhile.
"""

import json
import time
from collections import Counter
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from tests.counterpart import SILENCE, Asked, Books, Counterpart, Said, counterpart
from tests.e2e.hub import ROOT, RunningHub, eventually, running

pytestmark = pytest.mark.e2e
BRIDGE = """  books:
    protocol: erp-rest
    url: {url}
    credentials_file: books.key
    confirm_every_ms: 20000
    timeout_ms: 1000
    retry_ms_min: 50
    retry_ms_max: 500
    poll_ms: 200
    units: {{}}
"""
ORDERS = 4
KILLS = 3
STATUS = "acme/_hub/erp/books"
Pieces = Counter[tuple[str, str, str]]


class Moody(Books):
    """Every third confirmation is booked without an answer, every fifth is neither."""

    def __init__(self) -> None:
        super().__init__()
        self.posts = 0
        self.trouble = self._moods

    def _moods(self, asked: Asked) -> Said:
        if asked.method != "POST":
            return self.honest(asked)
        self.posts += 1
        if self.posts % 3 == 0:
            self.take(asked)
        return SILENCE if self.posts % 3 == 0 or self.posts % 5 == 0 else self.honest(asked)


def test_what_the_erp_has_booked_is_what_was_made(tmp_path: Path) -> None:
    books = Moody()
    books.orders = [{"order_id": "ERP-1", "item": "housing-a", "quantity": 7, "priority": 1}]
    with counterpart(books) as erp, running_with(erp, tmp_path) as hub:
        for _ in range(KILLS):
            more = partial(has_more, books, len(books.confirmations) + 3)
            eventually(more, 60, "confirmations come")
            kill(hub)
        eventually(lambda: len(ended(books)) >= ORDERS, 120, "orders end")
        orders = ended(books)
        eventually(lambda: told(books, orders) == made(tmp_path, orders), 20, "they agree")
        status = hub.document(STATUS)
    assert books.twice == []
    assert status["dead"] == 0
    assert status["orders_in"] == {"accepted": 1, "waiting": 0, "refused": 0}
    consumed = [one for each in books.confirmations.values() for one in each["consumed"]]
    assert {"alu-bar", "bearing", "box"} <= {one["item"] for one in consumed}
    assert sum(each["run_ms"] for each in books.confirmations.values()) > 0


def running_with(erp: Counterpart, folder: Path) -> AbstractContextManager[RunningHub]:
    data = folder / "data"
    data.mkdir()
    (data / "books.key").write_text("secret")
    text = (ROOT / "namespace.yaml").read_text()
    namespace = folder / "namespace.yaml"
    namespace.write_text(text.replace("bridges:\n", "bridges:\n" + BRIDGE.format(url=erp.url), 1))
    return running(data, "--namespace", str(namespace), "--speed", "20")


def has_more(books: Books, least: int) -> bool:
    return len(books.confirmations) >= least


def kill(hub: RunningHub) -> None:
    victim = hub.child("bridge-books")
    assert victim
    victim.kill()
    eventually(lambda: hub.child("bridge-books") not in (None, victim), 20, "it is back")
    time.sleep(0.5)


def ended(books: Books) -> set[str]:
    """Orders of which every operation is told as final."""
    final = {c["order_id"] for c in books.confirmations.values() if c["final"] and c["is_last"]}
    return final - {"ERP-1"}


def told(books: Books, orders: set[str]) -> Pieces:
    pieces = Pieces()
    for each in list(books.confirmations.values()):
        if each["order_id"] in orders:
            cell = f"{each['line']}/{each['operation']}"
            pieces[each["order_id"], cell, "good"] += each["good"]
            pieces[each["order_id"], cell, "scrap"] += each["scrap"]
    return +pieces


def made(folder: Path, orders: set[str]) -> Pieces:
    """By the PLCs' own logs."""
    log = (folder / "data" / "plant" / "plc.jsonl").read_text()
    rows = [json.loads(line) for line in log.splitlines()]
    return Pieces(
        (row["order_id"], row["cell"], row["result"])
        for row in rows
        if row.get("order_id") in orders and row.get("result") in ("good", "scrap")
    )
