"""Rules of the house that no linter knows."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("uns", "bridges", "processors", "dashboards")
TOP_LEVEL = {
    "uns",
    "bridges",
    "processors",
    "dashboards",
    "broker",
    "tests",
    "bench",
    "docs",
    "deploy",
    "tools",
    "examples",
    "namespace.yaml",
    "docker-compose.yml",
    "pyproject.toml",
    "Makefile",
    "README.md",
    "LICENSE",
    ".ci",
    ".gitignore",
    ".editorconfig",
}


def modules() -> list[Path]:
    return [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_stays_under_400_lines_and_opens_with_its_law(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") < 400
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize(
    "folder", [*(ROOT / "bridges").iterdir(), *(ROOT / "processors").iterdir()]
)
def test_each_bridge_and_processor_explains_itself(folder: Path) -> None:
    if folder.is_dir() and not folder.name.startswith("_"):
        assert (folder / "README.md").read_text().startswith("# ")


def test_every_silenced_rule_says_why() -> None:
    silenced = re.compile(r"#\s*(noqa|type: ignore)(?P<rest>.*)")
    for path in (*modules(), *(ROOT / "tests").rglob("*.py")):
        if "node_modules" in path.parts:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if (found := silenced.search(line)) and "re.compile" not in line:
                assert re.search(r"- \w|# \w", found["rest"]), f"{path}:{number} no reason given"


def test_the_root_holds_the_face_of_the_project_only() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    tops = {name.split("/")[0] for name in listed.stdout.splitlines()}
    assert tops <= TOP_LEVEL


def test_decisions_fit_on_a_page() -> None:
    pages = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert pages
    for page in pages:
        text = page.read_text()
        assert len(text.splitlines()) <= 70, page
        assert "**Decision" in text or "## Decision" in text, page


def test_dependencies_are_bounded() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in project["dependencies"]:
        assert ">=" in requirement, requirement
