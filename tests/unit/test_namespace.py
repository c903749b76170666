"""namespace.yaml: the example is sound, and each kind of fault is named where it stands."""

import re
from itertools import pairwise

import pytest

from bridges import PROTOCOLS
from tests.example import HOUSING, MILL, PUMP, ROOT, plant
from uns.model.checks import did_you_mean
from uns.model.namespace import BYTES_MAX, Fault, NamespaceError, parse_namespace

TEXT = (ROOT / "namespace.yaml").read_text()


def faults_of(text: str) -> list[Fault]:
    with pytest.raises(NamespaceError) as caught:
        parse_namespace(text, "namespace.yaml", PROTOCOLS)
    return caught.value.faults


def changed(old: str, new: str) -> str:
    assert old in TEXT
    return TEXT.replace(old, new, 1)


def test_the_example_plant_is_sound() -> None:
    assert len(plant().cells) == 7
    assert len(plant().lines) == 3
    assert sum(len(place.cell.tags) for place in plant().cells.values()) >= 60
    assert plant().operations("pump-a") == tuple(f"{PUMP}/{c}" for c in ("press", "fit", "test"))
    assert plant().line_of_item("housing-a") == HOUSING
    assert plant().line_of_item("bearing") is None
    assert plant().operations("unheard-of") == ()
    assert set(plant().served_by("plc-machining")) == {p.path for p in plant().lines[HOUSING]}
    assert plant().cells[MILL].cell.tag_with_role("serial") is None


def test_a_cell_and_a_tag_may_be_read_by_other_bridges_than_their_line() -> None:
    source = "source: {address: 500, type: uint32}"
    meter = f"meter: {{role: energy, bridge: plc-assembly, unit: kWh, {source}}}"
    text = changed("title: Saw", "title: Saw\n                bridge: packing-edge")
    first = "cycle-time: {unit: ms"
    text = text.replace(first, f"{meter}\n                  {first}", 1)
    saw = f"{HOUSING}/saw"
    begin, end = text.index("saw:"), text.index("mill:\n")
    nodes = text[begin:end]
    text = text.replace(nodes, re.sub(r'\{node: "s=Saw.(\w+)"\}', r"{metric: \1}", nodes))
    plant = parse_namespace(text, "namespace.yaml", PROTOCOLS)
    assert plant.readers(HOUSING) == {"plc-machining", "plc-assembly", "packing-edge"}
    assert set(plant.served_by("plc-assembly")[saw].cell.tags) == {"meter"}
    assert "meter" not in plant.served_by("packing-edge")[saw].cell.tags
    assert saw not in plant.served_by("plc-machining")
    assert plant.cells[saw].bridge_of("meter") == "plc-assembly"
    assert plant.cells[saw].bridge_of("unheard-of") == "packing-edge"


# what is replaced, by what, and what the fault says; the fault stands where `at` first stands
FAULTS: list[tuple[str, str, str, str]] = [
    ("enterprise: acme", "enterprize: acme", "enterprize", "unknown key 'enterprize' (did you mea"),
    ("title: Saw", "titel: Saw", "titel", "unknown key 'titel' (did you mean 'title'?)"),
    ("enterprise: acme", "enterprise: Acme", "Acme", "'Acme' is no name: use a-z"),
    ("namespace: 1", "namespace: 2", "2\n", "unknown value '2'"),
    (
        'role: state, source: {node: "s=Saw.State"',
        'role: stat, source: {node: "s=Saw.State"',
        "stat,",
        "unknown value 'stat' (did you mean 'state'?)",
    ),
    ("coding: opc30060", "coding: packtag", "packtag", "did you mean 'packtags'?"),
    ("unit: mm, dead", "unit: MM, dead", "MM, dead", "unknown value 'MM' (did you mean 'mm'?)"),
    ("micro_stop_ms: 5000", "micro_stop_ms: soon", "soon", "valid integer"),
    ("micro_stop_ms: 5000", "micro_stop_ms: 0", "0\n                tags", "greater than 0"),
    ("bottleneck: mill", "bottleneck: mil", "bottleneck: mil\n", "'mil' (did you mean 'mill'?)"),
    (
        "id: iso22400-bottleneck-1",
        "id: a+b",
        "id: a+b",
        "'+' begins what the hub adds for each rule",
    ),
    (
        "bottleneck: mill",
        "bottleneck: mill\n            key_cell: was",
        "key_cell: was",
        "unknown cell 'was' (did you mean 'wash'?)",
    ),
    (
        "bottleneck: mill",
        "bottleneck: mill\n            line_method: key-cell",
        "housing:\n            title: Pump",
        "line method 'key-cell' needs the key 'key_cell'",
    ),
    (
        "bottleneck: mill",
        "bottleneck: mill\n            running_min: 4",
        "running_min: 4",
        "running_min 4: the line has 3 cells",
    ),
    ("bridge: plc-machining", "bridge: plc-mach", "bridge: plc-mach", "unknown bridge 'plc-mach'"),
    ("title: Saw", "bridge: plc-mill", "bridge: plc-mill", "unknown bridge 'plc-mill'"),
    (
        "cycle-time: {unit: ms",
        "cycle-time: {bridge: plc, unit: ms",
        "bridge: plc,",
        "unknown bridge 'plc'",
    ),
    (
        "good: {role: good_count, unit: pcs",
        "good: {bridge: plc-assembly, role: good_count, unit: pcs",
        "role: good_count",
        "role 'good_count' belongs to what reads the cell, 'plc-machining'",
    ),
    ("Europe/Berlin", "Europe/Belin", "time_zone", "unknown time zone 'Europe/Belin'"),
    (
        "duration_min: 480",
        'duration_min: 480\n        breaks: ["13:50-14:10"]',
        "breaks",
        "the break at 13:50 does not lie in the shift, 06:00 to 14:00",
    ),
    (
        "duration_min: 480",
        'duration_min: 480\n        breaks: ["05:00-05:10"]',
        "breaks",
        "the break at 05:00 does not lie in the shift",
    ),
    (
        "duration_min: 480",
        'duration_min: 480\n        breaks: ["09:10-09:30", "09:00-09:15"]',
        "breaks",
        "the break at 09:10 begins before the one in front of it is over",
    ),
    (
        "cycle-time: {unit: ms",
        "cycle-time: {role: energy, unit: ms",
        "role: energy",
        "needs 'unit: kWh'",
    ),
    ("FREQ=DAILY;BYHOUR=6", "FREQ=DALY;BYHOUR=6", "rrule", "not an RRULE (RFC 5545)"),
    ("{housing-a: 900, ", "{housing-x: 1, ", "housing-x", "unknown item 'housing-x' (did you"),
    (
        "{housing-a: 900, housing-b: 900}",
        "{housing-a: 900}",
        "ideal_cycle_ms",
        "no ideal cycle for item 'housing-b'",
    ),
    ("item: alu-bar", "item: alu-bor", "item: alu-bor", "unknown item 'alu-bor'"),
    (
        "role: characteristic, characteristic: bore, ",
        "role: characteristic, ",
        "role: characteristic, unit: mm, dead_band: 0.002",
        "needs the key 'characteristic'",
    ),
    (
        'scrap: {role: scrap_count, unit: pcs, rollover: 10000, source: {node: "s=Saw',
        'scrap: {role: good_count, unit: pcs, rollover: 10000, source: {node: "s=Saw',
        'role: good_count, unit: pcs, rollover: 10000, source: {node: "s=Saw.Scrap"',
        "role 'good_count' is already the tag 'good' of this cell",
    ),
    (
        "s=Saw.Scrap",
        "s=Saw.Good",
        'source: {node: "s=Saw.Good"}}\n                  bar-lot',
        "feeds",
    ),
    ("bom: {alu-bar: 1.2}", "bom: {alu: 1.2}", "alu: 1.2", "unknown item 'alu'"),
    ("bom: {alu-bar: 1.2}", "bom: {pump-a: 1}", "bom: {pump-a: 1}", "'housing-a' contains itself"),
    (
        "line: berlin/machining/housing",
        "line: berlin/machining/hosing",
        "line: berlin/machining/hosing",
        "unknown line 'berlin/machining/hosing' (did you mean 'berlin/machining/housing'?)",
    ),
    ("[saw, mill, wash]", "[saw, mil, wash]", "mil, wash", "unknown cell 'mil' (did you mean"),
    (
        "[saw, mill, wash]",
        "[saw, wash]",
        "mill:\n        revision: A3",
        "'mill' is no operation of",
    ),
    (
        "lower: 39.98, upper: 40.02",
        "lower: 41, upper: 40.02",
        "bore: {unit: mm, lower: 41",
        "is not",
    ),
    ("parent: breakdown", "parent: brakedown", "parent: brakedown", "unknown reason 'brakedown'"),
    ("protocol: modbus", "protocol: modbuz", "protocol: modbuz", "unknown protocol 'modbuz' (did"),
    ("poll_ms: 200", "pol_ms: 200", "pol_ms", "unknown key 'pol_ms' (did you mean 'poll_ms'?)"),
    ("port: 5020", "port: 70000", "70000", "less than or equal to 65535"),
    ("address: 0, type: uint16", "adress: 0", "adress", "unknown key 'adress' (did you mean"),
    (
        "torque-setpoint: {unit: Nm, source: {address: 147, type: float32}",
        "torque-setpoint: {unit: Nm, source: {table: input, address: 147, type: float32}",
        "writable: {minimum: 9",
        "'input' of a device can only be read: leave 'writable' out, or read the tag from table 'h",
    ),
    ("publishing_interval_ms", "publishing_interval", "publishing_interval:", "unknown key"),
    ("enterprise: acme", "enterprise: &e acme", "&e", "anchors and aliases are refused"),
    ("title: Machining\n", "title: [Machining\n", ":\n          housing", "expected ',' or ']'"),
    ("title: Machining\n", "title: Machining\n        title: again\n", "title: again", "duplicate"),
]


@pytest.mark.parametrize(
    ("old", "new", "at", "says"), [pytest.param(*row, id=row[1][:40]) for row in FAULTS]
)
def test_a_fault_is_named_where_it_stands(old: str, new: str, at: str, says: str) -> None:
    text = changed(old, new)
    before = text[: text.index(at)]
    place = (before.count("\n") + 1, len(before) - before.rfind("\n"))
    faults = faults_of(text)
    found = [fault for fault in faults if (fault.line, fault.column) == place]
    assert found, [str(fault) for fault in faults]
    assert any(says in fault.message for fault in found), found


def test_a_missing_key_is_named_at_its_parent() -> None:
    text = changed("            bottleneck: mill\n", "")
    (fault,) = faults_of(text)
    line = text[: text.index("housing:\n")].count("\n") + 1
    assert str(fault) == f"namespace.yaml:{line}:11 missing key 'bottleneck'"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must be a mapping"),
        ("- a\n- b\n", "must be a mapping"),
        ("a: 1\n\tb: 2\n", "token"),
        ("x" * (BYTES_MAX + 1), "larger than"),
        ("a: \0", ""),
    ],
)
def test_a_file_that_is_no_document_says_so(text: str, says: str) -> None:
    (fault,) = faults_of(text)
    assert fault.line >= 1
    assert says in fault.message


def test_all_faults_of_a_pass_come_in_file_order() -> None:
    text = changed("bottleneck: mill", "bottleneck: mil").replace("poll_ms: 200", "pol_ms: 200")
    text = text.replace("parent: minor", "parent: miner").replace(
        "bom: {alu-bar: 1.5}", "bom: {x: 1}"
    )
    faults = faults_of(text)
    assert len(faults) == 5
    assert all(a.line <= b.line for a, b in pairwise(faults))
    assert str(NamespaceError(faults)).count("\n") == 4


def test_hints_are_short() -> None:
    assert did_you_mean("RUN", ["RUNNING", "HELD"]) == " (did you mean 'RUNNING'?)"
    assert did_you_mean("zzz", ["a", "b"]) == " (use one of a, b)"
    assert did_you_mean("zzz", map(str, range(50))) == ""
