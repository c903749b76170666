"""The ERP bridge on a real folder: files that are written slowly, badly, twice."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bridges.erp.client import ORDERS_A_BATCH, observe
from bridges.erp.config import ErpSettings
from tests.brokers import bounded, until
from tests.example import ROOT
from tests.simulated import START_MS, example_plant
from uns.codec import Codec, Message, Reject
from uns.model.observation import BadInput, Fact, Link, Observation

PLANT = example_plant()
CODEC = Codec(PLANT)
SETTINGS = ErpSettings(poll_ms=50, settle_ms=150, half_ms_max=600, file_bytes_max=2_000)
PUMP = "acme/berlin/assembly/pump"


def order(number: int = 1, **changes: Any) -> dict[str, Any]:
    document = {"order_id": f"PO-{number}", "item": "pump-a", "quantity": 12, **changes}
    return {key: value for key, value in document.items() if value is not None}


class Runner:
    """What the bridge runner does: records facts by business key, then asks for more."""

    def __init__(
        self,
        folder: Path,
        recorded: dict[str, str] | None = None,
        settings: ErpSettings = SETTINGS,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.recorded = {} if recorded is None else recorded
        self.commands: asyncio.Queue[Message | Reject] = asyncio.Queue()
        self.told: list[Observation] = []
        self.files_at_fact: list[list[str]] = []

    async def run(self) -> None:
        batches = observe(
            self.settings, PLANT, lambda: START_MS, self.folder, self.commands, self._known
        )
        async for batch in batches:
            await asyncio.sleep(0.02)
            if self.facts(batch):
                self.files_at_fact.append(self.names("in"))
            self.told += batch
            for fact in self.facts(batch):
                if fact.business_key:
                    self.recorded[fact.business_key] = json.dumps(dict(fact.body))

    def _known(self, prefix: str) -> dict[str, str]:
        return {key: body for key, body in self.recorded.items() if key.startswith(prefix)}

    def facts(self, observations: list[Observation] | None = None) -> list[Fact]:
        found = self.told if observations is None else observations
        return [one for one in found if isinstance(one, Fact)]

    def links(self) -> list[Link]:
        return [one for one in self.told if isinstance(one, Link)]

    def bad(self) -> list[BadInput]:
        return [one for one in self.told if isinstance(one, BadInput)]

    def names(self, folder: str) -> list[str]:
        return sorted(path.name for path in (self.folder / folder).iterdir())

    def put(self, name: str, document: Any) -> None:
        raw = document if isinstance(document, bytes) else json.dumps(document, indent=2).encode()
        (self.folder / "in" / name).write_bytes(raw)

    def command(self, request_id: str, document: Any, path: str = "acme/berlin") -> None:
        payload = json.dumps({"request_id": request_id, "order": document}).encode()
        decoded = CODEC.decode(f"{path}/_cmd/order/release", payload)
        assert isinstance(decoded, Message)
        self.commands.put_nowait(decoded)


@asynccontextmanager
async def running(
    folder: Path, recorded: dict[str, str] | None = None, settings: ErpSettings = SETTINGS
) -> AsyncIterator[Runner]:
    runner = Runner(folder, recorded, settings)
    task = asyncio.create_task(runner.run())
    await until(lambda: bool(runner.told) or task.done())
    try:
        yield runner
    finally:
        task.cancel()
        await asyncio.wait({task})


@bounded
async def test_a_file_becomes_an_order_and_is_put_away_after_it_is_durable(
    tmp_path: Path,
) -> None:
    async with running(tmp_path / "erp") as erp:
        assert [one.up for one in erp.told if isinstance(one, Link)] == [True]
        erp.put("PO-1.json", order())
        await until(lambda: erp.names("done") == ["PO-1.json"])
        (fact,) = erp.facts()
        assert (fact.path, fact.body["order_id"]) == (PUMP, "PO-1")
        assert erp.files_at_fact == [["PO-1.json"]]
        assert erp.names("in") == erp.names("error") == []


@bounded
async def test_files_come_one_by_one_the_oldest_first(tmp_path: Path) -> None:
    async with running(tmp_path) as erp:
        for number in (3, 1, 2):
            erp.put(f"{number}.json", order(number))
            path = tmp_path / "in" / f"{number}.json"
            os.utime(path, (1_000 - number, 1_000 - number))
        await until(lambda: len(erp.names("done")) == 3)
        assert [fact.body["order_id"] for fact in erp.facts()] == ["PO-3", "PO-2", "PO-1"]


@bounded
async def test_a_file_that_is_still_written_waits(tmp_path: Path) -> None:
    raw = json.dumps(order(), indent=2).encode()
    async with running(tmp_path) as erp:
        path = tmp_path / "in" / "PO-1.json"
        with path.open("wb") as slow:
            for i in range(0, len(raw), 20):
                slow.write(raw[i : i + 20])
                slow.flush()
                await asyncio.sleep(0.2)  # longer than a complete file needs to settle
        await until(lambda: erp.names("done") == ["PO-1.json"])
        assert len(erp.facts()) == 1
        assert not erp.bad()


@bounded
async def test_a_file_that_stays_half_is_refused_in_the_end(tmp_path: Path) -> None:
    async with running(tmp_path) as erp:
        erp.put("half.json", b'{"order_id": "PO-1", ')
        erp.put("PO-2.json", order(2))
        await until(lambda: erp.names("error") == ["half.json", "half.json.reason.txt"])
        (bad,) = erp.bad()
        assert (bad.origin, bad.original) == ("in/half.json", b'{"order_id": "PO-1", ')
        assert [fact.body["order_id"] for fact in erp.facts()] == ["PO-2"]


@bounded
async def test_a_bad_file_lies_beside_its_reason_with_place_and_fix(tmp_path: Path) -> None:
    async with running(tmp_path) as erp:
        erp.put("PO-1.json", order(item="pump-c"))
        await until(lambda: len(erp.names("error")) == 2)
        reason = (tmp_path / "error" / "PO-1.json.reason.txt").read_text()
        assert reason.startswith("PO-1.json:3:3 item: unknown item 'pump-c'")
        assert "did you mean 'pump-" in reason
        assert erp.bad()[0].reason == reason.strip()


@bounded
async def test_a_large_file_is_refused_without_reading_all_of_it(tmp_path: Path) -> None:
    async with running(tmp_path) as erp:
        erp.put("big.json", b"{" + b" " * 5_000_000)
        await until(lambda: len(erp.names("error")) == 2)
        assert "larger than 2000 bytes" in erp.bad()[0].reason
        assert len(erp.bad()[0].original) == 2_000
        assert (tmp_path / "error" / "big.json").stat().st_size == 5_000_001


@bounded
async def test_only_plain_json_files_are_touched(tmp_path: Path) -> None:
    async with running(tmp_path) as erp:
        inbox = tmp_path / "in"
        (inbox / "PO-1.tmp").write_text(json.dumps(order()))
        (inbox / ".PO-2.json").write_text(json.dumps(order(2)))
        (inbox / "folder.json").mkdir()
        (inbox / "link.json").symlink_to("/etc/hostname")
        erp.put("PO-3.json", order(3))
        await until(lambda: erp.names("done") == ["PO-3.json"])
        assert erp.names("in") == [".PO-2.json", "PO-1.tmp", "folder.json", "link.json"]
        assert not erp.bad()


@bounded
async def test_the_same_order_twice_is_noted_and_another_content_is_a_conflict(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as erp:
        erp.put("PO-1.json", order())
        await until(lambda: erp.names("done") == ["PO-1.json"])
        erp.put("PO-1.json", order(priority=50))
        await until(lambda: len(erp.names("done")) == 3)
        assert erp.names("done") == ["PO-1.2.json", "PO-1.2.json.note.txt", "PO-1.json"]
        erp.put("PO-1.json", order(quantity=99))
        await until(lambda: len(erp.names("error")) == 2)
        assert "raise the revision above 1" in erp.bad()[0].reason
        erp.put("PO-1.json", order(quantity=99, revision=2))
        await until(lambda: len(erp.facts()) == 2)


@bounded
async def test_what_was_known_before_a_restart_is_known_after_it(tmp_path: Path) -> None:
    async with running(tmp_path) as first:
        first.put("PO-1.json", order())
        await until(lambda: len(first.facts()) == 1)
    async with running(tmp_path, first.recorded) as second:
        second.put("again.json", order())
        await until(lambda: "again.json.note.txt" in second.names("done"))
        assert not second.facts()


@bounded
async def test_an_id_that_begins_like_another_is_another(tmp_path: Path) -> None:
    async with running(tmp_path) as erp:
        erp.put("1.json", order(order_id="A@1", quantity=5))
        await until(lambda: len(erp.facts()) == 1)
        erp.put("2.json", order(order_id="A", quantity=6))
        await until(lambda: len(erp.facts()) == 2)


@bounded
async def test_commands_are_answered_and_obey_the_same_rules(tmp_path: Path) -> None:
    async with running(tmp_path) as erp:
        erp.command("r1", order())
        erp.command("r2", order())
        erp.command("r3", order(quantity=5))
        erp.command("r4", order(2, item="pumpe"))
        erp.command("x" * 90, order(3))
        await until(lambda: len(erp.facts()) == 5 and len(erp.bad()) == 1)
        replies = {f.key: f.body["outcome"] for f in erp.facts() if f.type == "reply"}
        assert replies == {"r1": "accepted", "r2": "accepted", "r3": "refused", "r4": "refused"}
        assert [f.body["order_id"] for f in erp.facts() if f.type == "released"] == ["PO-1"]
        assert {f.path for f in erp.facts() if f.type == "reply"} == {"acme/berlin"}
        assert "request_id" in erp.bad()[0].reason


@bounded
async def test_commands_do_not_wait_for_the_next_look(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with running(tmp_path) as erp:
        for n in range(20):
            began_s = loop.time()
            erp.command(f"r{n}", order(n))
            await until(lambda n=n: len(erp.facts()) == 2 * n + 2)  # type: ignore[misc]  # a bound n
            assert loop.time() - began_s < 0.5


@bounded
async def test_a_folder_that_is_none_is_said_and_healed(tmp_path: Path) -> None:
    (tmp_path / "erp").write_text("in the way")
    async with running(tmp_path / "erp") as erp:
        (down,) = erp.told
        assert isinstance(down, Link)
        assert not down.up
        (tmp_path / "erp").unlink()
        await until(lambda: len(erp.told) == 2)
        assert isinstance(erp.told[1], Link)
        assert erp.told[1].up


@bounded
async def test_a_file_that_cannot_be_put_away_is_not_said_again(tmp_path: Path) -> None:
    with TemporaryDirectory(dir="/dev/shm") as elsewhere:  # another file system
        (tmp_path / "error").symlink_to(elsewhere)
        async with running(tmp_path) as erp:
            erp.put("PO-1.json", order(item="pump-c"))
            await until(lambda: len(erp.links()) == 2)
            assert "cross-device" in (erp.links()[1].reason or "")
            await asyncio.sleep(0.2)  # several looks
            (tmp_path / "error").unlink()
            (tmp_path / "error").mkdir()
            await until(lambda: "PO-1.json" in erp.names("error"))
            assert len(erp.bad()) == 1


# --- several orders in a file

ROWS = """order_id;item;quantity;priority
PO-1;pump-a;12;50
PO-2;pump-c;12;50
PO-3;pump-b;zwölf;50
PO-4;pump-b;7;90
"""


def error_of(folder: Path, name: str) -> str:
    return (folder / "error" / name).read_text(encoding="utf-8")


@bounded
async def test_good_rows_are_taken_and_bad_ones_come_back_with_their_reason(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as erp:
        erp.put("orders.csv", ROWS.encode())
        await until(lambda: len(erp.names("done")) == 2)
        assert [fact.body["order_id"] for fact in erp.facts()] == ["PO-1", "PO-4"]
        assert [fact.body["quantity"] for fact in erp.facts()] == [12, 7]
        note = (tmp_path / "done" / "orders.csv.note.txt").read_text()
        assert note == "4 orders: 2 released, 0 known already, 2 refused\n"
        header, second, third = error_of(tmp_path, "orders.csv").splitlines()
        assert header == "order_id;item;quantity;priority;reason"
        assert second.startswith("PO-2;pump-c;12;50;orders.csv:3 item: unknown item 'pump-c'")
        assert third == "PO-3;pump-b;zwölf;50;orders.csv:4 quantity: 'zwölf' is no number"
        assert [(one.origin, one.original) for one in erp.bad()] == [
            ("in/orders.csv", b"PO-2;pump-c;12;50\n"),
            ("in/orders.csv", "PO-3;pump-b;zwölf;50\n".encode()),
        ]
        corrected = error_of(tmp_path, "orders.csv").replace("pump-c", "pump-a")
        erp.put("again.csv", corrected.replace("zwölf", "12").encode())
        await until(lambda: len(erp.facts()) == 4)
        assert [fact.body["order_id"] for fact in erp.facts()[2:]] == ["PO-2", "PO-3"]


@bounded
async def test_bad_rows_do_not_pile_up_when_a_file_is_read_again(tmp_path: Path) -> None:
    async with running(tmp_path) as first:
        first.put("orders.csv", ROWS.encode())
        await until(lambda: len(first.names("done")) == 2)
    (tmp_path / "done" / "orders.csv").rename(tmp_path / "in" / "orders.csv")
    async with running(tmp_path, first.recorded) as second:
        await until(lambda: "orders.csv" in second.names("done"))
        assert not second.facts()
        assert second.names("error") == ["orders.csv"]
        note = (tmp_path / "done" / "orders.csv.note.txt").read_text()
        assert "0 released, 2 known already" in note


@bounded
async def test_a_file_is_put_away_after_its_last_order_is_durable(tmp_path: Path) -> None:
    async with running(tmp_path) as erp:
        rows = "".join(f"PO-{n},pump-a,{n + 1}\n" for n in range(70))
        erp.put("orders.csv", f"order_id,item,quantity\n{rows}".encode())
        await until(lambda: erp.names("done") == ["orders.csv"])
        assert len(erp.facts()) == 70
        assert all(names == ["orders.csv"] for names in erp.files_at_fact)


@bounded
async def test_a_command_does_not_wait_for_the_end_of_a_long_file(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"file_bytes_max": 1_000_000})
    async with running(tmp_path, settings=settings) as erp:
        rows = "".join(f"PO-{n},pump-a,{n + 1}\n" for n in range(10 * ORDERS_A_BATCH))
        erp.put("orders.csv", f"order_id,item,quantity\n{rows}".encode())
        await until(lambda: len(erp.facts()) >= ORDERS_A_BATCH)
        erp.command("r1", order(-1))
        await until(lambda: erp.names("done") == ["orders.csv"])
        types = [fact.type for fact in erp.facts()]
        assert types.index("reply") < len(types) - ORDERS_A_BATCH


@bounded
async def test_two_releases_of_an_order_in_one_batch_are_judged_beside_each_other(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as erp:
        rows = b"order_id,item,quantity\nPO-1,pump-a,5\nPO-1,pump-a,6\nPO-1,pump-a,5\n"
        erp.put("orders.csv", rows)
        await until(lambda: len(erp.names("done")) == 2)
        assert [fact.body["quantity"] for fact in erp.facts()] == [5]
        assert "is known with other content" in error_of(tmp_path, "orders.csv")
        note = (tmp_path / "done" / "orders.csv.note.txt").read_text()
        assert "1 released, 1 known already, 1 refused" in note


@bounded
async def test_a_table_without_its_last_line_end_is_taken_in_the_end(tmp_path: Path) -> None:
    async with running(tmp_path) as erp:
        erp.put("orders.csv", b"order_id,item,quantity\nPO-1,pump-a,5")
        await asyncio.sleep(0.3)  # longer than a complete file needs to settle
        assert erp.names("in") == ["orders.csv"]
        await until(lambda: erp.names("done") == ["orders.csv"])
        assert len(erp.facts()) == 1


@bounded
async def test_a_schedule_with_a_bad_order_comes_back_whole(tmp_path: Path) -> None:
    golden = ROOT / "tests/golden/erp/b2mml-work-schedule/input.xml"
    settings = SETTINGS.model_copy(update={"file_bytes_max": 10_000})
    async with running(tmp_path, settings=settings) as erp:
        erp.put("plan.XML", golden.read_bytes())
        await until(lambda: len(erp.names("error")) == 2)
        assert [fact.body["order_id"] for fact in erp.facts()] == ["JO-1001"]
        assert len(erp.bad()) == 4
        note, *reasons = error_of(tmp_path, "plan.XML.reason.txt").splitlines()
        assert note == "5 orders: 1 released, 0 known already, 4 refused"
        assert reasons == [one.reason for one in erp.bad()]


# --- the mapping file

MAPPING = (
    "formats: {csv: {fields: {order_id: {from: Nr}, item: {from: Art}, quantity: {from: Stk}}}}"
)


@bounded
async def test_files_wait_until_the_mapping_is_corrected(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"mapping": "erp.yaml"})
    (tmp_path / "erp.yaml").write_text(MAPPING.replace("from: Nr", "form: Nr"))
    async with running(tmp_path, settings=settings) as erp:
        (down,) = erp.told
        assert isinstance(down, Link)
        assert not down.up
        assert down.reason
        assert "erp.yaml:1:37 unknown key 'form' (did you mean 'from'?)" in down.reason
        erp.put("orders.csv", b"Nr;Art;Stk;Ort\nPO-1;pump-a;5;hier\n")
        await asyncio.sleep(0.3)  # longer than a file needs to settle
        assert erp.names("in") == ["orders.csv"]
        (tmp_path / "erp.yaml").write_text(MAPPING)
        await until(lambda: erp.names("done") == ["orders.csv"])
        assert [fact.body["order_id"] for fact in erp.facts()] == ["PO-1"]
        assert [one.up for one in erp.told if isinstance(one, Link)] == [False, True]


XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" elementFormDefault="qualified"
 targetNamespace="http://www.mesa.org/xml/B2MML"><xs:element name="JobList"><xs:complexType>
 <xs:sequence><xs:element name="ID"/><xs:any minOccurs="0" processContents="skip"/></xs:sequence>
</xs:complexType></xs:element></xs:schema>"""
JOBS = b'<JobList xmlns="http://www.mesa.org/xml/B2MML"><ID/>\n<ID/>\n<ID/></JobList>'


@bounded
async def test_files_wait_for_a_schema_that_can_be_used_and_then_must_fit_it(
    tmp_path: Path,
) -> None:
    schema = tmp_path / "jobs.xsd"
    schema.write_text("<schema/>")
    settings = SETTINGS.model_copy(update={"xsd": "jobs.xsd"})
    async with running(tmp_path, settings=settings) as erp:
        assert [(one.up, one.reason) for one in erp.links()] == [
            (False, "jobs.xsd: 'schema' is no XML Schema")
        ]
        erp.put("jobs.xml", JOBS)
        erp.put("PO-1.json", order())
        schema.write_text(XSD)
        await until(lambda: erp.names("error") == ["jobs.xml", "jobs.xml.reason.txt"])
        await until(lambda: erp.names("done") == ["PO-1.json"])
        said = (tmp_path / "error" / "jobs.xml.reason.txt").read_text()
        assert said.startswith("jobs.xml: does not fit jobs.xsd: line 3: Element 'ID'")
        assert [one.up for one in erp.links()] == [False, True]
        assert [one.reason for one in erp.bad()] == [said.strip()]
