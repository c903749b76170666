"""The adapters against the published contracts of their counterparts, replayed over HTTP.

Each folder of tests/golden/erp-contracts is one exchange; see its README.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridges.erp_rest.client import exchange_of
from bridges.erp_rest.config import ErpRestSettings
from bridges.erp_rest.confirmation import Confirmation
from bridges.erp_rest.errors import MappingError
from bridges.erp_rest.idoc import orders_of
from bridges.erp_rest.mapping import ADAPTERS, terms_of
from bridges.erp_rest.posting import Line, Poster
from bridges.erp_rest.store import Store
from tests.brokers import bounded, small_plant
from tests.counterpart import Asked, Counterpart, Said, counterpart
from uns.model.plant import Plant

ROOT = Path(__file__).parents[1] / "golden" / "erp-contracts"
CASES = {
    folder.name: json.loads((folder / "recorded.json").read_text()) for folder in ROOT.iterdir()
}
CREDENTIALS = "USER:secret"
PLANT: Plant = small_plant()
HALF_A_PIECE = (
    b"<L><IDOC><EDI_DC40><DOCNUM>7</DOCNUM></EDI_DC40><E1AFKOL><AUFNR>1</AUFNR>"
    b"<MATNR>A</MATNR><GAMNG>1.5</GAMNG></E1AFKOL></IDOC></L>"
)


class Replay:
    """Answers as recorded; notes where a request differs from the recorded one."""

    def __init__(self, exchanges: list[dict[str, Any]]) -> None:
        self._left: Iterator[dict[str, Any]] = iter(exchanges)
        self.differences: list[str] = []

    def __call__(self, asked: Asked) -> Said:
        exchange = next(self._left, None)
        if exchange is None:
            self.differences.append(f"not recorded: {asked}")
            return Said(500)
        wanted = exchange["request"]
        given = {
            "method": asked.method,
            "path": asked.path,
            "body": asked.document,
            "headers": {name: asked.headers.get(name) for name in wanted.get("headers", {})},
        }
        whole = {"body": None, "headers": {}, **wanted}
        self.differences += [
            f"{k}: {given[k]} != {whole[k]}" for k in whole if given[k] != whole[k]
        ]
        answer = exchange["answer"]
        headers = tuple((name, value) for name, value in answer.get("headers", []))
        return Said(answer["status"], answer.get("body"), headers)

    def is_over(self) -> bool:
        return next(self._left, None) is None


@pytest.fixture
def replay(request: pytest.FixtureRequest) -> Iterator[tuple[Replay, Counterpart]]:
    played = Replay(CASES[request.param].get("exchanges", []))
    with counterpart(played) as server:
        yield played, server


def settings_of(case: dict[str, Any], url: str) -> ErpRestSettings:
    return ErpRestSettings(url=url, credentials_file="token", retry_ms_min=10, **case["settings"])


OUT = [name for name, case in CASES.items() if "confirmation" in case]
ASKED = [name for name, case in CASES.items() if "cursor" in case]
PUSHED = [name for name, case in CASES.items() if "pushed" in case]


@bounded
@pytest.mark.parametrize(("name", "replay"), [(n, n) for n in OUT], indirect=["replay"], ids=OUT)
async def test_a_confirmation_goes_out(
    name: str, replay: tuple[Replay, Counterpart], tmp_path: Path
) -> None:
    case, (played, server) = CASES[name], replay
    settings = settings_of(case, server.url)
    adapter, terms = ADAPTERS[settings.adapter], terms_of(settings, PLANT)
    exchange = exchange_of(settings, tmp_path, adapter.authorization(CREDENTIALS))
    store = Store(tmp_path / "posts.sqlite")
    store.post([Confirmation.model_validate(case["confirmation"])], now_ms=0)
    (post,) = store.due(0, 1)
    if case["state"] == "unsure":
        store.sending(post, due_ms=0)
    line = Line(adapter, exchange, terms, lambda: 1_000, lambda: 0.5)
    poster = Poster(store, line, settings, lambda _trouble: None)
    assert await poster.step() == 1
    settled = store.post_of(post.id)
    store.close()
    assert played.differences == []
    assert played.is_over()
    assert settled is not None
    assert settled.state == case["becomes"]
    if "reason" in case:
        assert settled.reason == case["reason"]


@bounded
@pytest.mark.parametrize(
    ("name", "replay"), [(n, n) for n in ASKED], indirect=["replay"], ids=ASKED
)
async def test_orders_are_asked_for(
    name: str, replay: tuple[Replay, Counterpart], tmp_path: Path
) -> None:
    case, (played, server) = CASES[name], replay
    settings = settings_of(case, server.url)
    adapter, terms = ADAPTERS[settings.adapter], terms_of(settings, PLANT)
    exchange = exchange_of(settings, tmp_path, adapter.authorization(CREDENTIALS))
    page = adapter.page(await exchange.send(adapter.orders(case["cursor"], 0, terms)))
    read = list[Any]()
    for row in page.rows:
        try:
            read.append(adapter.order(row, terms))
        except MappingError as error:
            read.append(str(error))
    assert played.differences == []
    assert read == case["orders"]
    assert page.cursor == case["cursor_after"]


@pytest.mark.parametrize("name", PUSHED)
def test_orders_are_pushed(name: str) -> None:
    case = CASES[name]
    terms = terms_of(settings_of(case, "http://127.0.0.1"), PLANT)
    assert orders_of((ROOT / name / case["pushed"]).read_bytes(), terms) == case["orders"]


def test_every_case_is_played_and_says_what_it_is() -> None:
    assert sorted([*OUT, *ASKED, *PUSHED]) == sorted(CASES)
    assert {case["settings"]["adapter"] for case in CASES.values()} == ADAPTERS.keys() - {"generic"}
    for name in CASES:
        text = (ROOT / name / "README.md").read_text()
        assert text.startswith("# ")
        assert "a live system" in text


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'<!DOCTYPE x [<!ENTITY a "b">]><LOIPRO04/>', "document type"),
        (b"<LOIPRO04><IDOC></LOIPRO04>", "not XML"),
        (b"<LOIPRO04><IDOC/></LOIPRO04>", "E1AFKOL"),
        ("<LOIPRO04>ä</LOIPRO04>".encode("utf-16"), "not UTF-8"),
        (
            HALF_A_PIECE,
            "GAMNG",
        ),
    ],
)
def test_an_idoc_that_is_none_is_refused_with_the_reason(raw: bytes, reason: str) -> None:
    terms = terms_of(ErpRestSettings(url="https://erp", credentials_file="t"), PLANT)
    with pytest.raises(MappingError, match=reason):
        orders_of(raw, terms)
