"""The gate: each request is followed once, answered once, and outlives a restart."""

import json
from typing import Any

import pytest

from tests.example import FIT, plant
from uns.codec import Codec
from uns.fold import Draft
from uns.model.observation import Reading, SetPoint, Written
from uns.mqtt.message import Message
from uns.runtime.gate import ANSWERS_MAX, SET_POINTS_MAX, Decision, Gate, Ledger, Request

TAG = "torque-setpoint"
READINGS = {(FIT, TAG): Reading(FIT, TAG, 10.0, 1)}
TIMEOUT_S = 3.0


class Rig:
    """A gate with its clocks, and a caller that commits every decision."""

    def __init__(self, saved: str | None = None) -> None:
        self.now_ms, self.now_s = 100_000, 0.0
        places = plant().served_by("plc-assembly")
        clock, seconds = (lambda: self.now_ms), (lambda: self.now_s)
        self.gate = Gate(places, Codec(plant()), clock, saved, seconds)
        self.ledger = Ledger()

    def done(self, decision: Decision | None) -> list[Draft]:
        assert decision is not None
        self.gate.commit(decision)
        self.ledger = decision.ledger
        return decision.drafts

    def ask(self, request_id: str = "r1", value: Any = 9.5, **extra: Any) -> list[Draft]:
        return self.done(self.gate.take(command(request_id, value, **extra), READINGS))

    def client_takes(self) -> SetPoint:
        return self.gate.set_points.get_nowait()


def command(
    request_id: Any,
    value: Any,
    *,
    cell: str = FIT,
    tag: str = TAG,
    retain: bool = False,
    **extra: Any,
) -> Message:
    document = {"request_id": request_id, "value": value, **extra}
    payload = json.dumps({k: v for k, v in document.items() if v is not None}).encode()
    return Message(f"{cell}/_cmd/write/{tag}", payload, 1, retain, dup=False, mid=1, connection=1)


def reply_of(drafts: list[Draft]) -> tuple[str, str]:
    (reply,) = (draft for draft in drafts if draft.type == "reply")
    assert reply.topic == f"{FIT}/_event/reply/{reply.body['request_id']}"
    return reply.body["outcome"], reply.body["reason"]


def audit_of(drafts: list[Draft]) -> dict[str, Any]:
    (audit,) = (draft for draft in drafts if draft.type == "write-attempted")
    return dict(audit.body)


def test_a_set_point_goes_out_only_when_the_decision_is_committed() -> None:
    rig = Rig()
    decision = rig.gate.take(command("r1", 9.5), READINGS)
    assert rig.gate.set_points.empty()
    rig.gate.commit(decision)
    assert rig.client_takes() == SetPoint("r1", FIT, TAG, 9.5)


def test_the_answer_comes_after_the_read_back_and_is_on_record() -> None:
    rig = Rig()
    assert rig.ask(actor="anna") == []
    rig.client_takes()
    drafts = rig.done(rig.gate.written(Written("r1", FIT, TAG, 5, 9.5)))
    assert reply_of(drafts) == ("accepted", "torque-setpoint is 9.5, was 10.0")
    assert audit_of(drafts) == {
        "request_id": "r1", "tag": TAG, "value": 9.5, "actor": "anna", "old_value": 10.0,
        "new_value": 9.5, "outcome": "accepted", "reason": "torque-setpoint is 9.5, was 10.0",
    }  # fmt: skip


def test_a_refusal_is_on_record_too() -> None:
    drafts = Rig().ask(value=99.0)
    assert reply_of(drafts) == ("refused", "99.0 is outside 9 to 11 Nm")
    assert (audit_of(drafts)["value"], audit_of(drafts)["new_value"]) == (99.0, None)


def test_the_devices_own_refusal_is_passed_on() -> None:
    rig = Rig()
    rig.ask()
    refused = Written("r1", FIT, TAG, 5, reason="the device refused it: illegal data value")
    assert reply_of(rig.done(rig.gate.written(refused)))[0] == "refused"


def test_a_duplicate_is_never_a_second_write() -> None:
    rig = Rig()
    rig.ask()
    rig.client_takes()
    assert rig.ask() == []  # the first answer is still to come
    rig.done(rig.gate.written(Written("r1", FIT, TAG, 5, 9.5)))
    rig.now_ms += 60_000
    again = rig.ask()
    assert reply_of(again) == ("accepted", "torque-setpoint is 9.5, was 10.0")
    assert len(again) == 1
    assert rig.gate.set_points.empty()


def test_an_id_that_was_used_for_another_value_is_refused() -> None:
    rig = Rig()
    rig.ask()
    outcome, reason = reply_of(rig.ask(value=9.6))
    assert (outcome, reason) == (
        "refused", "request_id r1 was used for torque-setpoint = 9.5: take a new one",
    )  # fmt: skip


def test_duplicates_are_known_after_a_restart() -> None:
    rig = Rig()
    rig.ask()
    rig.done(rig.gate.written(Written("r1", FIT, TAG, 5, 9.5)))
    later = Rig(rig.ledger.model_dump_json())
    assert reply_of(later.ask())[0] == "accepted"
    assert later.gate.set_points.empty()
    assert "too soon" in reply_of(later.ask("r2"))[1]


def test_what_a_restart_interrupted_is_answered_and_not_written_again() -> None:
    rig = Rig()
    rig.ask()
    later = Rig(rig.ledger.model_dump_json())
    outcome, reason = reply_of(later.done(later.gate.interrupted()))
    assert outcome == "refused"
    assert "the bridge was restarted: whether the device took it is not known" in reason
    assert later.gate.interrupted() is None
    assert reply_of(later.ask())[1] == reason
    assert later.gate.set_points.empty()


def test_one_write_of_a_tag_at_a_time() -> None:
    rig = Rig()
    rig.ask()
    assert "under way" in reply_of(rig.ask("r2"))[1]


def test_no_answer_in_time_is_said_and_the_tag_is_free_again() -> None:
    rig = Rig()
    rig.ask()
    rig.client_takes()
    assert rig.gate.busy.is_set()
    assert rig.gate.overdue() is None
    rig.now_s, rig.now_ms = TIMEOUT_S, rig.now_ms + 3_000
    outcome, reason = reply_of(rig.done(rig.gate.overdue()))
    assert (outcome, reason.partition(":")[0]) == ("refused", "no answer in time")
    assert not rig.gate.busy.is_set()
    late = rig.done(rig.gate.written(Written("r1", FIT, TAG, 5, 9.5)))
    assert [draft.type for draft in late] == ["write-attempted"]  # the record hears of it
    assert audit_of(late)["outcome"] == "accepted"
    assert rig.ask("r2") == []


def test_the_time_out_is_of_the_monotonic_clock_however_fast_plant_time_runs() -> None:
    rig = Rig()
    rig.ask()
    rig.now_ms += 3_600_000
    assert rig.gate.overdue() is None
    rig.now_s = TIMEOUT_S
    assert rig.gate.overdue() is not None


def test_a_set_point_that_was_given_up_is_withdrawn() -> None:
    rig = Rig()
    rig.ask()
    rig.now_s = TIMEOUT_S
    assert "not written" in reply_of(rig.done(rig.gate.overdue()))[1]
    assert rig.gate.set_points.empty()


def test_too_many_at_once_are_refused_with_a_reason() -> None:
    rig = Rig()
    for _ in range(SET_POINTS_MAX):
        rig.gate.set_points.put_nowait(SetPoint("other", FIT, TAG, 9.5))
    assert "writes wait for the devices already" in reply_of(rig.ask())[1]


def test_a_closed_gate_refuses_what_an_open_one_takes() -> None:
    gate = Gate(plant().served_by("plc-assembly"), Codec(plant()), lambda: 1, closed="not here")
    decision = gate.take(command("r1", 9.5), READINGS)
    assert reply_of(decision.drafts) == ("refused", "not here")
    assert decision.set_point is None


def test_a_retained_command_is_refused() -> None:
    rig = Rig()
    drafts = rig.done(rig.gate.take(command("r1", 9.5, retain=True), READINGS))
    assert reply_of(drafts) == ("refused", "commands are refused when retained")
    assert rig.gate.set_points.empty()


@pytest.mark.parametrize("value", [None, [1], {"a": 1}, "x" * 300, 2**70])
def test_a_malformed_command_is_answered(value: Any) -> None:
    rig = Rig()
    assert reply_of(rig.ask(value=value))[0] == "refused"


def test_without_an_address_there_is_no_answer() -> None:
    assert Rig().ask("") == []


def test_at_a_cell_that_is_none_nothing_is_said_for_the_record_would_refuse_it() -> None:
    assert Rig().ask(cell=f"{FIT}-misspelt") == []


def test_the_ledger_is_bounded_and_keeps_what_is_under_way() -> None:
    request = Request(request_id="open", cell=FIT, tag=TAG, value=1.0, actor=None)
    ledger = Ledger().keeping(request)
    for n in range(2 * ANSWERS_MAX):
        ledger = ledger.keeping(
            request.model_copy(update={"request_id": f"r{n}", "outcome": "refused"})
        )
    assert len(ledger.requests) == ANSWERS_MAX
    assert request.key in ledger.requests
    assert f"{FIT} r{2 * ANSWERS_MAX - 1}" in ledger.requests


def test_it_listens_to_the_cells_of_its_own_bridge() -> None:
    assert Rig().gate.filters == ["acme/berlin/assembly/pump/+/_cmd/write/+"]
