"""Control charts by hand, and the rules that values break."""

from collections.abc import Sequence

import pytest

from uns.historian.history.charts import Limited, statistics, violations


def series(
    values: Sequence[float | None], lower: float | None = None, upper: float | None = None
) -> list[Limited]:
    """Values of one characteristic, a second apart."""
    return [
        Limited(at_ms=1_000 * n, value=value, lower=lower, upper=upper)
        for n, value in enumerate(values)
    ]


def test_a_chart_by_hand() -> None:
    # moving ranges 2, 1, 3, 2: mean 2; sigma 2 / 1.128
    chart = statistics(series([10, 12, 11, None, 14, 12], lower=5, upper=20))
    assert chart is not None
    assert chart.n == 5
    assert chart.centre == pytest.approx(11.8)
    assert chart.sigma == pytest.approx(2 / 1.128)
    assert (chart.lcl, chart.ucl) == pytest.approx((11.8 - 6 / 1.128, 11.8 + 6 / 1.128))
    assert chart.deviation == pytest.approx((8.8 / 4) ** 0.5)
    assert chart.cp == pytest.approx(15 / (6 * chart.sigma))
    assert chart.cpk == pytest.approx((11.8 - 5) / (3 * chart.sigma))
    assert chart.ppk == pytest.approx((11.8 - 5) / (3 * chart.deviation))


def test_capability_needs_limits_and_a_spread() -> None:
    one_sided = statistics(series([1, 2, 3], upper=9))
    assert one_sided is not None
    assert one_sided.cp is None
    assert one_sided.cpk == pytest.approx(7 / (3 * one_sided.sigma))
    still = statistics(series([5, 5, 5], lower=1, upper=9))
    assert still is not None
    assert (still.cp, still.cpk, still.pp, still.ppk) == (None, None, None, None)
    mixed = statistics([*series([1, 2], upper=9), *series([3], upper=8)])
    assert mixed is not None
    assert (mixed.upper, mixed.cpk) == (None, None)


def test_one_value_is_no_chart() -> None:
    assert statistics(series([1.0, None])) is None
    late = [found.rule for found in violations(series([9.0, None], upper=8), None)]
    assert late == ["limits"]


def test_what_is_beyond_any_measurement_is_not_measured() -> None:
    assert statistics(series([1e308, 1e308, 1.0])) is None
    measured = series([1.0, 1e308, 3.0], upper=9)
    chart = statistics(measured)
    assert chart is not None
    assert (chart.n, chart.centre) == (2, 2.0)
    assert [(one.index, one.rule) for one in violations(measured, chart)] == [(1, "limits")]


def test_values_that_break_a_rule_are_named() -> None:
    quiet = [10.0, 10.1, 9.9, 10.0, 10.1, 9.9] * 4
    measured = series([*quiet, 13.0], lower=9, upper=12)
    found = [(v.index, v.rule) for v in violations(measured, statistics(measured))]
    assert [one for one in found if one[1] != "run"] == [(24, "limits"), (24, "control")]


def test_the_eighth_in_a_row_on_one_side_breaks_the_rule_of_runs() -> None:
    measured = series([*[1.0, 3.0] * 6, *[2.5] * 9, *[0.5] * 3])
    chart = statistics(measured)
    assert chart is not None
    # the run began with the 3.0 before the nine
    assert 1 < chart.centre < 2.5
    runs = [one.index for one in violations(measured, chart) if one.rule == "run"]
    assert runs == [18, 19, 20]
