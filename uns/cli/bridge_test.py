"""What `uns bridge test` does: one reading of every tag, through the code that the bridge runs.

Owns which bridge is meant, when it has been read, and the table. What is read comes from each
protocol's `observe`, the fixes from its advice.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import typer

from bridges import PROTOCOLS
from bridges.modbus import advice as modbus_advice
from bridges.modbus.client import observe as observe_modbus
from bridges.modbus.config import ModbusSource
from bridges.opcua import advice as opcua_advice
from bridges.opcua.client import observe as observe_opcua
from bridges.opcua.config import OpcUaSettings, OpcUaSource
from uns.cli.discover_opcua import pki_of
from uns.cli.errors import CommandError, UsageError
from uns.cli.folder import Folder, find_folder
from uns.cli.options import read_plant
from uns.cli.output import hushed, note, print_json, print_table, say
from uns.model.checks import did_you_mean
from uns.model.observation import Link, Observation, Reading
from uns.model.plant import Place, Plant
from uns.runtime.clock import load_clock, wall_ms

Key = tuple[str, str]
Told = Mapping[Key, Reading]
COLUMNS: Final = ("tag", "address", "value", "unit", "quality", "age", "what to do")
NOT_YET: Final = "BadWaitingForInitialData"
"""A server says so of a value that it will send soon."""
HEARD: Final = {
    "sparkplug": ": `uns sparkplug nodes` shows who is heard",
    "mqtt": ": `uns bridge lint` shows what is heard",
}
_AGES: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))


class Trial(NamedTuple):
    """A bridge to be tried, and what it is tried with."""

    name: str
    protocol: str
    endpoint: str
    settings: Any
    places: Mapping[str, Place]
    clock: Callable[[], int]
    pki: Path


class Means(NamedTuple):
    """How the bridges of a protocol are tried: read, asked for fixes, and addresses shown."""

    observe: Callable[[Trial], AsyncGenerator[list[Observation], None]]
    fixes: Callable[[Trial, Told], Awaitable[dict[Key, str]]]
    address: Callable[[Mapping[str, Any]], str]
    endpoint: Callable[[Any], str]


def _opcua(trial: Trial) -> AsyncGenerator[list[Observation], None]:
    return observe_opcua(trial.settings, trial.places, trial.clock, asyncio.Queue(), trial.pki)


def _modbus(trial: Trial) -> AsyncGenerator[list[Observation], None]:
    return observe_modbus(trial.settings, trial.places, trial.clock, asyncio.Queue())


async def _opcua_fixes(trial: Trial, told: Told) -> dict[Key, str]:
    failed = {key: reading for key, reading in told.items() if reading.quality != "good"}
    return await opcua_advice.fixes(trial.settings, trial.places, trial.pki, failed)


async def _modbus_fixes(trial: Trial, told: Told) -> dict[Key, str]:
    return await modbus_advice.fixes(trial.settings, trial.places, told)


def _opcua_address(source: Mapping[str, Any]) -> str:
    parsed = OpcUaSource.model_validate(source)
    return f"{parsed.node} {parsed.path or ''}".rstrip()


def _modbus_address(source: Mapping[str, Any]) -> str:
    parsed = ModbusSource.model_validate(source)
    unit = "" if parsed.unit is None else f"unit {parsed.unit} "
    return f"{unit}{parsed.table} {parsed.address} {parsed.type}"


MEANS: Final[dict[str, Means]] = {
    "opcua": Means(_opcua, _opcua_fixes, _opcua_address, lambda settings: str(settings.url)),
    "modbus": Means(_modbus, _modbus_fixes, _modbus_address, lambda s: str(s.address)),
}


def trial_of(endpoint: str, file: Path | None, data: Path | None) -> Trial:
    """The bridge that is meant, of the file or of the hub in the data folder."""
    folder = None if file else _folder(data)
    plant = folder.load_plant() if folder else read_plant(file)
    name = _meant(endpoint, plant)
    protocol = plant.bridges[name].protocol
    if protocol not in MEANS:
        hint = HEARD.get(protocol, "")
        raise UsageError(f"{name} speaks {protocol}, which is not asked but heard{hint}")
    settings = PROTOCOLS[protocol].settings.model_validate(plant.bridges[name].settings)
    places = plant.served_by(name)
    if not any(place.cell.tags for place in places.values()):
        raise CommandError(f"no tag is read by {name}: nothing to test")
    if folder and folder.running:
        note(f"a hub runs on {folder.root}: this is a second connection beside its own")
    where = MEANS[protocol].endpoint(settings)
    pki = pki_of(data, settings) if isinstance(settings, OpcUaSettings) else Path()
    clock = load_clock(folder.root) if folder else wall_ms
    return Trial(name, protocol, where, settings, places, clock, pki)


def _folder(data: Path | None) -> Folder | None:
    """The hub's folder that was named; without one, the plant file is looked at first."""
    if data is None and Path("namespace.yaml").is_file():
        return None
    return find_folder(data)


def _meant(endpoint: str, plant: Plant) -> str:
    """The bridge with the name, or the only one whose address has the text in it."""
    if endpoint in plant.bridges:
        return endpoint
    fitting = [name for name in plant.bridges if endpoint in _address(plant, name)]
    if not fitting:
        raise UsageError(f"no bridge {endpoint!r}{did_you_mean(endpoint, plant.bridges)}")
    if len(fitting) > 1:
        raise UsageError(f"{endpoint!r} fits {', '.join(fitting)}: name one")
    return fitting[0]


def _address(plant: Plant, name: str) -> str:
    bridge = plant.bridges[name]
    if bridge.protocol not in MEANS:
        return ""
    settings = PROTOCOLS[bridge.protocol].settings.model_validate(bridge.settings)
    return MEANS[bridge.protocol].endpoint(settings)


def run(trial: Trial, timeout_s: float, *, as_json: bool) -> None:
    """Try the bridge and print what came of it; exit code 1 unless every tag is good."""
    with hushed("asyncua", "pymodbus", "bridges"):
        told, fixes, now_ms = asyncio.run(_tried(trial, timeout_s))
    rows = [_row(trial, key, reading, fixes.get(key), now_ms) for key, reading in told.items()]
    good = sum(row["is_good"] for row in rows)
    if as_json:
        document = {"bridge": trial.name, "protocol": trial.protocol, "endpoint": trial.endpoint}
        print_json({**document, "good": good, "tags": rows})
    else:
        _print(rows)
        say(f"{trial.name}, {trial.endpoint}: {good} of {len(rows)} tags are good")
    if good < len(rows):
        raise typer.Exit(1)


async def _tried(trial: Trial, timeout_s: float) -> tuple[dict[Key, Reading], dict[Key, str], int]:
    means = MEANS[trial.protocol]
    wanted = [(path, tag) for path, place in trial.places.items() for tag in place.cell.tags]
    heard = await _read_once(means.observe(trial), frozenset(wanted), timeout_s)
    now_ms = trial.clock()
    silent = f"no value within {timeout_s:g} s"
    told = {key: heard.get(key) or Reading(*key, None, now_ms, "bad", silent) for key in wanted}
    return told, await means.fixes(trial, told), now_ms


async def _read_once(
    stream: AsyncGenerator[list[Observation], None], wanted: frozenset[Key], timeout_s: float
) -> dict[Key, Reading]:
    """The first reading of each tag; for one whose source cannot be reached, a bad one."""
    told, settled = dict[Key, Reading](), set[Key]()
    with suppress(TimeoutError):
        async with aclosing(stream), asyncio.timeout(timeout_s):
            async for batch in stream:
                for reading in _readings(batch):
                    key = reading.cell, reading.tag
                    told[key] = reading
                    if reading.reason != NOT_YET:
                        settled.add(key)
                if wanted <= settled:
                    break
    return told


def _readings(batch: list[Observation]) -> list[Reading]:
    readings = list[Reading]()
    for one in batch:
        match one:
            case Reading(is_history=False):
                readings.append(one)
            case Link(up=False):
                at_ms, why = one.at_ms, one.reason
                readings += [Reading(*key, None, at_ms, "bad", why) for key in one.feeds]
            case _:
                pass
    return readings


def _row(trial: Trial, key: Key, reading: Reading, fix: str | None, now_ms: int) -> dict[str, Any]:
    cell, tag = key
    spec = trial.places[cell].cell.tags[tag]
    return {
        "topic": f"{cell}/_tag/{tag}",
        "address": MEANS[trial.protocol].address(spec.source),
        "value": reading.value,
        "unit": spec.unit,
        "quality": reading.quality,
        "at_ms": reading.at_ms,
        "age_ms": now_ms - reading.at_ms,
        "reason": reading.reason,
        "fix": fix,
        "is_good": reading.quality == "good" and fix is None,
    }


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    """The table; what is to be said of several tags stands once, below it."""
    advice = Counter(map(_advice, rows))
    shared = [said for said, count in advice.items() if said and count > 1]
    numbers = {said: f"({number})" for number, said in enumerate(shared, 1)}
    print_table(COLUMNS, [_cells(row, numbers) for row in rows])
    for said, number in numbers.items():
        say(f"{number} {said}")


def _advice(row: Mapping[str, Any]) -> str:
    return "; ".join(filter(None, (row["reason"], row["fix"])))


def _cells(row: Mapping[str, Any], numbers: Mapping[str, str]) -> tuple[Any, ...]:
    """A row for people: the tag by line, cell and name."""
    *_, line, cell, _, tag = row["topic"].split("/")
    age = _age(row["age_ms"]) if row["value"] is not None else None
    said = _advice(row)
    shown = (row["value"], row["unit"], row["quality"], age, numbers.get(said, said))
    return (f"{line}/{cell}/{tag}", row["address"], *shown)


def _age(age_ms: int) -> str:
    """The largest unit that fits; of a source whose clock is ahead, how far."""
    size_ms, unit = next((a for a in _AGES if abs(age_ms) >= a[0]), (1_000, "s"))
    digits = 1 if unit == "s" else 0
    ahead = " ahead" if age_ms < 0 else ""
    return f"{abs(age_ms) / size_ms:.{digits}f} {unit}{ahead}"
