"""10,000 orders, each released three times in different words: one order each, conflicts said.

The real inbox, office, runner and outbox; the process is killed in between. What should come of it
is counted by a model of its own, which shares nothing with them but the words of the rule.
"""

import base64
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from bridges.erp.client import FolderLink, Inbox
from bridges.erp.config import ErpSettings
from bridges.erp.office import Office
from tests.simulated import START_MS, example_plant
from uns.model.observation import Observation
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Address
from uns.runtime.bridge import BridgeRunner, BridgeWiring
from uns.runtime.outbox import Outbox

ORDERS = 10_000
FILES = 3
KILLED_AFTER = 70  # batches of about 150 in all
PLANT = example_plant()
SETTINGS = ErpSettings(settle_ms=0, half_ms_max=0)


class Sent(NamedTuple):
    """One release as the ERP sent it."""

    order_id: str
    quantity: int
    revision: int

    def row(self) -> str:
        return f"{self.order_id},pump-a,{self.quantity},{self.revision}\n"


def everything() -> list[Sent]:
    """Each order three times: as it was, in other words under that revision, and revised."""
    sent = [
        Sent(f"PO-{n}", quantity, revision)
        for n in range(ORDERS)
        for quantity, revision in ((10, 1), (11, 1), (12, 2))
    ]
    Random(7).shuffle(sent)
    return sent


def expected(sent: list[Sent]) -> tuple[set[Sent], Counter[Sent]]:
    """Which releases must be orders, and which must be refused."""
    orders: dict[str, dict[int, Sent]] = {}
    refused = Counter[Sent]()
    for one in sent:
        known = orders.setdefault(one.order_id, {})
        if one.revision not in known and one.revision > max(known, default=0):
            known[one.revision] = one
        elif known.get(one.revision) != one:
            refused[one] += 1
    return {one for known in orders.values() for one in known.values()}, refused


class Process:
    """What runs until it is killed: an inbox on the folder, a runner on the outbox."""

    def __init__(self, folder: Path) -> None:
        self.outbox = Outbox(folder / "outbox.sqlite")
        self.runner = BridgeRunner(
            BridgeWiring(
                name="erp",
                protocol="erp",
                plant=PLANT,
                places={},
                home="acme/berlin",
                outbox=self.outbox,
                client=MqttClient(Address("127.0.0.1", 1), "never-connected"),
                clock=lambda: START_MS,
            )
        )
        office = Office(PLANT, lambda: START_MS, self.runner.known_fact)
        self.inbox = Inbox(folder, SETTINGS, FolderLink(str(folder), lambda: START_MS), office)

    def batches(self) -> Iterator[list[Observation]]:
        while True:
            told = list[list[Observation]]()
            for batch in self.inbox.look(0.0):
                told.append(batch)
                yield batch
            if not told:
                return

    async def run(self, batches_max: int) -> None:
        for count, batch in enumerate(self.batches(), 1):
            await self.runner.take(batch)
            if count == batches_max:
                break

    def said(self) -> Iterator[dict[str, Any]]:
        after = 0
        while entries := self.outbox.unsettled(after):
            after = entries[-1].position
            yield from (json.loads(entry.payload) for entry in entries)


async def test_no_order_is_released_twice_and_every_conflict_is_said(tmp_path: Path) -> None:
    sent, inbox = everything(), tmp_path / "in"
    inbox.mkdir()
    for n in range(FILES):
        rows = "".join(one.row() for one in sent[n * ORDERS : (n + 1) * ORDERS])
        (inbox / f"{n}.csv").write_text(f"order_id,item,quantity,revision\n{rows}")
    first = Process(tmp_path)
    await first.run(KILLED_AFTER)
    first.outbox.close()
    last = Process(tmp_path)
    await last.run(10 * KILLED_AFTER)

    orders, conflicts = expected(sent)
    events = list(last.said())
    released = [
        Sent(e["order_id"], e["quantity"], e["revision"]) for e in events if e["type"] == "released"
    ]
    assert Counter(released) == Counter(orders)
    rejected = [event for event in events if event["type"] == "rejected"]
    said = {_row_of(event): event["reason"] for event in rejected}
    assert said.keys() == conflicts.keys()
    for one, reason in said.items():
        assert f" revision: order {one.order_id} " in reason
        assert "known with other content" in reason or "at revision 2 already" in reason
    assert sorted(path.name for path in (tmp_path / "done").glob("*.csv")) == [
        f"{n}.csv" for n in range(FILES)
    ]
    assert not list(inbox.iterdir())


def _row_of(event: dict[str, Any]) -> Sent:
    name, _, quantity, revision = base64.b64decode(event["original_base64"]).decode().split(",")
    return Sent(name, int(quantity), int(revision))
