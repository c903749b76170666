"""A production order from Tryton through the demo plant and back, with the hub killed on its way.

Tryton is the real server, and the only place where it is looked up what was booked. The simulated
machines take no orders from the hub: the test plays the staff that loads one at the panel.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.counterpart import counterpart
from tests.e2e.hub import ROOT, RunningHub, eventually, running, uns_json
from tests.tryton import BAR_KG, FIRST_ORDER, MATERIAL, PRODUCT, Tryton, Wire, tryton

pytestmark = pytest.mark.e2e
README = ROOT / "bridges" / "erp_rest" / "README.md"
LINE = "acme/berlin/machining/housing"
DOCUMENT = f"{LINE}/_state/order/mo-1--u3"
STATUS = "acme/_hub/erp/tryton"
PIECES = 7


@pytest.fixture
def erp(tmp_path: Path) -> Iterator[Tryton]:
    with tryton(tmp_path / "tryton") as one:
        yield one


def test_an_order_of_tryton_comes_back_done(erp: Tryton, tmp_path: Path) -> None:
    wire = Wire(erp.url)
    with counterpart(wire) as server:
        plant = Demo(tmp_path, f"{server.url}/plant", erp.key)
        assert erp.order(PIECES) == FIRST_ORDER
        with plant.running() as hub:
            eventually(lambda: hub.document(DOCUMENT), 60, "the order is released")
            eventually(plant.state.exists, 60, "the plant has saved itself")
            hub.kill()
        plant.load(FIRST_ORDER)
        for step in ("run", "do"):
            wire.hold(step)
            with plant.running() as hub:
                eventually(wire.lost.is_set, 120, f"Tryton has done `{step}` and nobody knows")
                hub.kill()
            wire.let_go()
        with plant.running() as hub:
            eventually(plant.has_told, 60, "all is told")
            status = hub.document(STATUS)
    told = Counter(wire.told)
    assert (told["run"], told["do"], told["figures"] <= 1) == (1, 1, True)
    assert status["orders_in"] == {"accepted": 1, "waiting": 0, "refused": 0}
    assert erp.state(FIRST_ORDER) == "done"
    made = plant.made(FIRST_ORDER)
    assert made["wash", "good"] == PIECES
    assert erp.moves(FIRST_ORDER) == sorted(
        [
            (MATERIAL, round(PIECES * BAR_KG, 2), "Production", "done"),
            (PRODUCT, float(PIECES), "Storage Zone", "done"),
            *[(PRODUCT, float(n), "Scrap", "done") for n in [made["wash", "scrap"]] if n],
        ]
    )


class Demo:
    """The demo plant with the bridge of the README, on one folder over several lives."""

    def __init__(self, folder: Path, url: str, key: str) -> None:
        self._data = folder / "data"
        self._data.mkdir()
        (self._data / "tryton.key").write_text(key)
        self.state = self._data / "plant" / "state.json"
        self._namespace = folder / "namespace.yaml"
        bridges = f"bridges:\n{sample(url)}"
        text = (ROOT / "namespace.yaml").read_text().replace("bridges:\n", bridges, 1)
        self._namespace.write_text(text)

    def running(self) -> AbstractContextManager[RunningHub]:
        """`uns demo` on the folder."""
        return running(self._data, "--namespace", str(self._namespace), "--speed", "3")

    def load(self, order_id: str) -> None:
        """Load an order at the line's panel, before those that wait there."""
        state = json.loads(self.state.read_text())
        order = {"order_id": order_id, "item": "housing-a", "quantity": PIECES, "announced": True}
        times = {"due_ms": 0, "released_ms": 0, "priority": 50}
        state["lines"][LINE]["waiting"].insert(0, {**order, **times})
        self.state.write_text(json.dumps(state))

    def has_told(self) -> bool:
        """Whether no confirmation of the order waits, is unsure or is dead.

        The demo's own orders are none of Tryton's: they are dead letters.
        """
        posts = uns_json("erp", "list", data=self._data)
        return FIRST_ORDER not in {post["order_id"] for post in posts}

    def made(self, order_id: str) -> Counter[tuple[str, str]]:
        """By cell and result the pieces of an order in the PLCs' own log."""
        log = (self._data / "plant" / "plc.jsonl").read_text()
        rows = [json.loads(line) for line in log.splitlines()]
        return Counter(
            (row["cell"].rpartition("/")[2], row["result"])
            for row in rows
            if row["order_id"] == order_id
        )


def sample(url: str) -> str:
    """The bridge as the README has it, at another address."""
    (text,) = re.findall(r"```yaml\nbridges:\n(  tryton:\n.*?)```", README.read_text(), re.DOTALL)
    return re.sub(r"url: \S+", f"url: {url}", text)
