"""The contract of a simulated PLC: a protocol server that shows the tags of its cells."""

from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from uns.model.observation import Scalar
from uns.model.plant import Role

INTEGERS: Final[frozenset[Role]] = frozenset(
    {"state", "fault", "good_count", "scrap_count", "rework_count", "serial", "sample"}
)
TEXTS: Final[frozenset[Role]] = frozenset({"order", "item", "lot_in", "lot_out"})
"""The roles whose values are integers and texts; all others are floating point."""


class TagName(NamedTuple):
    """A tag by the path of its cell and its own name."""

    cell: str
    tag: str


Values = Mapping[TagName, Scalar]


class Plc(Protocol):
    """A protocol server. It has all its values before anybody can read one of them."""

    async def start(self, values: Values, at_ms: int) -> None:
        """Begin to listen (or to connect) with these values. Raises PortTaken."""

    async def write(self, changes: Values, at_ms: int) -> None:
        """Show new values, in the given order; `at_ms` is the source's clock."""

    async def stop(self) -> None:
        """Say goodbye and stop; also when it never started."""
