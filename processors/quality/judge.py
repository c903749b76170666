"""Judging: values against a specification. A value exactly on a limit passes."""

from collections.abc import Mapping

from processors.quality.state import Judgement
from uns.model.events import Verdict
from uns.model.plant import Limits, Specification


def judge(specification: Specification, values: Mapping[str, float | None]) -> list[Judgement]:
    """Every characteristic of the specification; measured values it does not name are ignored."""
    return [
        Judgement(
            name=name,
            value=values.get(name),
            lower=limits.lower,
            upper=limits.upper,
            unit=limits.unit,
            verdict=_verdict(values.get(name), limits),
        )
        for name, limits in specification.characteristics.items()
    ]


def overall(judgements: list[Judgement]) -> Verdict:
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
