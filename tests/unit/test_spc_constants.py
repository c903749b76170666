"""d2, d3 and c4 against their published tables and against their closed forms."""

from math import atan, isclose, pi, sqrt

import pytest

from uns.model.spc.constants import N_MAX, Factors, c4, factors

# ISO 7870-2:2013, annex; ASTM E2587; Montgomery, appendix VI.
D2 = (
    *(1.128, 1.693, 2.059, 2.326, 2.534, 2.704, 2.847, 2.970, 3.078, 3.173, 3.258, 3.336),
    *(3.407, 3.472, 3.532, 3.588, 3.640, 3.689, 3.735, 3.778, 3.819, 3.858, 3.895, 3.931),
)
D3 = (
    *(0.853, 0.888, 0.880, 0.864, 0.848, 0.833, 0.820, 0.808, 0.797, 0.787, 0.778, 0.770),
    *(0.763, 0.756, 0.750, 0.744, 0.739, 0.733, 0.729, 0.724, 0.720, 0.716, 0.712, 0.708),
)
C4 = (
    *(0.7979, 0.8862, 0.9213, 0.9400, 0.9515, 0.9594, 0.9650, 0.9693, 0.9727, 0.9754, 0.9776),
    *(0.9794, 0.9810, 0.9823, 0.9835, 0.9845, 0.9854, 0.9862, 0.9869, 0.9876, 0.9882, 0.9887),
    *(0.9892, 0.9896),
)
SIZES = range(2, N_MAX + 1)
CHART_FACTORS = {  # n: A2, A3, B3, B4, D3, D4
    2: (1.880, 2.659, 0, 3.267, 0, 3.267),
    3: (1.023, 1.954, 0, 2.568, 0, 2.575),
    5: (0.577, 1.427, 0, 2.089, 0, 2.114),
    7: (0.419, 1.182, 0.118, 1.882, 0.076, 1.924),
    10: (0.308, 0.975, 0.284, 1.716, 0.223, 1.777),
    25: (0.153, 0.606, 0.565, 1.435, 0.459, 1.541),
}


def test_factors_are_those_of_the_tables() -> None:
    found = [factors(n) for n in SIZES]
    assert [round(one.d2, 3) for one in found] == list(D2)
    assert [round(one.d3, 3) for one in found] == list(D3)
    assert [round(one.c4, 4) for one in found] == list(C4)
    assert [factors(n, "table").d2 for n in SIZES] == list(D2)
    assert [factors(n, "table").c4 for n in SIZES] == list(C4)


@pytest.mark.parametrize("n", CHART_FACTORS)
def test_chart_factors_follow_from_them(n: int) -> None:
    one = factors(n)
    spread = 3 * sqrt(1 - one.c4**2) / one.c4
    width = 3 * one.d3 / one.d2
    found = (
        *(3 / (one.d2 * sqrt(n)), 3 / (one.c4 * sqrt(n))),
        *(max(0.0, 1 - spread), 1 + spread, max(0.0, 1 - width), 1 + width),
    )
    assert [round(value, 3) for value in found] == pytest.approx(CHART_FACTORS[n], abs=0.0011)


def test_small_sizes_have_their_closed_form() -> None:
    five = 30 / pi**1.5 * atan(sqrt(2)) - 5 / sqrt(pi)
    expected = {2: 2 / sqrt(pi), 3: 3 / sqrt(pi), 4: 12 / pi**1.5 * atan(sqrt(2)), 5: five}
    for n, d2 in expected.items():
        assert isclose(factors(n).d2, d2, rel_tol=1e-7)
    assert isclose(factors(2).d3, sqrt(2 - 4 / pi), rel_tol=1e-7)
    assert isclose(factors(3).d3, sqrt((2 * pi + 3 * sqrt(3) - 9) / pi), rel_tol=1e-7)
    assert isclose(c4(2), sqrt(2 / pi), rel_tol=1e-12)


def test_a_large_sample_needs_no_correction() -> None:
    assert isclose(c4(100_000), 1 - 1 / 400_000, rel_tol=1e-9)
    assert factors(2, "table") == Factors(1.128, 0.8525, 0.7979)
