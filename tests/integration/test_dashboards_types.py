"""The boards' JSON against Grafana's own types: npm @grafana/schema, checked by the compiler."""

import json
import shutil
import subprocess
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from dashboards.export import BOARDS
from tools.ground import ROOT

pytestmark = pytest.mark.node

NODE = ROOT / "tests/node"
OPTIONS = {
    "noEmit": True,
    "strict": True,
    "skipLibCheck": True,
    "module": "esnext",
    "moduleResolution": "bundler",
    "target": "es2022",
    "types": [],
}
Json = dict[str, Any]


def as_defaults(board: Json) -> Json:
    """A board whose panels have each override as a default, where the types know it."""
    for panel in board["panels"]:
        for override in panel["fieldConfig"]["overrides"]:
            for told in override["properties"]:
                at, name = panel["fieldConfig"]["defaults"], told["id"]
                if name.startswith("custom."):
                    at["custom"] = at = dict(at.get("custom", {}))
                    name = name.removeprefix("custom.")
                at[name] = told["value"]
    return board


def without(name: str) -> Callable[[Json], Any]:
    return lambda board: board.pop(name)


WRONG: dict[str, Callable[[Json], Any]] = {
    "no schema version": without("schemaVersion"),
    "no uid": without("uid"),
    "no panels": without("panels"),
    "an unknown key": lambda board: board.update(colour="red"),
    "an unknown kind": lambda board: board["panels"][0].update(type="graph"),
    "an unknown option": lambda board: board["panels"][0]["options"].update(xFeld="a"),
    "an unknown field": lambda board: board["panels"][0]["fieldConfig"]["defaults"].update(
        custom={"drawStyle": "bars"}
    ),
    "a wrong refresh": lambda board: board["templating"]["list"][0].update(refresh=7),
    "a wrong format": lambda board: board["panels"][0]["targets"][0].update(format="graph"),
    "a wrong cursor": lambda board: board.update(graphTooltip=9),
}


def broken(change: Callable[[Json], Any]) -> Json:
    board = deepcopy(BOARDS[0].to_json())
    change(board)
    return board


def test_every_board_is_what_grafana_calls_one_and_a_broken_one_is_not(tmp_path: Path) -> None:
    lines = ['import type { Board } from "./boards";']
    for n, board in enumerate(BOARDS):
        lines += [f"export const board{n}: Board = {json.dumps(board.to_json())};"]
        shown = as_defaults(deepcopy(board.to_json()))
        lines += [f"export const shown{n}: Board = {json.dumps(shown)};"]
    for n, (what, change) in enumerate(WRONG.items()):
        lines += [f"// @ts-expect-error {what}"]
        lines += [f"export const wrong{n}: Board = {json.dumps(broken(change))};"]
    (tmp_path / "made.ts").write_text("\n".join(lines))
    (tmp_path / "tsconfig.json").write_text(
        json.dumps({"compilerOptions": OPTIONS, "files": ["made.ts"]})
    )
    shutil.copy(NODE / "boards.ts", tmp_path)
    (tmp_path / "node_modules").symlink_to(NODE / "node_modules")
    command = ["node", f"{NODE}/node_modules/typescript/bin/tsc", "--project", str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert told.returncode == 0, told.stdout
