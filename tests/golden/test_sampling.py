"""The whole single-plan tables, switching and OC curves, against tests/golden/sampling."""

import csv
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.example import ROOT
from uns.model.sampling.oc import PER_CENT_MAX, binomial, hypergeometric, poisson, quality_at
from uns.model.sampling.plans import code_letter, plan_for, single_plan
from uns.model.sampling.switching import Lot, Scheme, Standing, after
from uns.model.sampling.tables import AQLS, LETTERS, LEVELS, MASTER, Arrow, Numbers, Severity

GOLDEN = Path(__file__).parent / "sampling"
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
REFERENCE = ROOT.parent / "shared" / "data" / "sampling" / "z14_single_plans.csv"
FEW = 6
SIX_DIGITS = 5e-7


def rows(name: str) -> list[dict[str, Any]]:
    with (GOLDEN / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def resolved(letter: str, aql: str, severity: Severity) -> str:
    plan = single_plan(letter, aql, severity)
    return f"{plan.size}:{plan.accept}/{plan.reject}"


@pytest.mark.parametrize("severity", SEVERITIES)
def test_the_whole_master_table(severity: Severity) -> None:
    printed = rows(severity)
    assert [row["letter"] for row in printed] == list(LETTERS[:-1])
    for row in printed:
        letter = row.pop("letter")
        assert {aql: resolved(letter, aql, severity) for aql in AQLS} == row


def test_the_normal_table_with_its_arrows() -> None:
    marks = {"D": Arrow(1), "U": Arrow(-1)}
    for row in rows("normal_arrows"):
        column = AQLS.index(row.pop("aql"))
        for letter, cell in row.items():
            wanted = marks.get(cell) or Numbers(*map(int, cell.split("/")))
            assert MASTER["normal"][letter].cells[column] == wanted


def test_every_code_letter_at_both_ends_of_its_row() -> None:
    for row in rows("letters"):
        first, last = int(row["from"]), int(row["to"] or 10**9)
        for level in LEVELS:
            assert code_letter(first, level) == code_letter(last, level) == row[level]


def test_a_lot_of_one_has_no_plan() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        code_letter(1, "II")


def test_all_of_a_small_lot_is_inspected() -> None:
    plan = plan_for(8, "II", "0.010", "normal")
    assert (plan.letter, plan.size, plan.size_for(8)) == ("Q", 1250, 8)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_numbers_run_along_the_diagonals(severity: Severity) -> None:
    """Sample sizes and AQLs grow by the same steps: a letter up and an AQL down, the same plan."""
    table = [MASTER[severity][letter].cells for letter in LETTERS[2:16]]
    for upper, lower in pairwise(table):
        for one, other in zip(upper[1:], lower, strict=False):
            if isinstance(one, Numbers) and isinstance(other, Numbers):
                assert one == other


@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_row_accepts_more_the_worse_the_quality_and_arrows_lead_to_plans(
    severity: Severity,
) -> None:
    for letter in LETTERS[:-1]:
        plans = [single_plan(letter, aql, severity) for aql in AQLS]
        own = [plan for plan in plans if plan.letter == letter]
        assert [plan.reject for plan in own] == sorted({plan.reject for plan in own})
        for plan, worse in pairwise(plans):
            at = float(plan.aql) / 100
            chances = [poisson(p.size, p.reject - 1, at) for p in (plan, worse)]
            assert chances == sorted(chances), (plan, worse)


def test_tightened_is_never_easier_than_normal() -> None:
    for letter in LETTERS[:-1]:
        for aql in AQLS:
            normal, tight = (single_plan(letter, aql, s) for s in SEVERITIES[:2])
            at = float(aql) / 100
            assert poisson(tight.size, tight.accept, at) <= poisson(normal.size, normal.accept, at)


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference tables are not on this machine")
def test_the_reference_tables() -> None:
    with REFERENCE.open(newline="") as file:
        printed: list[dict[str, Any]] = list(csv.DictReader(file))
    assert len(printed) == len(SEVERITIES) * len(AQLS) * len(LETTERS[:-1])
    for row in printed:
        wanted = f"{row['n']}:{row['ac']}/{row['re']}"
        assert resolved(row["letter"], row["aql"], row["plan"]) == wanted, row


@pytest.mark.parametrize("row", rows("switching"), ids=lambda row: row["case"])
def test_switching(row: dict[str, Any]) -> None:
    scheme, standing, told = Scheme(row["standard"]), Standing(row["severity"]), list[str]()
    for found in map(int, row["found"].split()):
        plan = single_plan(row["letter"], row["aql"], standing.severity)
        standing = after(scheme, standing, Lot(plan, found))
        told.append("discontinued" if standing.discontinued else standing.severity)
    assert told == row["then"].split()


def test_nobody_who_does_not_want_it_gets_to_reduced() -> None:
    scheme, standing = Scheme(may_reduce=False), Standing()
    plan = single_plan("J", "1.0", "normal")
    for _ in range(100):
        standing = after(scheme, standing, Lot(plan, 0))
    assert standing.severity == "normal"


def test_the_published_curve() -> None:
    for row in rows("oc"):
        wanted = float(row["accepted"])
        found = 100 * quality_at(wanted, lambda p: binomial(20, 0, p), 1.0)
        assert f"{found:.3g}" == f"{float(row['percent']):.3g}"


def test_a_published_value_to_six_digits() -> None:
    """The example of f_DR.CO in the R package Planesmuestra 0.1: 125 items, Ac 2, 10 % bad."""
    assert f"{binomial(125, 2, 0.1):.6g}" == "0.000210835"


def test_binomial_is_one_item_after_another_to_six_digits() -> None:
    """Each plan of the tables at its AQL and at twice that, with 40 digits and no powers."""
    for size, accept, percent in sorted(_points()):
        for fraction in (percent, 2 * percent):
            by_item = _by_item(size, accept, Decimal(str(fraction)) / 100)
            assert abs(binomial(size, accept, fraction / 100) - by_item) < SIX_DIGITS


def _points() -> set[tuple[int, int, float]]:
    plans = [single_plan(a, b, s) for a in LETTERS[:-1] for b in AQLS for s in SEVERITIES]
    return {(p.size, p.accept, float(p.aql)) for p in plans if float(p.aql) <= PER_CENT_MAX}


def _by_item(size: int, accept: int, fraction: Decimal) -> float:
    with localcontext() as context:
        context.prec = 40
        chances = [Decimal(1), *[Decimal(0)] * accept]
        for _ in range(size):
            for k in range(accept, 0, -1):
                chances[k] += fraction * (chances[k - 1] - chances[k])
            chances[0] *= 1 - fraction
        return float(sum(chances))


def test_hypergeometric_is_one_draw_after_another() -> None:
    lot, bad, size, accept = 120, 9, 20, 2
    chances = {0: Fraction(1)}
    for drawn in range(size):
        left, then = lot - drawn, dict[int, Fraction]()
        for k, chance in chances.items():
            hit = Fraction(bad - k, left)
            then[k + 1] = then.get(k + 1, Fraction(0)) + chance * hit
            then[k] = then.get(k, Fraction(0)) + chance * (1 - hit)
        chances = then
    exact = float(sum(chances[k] for k in range(accept + 1)))
    assert abs(hypergeometric(size, accept, lot, bad) - exact) < SIX_DIGITS
    assert hypergeometric(500, 0, lot, 0) == 1.0
    assert hypergeometric(500, 0, lot, 1) == 0.0


def test_poisson_is_the_limit_of_ever_smaller_items() -> None:
    for mean, accept in ((0.5, 0), (2.0, 3), (20.0, 14), (50.0, 44)):
        many = 100_000_000
        assert abs(poisson(1, accept, mean) - binomial(many, accept, mean / many)) < FEW * 1e-7


def test_a_perfect_and_a_wholly_bad_process() -> None:
    for accept in (0, 3):
        assert binomial(20, accept, 0.0) == poisson(20, accept, 0.0) == 1.0
        assert binomial(20, accept, 1.0) == 0.0
