"""What a line holds: opened by a verdict, by a person or by what it was made of; released by name.

Rules: a sample that fails holds its lot or unit, as the specification says, with one hold however
many fail in it. What a cell consumes that is held, here or on another line, is told of, for facts
of devices are never refused; what it makes of that is held as well. A hold is released by somebody
who may, with a reason, and only then.
"""

from typing import NamedTuple

from processors.base import replace, shown, topic_key
from processors.quality.documents import worded
from processors.quality.state import (
    ELSEWHERE_MAX,
    HOLDS_MAX,
    RELEASED_SHOWN,
    USED_MAX,
    Hold,
    LineHolds,
    Named,
    Sample,
)
from uns.fold import Draft
from uns.model.checks import did_you_mean
from uns.model.events import (
    Alerted,
    Consumed,
    HoldCommanded,
    HoldOpened,
    HoldReleased,
    HoldSaid,
    Produced,
    Reply,
)
from uns.model.hold import OnFail
from uns.model.path import to_dotted
from uns.model.plant import Plant


class Held(NamedTuple):
    """The line's holds after a fact, and what came of it."""

    holds: LineHolds
    drafts: tuple[Draft, ...] = ()


class Refused(NamedTuple):
    """Why a command is not followed, in words for whoever asked."""

    said: str


class Done(NamedTuple):
    """What a command changed, and the words for it."""

    held: Held
    said: str


def on_fail(plant: Plant, path: str, item: str | None) -> OnFail | None:
    """What follows when a sample of an item fails at a cell."""
    known = plant.items.get(item or "")
    specification = known.specifications.get(path.rpartition("/")[2]) if known else None
    return specification.on_fail if specification else None


def failed(line: str, holds: LineHolds, path: str, rule: OnFail, sample: Sample) -> Held:
    """A sample failed that had not failed before."""
    lot, unit_id = (None, sample.unit_id) if rule.hold == "unit" else (sample.lot, None)
    if lot is None and unit_id is None:
        lot, unit_id = sample.lot, sample.unit_id
    known = _of(holds, lot, unit_id)
    if known is not None:
        known = replace(known, fails=known.fails + 1)
        return Held(replace(holds, open={**holds.open, known.hold_id: known}))
    bad = tuple(one for one in sample.characteristics if one.verdict == "fail")
    hold = Hold(
        hold_id=_next_id(line, holds),
        lot=lot,
        unit_id=unit_id,
        item=sample.item,
        order_id=sample.order_id,
        halts=rule.halt_order and sample.order_id is not None,
        reason="; ".join(worded(one) for one in bad),
        actor=sample.operator,
        opened_ms=sample.at_ms,
        fails=1,
        sample_id=sample.sample_id,
        specification=sample.specification,
        values=bad[:4],
        role=rule.alert_role,
    )
    return _opened(line, holds, hold, path, "out-of-specification")


def consumed(holds: LineHolds, event: Consumed) -> Held:
    """A cell took something in: that it is held is told of, once until the next output."""
    hold_id = _holding(holds, event.lot)
    used = holds.used.get(event.path, ())
    if hold_id is None or hold_id in used:
        return Held(holds)
    alert = Draft(
        event.path,
        Alerted.type_name,
        event.at_ms,
        {
            "code": "held-lot-used",
            "summary": f"{shown(event.lot)} is on hold ({hold_id}) and was used",
            "evidence": {"hold_id": hold_id, "lot": event.lot, "order_id": event.order_id},
        },
    )
    used = (*used, hold_id)[-USED_MAX:]
    return Held(replace(holds, used={**holds.used, event.path: used}), (alert,))


def produced(line: str, holds: LineHolds, event: Produced) -> Held:
    """What is made of something held is held as well."""
    causes = holds.used.get(event.path)
    if causes is None:
        return Held(holds)
    others = {path: used for path, used in holds.used.items() if path != event.path}
    holds = replace(holds, used=others)
    if _of(holds, event.lot, None) is not None:
        return Held(holds)
    own = holds.open.get(causes[0])
    hold = Hold(
        hold_id=_next_id(line, holds),
        lot=event.lot,
        unit_id=None,
        item=event.item,
        order_id=event.order_id,
        halts=bool(own and own.halts and event.order_id),
        reason=f"made of what is on hold: {', '.join(causes)}",
        actor=None,
        opened_ms=event.at_ms,
        cause_id=causes[0],
        role=own.role if own else None,
    )
    return _opened(line, holds, hold, event.path, "made-of-held-lot")


def said(line: str, holds: LineHolds, event: HoldSaid) -> LineHolds:
    """A hold of another line began or ended. Of our own we know."""
    if event.of_line == line:
        return holds
    others = {key: one for key, one in holds.elsewhere.items() if key != event.hold_id}
    if event.state == "held":
        others[event.hold_id] = Named(lot=event.lot, unit_id=event.unit_id)
    return replace(holds, elsewhere=dict(list(others.items())[-ELSEWHERE_MAX:]))


def commanded(plant: Plant, line: str, holds: LineHolds, event: HoldCommanded) -> Held:
    """Follow a command or refuse it, and say which."""
    follow = _placed if event.command == "place" else _released
    outcome = follow(plant, line, holds, event)
    held = outcome.held if isinstance(outcome, Done) else Held(holds)
    key = topic_key(event.request_id)
    body = {
        "request_id": event.request_id,
        "outcome": "accepted" if isinstance(outcome, Done) else "refused",
        "reason": outcome.said,
    }
    reply = (Draft(line, Reply.type_name, event.at_ms, body, key),) if key else ()
    return Held(held.holds, (*held.drafts, *reply))


def _placed(_plant: Plant, line: str, holds: LineHolds, event: HoldCommanded) -> Refused | Done:
    known = _of(holds, event.lot, event.unit_id)
    what = event.lot or event.unit_id or ""
    if known is not None:
        return Refused(f"{what} is on hold already: {known.hold_id}, {known.reason}")
    if len(holds.open) >= HOLDS_MAX:
        return Refused(f"{HOLDS_MAX} holds are open on {line}: release some first")
    hold = Hold(
        hold_id=_next_id(line, holds),
        lot=event.lot,
        unit_id=event.unit_id,
        item=event.item,
        order_id=event.order_id,
        halts=event.halts and event.order_id is not None,
        reason=event.reason,
        actor=event.actor,
        opened_ms=event.at_ms,
    )
    return Done(_opened(line, holds, hold, line, "on-hold"), f"{what} is on hold: {hold.hold_id}")


def _released(plant: Plant, line: str, holds: LineHolds, event: HoldCommanded) -> Refused | Done:
    hold, may = holds.open.get(event.hold_id or ""), plant.may_release_holds
    if hold is None:
        hint = did_you_mean(event.hold_id or "", holds.open)
        return Refused(f"no hold {event.hold_id} is open on {line}{hint}")
    if may and event.actor not in may:
        return Refused(f"{event.actor} may not release holds: {', '.join(may)} may")
    open_ = {key: one for key, one in holds.open.items() if key != hold.hold_id}
    over = replace(hold, released_ms=event.at_ms, reason=event.reason, actor=event.actor)
    holds = replace(holds, open=open_, released=(*holds.released, over)[-RELEASED_SHOWN:])
    body = {**_told(over), "opened_ms": hold.opened_ms, "fails": hold.fails}
    draft = Draft(line, HoldReleased.type_name, event.at_ms, body)
    return Done(Held(holds, (draft,)), f"{_what(hold)} is released from {hold.hold_id}")


def _opened(line: str, holds: LineHolds, hold: Hold, path: str, code: str) -> Held:
    """The hold, where there is room; the alert in any case."""
    is_held = len(holds.open) < HOLDS_MAX
    verb = "is on hold" if is_held else f"is NOT on hold, for {HOLDS_MAX} are open"
    evidence = {
        **{key: getattr(hold, key) for key in ("hold_id", "lot", "unit_id", "item", "order_id")},
        **{key: getattr(hold, key) for key in ("sample_id", "specification", "cause_id", "role")},
    }
    body = {
        "code": code,
        "summary": f"{_what(hold)} {verb}: {shown(hold.reason)}",
        "evidence": {key: value for key, value in evidence.items() if value is not None},
    }
    alert = Draft(path, Alerted.type_name, hold.opened_ms, body)
    if not is_held:
        return Held(holds, (alert,))
    opened = {
        **_told(hold),
        "sample_id": hold.sample_id,
        "specification": hold.specification,
        "cause_id": hold.cause_id,
    }
    draft = Draft(line, HoldOpened.type_name, hold.opened_ms, opened)
    open_ = {**holds.open, hold.hold_id: hold}
    return Held(replace(holds, open=open_, opened=holds.opened + 1), (draft, alert))


def _told(hold: Hold) -> dict[str, object]:
    keys = ("hold_id", "lot", "unit_id", "item", "order_id", "halts", "reason", "actor")
    return {key: getattr(hold, key) for key in keys}


def _what(hold: Hold) -> str:
    return shown(hold.lot or hold.unit_id or hold.order_id)


def _next_id(line: str, holds: LineHolds) -> str:
    return f"{to_dotted(line)}-hold-{holds.opened + 1}"


def _of(holds: LineHolds, lot: str | None, unit_id: str | None) -> Hold | None:
    """The open hold of a lot or a unit."""
    if lot is None and unit_id is None:
        return None
    return next((h for h in holds.open.values() if (h.lot, h.unit_id) == (lot, unit_id)), None)


def _holding(holds: LineHolds, thing: str) -> str | None:
    """The hold, here or on another line, of what goes by an id: a lot or a unit."""
    named: dict[str, Hold | Named] = {**holds.elsewhere, **holds.open}
    return next((key for key, one in named.items() if thing in (one.lot, one.unit_id)), None)
