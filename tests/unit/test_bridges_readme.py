"""bridges/README.md says what every tag may say, and its samples are sound."""

import re
from typing import Any

from ruamel.yaml import YAML

from tests.example import ROOT
from uns.model.plant import Bridge, TagSpec

README = (ROOT / "bridges" / "README.md").read_text()


def samples() -> list[dict[str, Any]]:
    blocks = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    return [YAML(typ="safe").load(block) for block in blocks]


def test_each_key_of_a_tag_is_explained() -> None:
    section = README.partition("## A tag")[2].partition("```")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(TagSpec.model_fields)


def test_the_samples_are_valid() -> None:
    tags, bridges = samples()
    for tag in tags["tags"].values():
        TagSpec.model_validate(tag)
    assert {Bridge.model_validate(each).process for each in bridges["bridges"].values()} == {
        "presses"
    }


def test_each_folder_is_named() -> None:
    folders = {p.name for p in (ROOT / "bridges").iterdir() if (p / "README.md").exists()}
    assert set(re.findall(r"\]\((\w+)/README.md\)", README)) == folders
