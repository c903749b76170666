"""`uns` at a terminal, in this process: how a command ended and what it printed."""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from uns.cli.app import main

UNS = Path(sys.executable).with_name("uns")
SUMS = {
    "pbt_ms": 1000,
    "apt_ms": 500,
    "pq": 4,
    "gq": 3,
    "sq": 1,
    "rq": 0,
    "ideal_ms": 400,
}
OEE = {"oee": 0.3, "availability": 0.5, "effectiveness": 0.8, "quality_ratio": 0.75, "sums": SUMS}
"""An OEE document whose fractions are those of its sums."""


class Answer(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Cli:
    """`uns` in this process, with its own idea of the folder used last."""

    def __init__(self, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._patch = patch
        self._capsys = capsys

    def __call__(self, *arguments: str | Path | int) -> Answer:
        self._patch.setattr(sys, "argv", ["uns", *map(str, arguments)])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code or 0
        assert isinstance(code, int)
        return Answer(code, *self._capsys.readouterr())

    def fails(self, code: int, *arguments: str | Path | int) -> str:
        """The one line on standard error of a command that cannot be done."""
        answer = self(*arguments)
        assert (answer.code, answer.out) == (code, ""), answer
        (line,) = answer.err.splitlines()
        assert line.startswith("uns: "), line
        return line
