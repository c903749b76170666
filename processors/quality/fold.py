"""How samples change a cell's quality, and the verdict that each one is given.

Rules: a sample seen again is judged on all its values so far (the newer one wins) and given a new
verdict; what it does not name (item, order, lot, unit) it keeps. It is counted once, by its latest
verdict; first-pass yield keeps the first one that was not pending. A late sample is counted, but
the newest one by stamp stays in view. What the cell has loaded decides which counts are "current";
without a load, the samples themselves do.
"""

from collections.abc import Mapping
from typing import NamedTuple

from processors.base import replace
from processors.quality.judge import judge, overall
from processors.quality.state import NO_RUN, SAMPLES_MAX, CellQuality, Judgement, Sample, Tally
from uns.fold import Draft
from uns.model.events import Inspected, Loaded, Verdict, VerdictGiven
from uns.model.plant import Plant

_COUNTER_OF: dict[Verdict, str] = {"pass": "passed", "fail": "failed", "pending": "pending"}


class Measured(NamedTuple):
    """A sample's values, told by its cell or recorded by a person for an inspection.

    only: the characteristics that were to be measured; none stands for all.
    """

    path: str
    at_ms: int
    sample_id: str
    values: Mapping[str, float | None]
    item: str | None = None
    order_id: str | None = None
    lot: str | None = None
    unit_id: str | None = None
    only: tuple[str, ...] = ()
    gauge: str | None = None
    operator: str | None = None
    inspection_id: str | None = None


def told(event: Inspected) -> Measured:
    """What a cell told."""
    return Measured(
        path=event.path,
        at_ms=event.at_ms,
        sample_id=event.sample_id,
        values=event.values,
        item=event.item,
        order_id=event.order_id,
        lot=event.lot,
        unit_id=event.unit_id,
    )


def loaded(cell: CellQuality, event: Loaded) -> CellQuality:
    """The counts start again with another order or item."""
    cell = replace(cell, is_loaded=event.order_id is not None)
    return _working_on(cell, event.order_id, event.item)


def inspected(plant: Plant, cell: CellQuality, event: Measured) -> tuple[CellQuality, Draft]:
    """Judge a sample and count it."""
    before = cell.samples.get(event.sample_id)
    sample = _judged(plant, cell, event, before)
    newest = _is_newest(plant, cell, event)
    if not cell.is_loaded and newest:
        cell = _working_on(cell, sample.order_id, sample.item)
    if (sample.order_id, sample.item) == (cell.order_id, cell.item):
        in_run = before if before and before.run == cell.run else None
        sample = replace(sample, run=cell.run)
        cell = replace(cell, current=_counted(cell.current, in_run, sample))
    cell = replace(
        cell,
        samples=_remembered(cell.samples, sample),
        last=sample if newest else cell.last,
        last_fail=_last_fail(cell, sample),
        total=_counted(cell.total, before, sample),
    )
    return cell, _draft(event, sample)


def _is_newest(plant: Plant, cell: CellQuality, event: Measured) -> bool:
    """Whether a sample is shown: the one that is, again, or one not older whose clock is sound."""
    last = cell.last
    if last is None or last.sample_id == event.sample_id:
        return True
    covers = plant.calendar_of(event.path).covers
    return covers(event.at_ms) and (event.at_ms >= last.at_ms or not covers(last.at_ms))


def _last_fail(cell: CellQuality, sample: Sample) -> Sample | None:
    last = cell.last_fail
    is_older = last is not None and sample.at_ms < last.at_ms
    return last if sample.verdict != "fail" or is_older else sample


def _working_on(cell: CellQuality, order_id: str | None, item: str | None) -> CellQuality:
    if (cell.order_id, cell.item) == (order_id, item):
        return cell
    return replace(cell, order_id=order_id, item=item, current=Tally(), run=cell.run + 1)


def _remembered(samples: dict[str, Sample], sample: Sample) -> dict[str, Sample]:
    others = [old for key, old in samples.items() if key != sample.sample_id]
    return {one.sample_id: one for one in (*others[-(SAMPLES_MAX - 1) :], sample)}


def _judged(plant: Plant, cell: CellQuality, event: Measured, before: Sample | None) -> Sample:
    item = event.item or (before.item if before else cell.item)
    known = plant.items.get(item or "")
    name = event.path.rpartition("/")[2]
    specification = known.specifications.get(name) if known else None
    old = {one.name: one.value for one in before.characteristics} if before else {}
    values = {**old, **{key: v for key, v in event.values.items() if v is not None}}
    judgements = (
        judge(specification, values, event.only, event.gauge)
        if specification
        else list[Judgement]()
    )
    return Sample(
        sample_id=event.sample_id,
        verdict=overall(judgements),
        characteristics=tuple(judgements),
        specification=f"{item}/{name}/{specification.revision}" if specification else None,
        unit_id=event.unit_id or (before.unit_id if before else None),
        lot=event.lot or (before.lot if before else None),
        item=item,
        order_id=event.order_id or (before.order_id if before else cell.order_id),
        at_ms=event.at_ms,
        run=NO_RUN,
        operator=event.operator,
        inspection_id=event.inspection_id,
    )


def _counted(tally: Tally, before: Sample | None, sample: Sample) -> Tally:
    counts = tally.model_dump()
    if before is not None:
        counts[_COUNTER_OF[before.verdict]] -= 1
    counts[_COUNTER_OF[sample.verdict]] += 1
    if sample.verdict != "pending" and (before is None or before.verdict == "pending"):
        counts["decided"] += 1
        counts["first_pass"] += sample.verdict == "pass"
    return Tally(**counts)


def _draft(event: Measured, sample: Sample) -> Draft:
    body = sample.model_dump(mode="json", exclude={"at_ms", "run"})
    return Draft(event.path, VerdictGiven.type_name, event.at_ms, body)
