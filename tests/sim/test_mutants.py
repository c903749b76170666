"""A guard counts only if a test fails without it: each of them is taken away, and found missing.

The seeds are those of test_seeds, which find nothing while every guard stands.
"""

import pytest

from tests.sim.mutants import MUTANTS, mutated
from tests.sim.run import simulate

SEEDS_MAX = 40


@pytest.mark.parametrize("missing", MUTANTS)
def test_a_missing_guard_is_found(missing: str) -> None:
    with mutated(missing):
        assert any(simulate(seed).findings for seed in range(SEEDS_MAX)), missing
