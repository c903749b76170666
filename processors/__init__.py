"""PURE: the processors, one folder each. They meet on the broker, never in code.

PROCESSORS is the one table of them: each is built for a plant, and folds one line at a time.
"""

from collections.abc import Callable
from typing import Any, Final

from processors import genealogy, kanban, oee, order_progress, quality, spc
from uns.fold import Processor
from uns.model.plant import Plant

PROCESSORS: Final[dict[str, Callable[[Plant], Processor[Any]]]] = {
    "order-progress": order_progress.build,
    "quality": quality.build,
    "genealogy": genealogy.build,
    "oee": oee.build,
    "kanban": kanban.build,
    "spc": spc.build,
}
