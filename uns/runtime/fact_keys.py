"""Which facts a bridge has on record, by business key, so that none is recorded twice.

Owns how keys are remembered in the outbox, and which of them pass: a fact that says `known_ms` is
forgotten when it is so old, in plant time, and of those the oldest beyond PASSING_MAX sooner. All
others are known for ever.
"""

from collections.abc import Iterable
from typing import Final

from uns.codec import encode_document
from uns.model.observation import Fact, Observation
from uns.runtime.outbox import LAST, Outbox

PASSING_MAX: Final = 200_000
PRUNE_EVERY: Final = 1_000
_FACT: Final = "fact:"
_PASSING: Final = "passing:"
_DIGITS: Final = 16


class FactKeys:
    """The keys in one outbox. A key and the fact that has it are stored in one transaction."""

    def __init__(self, outbox: Outbox, passing_max: int = PASSING_MAX) -> None:
        self._outbox = outbox
        self._passing_max = passing_max
        self._since_pruned = PRUNE_EVERY

    def known(self, prefix: str) -> dict[str, str]:
        """Bodies (JSON) of recorded facts by business key, for keys with a prefix."""
        found = self._outbox.recall_all(f"{_FACT}{prefix}")
        return {key.removeprefix(_FACT): body for key, body in found.items()}

    def new(self, observations: Iterable[Observation]) -> list[Fact]:
        """Facts whose key was not recorded before, neither earlier nor among these."""
        facts: dict[object, Fact] = {}
        for n, fact in enumerate(one for one in observations if isinstance(one, Fact)):
            key = fact.business_key
            if key is None:
                facts[n] = fact
            elif self._outbox.recall(f"{_FACT}{key}") is None:
                facts.setdefault(key, fact)
        return list(facts.values())

    def memory(self, facts: Iterable[Fact]) -> dict[str, str]:
        """What to remember of facts, with them."""
        memory: dict[str, str] = {}
        for fact in facts:
            if fact.business_key is None:
                continue
            memory[f"{_FACT}{fact.business_key}"] = encode_document(fact.body).decode()
            if fact.known_ms is not None:
                memory[_passing(fact.at_ms + fact.known_ms, fact.business_key)] = ""
                self._since_pruned += 1
        return memory

    def prune(self, now_ms: int) -> int:
        """Forget what has passed at plant time `now_ms`, now and then; how many keys that were."""
        if self._since_pruned < PRUNE_EVERY:
            return 0
        self._since_pruned = 0
        passed = self._outbox.keys(_PASSING, _passing(now_ms + 1, ""))
        over = self._outbox.keys(_PASSING, _PASSING + LAST, but_last=self._passing_max)
        gone = max(passed, over, key=len)
        self._outbox.forget([*gone, *(f"{_FACT}{_key_of(end)}" for end in gone)])
        return len(gone)


def _passing(end_ms: int, key: str) -> str:
    """Sorts by when the key passes."""
    return f"{_PASSING}{end_ms:0{_DIGITS}}:{key}"


def _key_of(passing: str) -> str:
    return passing[len(_PASSING) + _DIGITS + 1 :]
