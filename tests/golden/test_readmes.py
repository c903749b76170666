"""The examples in the processors' READMEs are what comes out."""

import json
import re
from pathlib import Path

import pytest

from processors import PROCESSORS
from tests.example import ROOT
from tests.golden.cases import facts, played

FACTS = re.compile(r"```jsonl\n(.*?)```", re.DOTALL)
DOCUMENT = re.compile(r"give `([^`]+)`\n\n```json\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("name", PROCESSORS)
def test_the_example_is_what_comes_out(name: str) -> None:
    text = Path(ROOT, "processors", name.replace("-", "_"), "README.md").read_text()
    (lines,) = FACTS.findall(text)
    _, documents = played(name, facts(lines))
    shown = DOCUMENT.findall(text)
    assert shown
    for topic, document in shown:
        assert json.dumps(documents[topic]) == json.dumps(json.loads(document))
