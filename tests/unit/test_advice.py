"""What is said to do about a tag that failed, by its reason alone."""

import pytest

from bridges.modbus import advice as modbus
from bridges.modbus.config import ModbusSettings
from bridges.opcua import advice as opcua
from bridges.opcua.errors import LostError

URL = "opc.tcp://plc:4840"
TRUST = "untrusted certificate: uns opcua trust 3F0A91C2D4E7; CN=plc-1, urn:plc, valid to 2030"


@pytest.mark.parametrize(
    ("reason", "fix"),
    [
        (TRUST, "type `uns opcua trust 3F0A91C2D4E7`"),
        ("server does not trust our certificate: upload x", "`uns opcua certificate` shows"),
        ("server offers None; not A B: say 'insecure: true'", "not A B: say 'insecure: true'"),
        ("server does not let mes in: BadUserAccessDenied", "check user, password"),
        ("BadUserAccessDenied", "let our user read the node"),
        ("connection refused", f"nothing listens at {URL}"),
        ("unknown host", f"check the host of {URL}"),
        ("no answer in time", f"{URL} was tried and did not answer"),
        ("no namespace urn:b among urn:x, urn:bb", "as 'urn:bb'"),
        ("an array of Double: say which", "add `path`"),
        ("no field High among Low", "check `path`"),
        ("no value within 10 s", "the server has no value yet"),
    ],
)
def test_each_reason_of_an_opc_ua_server_has_its_fix(reason: str, fix: str) -> None:
    assert fix in (opcua.fix_of(reason, URL) or "")


@pytest.mark.parametrize(
    ("reason", "fix"),
    [
        ("no connection to plc:502", "plc:502 was tried for 1000 ms"),
        ("the device closed the connection", "the device hung up"),
        ("no answer within 1000 ms", "the unit is silent"),
        ("gateway path unavailable (exception 10)", "the gateway cannot reach the unit"),
        ("server device busy (exception 6)", "the device is busy"),
        ("no decimal digits: 1a", "no BCD"),
    ],
)
def test_each_reason_of_a_modbus_device_has_its_fix(reason: str, fix: str) -> None:
    assert fix in (modbus.fix_of(reason, ModbusSettings(host="plc")) or "")


def test_a_reason_that_nobody_knows_stands_for_itself() -> None:
    assert opcua.fix_of(str(LostError("BadDeviceFailure")), URL) is None
    assert modbus.fix_of("server device failure (exception 4)", ModbusSettings(host="plc")) is None


@pytest.mark.parametrize(
    ("value", "is_so"),
    [(4.6e-41, True), (1e12, True), (0.0, False), (71.3, False), (-1e-3, False), (10**12, False),
     ("x", False), (True, False), (None, False)],
)  # fmt: skip
def test_what_looks_absurd(value: float | str | None, is_so: bool) -> None:  # noqa: FBT001 - a case
    assert modbus.is_absurd(value) is is_so
