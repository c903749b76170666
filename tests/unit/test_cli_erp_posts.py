"""`uns erp`: confirmations that wait for an ERP and orders that it gave, at the command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridges.erp_rest.store import Store, store_path
from tests.brokers import small_plant
from tests.counterpart import confirmation
from tests.terminal import Cli
from uns.cli.folder import Folder
from uns.model.plant import Plant


@pytest.fixture
def hub(stopped_hub: Folder) -> Folder:
    document = small_plant().model_dump()
    document["bridges"]["sap"] = {
        "protocol": "erp-rest",
        "url": "https://erp.example.com",
        "credentials_file": "token",
    }
    stopped_hub.plant.write_text(Plant.model_validate(document).model_dump_json())
    return stopped_hub


@pytest.fixture
def store(hub: Folder) -> Iterator[Store]:
    """One sent, one dead, one that waits behind it."""
    one = Store(store_path(hub.root, "sap"))
    one.post([confirmation("PO-1"), confirmation("PO-2"), confirmation("PO-2", 2)], 0)
    sent, dead = one.due(0, 9)
    one.settled(sent, "sent", 5)
    one.settled(dead, "dead", 5, "422 order is closed")
    yield one
    one.close()


def test_what_is_not_settled_is_listed_with_the_reason(uns: Cli, hub: Folder, store: Store) -> None:
    listed = uns("erp", "list", "--data", hub.root, "--json").json
    assert [(one["id"], one["state"], one["reason"]) for one in listed] == [
        (2, "dead", "422 order is closed"),
        (3, "waiting", None),
    ]
    assert len(uns("erp", "list", "--all", "--data", hub.root, "--json").json) == 3
    assert "422 order is closed" in uns("erp", "list", "--data", hub.root).out
    assert store.counts() == {"sent": 1, "dead": 1, "waiting": 1}


def test_a_confirmation_is_shown_as_the_erp_is_told_it(uns: Cli, hub: Folder, store: Store) -> None:
    shown = uns("erp", "show", 2, "--data", hub.root).json
    assert shown["post"]["request"] == "POST /confirmations"
    assert (
        shown["post"]["body"]["key"] == shown["confirmation"]["key"] == store.posts(["dead"])[0].key
    )
    assert shown["prepare"] is None
    assert shown["ask"]["request"].startswith("GET /confirmations/PO-2%40")


def test_a_dead_letter_is_sent_again_or_skipped(uns: Cli, hub: Folder, store: Store) -> None:
    assert "sent again" in uns("erp", "retry", 2, "--data", hub.root).out
    (head,) = store.due(0, 9)
    assert (head.id, head.state, head.attempts) == (2, "unsure", 0)
    store.settled(head, "dead", 6, "again no")
    skipped = uns("erp", "skip", 2, "--data", hub.root, "--json").json
    assert (skipped["key"], skipped["state"]) == (head.key, "skipped")
    assert [post.id for post in store.due(0, 9)] == [3]


def test_what_cannot_be_done_says_why(uns: Cli, hub: Folder, store: Store, tmp_path: Path) -> None:
    assert store.counts()["dead"] == 1
    assert "3 is waiting" in uns.fails(1, "erp", "retry", 3, "--data", hub.root)
    assert "no confirmation 9" in uns.fails(1, "erp", "show", 9, "--data", hub.root)
    assert "--bridge: sap" in uns.fails(2, "erp", "list", "--bridge", "x", "--data", hub.root)
    assert "holds no hub" in uns.fails(1, "erp", "list", "--data", tmp_path / "none")


def test_a_refused_order_is_judged_again(uns: Cli, hub: Folder, store: Store) -> None:
    store.arrive("d1", {"order_id": "PO-7", "revision": 3}, 1_000)
    store.answer("d1", "refused", "item: unknown")
    store.arrive("d2", {"order_id": "PO-8"}, 2_000)
    listed = uns("erp", "orders", "--data", hub.root).out
    assert "PO-7" in listed
    assert "item: unknown" in listed
    assert "PO-7 is judged again" in uns("erp", "judge", "PO-7", "--data", hub.root).out
    assert [one.order_id for one in store.arrivals("waiting")] == ["PO-7", "PO-8"]
    assert "PO-8 is waiting" in uns.fails(1, "erp", "judge", "PO-8", "--data", hub.root)
    assert "no order PO-9" in uns.fails(1, "erp", "judge", "PO-9", "--data", hub.root)
    store.answer("d2", "accepted", "released")
    both = uns("erp", "orders", "--all", "--data", hub.root, "--json").json
    assert [(row["order_id"], row["state"]) for row in both] == [
        ("PO-7", "waiting"),
        ("PO-8", "accepted"),
    ]
