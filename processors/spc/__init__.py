"""PURE: control charts of measured and counted characteristics, each item at each cell on its own.

Reads inspected, loaded and chart-commanded. Writes `spc-violated` a broken rule, `limits-frozen`,
an `alert` when a chart leaves control, a `reply` a decision, and one document a chart. README.md
has the rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from processors.base import cell_at, replace, topic_key
from processors.spc.decisions import Followed, Refused, decided
from processors.spc.documents import chart_document
from processors.spc.fold import begun, sampled
from processors.spc.state import ChartState, Context, LineCharts, chart_key
from uns.fold import Document, Draft, Step, Tick
from uns.model.checks import did_you_mean
from uns.model.events import ChartCommanded, Event, Inspected, Loaded, Reply
from uns.model.path import SEGMENT
from uns.model.plant import Limits, Plant


@dataclass(frozen=True, slots=True)
class Spc:
    """The fold over one line's samples, for one plant."""

    plant: Plant = field(repr=False)

    @property
    def name(self) -> str:
        """`spc`."""
        return "spc"

    @property
    def version(self) -> int:
        """Raised when a state is folded otherwise, or old ones can no longer be read."""
        return 1

    @property
    def inputs(self) -> frozenset[str]:
        """What charts follow from, and what people decide about them."""
        return frozenset({Inspected.type_name, Loaded.type_name, ChartCommanded.type_name})

    @property
    def states(self) -> frozenset[str]:
        """What stands below `_state` of its cells."""
        return frozenset({"spc"})

    @property
    def state_type(self) -> type[LineCharts]:
        """The line's charts."""
        return LineCharts

    def initial(self, key: str) -> LineCharts:
        """A line without samples."""
        return LineCharts(line=key)

    def fold(self, state: LineCharts, event: Event | Tick) -> Step[LineCharts]:
        """One sample, load or decision. Time alone changes nothing."""
        if isinstance(event, Tick) or cell_at(self.plant, state.line, event.path) is None:
            return Step(state)
        match event:
            case Loaded():
                context = Context(item=event.item, order_id=event.order_id)
                return Step(replace(state, loaded={**state.loaded, event.path: context}))
            case Inspected():
                return self._sampled(state, event)
            case ChartCommanded():
                return self._decided(state, event)
            case _:
                return Step(state)

    def documents(self, state: LineCharts) -> Mapping[str, Document]:
        """One a chart that the plant has, from its first sample on."""
        found = dict[str, Document]()
        for chart in state.charts.values():
            specified = charted(self.plant, chart.cell, chart.item).get(chart.characteristic)
            key = characteristic_key(chart.characteristic)
            if specified and key and specified.chart == chart.chart:
                found[f"{chart.cell}/_state/spc/{key}/{chart.item}"] = chart_document(
                    chart, specified
                )
        return found

    def _sampled(self, state: LineCharts, event: Inspected) -> Step[LineCharts]:
        loaded = state.loaded.get(event.path, Context())
        item, order_id = event.item or loaded.item or "", event.order_id or loaded.order_id
        charts, outputs = dict[str, ChartState](), list[Draft]()
        for name, limits in charted(self.plant, event.path, item).items():
            key = chart_key(event.path, item, name)
            if limits.chart is not None and name in event.values:
                chart = begun(state.charts.get(key), limits.chart, (event.path, item, name))
                charts[key], drafts = sampled(chart, event, order_id)
                outputs += drafts
        if not charts:
            return Step(state)
        return Step(replace(state, charts={**state.charts, **charts}), tuple(outputs))

    def _decided(self, state: LineCharts, event: ChartCommanded) -> Step[LineCharts]:
        known = charted(self.plant, event.path, event.item)
        chart = state.charts.get(chart_key(event.path, event.item, event.characteristic))
        if event.characteristic not in known:
            hint = did_you_mean(event.characteristic, known)
            why = f"no chart of {event.characteristic!r} of {event.item!r}{hint}"
            return Step(state, _answer(event, Refused(why[:200])))
        if chart is None or chart.chart != known[event.characteristic].chart:
            return Step(state, _answer(event, Refused("it has no point yet")))
        outcome = decided(chart, event)
        if isinstance(outcome, Refused):
            return Step(state, _answer(event, outcome))
        charts = {**state.charts, chart.key: outcome.state}
        return Step(replace(state, charts=charts), (*outcome.drafts, *_answer(event, outcome)))


def build(plant: Plant) -> Spc:
    """The processor for a plant."""
    return Spc(plant)


def charted(plant: Plant, cell: str, item: str) -> dict[str, Limits]:
    """The characteristics of an item at a cell that have a chart."""
    known = plant.items.get(item)
    specification = known.specifications.get(cell.rpartition("/")[2]) if known else None
    found = specification.characteristics if specification else {}
    return {name: limits for name, limits in found.items() if limits.chart is not None}


def characteristic_key(name: str) -> str | None:
    """A characteristic as a topic segment: `leak_rate` is `leak-rate`."""
    key = name.replace("_", "-")
    return key if SEGMENT.fullmatch(key) else topic_key(name)


def _answer(event: ChartCommanded, outcome: Refused | Followed) -> tuple[Draft, ...]:
    key = topic_key(event.request_id)
    body = {
        "request_id": event.request_id,
        "outcome": "refused" if isinstance(outcome, Refused) else "accepted",
        "reason": outcome.said,
    }
    return (Draft(event.path, Reply.type_name, event.at_ms, body, key),) if key else ()
