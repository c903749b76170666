"""PURE: which place's time stands for a line's, and under which policy id its numbers go.

Owns the meaning of the line methods for places: a line goes by one of its cells, or by a time of
its own that is made from several (then the line itself is a place whose `cell` tells its cycle and
threshold). Knows neither states nor events.
"""

from uns.model.plant import Cell, Line, Place, Plant
from uns.model.policy import COMBINED, LineMethod, line_rule


def method_of(plant: Plant, line: Line) -> LineMethod:
    """The line's own method, or the plant's."""
    return line.line_method or plant.policy.line_method


def reference_of(plant: Plant, line: Line) -> str:
    """The name of the cell that a line's order, cycle and pieces go by."""
    is_key = method_of(plant, line) == "key-cell" and line.key_cell in line.cells
    return line.key_cell if is_key and line.key_cell else line.bottleneck


def reference_path(plant: Plant, place: Place) -> str:
    """The path of the reference cell of the line that a place lies in."""
    return f"{place.line_path}/{reference_of(plant, place.line)}"


def reckoned_at(plant: Plant, line_path: str) -> Place:
    """The place whose intervals are the line's: a cell of it, or the line itself."""
    line = plant.lines[line_path][0].line
    reference = plant.cells[f"{line_path}/{reference_of(plant, line)}"]
    if method_of(plant, line) not in COMBINED:
        return reference
    cell = with_cycles_of(plant, reference, reference)
    return reference.model_copy(update={"path": line_path, "cell": cell})


def with_cycles_of(plant: Plant, reference: Place, counting: Place) -> Cell:
    """A line's cell: its reference's threshold, and the cycles of the cell whose pieces it counts.

    Where cells work in parallel, a piece of one stands for the share of the line's time that one of
    `running_min` cells has; rounded to a millisecond.
    """
    line = counting.line
    shared_by = line.running_min if method_of(plant, line) == "parallel" else 1
    cycles = {
        item: max(1, round(ms / shared_by)) for item, ms in counting.cell.ideal_cycle_ms.items()
    }
    return reference.cell.model_copy(update={"ideal_cycle_ms": cycles})


def is_combined(plant: Plant, line: Line) -> bool:
    """Whether the line has a time of its own, made from several cells."""
    return method_of(plant, line) in COMBINED


def policy_id(plant: Plant, place: Place) -> str:
    """The policy id of the numbers of a cell; of a line's own time with its method."""
    if place.path == place.line_path:
        return line_policy_id(plant, place)
    return plant.policy.policy_id(place.cell.micro_stop_ms)


def line_policy_id(plant: Plant, place: Place) -> str:
    """The policy id of the numbers of the line that a place lies in."""
    line = place.line
    rule = line_rule(method_of(plant, line), line.key_cell, line.running_min)
    micro_stop_ms = line.cells[reference_of(plant, line)].micro_stop_ms
    return plant.policy.policy_id(micro_stop_ms, rule)
