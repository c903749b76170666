"""OEE from its sums: hand-computed figures and the edges where a ratio has no denominator."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uns.model.kpi import Sums, oee

counts = st.integers(0, 10**9)
all_sums = st.builds(Sums, **dict.fromkeys(Sums.model_fields, counts))
RATIOS = ("oee", "availability", "effectiveness", "quality_ratio")


def test_a_shift_by_hand() -> None:
    # 480 min planned busy: 400 running, 30 set-up, 40 delay, 10 without an order;
    # 700 pieces of 30 s, 686 of them good
    minute = 60_000
    figures = oee(
        Sums(
            apt_ms=400 * minute,
            aust_ms=30 * minute,
            adet_ms=40 * minute,
            adot_ms=10 * minute,
            planned_ms=30 * minute,
            unknown_ms=5 * minute,
            pq=700,
            gq=686,
            sq=14,
            ideal_ms=350 * minute,
            ideal_good_ms=343 * minute,
        )
    )
    assert figures["availability"] == pytest.approx(400 / 480)
    assert figures["effectiveness"] == pytest.approx(350 / 400)
    assert figures["quality_ratio"] == pytest.approx(0.98)
    assert figures["oee"] == pytest.approx(343 / 480)
    assert figures["sums"]["pbt_ms"] == 480 * minute
    assert figures["sums"]["elapsed_ms"] == 515 * minute
    assert figures["nee"] == pytest.approx(430 / 480 * 343 / 400)
    assert figures["teep"] == pytest.approx(343 / 515)
    assert figures["allocation_efficiency"] == pytest.approx(470 / 480)
    assert figures["utilisation_efficiency"] == pytest.approx(400 / 470)
    assert figures["technical_efficiency"] == pytest.approx(400 / 440)
    assert figures["set_up_ratio"] == pytest.approx(30 / 430)
    assert figures["scrap_ratio"] == pytest.approx(14 / 700)
    assert figures["coverage"] == pytest.approx(510 / 515)


def test_unknown_time_lies_in_busy_time_where_the_policy_counts_it() -> None:
    sums = Sums(apt_ms=60, unknown_ms=40, planned_ms=20, pq=1, gq=1, ideal_ms=30, ideal_good_ms=30)
    left_out, counted = oee(sums), oee(sums, unknown_counted=True)
    assert (left_out["sums"]["pbt_ms"], left_out["availability"]) == (60, 1.0)
    assert (counted["sums"]["pbt_ms"], counted["availability"]) == (100, 0.6)
    assert counted["oee"] == pytest.approx(0.3)
    unchanged = ("effectiveness", "quality_ratio", "teep", "coverage", "technical_efficiency")
    assert [left_out[name] for name in unchanged] == [counted[name] for name in unchanged]


@given(all_sums)
def test_the_identities_of_iso_22400(sums: Sums) -> None:
    figures = oee(sums)
    of_busy_time = ("oee", "availability", "nee", "allocation_efficiency")
    assert {figures[name] is None for name in of_busy_time} == {sums.pbt_ms == 0}
    if sums.pbt_ms and sums.aubt_ms:
        product = figures["allocation_efficiency"] * figures["utilisation_efficiency"]
        assert figures["availability"] == pytest.approx(product)
    if None not in (figures["oee"], figures["nee"]):
        assert figures["nee"] >= figures["oee"] * (1 - 1e-9)
    if sums.apt_ms and sums.ideal_ms and sums.pbt_ms:
        of_all_time = figures["oee"] * sums.pbt_ms / sums.elapsed_ms
        assert figures["teep"] == pytest.approx(of_all_time)


@pytest.mark.parametrize(
    ("figure", "sums"),
    [
        ("nee", Sums(planned_ms=5, unknown_ms=5)),
        ("teep", Sums()),
        ("allocation_efficiency", Sums(planned_ms=5)),
        ("utilisation_efficiency", Sums(adot_ms=5)),
        ("technical_efficiency", Sums(aust_ms=5)),
        ("set_up_ratio", Sums(adet_ms=5)),
        ("scrap_ratio", Sums(apt_ms=5)),
        ("rework_ratio", Sums(apt_ms=5)),
        ("coverage", Sums(pq=1)),
    ],
)
def test_without_a_denominator_a_figure_is_none_and_never_0(figure: str, sums: Sums) -> None:
    assert oee(sums)[figure] is None


def test_mixed_items_weigh_quality_by_time() -> None:
    # 10 pieces of 60 s (5 good) and 100 of 1 s (all good): by pieces 105/110, by time 400/700
    figures = oee(Sums(apt_ms=1_000, pq=110, gq=105, sq=5, ideal_ms=700, ideal_good_ms=400))
    assert figures["quality_ratio"] == pytest.approx(400 / 700)
    assert figures["oee"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("sums", "expected"),
    [
        (Sums(), (None, None, None, None)),
        (Sums(planned_ms=5, unknown_ms=5), (None, None, None, None)),
        (Sums(adet_ms=5), (0.0, 0.0, None, None)),
        (Sums(apt_ms=5), (0.0, 1.0, 0.0, None)),
        (Sums(apt_ms=5, pq=2, gq=1, sq=1), (0.0, 1.0, 0.0, 0.5)),
        (Sums(adet_ms=5, pq=1, gq=1, ideal_ms=3, ideal_good_ms=3), (0.0, 0.0, None, 1.0)),
        (
            Sums(apt_ms=10, pq=15, gq=15, ideal_ms=15, ideal_good_ms=15),
            (1.5, 1.0, 1.5, 1.0),
        ),
    ],
)
def test_a_ratio_without_a_denominator_is_none(
    sums: Sums, expected: tuple[float | None, ...]
) -> None:
    assert tuple(oee(sums)[name] for name in RATIOS) == expected


@given(all_sums, all_sums)
def test_sums_add_up_field_by_field(one: Sums, other: Sums) -> None:
    both = one + other
    for name in Sums.model_fields:
        assert getattr(both, name) == getattr(one, name) + getattr(other, name)
    assert both.elapsed_ms == one.elapsed_ms + other.elapsed_ms


@given(all_sums)
def test_published_sums_reproduce_the_figures(sums: Sums) -> None:
    figures = oee(sums)
    published = {name: figures["sums"][name] for name in Sums.model_fields}
    assert oee(Sums(**published)) == figures
    if None not in [figures[name] for name in RATIOS]:
        product = figures["availability"] * figures["effectiveness"] * figures["quality_ratio"]
        assert figures["oee"] == product
