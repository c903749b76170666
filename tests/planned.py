"""The example plant with inspection plans at the mill, for tests of inspections."""

from typing import Any, Final

from tests.example import plant
from uns.model.plant import Plant

PLANS: Final[dict[str, Any]] = {
    "first": {"when": "first-article", "characteristics": ["bore"], "gauge": "plug-40"},
    "clearance": {"when": "change-over", "by_hand": True},
    "fifty": {"when": "every-n", "every": 5, "gate": False},
    "half-hour": {"when": "per-time", "every_min": 30, "characteristics": ["flatness"]},
    "lot": {"when": "per-lot", "by_hand": True, "sampling": {"level": "II", "aql": "1.0"}},
}


def planned(
    plans: dict[str, Any] = PLANS, item: str = "housing-a", cell: str = "mill", **more: Any
) -> Plant:
    """The plant; `more`: what else its specification says otherwise."""
    document = plant().model_dump(mode="json")
    document["items"][item]["specifications"][cell] |= {"inspections": plans, **more}
    return Plant.model_validate(document)
