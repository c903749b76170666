"""Judging: values against a specification. A value exactly on a limit passes."""

from collections.abc import Iterable, Mapping

from processors.quality.state import Judgement
from uns.model.events import Verdict
from uns.model.plant import Limits, Specification


def judge(
    specification: Specification,
    values: Mapping[str, float | None],
    only: tuple[str, ...] = (),
    gauge: str | None = None,
) -> list[Judgement]:
    """Every characteristic of the specification, or `only` some; other values are ignored."""
    return [
        Judgement(
            name=name,
            value=values.get(name),
            lower=limits.lower,
            upper=limits.upper,
            unit=limits.unit,
            verdict=_verdict(values.get(name), limits),
            gauge=gauge,
        )
        for name, limits in specification.characteristics.items()
        if not only or name in only
    ]


def overall(judgements: Iterable[Judgement]) -> Verdict:
    """Fail if any failed, else pending if any pends or there is none, else pass."""
    verdicts = {one.verdict for one in judgements}
    if "fail" in verdicts:
        return "fail"
    return "pass" if verdicts == {"pass"} else "pending"


def _verdict(value: float | None, limits: Limits) -> Verdict:
    if value is None:
        return "pending"
    low = limits.lower is not None and value < limits.lower
    high = limits.upper is not None and value > limits.upper
    return "fail" if low or high else "pass"
