"""What the product itself says of a simulated record: the same state again."""

from itertools import islice

from tests.sim.history import folded_again, known_to_both
from tests.sim.run import plan_of, simulate
from tests.sim.world import World

SEEDS = 8


def _seeds() -> list[int]:
    """Seeds in which no outbox is lost: then history has every fact that was folded."""
    whole = (seed for seed in range(1_000) if all(f.name != "old_outbox" for f in plan_of(seed)[1]))
    return list(islice(whole, SEEDS))


def test_history_gives_the_retained_state_again() -> None:
    found = {seed: simulate(seed, look=folded_again).findings for seed in _seeds()}
    assert not any(found.values()), found


def test_history_without_one_event_gives_another_state() -> None:
    def without_one(world: World) -> list[str]:
        events = world.disk.tables["events"]
        del events[next(key for key, at in events.items() if at.row.type == "counted")]
        return folded_again(world)

    assert any("I3" in finding for finding in simulate(_seeds()[0], look=without_one).findings)


def test_the_simulated_store_remembers_what_a_real_one_does() -> None:
    def compare(world: World) -> list[str]:
        remembered, real = known_to_both(world)
        return [] if remembered == real else [f"{remembered} is not {real}"]

    assert simulate(_seeds()[1], look=compare).findings == []
