"""What happened, as one hash: two runs of one seed are the same to the last byte, or they are not.

Owns the digest and, when asked, the lines. Knows nothing of what they mean.
"""

import hashlib
from collections.abc import Callable


class Trace:
    """Lines of (time, words), hashed as they come; `lines` keeps them for a person to read."""

    def __init__(self, time_s: Callable[[], float], *, keep: bool = False) -> None:
        self._time_s = time_s
        self._hash = hashlib.sha256()
        self.lines: list[str] | None = [] if keep else None

    def note(self, *words: object) -> None:
        """One thing happened."""
        line = f"{self._time_s():.6f} {words!r}"
        self._hash.update(line.encode())
        if self.lines is not None:
            self.lines.append(line)

    @property
    def digest(self) -> str:
        """Of all lines so far."""
        return self._hash.hexdigest()
