"""i3X 1.0 over real HTTP: by the client on PyPI, and by the clauses that it does not look at."""

import json
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from queue import Empty, Queue
from typing import Any, Final

import httpx
import i3x  # type: ignore[import-untyped]  # it has no types
import pytest
from httpx_sse import EventSource
from jsonschema import Draft202012Validator

from tests.served import NOW, Mouth, fill, served
from tests.speech import LINE, MILL, NOON, WASH
from uns.api.i3x import objects
from uns.codec import encode_tag

BORE: Final = f"{MILL}/_tag/tag-0"
SILENT: Final = f"{MILL}/_tag/tag-1"
OEE: Final = f"{LINE}/_state/oee"
NOBODY: Final = "acme/nowhere"
WAIT_S: Final = 20.0


@pytest.fixture(scope="module")
def server(shared_location: str) -> Iterator[tuple[str, Mouth]]:
    with served(fill(shared_location)) as (url, mouth):
        yield f"{url}/i3x/v1", mouth


@pytest.fixture
def mouth(server: tuple[str, Mouth]) -> Mouth:
    return server[1]


@pytest.fixture
def client(server: tuple[str, Mouth]) -> Iterator[i3x.Client]:
    with i3x.Client(server[0]) as client:
        yield client


@pytest.fixture
def http(server: tuple[str, Mouth]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server[0], timeout=60) as client:
        yield client


def bore(value: float, after_ms: int) -> bytes:
    return encode_tag(value, NOON + after_ms, "good", "rpm")


def eventually(look: Callable[[], Any]) -> Any:
    """What a look finds as soon as it finds something."""
    for _ in range(200):
        if found := look():
            return found
        threading.Event().wait(WAIT_S / 200)
    raise AssertionError("nothing found")


def test_the_client_meets_a_released_server(client: i3x.Client) -> None:
    info = client.get_info()
    assert (info.spec_version, info.server_name) == ("1.0", "uns")
    assert info.capabilities == {
        "query": {"history": True},
        "update": {"current": False, "history": False},
        "subscribe": {"stream": True},
    }
    assert not client._is_beta_server


def test_every_type_belongs_to_a_namespace_and_every_object_to_a_type(client: i3x.Client) -> None:
    namespaces = {one.uri for one in client.get_namespaces()}
    types = {one.element_id: one for one in client.get_object_types()}
    assert {one.namespace_uri for one in types.values()} <= namespaces
    assert {one.type_element_id for one in client.get_objects()} <= types.keys()
    for uri in namespaces:
        of_it = {one.element_id for one in client.get_object_types(uri)}
        assert of_it == {id_ for id_, one in types.items() if one.namespace_uri == uri}
    assert [one.element_id for one in client.query_object_types(["Tag", "Nothing"])] == ["Tag"]


def test_ids_are_unique_over_objects_types_and_relationships(client: i3x.Client) -> None:
    ids = [one.element_id for one in client.get_objects()]
    ids += [one.element_id for one in client.get_object_types()]
    ids += [one.element_id for one in client.get_relationship_types()]
    assert len(ids) == len(set(ids))


def test_every_relationship_has_a_reverse_that_leads_back(client: i3x.Client) -> None:
    reverse = {one.element_id: one.reverse_of for one in client.get_relationship_types()}
    assert all(reverse[reverse[name]] == name for name in reverse)
    everything = [one.element_id for one in client.get_objects()]
    edges = {
        (id_, one.source_relationship, one.object.element_id)
        for id_ in everything
        for one in client.get_related_objects([id_])
    }
    assert {(there, reverse[name], here) for here, name, there in edges} == edges
    assert (MILL, "FlowsTo", WASH) in edges
    assert (BORE, "ComponentOf", MILL) in edges
    assert [r.object.element_id for r in client.get_related_objects([WASH], "FlowsFrom")] == [MILL]


def test_the_tree_is_there_from_its_root(client: i3x.Client) -> None:
    (root,) = client.get_objects(root=True)
    assert (root.element_id, root.parent_id, root.type_element_id) == ("acme", None, "Enterprise")
    found = {one.element_id: one for one in client.get_objects()}
    assert {BORE, OEE, f"{LINE}/_state/order/po-1--x504f2f31", "acme/berlin/assembly"} <= set(found)
    for one in found.values():
        parent = client.get_related_objects([one.element_id], "HasParent")
        assert [p.object.element_id for p in parent] == ([one.parent_id] if one.parent_id else [])
    assert found[MILL].is_composition
    assert {one.type_element_id for one in client.get_objects("WorkUnit")} == {"WorkUnit"}


def test_metadata_says_where_a_type_comes_from(client: i3x.Client) -> None:
    about = client.get_object(MILL, include_metadata=True).metadata
    assert about
    assert about.source_type_id == "WorkUnit"
    assert about.relationships
    assert about.relationships["HasComponent"] == [BORE, SILENT]
    assert client.get_object(MILL).metadata is None
    with pytest.raises(i3x.NotFoundError, match=NOBODY):
        client.get_object(NOBODY)


def test_values_are_as_their_type_says(client: i3x.Client) -> None:
    schemas = {one.element_id: one.schema for one in client.get_object_types()}
    found = {one.element_id: one.type_element_id for one in client.get_objects()}
    values = client.get_values(list(found), max_depth=0)
    assert values.keys() == found.keys()
    for id_, current in values.items():
        assert (current.value is None) == (current.quality in {"Bad", "GoodNoData"})
        assert current.timestamp.endswith("Z")
        if current.value is not None:
            Draft202012Validator(schemas[found[id_]]).validate(current.value)


def test_a_value_is_the_newest_on_record(client: i3x.Client) -> None:
    assert client.get_value(BORE) == i3x.CurrentValue(
        BORE, is_composition=False, value=19, quality="Good", timestamp="2025-12-11T12:00:19.000Z"
    )
    assert client.get_value(SILENT).quality == "GoodNoData"
    assert client.get_value(OEE).value["oee"] == 0.5
    assert client.get_value(LINE).value == {"title": "", "level": "line"}


def test_components_come_with_the_depth_only(client: i3x.Client) -> None:
    assert client.get_value(MILL).components is None
    whole = client.get_value(MILL, max_depth=0)
    assert whole.components
    assert whole.components.keys() == {BORE, SILENT}
    assert whole.components[BORE].value == 19


def test_history_is_what_was_recorded_in_the_time_asked_for(client: i3x.Client) -> None:
    found = client.get_history(BORE, "2025-12-11T12:00:05Z", "2025-12-11T12:00:08.000Z")
    assert [(one.value, one.timestamp[17:]) for one in found.values] == [
        (5, "05.000Z"),
        (6, "06.000Z"),
        (7, "07.000Z"),
    ]
    assert client.get_history(BORE, "2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z").values == []
    assert [one.value["oee"] for one in client.get_history(OEE).values] == [0.5]
    assert client.get_history(LINE).values == []


def test_an_answer_that_is_not_all_of_it_says_so(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "VALUES_MAX", 3)
    answer = http.post("/objects/history", json={"elementIds": [BORE, OEE]})
    assert answer.status_code == HTTPStatus.PARTIAL_CONTENT
    assert answer.json()["responseDetail"]["detail"].startswith("only 3 values")
    assert [len(one["result"]["values"]) for one in answer.json()["results"]] == [3, 0]
    answer = http.post("/objects/value", json={"elementIds": [MILL, LINE], "maxDepth": 2})
    assert answer.status_code == HTTPStatus.PARTIAL_CONTENT
    monkeypatch.setattr(objects, "OBJECTS_MAX", 2)
    for asked in (
        http.get("/objects"),
        http.post("/objects/related", json={"elementIds": [MILL]}),
    ):
        assert asked.status_code == HTTPStatus.PARTIAL_CONTENT
        assert asked.json()["success"] is True


BY_ID: Final = (
    "/objecttypes/query",
    "/relationshiptypes/query",
    "/objects/list",
    "/objects/related",
    "/objects/value",
    "/objects/history",
)


@pytest.mark.parametrize("path", BY_ID)
def test_each_of_many_fails_alone_in_the_order_asked_for(http: httpx.Client, path: str) -> None:
    known = {"/objecttypes/query": "Tag", "/relationshiptypes/query": "FlowsTo"}.get(path, BORE)
    answer = http.post(path, json={"elementIds": [NOBODY, known, NOBODY]})
    assert answer.status_code == HTTPStatus.OK
    found = answer.json()
    assert found["success"] is False
    assert [(one["elementId"], one["success"]) for one in found["results"]] == [
        (NOBODY, False),
        (known, True),
        (NOBODY, False),
    ]
    assert found["results"][0]["responseDetail"]["status"] == HTTPStatus.NOT_FOUND
    assert "result" not in found["results"][0]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/objects/list", {}),
        ("/objects/list", {"elementIds": []}),
        ("/objects/list", {"elementIds": ["x"] * 1_001}),
        ("/objects/history", {"elementIds": ["x"] * 101}),
        ("/objects/list", {"elementIds": ["a\0b"]}),
        ("/objects/list", {"elementIds": ["\ud800"]}),
        ("/objects/value", {"elementIds": [BORE], "maxDepth": -1}),
        ("/objects/history", {"elementIds": [BORE], "startTime": "noon"}),
        ("/objects/history", {"elementIds": [BORE], "startTime": NOW - 1, "endTime": NOON}),
        ("/subscriptions", {"displayName": "whose?"}),
        ("/subscriptions/sync", {"subscriptionId": "x"}),
    ],
)
def test_a_malformed_request_is_400_in_the_envelope(
    http: httpx.Client, path: str, body: Any
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = http.post(path, content=json.dumps(body), headers=headers)
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    failure = answer.json()
    assert failure["success"] is False
    assert failure["responseDetail"]["status"] == HTTPStatus.BAD_REQUEST
    assert failure["responseDetail"]["detail"]


def test_nothing_is_written(client: i3x.Client) -> None:
    with pytest.raises(i3x.NotSupportedError):
        client.update_value(BORE, 1)
    with pytest.raises(i3x.NotSupportedError):
        client.update_history(BORE, {"value": 1, "quality": "Good", "timestamp": "x"})


def test_sync_gives_the_newest_value_first_and_then_what_is_said(
    client: i3x.Client, mouth: Mouth
) -> None:
    mine = client.create_subscription("mine")
    answers = client.register_items(mine, [BORE, NOBODY, BORE])
    assert [one["success"] for one in answers] == [True, False, True]
    (first,) = client.sync_subscription(mine)
    assert [(one.element_id, one.value) for one in first.updates] == [(BORE, 19)]
    mouth.say(SILENT, bore(7, 0))
    mouth.say(f"{MILL}/_tag/tag-0", b"no json")
    mouth.say(BORE, bore(20.5, 20_000))
    (second,) = eventually(lambda: client.sync_subscription(mine, first.sequence_number))
    assert second.sequence_number == first.sequence_number + 1
    assert [(one.value, one.quality, one.timestamp) for one in second.updates] == [
        (20.5, "Good", "2025-12-11T12:00:20.000Z")
    ]
    assert client.sync_subscription(mine, -1) == []
    assert client.unregister_items(mine, [BORE])[0]["success"]
    assert not client.unregister_items(mine, [BORE])[0]["success"]
    assert client.get_subscription(mine).monitored_objects == []
    client.unsubscribe(mine)
    with pytest.raises(i3x.NotFoundError):
        client.sync_subscription(mine)


def test_a_composition_is_followed_with_its_components(client: i3x.Client, mouth: Mouth) -> None:
    mine = client.create_subscription()
    client.register_items(mine, [LINE], max_depth=0)
    (first,) = client.sync_subscription(mine)
    assert {LINE, OEE} <= {one.element_id for one in first.updates}
    mouth.say(f"{LINE}/_state/order/new", b'{"summary":"new","at_ms":5,"rev":1}')
    mouth.say(OEE, b"")

    def heard() -> list[i3x.ValueChange]:
        batches = client.sync_subscription(mine, first.sequence_number)
        said = [one for batch in batches for one in batch.updates]
        return said if len(said) == 2 else []

    made, gone = eventually(heard)
    assert (made.element_id, made.value["summary"]) == (f"{LINE}/_state/order/new", "new")
    assert (gone.element_id, gone.value, gone.quality) == (OEE, None, "GoodNoData")


def test_a_subscription_of_somebody_else_is_not_there(
    server: tuple[str, Mouth], client: i3x.Client
) -> None:
    mine = client.create_subscription()
    with i3x.Client(server[0]) as other:
        with pytest.raises(i3x.NotFoundError):
            other.sync_subscription(mine)
        assert other.list_subscriptions([mine]) == []
        other.unsubscribe(mine)
    assert client.get_subscription(mine).subscription_id == mine


def test_the_clients_stream_tells_changes_as_they_come(client: i3x.Client, mouth: Mouth) -> None:
    said: Queue[i3x.ValueChange] = Queue()
    client.on_value_change = lambda _client, change: said.put(change)
    mine = client.subscribe([BORE])
    assert said.get(timeout=WAIT_S).value == 19
    for n in range(3):
        mouth.say(BORE, bore(n + 0.5, n))
    assert [said.get(timeout=WAIT_S).value for _ in range(3)] == [0.5, 1.5, 2.5]
    with pytest.raises(i3x.I3XError, match="open stream"):
        client.sync_subscription(mine)
    client.unsubscribe(mine)
    with pytest.raises(Empty):
        said.get_nowait()


def test_a_second_stream_ends_the_first_without_an_error(http: httpx.Client, mouth: Mouth) -> None:
    who = {"clientId": "two-streams"}
    made = http.post("/subscriptions", json=who).json()["result"]
    mine = {**who, "subscriptionId": made["subscriptionId"]}
    http.post("/subscriptions/register", json={**mine, "elementIds": [BORE]})
    with http.stream("POST", "/subscriptions/stream", json=mine) as first:
        events = EventSource(first).iter_sse()
        assert json.loads(next(events).data)[0]["value"] == 19
        with http.stream("POST", "/subscriptions/stream", json=mine) as second:
            assert list(events) == []
            mouth.say(BORE, bore(3, 3))
            assert json.loads(next(EventSource(second).iter_sse()).data)[0]["value"] == 3
    answer = eventually(lambda: _synced(http, mine))
    assert answer.json() == {"success": True, "result": []}


def _synced(http: httpx.Client, mine: dict[str, str]) -> httpx.Response | None:
    """A sync that is answered: the server has seen that the stream was closed."""
    answer = http.post("/subscriptions/sync", json=mine)
    return answer if answer.status_code == HTTPStatus.OK else None
