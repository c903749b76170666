"""PURE: what is to be told of an order next, and when.

Owns the rules of that. An order that was split or moved is several at the hub and one at the
counterpart: each part has its account, all are told of under the order's own id, and it ends when
the last part has. Knows no counterpart, queue or clock.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from bridges.erp_rest.confirmation import (
    MILLIONTHS,
    Account,
    Confirmation,
    Consumption,
    Made,
    Operation,
)
from uns.model.path import to_dotted

_WELL: Final = frozenset({"completed", "closed"})


class Rules(NamedTuple):
    """When something is told, in ms of plant time. is_own: only of orders that came in here."""

    every_ms: int
    settle_ms: int
    is_partial: bool
    is_own: bool = False


class Told(NamedTuple):
    """What is told now, and the account with that told."""

    account: Account
    confirmations: list[Confirmation]


def tell(
    account: Account, now_ms: int, rules: Rules, day: str, others: Sequence[Account] = ()
) -> Told:
    """What is to be told at plant time `now_ms`; `day` is its date at the site.

    others: the other parts of the same order.
    """
    final = _is_over((account, *others))
    if account.item is None or not _is_due(account, now_ms, rules, others, final=final):
        return Told(account, [])
    is_end = final and not account.final
    cells = [
        cell for cell in _ordered(account) if _is_told_of(account, cell, others, is_end=is_end)
    ]
    if not cells and not is_end:
        return Told(account, [])
    operations = {cell: _counted(account.operations[cell]) for cell in cells}
    said = account.model_copy(update={"operations": {**account.operations, **operations}})
    confirmations = [_confirmation(said, account, cell, day, others) for cell in cells]
    told = {cell: operation.all_told for cell, operation in operations.items()}
    after = {
        "operations": {**account.operations, **told},
        "told_ms": now_ms,
        "final": account.final or final,
    }
    return Told(account.model_copy(update=after), confirmations)


def _is_over(parts: Sequence[Account]) -> bool:
    """Whether all parts have ended, and those that gave pieces away are not all there is."""
    begun = {part.split_from for part in parts}
    return all(
        part.ended_ms is not None and (not part.gave or part.order_id in begun) for part in parts
    )


def _is_due(
    account: Account, now_ms: int, rules: Rules, others: Sequence[Account], *, final: bool
) -> bool:
    if final:
        ended_ms = max(part.ended_ms or 0 for part in (account, *others))
        return now_ms >= ended_ms + rules.settle_ms
    if not rules.is_partial:
        return False
    return account.told_ms is None or now_ms >= account.told_ms + rules.every_ms


def _ordered(account: Account) -> list[str]:
    """The cells along the routing, then those beside it."""
    return sorted(
        account.operations, key=lambda cell: (account.operations[cell].number or 2**31, cell)
    )


def _is_told_of(account: Account, cell: str, others: Sequence[Account], *, is_end: bool) -> bool:
    """At the end each operation is told of once, also one without news.

    But not those that were moved away before they began.
    """
    operation = account.operations[cell]
    is_ended = any(other.final and cell in other.operations for other in others)
    is_bare = account.gave and not operation.counter
    is_elsewhere = is_ended or is_bare or _is_open(cell, others)
    return operation.has_news or (is_end and not is_elsewhere)


def _confirmation(
    said: Account, before: Account, cell: str, day: str, others: Sequence[Account]
) -> Confirmation:
    operation, news, parts = said.operations[cell], before.operations[cell].news, (said, *others)
    where = to_dotted(f"{said.line}/{cell}".partition("/")[2])
    is_over, is_last = _is_over(parts), cell == _last(said)
    told = _told_of_all(before, cell, others, is_over=is_over)
    is_well = is_over and any(part.status in _WELL for part in parts)
    return Confirmation(
        key=f"{said.order_id}@{where}#{operation.counter}",
        order_id=said.whole,
        part=said.order_id if said.of_order else None,
        revision=max(part.revision for part in parts),
        item=said.item or "",
        quantity=sum(part.quantity for part in parts),
        line=said.line,
        operation=cell,
        operation_number=operation.number,
        is_last=is_last,
        counter=operation.counter,
        final=is_over and not _is_open(cell, others),
        status="completed" if is_well and said.status not in _WELL else said.status,
        **news.model_dump(),
        good_total=told.good,
        scrap_total=told.scrap,
        rework_total=told.rework,
        consumed=tuple(_consumptions(before.operations[cell].news_used.items())),
        started_ms=said.started_ms,
        at_ms=said.at_ms,
        day=day,
    )


def _is_open(cell: str, others: Iterable[Account]) -> bool:
    """Whether there is more to tell of an operation, by another part."""
    return any(other.operations.get(cell, Operation()).has_news for other in others)


def _last(account: Account) -> str | None:
    """The cell that the routing ends at."""
    ends = [cell for cell in _ordered(account) if account.operations[cell].number]
    return ends[-1] if ends else None


def _told_of_all(account: Account, cell: str, others: Sequence[Account], *, is_over: bool) -> Made:
    """What was told of an operation of all parts, this time included.

    The last operation is the same one wherever a part ends. Once all is over the others' news goes
    out with this.
    """
    told = account.operations[cell].all_told.told.model_dump()
    for other in others:
        operation = other.operations.get((_last(other) if cell == _last(account) else cell) or "")
        if operation is not None:
            theirs = (operation.all_told if is_over else operation).told.model_dump()
            told = {name: pieces + theirs[name] for name, pieces in told.items()}
    return Made(**told)


def _consumptions(used: Iterable[tuple[str, int]]) -> Iterator[Consumption]:
    for material, millionths in used:
        item, lot, unit = json.loads(material)
        yield Consumption(item=item, lot=lot, quantity=millionths / MILLIONTHS, unit=unit)


def _counted(operation: Operation) -> Operation:
    return operation.model_copy(update={"counter": operation.counter + 1})
