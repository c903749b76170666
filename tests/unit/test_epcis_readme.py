"""bridges/epcis/README.md: what it says is checked is checked so, and its settings are those."""

import json
import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from bridges.epcis.config import EpcisSettings
from tests.example import ROOT
from tests.terminal import Cli
from uns.model.plant import Bridge

README = (ROOT / "bridges" / "epcis" / "README.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(found)


def table() -> str:
    """The settings as the README shows them."""
    lines = ["| EpcisSettings | may be | default | meaning |", "|---|---|---|---|"]
    for name, said in EpcisSettings.model_json_schema()["properties"].items():
        may_be = f"{said['minimum']} to {said['maximum']}" if "maximum" in said else ""
        lines.append(
            f"| `{name}` | {may_be} | {json.dumps(said['default'])} | {said['description']} |"
        )
    return "\n".join(lines)


def test_the_table_of_settings_is_that_of_the_model() -> None:
    assert table() in README


def test_the_sample_is_judged_as_the_readme_says(uns: Cli, tmp_path: Path) -> None:
    yaml = YAML()
    document: dict[str, Any] = yaml.load((ROOT / "namespace.yaml").read_text())
    document["bridges"] |= YAML(typ="safe").load(block("yaml"))["bridges"]
    namespace, file = tmp_path / "namespace.yaml", tmp_path / "supplier.jsonld"
    yaml.dump(document, namespace)
    file.write_text(block("json"))
    answer = uns("epcis", "check", file, "--namespace", namespace)
    assert answer.out == block("text")
    assert answer.code == 1
    bridge = Bridge.model_validate(document["bridges"]["epcis"])
    assert EpcisSettings.model_validate(bridge.settings).domain == "id.acme.example"
