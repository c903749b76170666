"""The README of the ERP bridge over HTTP says what is so."""

import json
import re
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from bridges.erp_rest.config import ErpRestSettings
from bridges.erp_rest.confirmation import Confirmation
from bridges.erp_rest.generic import GENERIC
from bridges.erp_rest.mapping import ADAPTERS, terms_of
from tests.brokers import small_plant

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "bridges" / "erp_rest" / "README.md").read_text()
RECORDED = ROOT / "tests" / "golden" / "erp-contracts" / "sap-confirmation" / "recorded.json"


def test_the_table_is_what_its_snippet_prints() -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    printed = subprocess.run(
        [sys.executable, "-c", snippet], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip()
    assert printed.strip() in TEXT


def test_the_samples_are_valid() -> None:
    samples = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    for sample in samples:
        (bridge,) = YAML(typ="safe").load(sample)["bridges"].values()
        assert bridge.pop("protocol") == "erp-rest"
        ErpRestSettings.model_validate(bridge)
    assert len(samples) == 2


def test_the_confirmation_shown_is_what_a_counterpart_gets() -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    told = {**json.loads(RECORDED.read_text())["confirmation"], "order_id": "PO-1"}
    told["key"] = told["key"].replace("1000042", "PO-1")
    terms = terms_of(ErpRestSettings(url="https://erp", credentials_file="t"), small_plant())
    request = GENERIC.post(Confirmation.model_validate(told), terms, None)
    assert request is not None
    assert json.loads(json.dumps(request.document)) == json.loads(shown)
    assert list(json.loads(shown)) == list(Confirmation.model_fields)


def test_each_counterpart_has_a_row() -> None:
    section = TEXT.partition("## Counterparts")[2].partition("##")[0]
    assert set(re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE)) == ADAPTERS.keys()
