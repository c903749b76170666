"""What `uns check` finds wrong with an ERP bridge over HTTP, and where."""

from typing import Any

from bridges import PROTOCOLS
from bridges.erp_rest.checks import findings
from tests.brokers import small_plant
from uns.model.checks import Finding
from uns.model.plant import Plant


def found(*, judged: bool = True, **settings: Any) -> list[Finding]:
    document = small_plant().model_dump()
    document["items"] = {"housing-a": {"title": "Housing"}}
    given = {"url": "https://erp", "credentials_file": "key", **settings}
    document["bridges"]["sap"] = {"protocol": "erp-rest", **given}
    if not judged:
        del document["bridges"]["erp"]
    return list(findings(Plant.model_validate(document)))


def test_sound_settings_have_no_findings() -> None:
    assert found(operations={"mill": "20"}, items={"housing-a": "FG"}, poll_ms=1_000) == []
    assert PROTOCOLS["erp-rest"].check is findings


def test_words_for_what_the_plant_does_not_have_are_found() -> None:
    assert found(operations={"mil": "20"}, items={"housing": "FG"}) == [
        (("bridges", "sap", "operations", "mil"), "unknown cell 'mil' (did you mean 'mill'?)"),
        (
            ("bridges", "sap", "items", "housing"),
            "unknown item 'housing' (did you mean 'housing-a'?)",
        ),
    ]


def test_orders_that_nobody_would_judge_are_found() -> None:
    ((where, message),) = found(judged=False, poll_ms=60_000)
    assert where == ("bridges", "sap", "poll_ms")
    assert "protocol erp" in message
