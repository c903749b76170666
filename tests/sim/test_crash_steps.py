"""Crash at every step n of a cycle, exhaustively: runner, historian and source.

Each step is a packet, an outbox transaction or a commit; each crash is tried with a broker that
lives and with one that dies in the same moment and falls back to its autosave.
"""

import pytest

from tests.sim.mutants import mutated
from tests.sim.steps import ROLES, count_steps, crash_at, crashes

STEPS_MIN = {"runner": 40, "historian": 30, "source": 15}


@pytest.mark.parametrize("forgetful", [False, True], ids=["broker lives", "broker forgets"])
@pytest.mark.parametrize("role", ROLES)
def test_a_crash_at_any_step_loses_nothing(role: str, *, forgetful: bool) -> None:
    steps, found = crashes(role, forgetful=forgetful)
    assert not found
    assert steps >= STEPS_MIN[role]


def test_an_order_of_effects_that_is_wrong_is_found_at_some_step() -> None:
    with mutated("ack before publish"):
        steps = range(1, count_steps("runner") + 1)
        assert any(crash_at("runner", step, forgetful=False).findings for step in steps)
