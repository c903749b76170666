"""What to ask and when: tags packed into the fewest requests, and the rhythm of the polls.

Owns addresses and beats. Does not know what registers mean, and no socket or clock: times are
given.
"""

from collections.abc import Iterable, Mapping
from math import floor
from typing import Final, NamedTuple

from bridges.modbus.config import BIT_TABLES, ModbusSettings, ModbusSource, Table
from uns.model.plant import Place

BITS_PER_REGISTER: Final = 16


class Point(NamedTuple):
    """A tag and where its device keeps it; `is_every`: each sample counts, also an equal one."""

    cell: str
    tag: str
    source: ModbusSource
    is_every: bool = False

    @property
    def start(self) -> int:
        """The first address of the value."""
        return self.source.address

    @property
    def end(self) -> int:
        """The address behind the value."""
        return self.source.address + self.source.width


class Block(NamedTuple):
    """One request: `size` addresses of a table from `start`, and the tags it answers."""

    table: Table
    start: int
    size: int
    points: tuple[Point, ...]

    @property
    def end(self) -> int:
        """The address behind the block."""
        return self.start + self.size


def units_of(places: Mapping[str, Place], settings: ModbusSettings) -> dict[int, list[Point]]:
    """Every tag of the cells by its unit; the sources were checked with namespace.yaml.

    Without a tag there is the settings' unit, without points.
    """
    units: dict[int, list[Point]] = {}
    for path, place in places.items():
        for name, tag in place.cell.tags.items():
            source = ModbusSource.model_validate(tag.source).within(settings)
            point = Point(path, name, source, tag.record == "every")
            units.setdefault(source.unit or 0, []).append(point)
    return units or {settings.unit: []}


def plan(points: Iterable[Point], settings: ModbusSettings) -> list[Block]:
    """The fewest requests that read every point of a unit within the limits of the settings.

    From the lowest address on, a block takes what still fits; for intervals on a line no other
    choice needs fewer. A value is never split: one wider than the limit makes a wider request.
    """
    blocks = list[Block]()
    for point in sorted(points, key=lambda p: (p.source.table, p.start, -p.end)):
        if blocks and _fits(blocks[-1], point, settings):
            blocks[-1] = _block((*blocks[-1].points, point))
        else:
            blocks.append(_block((point,)))
    return blocks


def _fits(block: Block, point: Point, settings: ModbusSettings) -> bool:
    if block.table != point.source.table:
        return False
    room, gap = settings.block_registers_max, settings.gap_registers_max
    if block.table in BIT_TABLES:
        room, gap = settings.block_bits_max, gap * BITS_PER_REGISTER
    near = point.start - block.end <= gap
    return point.end <= block.end or (near and point.end - block.start <= room)


def _block(points: tuple[Point, ...]) -> Block:
    start = min(point.start for point in points)
    end = max(point.end for point in points)
    return Block(points[0].source.table, start, end - start, points)


def block_of(point: Point) -> Block:
    """The request that reads one value."""
    return _block((point,))


def halves(block: Block) -> tuple[Block, Block]:
    """Two requests for one, to find out which of several addresses the device does not have."""
    middle = len(block.points) // 2
    return _block(block.points[:middle]), _block(block.points[middle:])


def next_due_s(due_s: float, now_s: float, period_s: float) -> float:
    """The next beat after now in the rhythm of `due_s`; beats that have passed are skipped."""
    return due_s + period_s * max(1, floor((now_s - due_s) / period_s) + 1)
