"""Capability: what it is of, where it is refused, and the intervals' arithmetic."""

from statistics import stdev

import pytest

from uns.model.spc.capability import Capability, Tolerance, capability, chi_square
from uns.model.spc.limits import Subgroup, measured

GROUPS = [measured(group) for group in ([9.0, 10.0, 11.0], [10.0, 11.0, 12.0], [8.0, 9.0, 11.0])]
VALUES = [9.0, 10.0, 11.0, 10.0, 11.0, 12.0, 8.0, 9.0, 11.0]


def found(tolerance: Tolerance, groups: list[Subgroup] = GROUPS) -> Capability:
    answer = capability(groups, 1.0, tolerance)
    assert isinstance(answer, Capability)
    return answer


@pytest.mark.parametrize(
    ("share", "freedom", "printed"),
    [  # NIST/SEMATECH e-Handbook, 1.3.6.7.4
        (0.95, 10, 18.307),
        (0.05, 10, 3.940),
        (0.975, 1, 5.024),
        (0.025, 1, 0.001),
        (0.99, 100, 135.807),
        (0.01, 100, 70.065),
        (0.5, 2, 1.386),
    ],
)
def test_chi_square_is_that_of_the_tables(share: float, freedom: int, printed: float) -> None:
    assert chi_square(share, freedom) == pytest.approx(printed, abs=0.0005)


def test_performance_goes_by_the_spread_of_all_values() -> None:
    one = found(Tolerance(5.0, 15.0))
    assert one.n == len(VALUES)
    assert one.overall == pytest.approx(stdev(VALUES))
    assert one.pp is not None
    assert one.pp.value == pytest.approx(10 / (6 * stdev(VALUES)))
    assert one.ppk.value == pytest.approx((15 - one.mean) / (3 * stdev(VALUES)))
    assert one.ppk.low < one.ppk.value < one.ppk.high


def test_a_one_sided_specification_has_its_side_only() -> None:
    upper = found(Tolerance(None, 13.0))
    assert (upper.cp, upper.pp, upper.cpm, upper.cpl) == (None, None, None, None)
    assert upper.cpu == upper.cpk.value == pytest.approx((13 - upper.mean) / 3)
    lower = found(Tolerance(7.0, None))
    assert lower.cpl == lower.cpk.value == pytest.approx((lower.mean - 7) / 3)
    assert lower.cpu is None


def test_few_points_warn_and_many_do_not() -> None:
    assert found(Tolerance(5.0, 15.0)).warning == "3 points: 25 and more make it reliable"
    assert found(Tolerance(5.0, 15.0), GROUPS * 9).warning is None


@pytest.mark.parametrize(
    ("groups", "within", "tolerance", "why"),
    [
        (GROUPS, 1.0, Tolerance(None, None), "the specification has no limit"),
        (GROUPS, 0.0, Tolerance(1, 2), "the values do not vary"),
        (GROUPS[:1], 1.0, Tolerance(1, 2), "too few points"),
    ],
)
def test_where_there_is_none_it_says_why(
    groups: list[Subgroup], within: float, tolerance: Tolerance, why: str
) -> None:
    assert capability(groups, within, tolerance) == why
