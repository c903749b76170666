"""The README of the MQTT bridge says what is so."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from bridges.mqtt.config import MqttSettings, MqttSource
from bridges.mqtt.lint import RULES
from tests.example import ROOT
from uns.model.plant import TagSpec

TEXT = Path(ROOT, "bridges", "mqtt", "README.md").read_text()
GOLDEN = ROOT / "tests" / "golden" / "foreign" / "virtual-factory" / "namespace.yaml"


def samples() -> list[dict[str, Any]]:
    blocks = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    return [YAML(typ="safe").load(block) for block in blocks]


def test_the_tables_are_what_their_snippet_prints() -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    printed = subprocess.run(
        [sys.executable, "-c", snippet], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip()
    assert printed.strip() in TEXT


def test_the_sample_is_that_of_the_golden_case() -> None:
    shown, tags = samples()
    (bridge,) = shown["bridges"].values()
    golden = YAML(typ="safe").load(GOLDEN.read_text())
    (played,) = golden["bridges"].values()
    assert {**bridge, "server": None} == {**played, "server": None}
    bridge.pop("protocol")
    MqttSettings.model_validate(bridge)
    line = golden["sites"]["site1"]["areas"]["fillerproduction"]["lines"]["fillingline01"]
    of_the_case = line["cells"]["filler"]["tags"]
    assert {name: tags["tags"][name] for name in of_the_case} == of_the_case
    for tag in tags["tags"].values():
        MqttSource.model_validate(TagSpec.model_validate(tag).source)


def test_each_rule_has_a_row() -> None:
    section = TEXT.partition("## Lint")[2].partition("## Settings")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE) == list(RULES)


def test_each_module_has_a_row() -> None:
    modules = {path.name for path in Path(ROOT, "bridges", "mqtt").glob("*.py")} - {"__init__.py"}
    section = TEXT.partition("| File |")[2].partition("## Sample")[0]
    assert set(re.findall(r"`(\w+\.py)`", section)) == modules
