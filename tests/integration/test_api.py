"""The API: the answers of the record's questions over HTTP, their bounds, and who may ask."""

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from pydantic import BaseModel

from tests.brokers import bounded, small_plant
from tests.served import NOW, Mouth, context_over, fill, listening, served
from tests.speech import LINE, MILL, NOON
from uns.api.app import build
from uns.api.context import Readers
from uns.api.errors import Busy
from uns.api.limits import BODY_BYTES_MAX, SPAN_DAYS_MAX
from uns.historian.errors import QueryFailed
from uns.historian.history import (
    bottleneck,
    defects,
    downtime,
    genealogy,
    losses,
    oee,
    orders,
    reliability,
    spc,
    states,
    values,
    yields,
)
from uns.historian.history.period import PAGE_MAX, Period
from uns.historian.reader import Reader, open_reader

BORE: Final = f"{MILL}/_tag/tag-0"
HOUR: Final = Period(from_ms=NOON, to_ms=NOW)
TOKEN: Final = "a-token-of-this-test"  # noqa: S105 - it opens nothing else
ASKERS: Final = 60
WINDOW: Final = {"from": NOON, "to": NOW}


@pytest.fixture(scope="module")
def filled(shared_location: str) -> str:
    return fill(shared_location)


@pytest.fixture(scope="module")
def api(filled: str) -> Iterator[httpx.Client]:
    with served(filled) as (url, _), httpx.Client(base_url=f"{url}/v1", timeout=60) as client:
        yield client


@pytest.fixture
def reader(filled: str) -> Iterator[Reader]:
    with open_reader(filled) as reader:
        yield reader


def got(api: httpx.Client, path: str, /, **params: Any) -> Any:
    answer = api.get(path, params=params)
    assert answer.status_code == HTTPStatus.OK, answer.text
    return answer.json()


def refused(api: httpx.Client, path: str, /, **params: Any) -> str:
    """The reason of a refusal that is a problem document."""
    answer = api.get(path, params=params)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["title"]) == (answer.status_code, answer.reason_phrase)
    return f"{answer.status_code} {problem['detail']}"


def as_json(answer: BaseModel | None) -> Any:
    return answer and answer.model_dump(mode="json")


def test_each_path_gives_the_answer_of_its_question(api: httpx.Client, reader: Reader) -> None:
    plant, place = small_plant(), {"path": LINE, **WINDOW}
    cells = oee.cells_below(plant, LINE)
    told: dict[str, tuple[dict[str, Any], BaseModel | None]] = {
        "/last": ({"topic": "acme/#"}, values.last(reader, "acme/#", 500)),
        "/tree": ({"at": NOON}, values.tree_at(reader, NOON, "#", 500)),
        "/history": ({"topic": BORE, **WINDOW}, values.raw(reader, BORE, HOUR, 500)),
        "/sampled": (
            {"topic": BORE, "points": 7, **WINDOW},
            values.sampled(reader, BORE, HOUR, points=7),
        ),
        "/plot": ({"topic": BORE, "points": 9, **WINDOW}, values.plotted(reader, BORE, HOUR, 9)),
        "/states": (place, states.state_timeline(reader, cells, HOUR, 500)),
        "/downtime": (place, downtime.downtime_pareto(reader, plant, cells, HOUR)),
        "/oee": ({**place, "by": "shift"}, oee.oee(reader, plant, LINE, HOUR, "shift")),
        "/losses": (place, losses.loss_tree(reader, plant, LINE, HOUR)),
        "/yield": ({**place, "by": "item"}, yields.yields(reader, plant, LINE, HOUR, "item")),
        "/defects": (place, defects.defects(reader, cells, HOUR)),
        "/reliability": (place, reliability.reliability(reader, plant, LINE, HOUR)),
        "/bottleneck": (place, bottleneck.bottleneck(reader, plant, LINE, HOUR)),
        "/orders": ({"path": LINE}, orders.orders(reader, path=LINE, limit=500)),
        "/orders/PO/1": ({}, orders.order_history(reader, "PO/1")),
        "/trace/part": ({}, genealogy.trace(reader, "part", 500)),
        "/related/part": (
            {"direction": "contents_of"},
            genealogy.related(reader, "part", "contents_of"),
        ),
        "/spc": (
            {"cell": MILL, "characteristic": "bore", **WINDOW},
            spc.spc_series(reader, MILL, "bore", HOUR, limit=500),
        ),
    }
    assert {path: got(api, path, **params) for path, (params, _) in told.items()} == {
        path: as_json(answer) for path, (_, answer) in told.items()
    }


def test_the_answers_are_about_something(api: httpx.Client) -> None:
    place = {"path": LINE, **WINDOW}
    assert got(api, "/last", topic="acme/#")["items"][0]["value"]["oee"] == 0.5
    assert got(api, "/oee", **place)["total"]["sums"]["gq"] == 40
    assert got(api, "/downtime", **place)["bars"][0]["key"] == "jam"
    lost = got(api, "/losses", **place)
    assert lost["total_min"] + lost["good_min"] == pytest.approx(lost["busy_min"])
    assert lost["losses"][0]["minutes"] > 0
    assert got(api, "/reliability", **place)["cells"][0]["cell"] == MILL
    assert got(api, "/bottleneck", **place)["cell"] == "mill"
    assert got(api, "/orders/PO%2F1")["order"]["good"] == 40
    assert [edge["id"] for edge in got(api, "/trace/part")["contents_of"]] == ["blank", "bar"]
    assert got(api, "/related/part", direction="contents_of")["items"] == ["blank", "bar"]
    measured = got(api, "/spc", cell=MILL, characteristic="bore", **WINDOW)["measurements"]
    assert [one["value"] for one in measured] == [1.5, 2.5, 3.5]
    assert {"ABORTED", "EXECUTE"} <= set(got(api, "/states", **place)["cells"][0]["state_ms"])


def test_pages_follow_each_other_to_the_end(api: httpx.Client) -> None:
    for path, params in (
        ("/history", {"topic": BORE, **WINDOW}),
        ("/plant", {}),
        ("/last", {"topic": "#"}),
    ):
        whole = got(api, path, **params, limit=PAGE_MAX)["items"]
        found, after = list[Any](), dict[str, str]()
        while page := got(api, path, **params, **after, limit=7):
            assert len(page["items"]) <= 7
            found += page["items"]
            if page["after"] is None:
                break
            after = {"after": page["after"]}
        assert found == whole


def test_the_plant_is_listed_with_its_tags(api: httpx.Client) -> None:
    found = {node["path"]: node for node in got(api, "/plant")["items"]}
    assert found["acme/berlin"]["time_zone"] == "Europe/Berlin"
    assert found[LINE]["bottleneck"] == "mill"
    assert [tag["topic"] for tag in found[MILL]["tags"]] == [BORE, f"{MILL}/_tag/tag-1"]


def test_without_a_period_it_is_the_last_hour_and_never_the_future(api: httpx.Client) -> None:
    for window in ({}, {"to": NOW + 1}, {"from": "2025-12-11T13:00:00+01:00"}, {"to": 2**53}):
        found = got(api, "/sampled", topic=BORE, **window)
        assert (found["from_ms"], found["to_ms"]) == (NOON, NOW)


@pytest.mark.parametrize(
    ("path", "params", "reason"),
    [
        ("/history", {}, "422 query.topic: Field required"),
        (
            "/history",
            {"topic": BORE, "from": "2025-12-11T13:00:00"},
            "422 query.from: say the zone",
        ),
        ("/history", {"topic": BORE, "from": "yesterday"}, "422 query.from: use ISO 8601"),
        ("/history", {"topic": BORE, "from": NOW}, "422 `from` 1765458000000 is not before"),
        ("/history", {"topic": BORE, "from": 0}, f"422 more than {SPAN_DAYS_MAX} days"),
        ("/history", {"topic": BORE, "limit": PAGE_MAX + 1}, "422 query.limit: Input should be"),
        ("/history", {"topic": BORE, "after": "x"}, "422 'x' is no page"),
        ("/history", {"topic": "acme/_meta/node"}, "422 _meta topics have no history"),
        ("/history", {"topic": "a' OR 1=1 --"}, "422 no kind in"),
        ("/history", {"topic": "a\0b"}, "422 query.topic: String should match"),
        ("/sampled", {"topic": BORE, "every_ms": 1}, "422 steps of 1 ms"),
        ("/oee", {"path": "acme/nowhere"}, "422 the plant has no place 'acme/nowhere'"),
        ("/oee", {"path": LINE, "by": "moon"}, "422 query.by: Input should be"),
        ("/energy", {"path": LINE}, "422 0 tags of role energy: use 1 to"),
        ("/losses", {"path": "acme/nowhere"}, "422 the plant has no place 'acme/nowhere'"),
        ("/reliability", {"path": LINE, "from": 0}, f"422 more than {SPAN_DAYS_MAX} days"),
        ("/bottleneck", {"path": MILL}, f"422 the plant has no line '{MILL}'"),
        ("/orders/nobody", {}, "404 no order 'nobody' on record"),
        ("/nothing", {}, "404 Not Found"),
    ],
)
def test_what_cannot_be_answered_says_why(
    api: httpx.Client, path: str, params: dict[str, Any], reason: str
) -> None:
    assert refused(api, path, **params).startswith(reason)


def test_every_list_is_bounded_as_openapi_says(api: httpx.Client) -> None:
    of_cells = {"/v1/losses", "/v1/yield", "/v1/reliability", "/v1/bottleneck", "/v1/energy"}
    bounded_by_what_they_are = {"/v1/health", "/v1/oee", "/v1/orders/{order_id}", *of_cells}
    paths = api.get(api.base_url.join("/openapi.json")).json()["paths"]
    for path, operations in paths.items():
        assert operations.keys() == {"get"}
        bounds = {
            one["name"]: one["schema"].get("maximum")
            for one in operations["get"].get("parameters", [])
            if one["name"] in {"limit", "points"}
        }
        assert path in bounded_by_what_they_are or any(bounds.values()), path


def test_nothing_can_be_written(api: httpx.Client) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert api.request(method, "/orders").status_code == HTTPStatus.METHOD_NOT_ALLOWED


def test_short_answers_are_compressed_for_who_asks(api: httpx.Client) -> None:
    with api.stream("GET", "/health", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert json.loads(gzip.decompress(b"".join(answer.iter_raw())))["status"] == "ok"


@pytest.fixture
def empty(tmp_path: Path) -> str:
    """The location of a store that nobody has made."""
    return str(tmp_path / "store.duckdb")


@pytest.mark.parametrize(
    "nowhere", ["postgresql://nobody@127.0.0.1:1/nothing", "/nowhere/store.duckdb"]
)
def test_a_store_that_is_away_is_503_with_the_fix(nowhere: str) -> None:
    with served(nowhere) as (url, _), httpx.Client(base_url=url) as api:
        for path in ("/v1/health", "/v1/last?topic=%23", "/i3x/v1/objects"):
            answer = api.get(path)
            assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE, answer.text
            assert answer.headers["retry-after"]
            assert "`uns doctor` says what is wrong" in answer.text
        assert api.get("/v1/plant").status_code == HTTPStatus.OK


@bounded
async def test_more_askers_than_readers_wait_and_are_told_to_come_again(empty: str) -> None:
    readers = Readers(lambda: open_reader(empty), count=1, wait_s_max=0.01)
    async with readers.lent():
        with pytest.raises(Busy, match="all 1 readers are at work"):
            async with readers.lent():
                pass
    async with readers.lent():
        pass


def test_many_who_wait_for_a_reader_hold_up_nobody_who_has_one(filled: str) -> None:
    readers = Readers(lambda: open_reader(filled), count=1, wait_s_max=120)
    patient = replace(context_over(filled, Mouth()), readers=readers)
    with (
        listening(build(patient)) as url,
        httpx.Client(timeout=120, limits=httpx.Limits(max_connections=ASKERS)) as api,
        ThreadPoolExecutor(ASKERS) as askers,
    ):
        asked = [f"{url}/v1/health"] * ASKERS
        assert {answer.status_code for answer in askers.map(api.get, asked)} == {HTTPStatus.OK}


def test_with_a_token_only_who_says_it_is_answered(empty: str) -> None:
    with served(empty, TOKEN) as (url, _), httpx.Client(base_url=url) as api:
        for said in (None, "Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ÿ"):
            headers = [(b"Authorization", said.encode("latin-1"))] if said else []
            answer = api.get("/v1/plant", headers=headers)
            assert answer.status_code == HTTPStatus.UNAUTHORIZED
            assert answer.headers["www-authenticate"] == "Bearer"
            assert api.get("/i3x/v1/objects", headers=headers).json()["success"] is False
            assert api.get("/openapi.json", headers=headers).status_code == HTTPStatus.UNAUTHORIZED
        known = {"Authorization": f"Bearer {TOKEN}"}
        for face in ("", "/i3x/v1"):
            announced = api.get(f"{face}/openapi.json", headers=known).json()
            assert announced["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
        assert api.get("/v1/plant", headers=known).status_code == HTTPStatus.OK
        assert api.get("/i3x/v1/info").status_code == HTTPStatus.OK


def test_a_foreign_name_that_leads_here_is_not_answered(empty: str) -> None:
    with served(empty) as (url, _), httpx.Client(base_url=url) as api:
        for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
            answer = api.get("/v1/plant", headers={"Host": host})
            assert answer.status_code == HTTPStatus.MISDIRECTED_REQUEST
        for host in ("localhost", "LOCALHOST:8100", "[::1]:8100", "127.0.0.1"):
            assert api.get("/v1/plant", headers={"Host": host}).status_code == HTTPStatus.OK


def test_a_body_is_bounded_whether_it_says_its_length_or_not(empty: str) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(BODY_BYTES_MAX // 1_000 + 1):
            yield b" " * 1_000

    with served(empty) as (url, _), httpx.Client(base_url=f"{url}/i3x/v1") as api:
        for body in (b" " * (BODY_BYTES_MAX + 1), chunks()):
            answer = api.post("/objects/list", content=body)
            assert answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (QueryFailed("value out of range: overflow"), HTTPStatus.UNPROCESSABLE_ENTITY),
        (FileNotFoundError("no clock.json"), HTTPStatus.SERVICE_UNAVAILABLE),
    ],
)
def test_what_goes_wrong_outside_is_no_defect(
    empty: str, monkeypatch: pytest.MonkeyPatch, error: Exception, status: HTTPStatus
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("uns.api.routes.nodes", broken)
    with listening(build(context_over(empty, Mouth()))) as url:
        answer = httpx.get(f"{url}/v1/plant")
    assert answer.status_code == status
    assert str(error) in answer.json()["detail"]


def test_a_defect_is_told_without_its_inside(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("uns.api.routes.nodes", broken)
    context = context_over(empty, Mouth())
    with listening(build(context)) as url:
        answer = httpx.get(f"{url}/v1/plant")
    assert answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    assert answer.json()["detail"] == "a defect: the server's log has it"
