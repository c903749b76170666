"""What is fixed about a cell: its place in the flow, the items it makes, its habits. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from uns.demo.fate import Habits
from uns.model.plant import Item, Limits, Place, Plant


class Need(NamedTuple):
    """A component and how much of it goes into one piece."""

    item: str
    per_piece: float


@dataclass(frozen=True, slots=True)
class Station:
    """A cell of the line, by its place in the flow (`index`, from 0)."""

    place: Place
    items: Mapping[str, Item]
    index: int
    is_last: bool
    habits: Habits

    @property
    def path(self) -> str:
        """The cell's path."""
        return self.place.path

    @property
    def name(self) -> str:
        """The cell's own name."""
        return self.place.path.rpartition("/")[2]

    @property
    def serialised(self) -> bool:
        """Whether every good piece gets a serial number here."""
        return self.place.cell.tag_with_role("serial") is not None

    @property
    def wip_tags(self) -> tuple[str, ...]:
        """The tags that show the lot of the piece in work."""
        tags = self.place.cell.tags.items()
        return tuple(tag for tag, spec in tags if spec.role == "lot_in" and not spec.item)

    def limits(self, item: str) -> Mapping[str, Limits]:
        """What is inspected of an item, by characteristic."""
        specification = self.items[item].specifications.get(self.name)
        return specification.characteristics if specification else {}

    def needs(self, item: str) -> Mapping[str, Need]:
        """By tag of a consumed lot, the component and how much of it a piece of `item` takes."""
        bom = self.items[item].bom
        return {
            tag: Need(spec.item, bom.get(spec.item, 1.0))
            for tag, spec in self.place.cell.tags.items()
            if spec.role == "lot_in" and spec.item
        }


def stations(plant: Plant, line_path: str) -> tuple[Station, ...]:
    """The cells of a line in flow order.

    The first one breaks down now and then; the last one that inspects drifts.
    """
    places = plant.lines[line_path]
    inspecting = [i for i, place in enumerate(places) if _inspects(place)]
    return tuple(
        Station(
            place,
            plant.items,
            index,
            is_last=place is places[-1],
            habits=Habits(
                path=place.path,
                index=index,
                drifts=index in inspecting[-1:],
                breaks_down=index == 0,
                reworks=place.cell.tag_with_role("rework_count") is not None,
            ),
        )
        for index, place in enumerate(places)
    )


def _inspects(place: Place) -> bool:
    return place.cell.tag_with_role("sample") is not None
