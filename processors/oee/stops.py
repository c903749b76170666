"""What a person may change about a cell's stops: classify, split, merge.

The request is a fact (`stop-commanded`), and its answer (`reply`) follows from the state, so a
replay answers the same. Each change is an event of its own, with what was before. A stop that still
lasts can be classified; the other two wait for its end. What is older than the cell remembers
(ledger.py) stays as it is.

- classify: any reason of the plant, leaf or not. It goes before what the device said, for the whole
  stop: its time moves to planned or set-up time, or back, by intervals that take it back and book
  it again. A micro-stop that was classified while it lasted stays production time.
- split: the first part keeps the id; the second, with the same reason, is named by its beginning.
- merge: with the next or the last stop, if the cell ran for less than a micro-stop between them.
  That time stays what it was. The reason is the earlier one's, unless a person gave only the other.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from processors.base import clock_text, replace, shown, topic_key, zone_of
from processors.oee import ledger
from processors.oee.account import Account
from processors.oee.elements import reasoned
from processors.oee.state import PARTS_MAX, CellTime, Part, Stop
from uns.fold import Draft
from uns.model.checks import did_you_mean
from uns.model.equipment import ELEMENT_WITH_ORDER
from uns.model.events import Reply, StopClassified, StopCommanded, StopMerged, StopSplit
from uns.model.path import to_dotted
from uns.model.plant import Place, Plant

MINUTE_MS: Final = 60_000


class Refused(NamedTuple):
    """Nothing is changed, and why."""

    reason: str


class Done(NamedTuple):
    """What was changed, in words. An account that is as before: there was nothing to change."""

    reason: str


class Case(NamedTuple):
    """A request, where it is of, and the account of that cell."""

    plant: Plant
    place: Place
    account: Account
    asked: StopCommanded

    def stop(self, stop_id: str | None) -> Stop | None:
        """The stop of an id: the open one, or one that is remembered."""
        open_ = self.account.cell.stop
        known = (*self.account.cell.stops, *((open_,) if open_ and open_.is_open else ()))
        return next((stop for stop in known if stop.stop_id == stop_id), None)

    def clock(self, at_ms: int) -> str:
        """An instant as the cell's clocks on the wall show it."""
        return clock_text(at_ms, self.account.cell.at_ms, zone_of(self.plant, self.place.path))

    def title(self, code: str | None) -> str:
        """A reason in words."""
        known = self.plant.reasons.get(code or "")
        return f"{shown(known.title)} ({shown(code)})" if known else shown(code or "no reason")


def answered(plant: Plant, place: Place, before: CellTime, asked: StopCommanded) -> Account:
    """The account of a cell after a request: what it changed, and the reply as the last draft."""
    account = Account(plant, place, before)
    case = Case(plant, place, account, asked)
    stop = case.stop(asked.stop_id)
    answer = COMMANDS[asked.command](case, stop) if stop else Refused(_not_remembered(case))
    body = {
        "request_id": asked.request_id,
        "outcome": "accepted" if isinstance(answer, Done) else "refused",
        "reason": answer.reason,
    }
    key = topic_key(asked.request_id)
    account.drafts.append(Draft(place.path, Reply.type_name, asked.at_ms, body, key))
    return account


def _classify(case: Case, stop: Stop) -> Done | Refused:
    code, reasons = case.asked.reason_code, case.plant.reasons
    if code is None or code not in reasons:
        return Refused(f"no reason {shown(code)!r}{did_you_mean(code or '', reasons)}")
    if stop.classified and stop.reason == code:
        return Done(f"it is {case.title(code)} already")
    if not stop.whole:
        return Refused(_crowded())
    moved_ms, parts = _rebooked(case, stop.parts, code)
    after = replace(stop, reason=code, classified=True, parts=parts)
    _put(case, (stop,), (after,))
    _say(case, StopClassified.type_name, after, stop.reason, moved_ms=moved_ms)
    moved = f"; {moved_ms / MINUTE_MS:.1f} min are counted otherwise now" if moved_ms else ""
    old = f", {case.title(stop.reason)} before" if stop.reason != code else ""
    return Done(f"the stop of {case.clock(stop.start_ms)} is {case.title(code)}{old}{moved}")


def _split(case: Case, stop: Stop) -> Done | Refused:
    at_ms, end_ms = case.asked.split_ms, stop.end_ms
    if end_ms is None:
        return Refused("the stop still lasts: split it when it is over")
    if at_ms is None or not stop.start_ms < at_ms < end_ms:
        inside = f"{stop.start_ms} to {end_ms}"
        return Refused(f"split_ms must lie inside the stop, {_span(case, stop)} ({inside})")
    if any(start_ms <= at_ms <= run_end_ms for start_ms, run_end_ms in stop.runs):
        return Refused("the cell was not standing then: split it elsewhere")
    if not stop.whole:
        return Refused(_crowded())
    first, second = _halves(stop, at_ms, f"{to_dotted(case.place.path)}-{at_ms}-part")
    _put(case, (stop,), (first, second))
    told = {
        "new_stop_id": second.stop_id,
        "new_end_ms": end_ms,
        "new_duration_ms": second.length_ms(end_ms),
    }
    _say(case, StopSplit.type_name, first, stop.reason, **told)
    began, ends = case.clock(stop.start_ms), case.clock(at_ms)
    return Done(f"the stop of {began} ends at {ends}, {second.stop_id} follows")


def _halves(stop: Stop, at_ms: int, new_id: str) -> tuple[Stop, Stop]:
    first = replace(
        stop,
        end_ms=at_ms,
        parts=ledger.before(stop.parts, at_ms),
        runs=tuple(run for run in stop.runs if run[1] < at_ms),
    )
    second = replace(
        stop,
        stop_id=new_id,
        start_ms=at_ms,
        parts=ledger.after(stop.parts, at_ms),
        runs=tuple(run for run in stop.runs if run[0] > at_ms),
    )
    return first, second


def _merge(case: Case, stop: Stop) -> Done | Refused:
    if case.asked.with_stop_id is None:
        return Refused("say with which stop: with_stop_id")
    other = case.stop(case.asked.with_stop_id)
    if other is None:
        return Refused(_not_remembered(case, case.asked.with_stop_id))
    if (why := _apart(case, stop, other)) is not None:
        return Refused(why)
    first, second = sorted((stop, other), key=lambda one: one.start_ms)
    merged, moved_ms = _joined(first, second), 0
    if merged.classified:
        moved_ms, parts = _rebooked(case, merged.parts, merged.reason)
        merged = replace(merged, parts=parts)
    _put(case, (first, second), (merged,))
    told = {"merged_stop_id": second.stop_id, "merged_reason": second.reason, "moved_ms": moved_ms}
    _say(case, StopMerged.type_name, merged, first.reason, **told)
    return Done(f"they are one stop: {_span(case, merged)}, {case.title(merged.reason)}")


def _joined(first: Stop, second: Stop) -> Stop:
    begin_ms, end_ms = first.end_ms or 0, second.start_ms
    run = ((begin_ms, end_ms),) if end_ms > begin_ms else ()
    lead = _lead(first, second)
    return replace(
        first,
        end_ms=second.end_ms,
        reason=lead.reason,
        classified=lead.classified,
        parts=(*first.parts, *second.parts),
        runs=(*first.runs, *run, *second.runs),
    )


Command = Callable[[Case, Stop], Done | Refused]
COMMANDS: Final[dict[str, Command]] = {"classify": _classify, "split": _split, "merge": _merge}


def _apart(case: Case, stop: Stop, other: Stop) -> str | None:
    """Why two stops cannot become one."""
    if stop.is_open or other.is_open:
        return "one of them still lasts: merge them when both are over"
    ids = [one.stop_id for one in case.account.cell.stops]
    at, other_at = sorted((ids.index(stop.stop_id), ids.index(other.stop_id)))
    if other_at - at != 1:
        return "it is one stop already" if at == other_at else "another stop lies between them"
    first, second = case.account.cell.stops[at : other_at + 1]
    gap_ms, most_ms = second.start_ms - (first.end_ms or 0), case.place.cell.micro_stop_ms
    if gap_ms >= most_ms:
        return f"{gap_ms / 1000:.1f} s lie between them: less than {most_ms / 1000:g} s may"
    if not (first.whole and second.whole) or len(first.parts) + len(second.parts) > PARTS_MAX:
        return _crowded()
    return None


def _lead(first: Stop, second: Stop) -> Stop:
    """Whose reason two stops have as one."""
    for one in (first, second):
        if one.classified:
            return one
    return first if first.reason is not None else second


def _rebooked(case: Case, parts: Iterable[Part], code: str | None) -> tuple[int, tuple[Part, ...]]:
    """The parts under the elements that a reason gives them, and how much time that moved."""
    moved_ms, after = 0, list[Part]()
    for part in parts:
        element = reasoned(case.plant, ELEMENT_WITH_ORDER.get(part.state, part.element), code)
        if element != part.element:
            case.account.move(part, element)
            moved_ms += part.end_ms - part.start_ms
        after.append(part._replace(element=element))
    return moved_ms, tuple(after)


def _put(case: Case, gone: tuple[Stop, ...], come: tuple[Stop, ...]) -> None:
    cell = case.account.cell
    if gone[0].is_open:
        case.account.cell = replace(cell, stop=come[0], changes=cell.changes + 1)
    else:
        case.account.cell = ledger.put(cell, gone, come)


def _say(case: Case, event_type: str, stop: Stop, old_reason: str | None, **told: Any) -> None:
    asked, end_ms = case.asked, stop.end_ms
    body = {
        "stop_id": stop.stop_id,
        "rev": case.account.cell.changes,
        "state": stop.state,
        "reason": stop.reason,
        "old_reason": old_reason,
        "order_id": stop.order_id,
        "start_ms": stop.start_ms,
        "end_ms": end_ms,
        "duration_ms": None if end_ms is None else stop.length_ms(end_ms),
        "request_id": asked.request_id,
        "actor": asked.actor,
        "comment": asked.comment,
        **told,
    }
    case.account.drafts.append(Draft(case.place.path, event_type, asked.at_ms, body))


def _not_remembered(case: Case, stop_id: str | None = None) -> str:
    stops = case.account.cell.stops
    since = f"the last {len(stops)}, since {case.clock(stops[0].start_ms)}" if stops else "none"
    wanted = shown(stop_id or case.asked.stop_id)
    return f"{wanted} is older than the stops that may be changed ({since}), or a micro-stop"


def _crowded() -> str:
    return f"it changed its state more than {PARTS_MAX} times: its time cannot be moved any more"


def _span(case: Case, stop: Stop) -> str:
    end_ms = stop.end_ms or stop.start_ms
    return f"{case.clock(stop.start_ms)} to {case.clock(end_ms)}"
