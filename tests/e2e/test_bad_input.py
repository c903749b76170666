"""Bad input at a running hub ends in quarantine with its bytes, and the neighbours flow on."""

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.hub import (
    RunningHub,
    eventually,
    plc_totals,
    recorded_totals,
    running,
    uns_json,
)

pytestmark = pytest.mark.e2e
SITE = "acme/berlin"
LINE = f"{SITE}/machining/housing"
SAW = f"{LINE}/saw"
SPEED = f"{SAW}/_tag/blade-speed"
COUNTED = f"{SAW}/_event/counted"
FOREIGN = f"{SITE}/assembly/pump/press/_tag/cycle-time"
PLC = "bridge-plc-machining"
SHOWN_BYTES = 90_000
"""What a retained document shows of an original at least; the record has all of it."""
FILE_BYTES_KEPT = 64_000
PACKET_BYTES = 3_000_000
"""More than the broker takes in one packet."""


def counted(**changes: Any) -> bytes:
    """A well-formed event of the saw, or nearly."""
    event = {
        "id": "bad-input:1",
        "type": "counted",
        "at_ms": 1_795_410_000_000,
        "path": SAW,
        "source": "plc-machining:acme.berlin.machining.housing",
        "epoch": 1,
        "seq": 1,
        "good": 1_000,
        "scrap": 0,
    }
    return json.dumps(event | changes).encode()


def tag(value: str, timestamp_ms: str = "1795410000000") -> bytes:
    return f'{{"value":{value},"timestamp_ms":{timestamp_ms},"quality":"good"}}'.encode()


class Bad(NamedTuple):
    """A message, the class it is rejected with and words of the reason."""

    user: str
    topic: str
    payload: bytes
    reject_class: str
    reason: str


BAD = {
    "unknown tag": Bad(PLC, f"{SAW}/_tag/nonsense", tag("1"), "unknown-topic", "no tag 'nonsense'"),
    "unknown cell": Bad(PLC, f"{LINE}/paint/_tag/state", tag("2"), "unknown-topic", "no place"),
    "no topic of ours": Bad(PLC, f"{SAW}/_tag/Blade Speed", tag("1"), "bad-topic", "a-z, 0-9"),
    "unknown event": Bad(PLC, f"{SAW}/_event/exploded", b"{}", "unknown-event", "'exploded'"),
    "unknown command": Bad(
        "operator", f"{SITE}/_cmd/order/eat", b"{}", "unknown-command", "known: order/release"
    ),
    "another's event": Bad(
        PLC,
        COUNTED,
        counted(source="plc-assembly:acme.berlin.assembly.pump"),
        "wrong-writer",
        "only plc-machining may",
    ),
    "a processor's event": Bad(
        PLC,
        f"{SAW}/_event/gap",
        counted(type="gap"),
        "bad-payload",
        "of_source: Field required",
    ),
    "another's path": Bad(PLC, COUNTED, counted(path=LINE), "wrong-path", f"path '{LINE}'"),
    "half a JSON": Bad(PLC, SPEED, b'{"value": 1,', "bad-json", "not JSON"),
    "no object": Bad(PLC, SPEED, b"[1]", "bad-json", "must be a JSON object"),
    "not UTF-8": Bad(PLC, SPEED, b'{"value":"\xff"}', "bad-json", "not UTF-8 at byte 10"),
    "NaN": Bad(PLC, SPEED, tag("NaN"), "bad-json", "NaN is not JSON"),
    "infinite": Bad(PLC, COUNTED, counted(good=float("inf")), "bad-json", "Infinity is not JSON"),
    "key twice": Bad(PLC, SPEED, b'{"value":1,"value":2}', "bad-json", "twice"),
    "deep": Bad(PLC, COUNTED, b"[" * 50_000, "bad-json", "nested deeper"),
    "wrong type": Bad(PLC, SPEED, tag("1", '"soon"'), "bad-payload", "timestamp_ms: "),
    "value of a wrong type": Bad(PLC, SPEED, tag("[1]"), "bad-payload", "value"),
    "negative count": Bad(PLC, COUNTED, counted(good=-1), "bad-payload", "good: "),
    "unknown key": Bad(PLC, COUNTED, counted(ugly=1), "bad-payload", "ugly: "),
    "empty event": Bad(PLC, COUNTED, b"", "empty", "an empty payload"),
    "large tag": Bad(PLC, SPEED, tag('"' + "x" * 150 + '"'), "oversize", "at most 150"),
    "large event": Bad(PLC, COUNTED, counted(id="x" * 100_000), "oversize", "at most 96000"),
    "command without an id": Bad(
        "operator", f"{SITE}/_cmd/order/release", b'{"order":{}}', "bad-payload", "request_id"
    ),
}

DENIED = {
    "a tag by an operator": ("operator", SPEED),
    "an event by an operator": ("operator", COUNTED),
    "a tag of another bridge": (PLC, FOREIGN),
    "a state by a bridge": (PLC, f"{LINE}/_state/oee"),
    "a command by a bridge": (PLC, f"{SITE}/_cmd/order/release"),
    "a watermark by a bridge": (PLC, "acme/_hub/watermark/plc-machining/acme/berlin"),
    "self-description by the historian": ("historian", f"{SAW}/_meta/node"),
}


class Quarantine(NamedTuple):
    """What became of the bad messages: the retained document after each, and the rows."""

    documents: dict[str, dict[str, Any]]
    rows: list[dict[str, Any]]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running(tmp_path_factory.mktemp("bad") / "data") as hub:
        eventually(lambda: _pieces(hub) > 0, 40, "the first pieces")
        yield hub


@pytest.fixture(scope="module")
def quarantine(hub: RunningHub) -> Quarantine:
    documents = {name: _quarantined(hub, bad) for name, bad in BAD.items()}
    return Quarantine(documents, uns_json("query", "select * from rejects", data=hub.data))


def _quarantined(hub: RunningHub, bad: Bad) -> dict[str, Any]:
    hub.publish(bad.user, bad.topic, bad.payload)
    return _rejected(hub, bad.reject_class, bad.payload)


def _rejected(hub: RunningHub, reject_class: str, original: bytes) -> dict[str, Any]:
    """The retained document of a class, once it is about these bytes."""
    sha256 = hashlib.sha256(original).hexdigest()

    def about_it() -> dict[str, Any] | None:
        document = hub.document(f"acme/_hub/reject/{reject_class}")
        return document if document.get("original_sha256") == sha256 else None

    found: dict[str, Any] = eventually(about_it, 20, f"{reject_class} of {original[:40]!r}")
    return found


def _pieces(hub: RunningHub) -> int:
    try:
        return sum(map(sum, recorded_totals(hub.data).values()))
    except AssertionError:
        return 0


def _rows(hub: RunningHub, sql: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = uns_json("query", sql, data=hub.data)
    return rows


@pytest.mark.parametrize("name", BAD)
def test_a_bad_message_is_kept_with_its_bytes_and_the_reason(
    quarantine: Quarantine, name: str
) -> None:
    bad, document = BAD[name], quarantine.documents[name]
    assert bad.reason in document["reason"]
    assert document["reject_class"] == bad.reject_class
    assert document["topic"] == bad.topic
    shown = base64.b64decode(document["original_base64"])
    assert shown == bad.payload[: max(len(shown), SHOWN_BYTES)]
    assert document["count"] >= 1
    sha256 = hashlib.sha256(bad.payload).hexdigest()
    (row,) = (
        row
        for row in quarantine.rows
        if (row["original_sha256"], row["topic"]) == (sha256, bad.topic)
    )
    assert (row["reject_class"], row["reason"]) == (bad.reject_class, document["reason"])
    assert base64.b64decode(row["original_base64"]) == bad.payload


def test_nothing_of_it_came_through(hub: RunningHub, quarantine: Quarantine) -> None:
    assert len(quarantine.documents) == len(BAD)
    assert not _rows(hub, "select * from events where id = 'bad-input:1'")
    assert not _rows(hub, f"select * from tags where topic = '{SPEED}' and at_ms = 1795410000000")  # noqa: S608 - a topic of ours


@pytest.mark.parametrize("name", DENIED)
def test_what_a_user_may_not_write_stays_outside(hub: RunningHub, name: str) -> None:
    user, topic = DENIED[name]
    intruder = json.dumps({"value": 666, "summary": name}).encode()
    hub.publish(user, topic, intruder, "-r")
    marker = f'{{"after": "{name}"'.encode()
    hub.publish(PLC, SPEED, marker)
    _rejected(hub, "bad-json", marker)
    assert hub.retained(topic).get(topic) != intruder.decode()
    sha256 = hashlib.sha256(intruder).hexdigest()
    assert not _rows(hub, f"select * from rejects where original_sha256 = '{sha256}'")  # noqa: S608 - a hash


def test_a_packet_beyond_the_brokers_limit_ends_its_connection_only(hub: RunningHub) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        hub.publish(PLC, SPEED, b"x" * PACKET_BYTES)
    last = b'{"after": "the large one"'
    hub.publish(PLC, SPEED, last)
    _rejected(hub, "bad-json", last)


def test_a_retained_command_is_refused_wherever_it_arrives_retained(hub: RunningHub) -> None:
    topic = f"{SITE}/_cmd/order/release"
    order = {"order_id": "R-1", "item": "pump-a", "quantity": 1}
    command = json.dumps({"request_id": "retained-1", "order": order}).encode()
    hub.publish("operator", topic, command, "-r")
    reply = f"select * from events where topic = '{SITE}/_event/reply/retained-1'"  # noqa: S608 - a topic of ours
    eventually(lambda: _rows(hub, reply), 20, "the answer to the command while it is new")
    for child in ("historian", "bridge-erp"):
        victim = hub.child(child)
        assert victim
        victim.kill()
    document = _rejected(hub, "retained-command", command)
    assert base64.b64decode(document["original_base64"]) == command
    hub.publish("operator", topic, b"", "-r")
    again = {"request_id": "retained-2", "order": order}
    hub.publish("operator", topic, json.dumps(again).encode())
    reply_2 = reply.replace("retained-1", "retained-2")
    (second,) = eventually(lambda: _rows_or_none(hub, reply_2), 30, "the ERP bridge is back")
    assert "known already" in second["payload"]["reason"]
    outcomes = {row["payload"]["outcome"]: row["payload"]["reason"] for row in _rows(hub, reply)}
    assert outcomes["refused"] == "command: commands are refused when retained"
    assert outcomes.keys() == {"accepted", "refused"}
    assert len(_rows(hub, _released("R-1"))) == 1


def _rows_or_none(hub: RunningHub, sql: str) -> list[dict[str, Any]]:
    try:
        return _rows(hub, sql)
    except AssertionError:
        return []


def _released(order_id: str) -> str:
    about = f"payload ->> 'order_id' = '{order_id}'"
    return f"select * from events where type = 'released' and {about}"  # noqa: S608 - an id of ours


class Inbox(NamedTuple):
    """The ERP's order folder."""

    root: Path

    def drop(self, name: str, content: bytes) -> None:
        """As a careful ERP does: written aside, then renamed."""
        aside = self.root / "in" / f"{name}.tmp"
        aside.write_bytes(content)
        aside.rename(self.root / "in" / name)

    def wait(self, folder: str, name: str) -> Path:
        """Until a file has been put away."""
        path = self.root / folder / name
        eventually(path.exists, 30, str(path))
        return path


def _order(order_id: str, **changes: Any) -> bytes:
    order = {"order_id": order_id, "item": "housing-a", "quantity": 7}
    return json.dumps(order | changes).encode()


@pytest.fixture
def inbox(hub: RunningHub) -> Inbox:
    return Inbox(hub.data / "erp")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("item", _order("E-1", item="housing-x"), "item: unknown item 'housing-x' (did you mean"),
        ("quantity", _order("E-2", quantity=-1), "quantity: "),
        ("float", _order("E-3", quantity=1.5), "quantity: "),
        ("nan", _order("E-4", quantity=float("nan")), "NaN is not JSON"),
        ("key", _order("E-5", qty=1), "qty: unknown key"),
        ("text", b"order 66", "not JSON"),
        ("large", b"[" + b" " * 4_100_000 + b"]", "larger than"),
        ("utf16", _order("E-6").decode().encode("utf-16"), "not UTF-8"),
    ],
)
def test_a_bad_order_file_goes_to_error_with_the_reason(
    hub: RunningHub, inbox: Inbox, name: str, content: bytes, reason: str
) -> None:
    inbox.drop(f"{name}.json", content)
    assert inbox.wait("error", f"{name}.json").read_bytes() == content
    assert reason in (inbox.root / "error" / f"{name}.json.reason.txt").read_text()
    where = f"select * from rejects where origin = 'in/{name}.json'"  # noqa: S608 - a name of ours
    (row,) = eventually(lambda: _rows(hub, where), 20, "the row")
    assert row["reject_class"] == "bad-order"
    assert reason in row["reason"]
    kept = base64.b64decode(row["original_base64"])
    assert content.startswith(kept)
    assert len(kept) == min(len(content), FILE_BYTES_KEPT)


def test_the_newest_bad_order_is_retained(hub: RunningHub, inbox: Inbox) -> None:
    content = _order("E-7", item="nothing")
    inbox.drop("newest.json", content)
    document = _rejected(hub, "bad-order", content)
    assert document["origin"] == "in/newest.json"
    assert base64.b64decode(document["original_base64"]) == content


def test_the_same_order_twice_is_one_order(hub: RunningHub, inbox: Inbox) -> None:
    inbox.drop("T-1.json", _order("T-1"))
    inbox.wait("done", "T-1.json")
    inbox.drop("T-1.json", _order("T-1"))
    inbox.wait("done", "T-1.2.json")
    assert "known already" in inbox.wait("done", "T-1.2.json.note.txt").read_text()
    inbox.drop("T-1.json", _order("T-1", quantity=8))
    inbox.wait("error", "T-1.json")
    reason = (inbox.root / "error" / "T-1.json.reason.txt").read_text()
    assert "revision 1 is known with other content: raise the revision above 1" in reason
    inbox.drop("T-1.json", _order("T-1", quantity=8, revision=2))
    inbox.wait("done", "T-1.3.json")
    quantities = [row["payload"]["quantity"] for row in _rows(hub, _released("T-1"))]
    assert sorted(quantities) == [7, 8]
    orders = "select * from orders where order_id = 'T-1' and quantity = 8"
    eventually(lambda: len(_rows(hub, orders)) == 1, 20, "the order's new revision is on record")
    assert len(_rows(hub, "select * from orders where order_id = 'T-1'")) == 1


def test_a_half_written_file_waits_for_its_other_half(hub: RunningHub, inbox: Inbox) -> None:
    content, half = _order("H-1"), inbox.root / "in" / "H-1.json"
    with half.open("wb") as file:
        file.write(content[:20])
        file.flush()
        os.fsync(file.fileno())
        inbox.drop("H-2.json", _order("H-2"))
        inbox.wait("done", "H-2.json")
        assert half.exists()
        file.write(content[20:])
    inbox.wait("done", "H-1.json")
    assert not (inbox.root / "error" / "H-1.json").exists()
    eventually(lambda: _rows(hub, _released("H-1")), 30, "H-1 is on record")
    assert len(_rows(hub, _released("H-1"))) == 1


def test_a_half_that_stays_alone_is_refused(inbox: Inbox) -> None:
    (inbox.root / "in" / "H-3.json").write_bytes(_order("H-3")[:20])
    inbox.wait("error", "H-3.json")
    assert "not JSON" in (inbox.root / "error" / "H-3.json.reason.txt").read_text()


def test_the_neighbours_flowed_on(hub: RunningHub, quarantine: Quarantine) -> None:
    assert quarantine.rows
    before = _pieces(hub)
    eventually(lambda: _pieces(hub) > before, 30, "more pieces")
    summary = hub.interrupt()
    assert recorded_totals(hub.data) == plc_totals(hub.data)
    assert summary["gaps"] == 0
    assert summary["rejects"] == len(_rows(hub, "select * from rejects"))
    assert all(source["connected"] for source in summary["sources"].values())
