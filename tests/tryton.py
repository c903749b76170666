"""A Tryton for tests: the real ERP in an environment and a process of its own, spoken to over HTTP.

Owns its database, what stands in it at first, and what people do there. Tryton is GPL and foreign:
tools/apart.py installs it, and nothing of it is imported.
"""

import os
import shutil
import subprocess
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Any, Final

import httpx
import pytest

from tests.brokers import free_port
from tests.counterpart import SILENCE, Asked, Said
from tools.apart import TRYTON

DATABASE: Final = "plant"
PASSWORD: Final = "people-only"  # noqa: S105 - of a database that lives as long as a test
START_S_MAX: Final = 60.0
ANSWER_S_MAX: Final = 30.0
HOLD_S_MAX: Final = 120.0
PRODUCT, MATERIAL = "FG-100", "RM-122"
BAR_KG: Final = 1.2
STOCK_KG: Final = 100.0
FIRST_ORDER: Final = "MO-1"
PLANNED: Final = {"__class__": "date", "year": 2026, "month": 11, "day": 30}
MOVE_FIELDS: Final = (
    *("product", "unit", "quantity", "company"),
    *("from_location", "to_location", "currency", "unit_price"),
)
CONFIGURATION: Final = "[database]\nuri = sqlite://\npath = {}\n[web]\nlisten = 127.0.0.1:{}\n"


class Tryton:
    """A running Tryton with one company, one product, its material in stock, and no order."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/{DATABASE}"
        self._http = httpx.Client(timeout=ANSWER_S_MAX)
        self._context: dict[str, Any] = {}
        user, token, *_ = self._call("common.db.login", "admin", {"password": PASSWORD})
        session = b64encode(f"admin:{user}:{token}".encode()).decode()
        self._http.headers["Authorization"] = f"Session {session}"
        self._furnish()
        self.key = self._application_key()

    def close(self) -> None:
        """Leave it."""
        self._http.close()

    def order(self, quantity: float) -> str:
        """Order so many pieces and reserve their material; the order's number."""
        draft = {
            **self.rpc("production.default_get", ["company", "warehouse", "location", "type"]),
            "product": self._product,
            "bom": self._bom,
            "unit": self._unit,
            "quantity": quantity,
            "planned_date": PLANNED,
            "planned_start_date": PLANNED,
        }
        draft = {name: value for name, value in draft.items() if not name.endswith(".")}
        exploded = self.rpc("production.reset_bom", draft)
        moves = {
            side: [["create", [_only(MOVE_FIELDS, row) for _, row in exploded[side]["add"]]]]
            for side in ("inputs", "outputs")
        }
        (made,) = self.rpc("production.create", [{**draft, **moves}])
        self.rpc("production.wait", [made])
        self.rpc("production.assign_try", [made])
        (row,) = self.rpc("production.read", [made], ["number", "state"])
        assert row["state"] == "assigned"
        return str(row["number"])

    def state(self, number: str) -> str:
        """How an order stands."""
        (row,) = self._found("production", [["number", "=", number]], "state")
        return str(row["state"])

    def press(self, button: str, number: str) -> None:
        """Press a button of an order, as people do."""
        (row,) = self._found("production", [["number", "=", number]], "id")
        self.rpc(f"production.{button}", [row["id"]])

    def moves(self, number: str) -> list[tuple[str, float, str, str]]:
        """What moved for an order, or will: product, quantity, to where, state."""
        fields = ("product.code", "quantity", "to_location.name", "state")
        rows = self._found("stock.move", [["production.number", "=", number]], *fields)
        return sorted(
            (row["product."]["code"], row["quantity"], row["to_location."]["name"], row["state"])
            for row in rows
        )

    def rpc(self, method: str, *params: Any) -> Any:
        """Call a method of a model, as Tryton's own client does."""
        return self._call(f"model.{method}", *params, self._context)

    def _call(self, method: str, *params: Any) -> Any:
        document = {"id": 0, "method": method, "params": list(params)}
        answer = self._http.post(f"{self.url}/rpc/", json=document).raise_for_status().json()
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def _found(self, model: str, domain: list[Any], *fields: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.rpc(
            f"{model}.search_read", domain, 0, None, None, list(fields)
        )
        return rows

    def _new(self, model: str, **values: Any) -> int:
        ids: list[int] = self.rpc(f"{model}.create", [values])
        return ids[0]

    def _id(self, model: str, **values: Any) -> int:
        (row,) = self._found(model, [[name, "=", value] for name, value in values.items()], "id")
        return int(row["id"])

    def _furnish(self) -> None:
        self._company()
        self._unit = self._id("product.uom", name="Unit")
        kilogram = self._id("product.uom", name="Kilogram")
        self._product = self._item(PRODUCT, self._unit, producible=True)
        material = self._item(MATERIAL, kilogram)
        self._bom = self._new(
            "production.bom",
            name="Pump housing A",
            inputs=[["create", [{"product": material, "quantity": BAR_KG, "unit": kilogram}]]],
            outputs=[["create", [{"product": self._product, "quantity": 1, "unit": self._unit}]]],
        )
        sequence = self._id("ir.sequence", name="Production")
        self.rpc("ir.sequence.write", [sequence], {"prefix": "MO-"})
        self._stock(material)

    def _company(self) -> None:
        currency = self._new("currency.currency", name="Euro", symbol="€", code="EUR")
        party = self._new("party.party", name="ACME")
        company = self._new("company.company", party=party, currency=currency)
        mine = {"companies": [["add", [company]]], "company": company}
        self.rpc("res.user.write", [1], mine)
        self._context = {"company": company, "companies": [company]}

    def _item(self, code: str, unit: int, *, producible: bool = False) -> int:
        template = self._new(
            "product.template",
            name=code,
            type="goods",
            default_uom=unit,
            producible=producible,
            products=[["create", [{"suffix_code": code}]]],
        )
        return self._id("product.product", template=template)

    def _stock(self, material: int) -> None:
        counted = [["create", [{"product": material, "quantity": STOCK_KG}]]]
        storage = self._id("stock.location", code="STO")
        self.rpc(
            "stock.inventory.confirm",
            [self._new("stock.inventory", location=storage, lines=counted)],
        )
        scrap = self._new("stock.location", name="Scrap", type="lost_found")
        warehouse = self._id("stock.location", type="warehouse")
        places = {"waste_locations": [["add", [scrap]]]}
        self.rpc("stock.location.write", [warehouse], places)

    def _application_key(self) -> str:
        application = self._new("res.user.application", user=1, application="rest")
        (row,) = self.rpc("res.user.application.read", [application], ["key"])
        return str(row["key"])


class Wire:
    """What stands between the bridge and Tryton, and loses an answer when it is told to.

    told: the actions and changes that Tryton accepted, in their order.
    lost: set when an answer was lost.
    """

    def __init__(self, url: str) -> None:
        self.told: list[str] = []
        self.lost = Event()
        self._base = httpx.URL(url).copy_with(raw_path=b"")
        self._what = ""
        self._is_done = True
        self._go = Event()

    def lose(self, what: str, *, is_done: bool = True) -> None:
        """Lose the answer to the next request that does this; or else the request itself."""
        self._what, self._is_done = what, is_done
        self.lost.clear()
        self._go.set()

    def hold(self, what: str) -> None:
        """As `lose`, and whoever waits for the answer waits until `let_go`."""
        self.lose(what)
        self._go.clear()

    def let_go(self) -> None:
        """Close what is held."""
        self._go.set()

    def __call__(self, asked: Asked) -> Said:
        """Pass a request on, and its answer back."""
        what = _what(asked)
        if not what or what != self._what:
            return self._passed_on(asked, what)
        self._what = ""
        if self._is_done:
            self._passed_on(asked, what)
        self.lost.set()
        self._go.wait(HOLD_S_MAX)
        return SILENCE

    def _passed_on(self, asked: Asked, what: str) -> Said:
        answer = httpx.request(
            asked.method,
            f"{self._base}{asked.path}",
            headers={"Authorization": asked.headers["authorization"]},
            json=asked.document,
            timeout=ANSWER_S_MAX,
        )
        if answer.is_success and what:
            self.told.append(what)
        is_json = "json" in answer.headers.get("content-type", "")
        return Said(answer.status_code, answer.json() if is_json else answer.text)


def _what(asked: Asked) -> str:
    """What a request does: `run`, `do`, `figures`; a question does nothing."""
    last = asked.path.partition("?")[0].rpartition("/")[2]
    return {"GET": "", "PUT": "figures"}.get(asked.method, last)


def require() -> None:
    """Skip the test when Tryton cannot be had here; in CI that is a failure."""
    if TRYTON.program("trytond").exists():
        return
    reason = "needs Tryton in an environment of its own: `make test` sets it up"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def tryton(folder: Path) -> Iterator[Tryton]:
    """A Tryton on a new database, while the block lasts."""
    require()
    folder.mkdir()
    shutil.copy(_template(), folder / f"{DATABASE}.sqlite")
    port = free_port()
    configuration = _configured(folder, port)
    with (folder / "tryton.log").open("wb") as log:
        process = subprocess.Popen(
            [TRYTON.program("trytond"), "-c", configuration, "-d", DATABASE],
            stdout=log,
            stderr=log,
        )
        try:
            _await(port, process)
            erp = Tryton(port)
            yield erp
            erp.close()
        finally:
            process.kill()
            process.wait()


def _await(port: int, process: "subprocess.Popen[bytes]") -> None:
    end_s = time.monotonic() + START_S_MAX
    while time.monotonic() < end_s:
        assert process.poll() is None, "Tryton ended: see tryton.log"
        with suppress(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/")
            return
        time.sleep(0.05)
    pytest.fail(f"Tryton does not listen after {START_S_MAX:g} s")


def _configured(folder: Path, port: int) -> Path:
    path = folder / "trytond.conf"
    path.write_text(CONFIGURATION.format(folder, port))
    return path


def _template() -> Path:
    """A database as trytond-admin makes it; made once, since it takes ten seconds."""
    template = TRYTON.folder / "database.sqlite"
    if not template.exists():
        with tempfile.TemporaryDirectory(dir=TRYTON.folder) as name:
            made = _initialized(Path(name))
            made.replace(template)
    return template


def _initialized(folder: Path) -> Path:
    database, password = folder / f"{DATABASE}.sqlite", folder / "password"
    database.touch()
    password.write_text(PASSWORD)
    what = ("-u", "production", "--activate-dependencies", "--email", "people@example.com")
    subprocess.run(
        [
            *(TRYTON.program("trytond-admin"), "-c", _configured(folder, 0), "-d", DATABASE),
            *what,
        ],
        env={**os.environ, "TRYTONPASSFILE": str(password)},
        check=True,
        capture_output=True,
        timeout=300,
    )
    return database


def _only(names: tuple[str, ...], row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in names if row.get(name) is not None}
