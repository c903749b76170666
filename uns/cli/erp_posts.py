"""What waits for an ERP, and dead letters set free: reads and writes the bridge's own file.

Works whether the hub runs or not; a running bridge sees the change within a second.
"""

from contextlib import closing
from pathlib import Path
from typing import Any, Final, Literal

from bridges.erp_rest.config import ErpRestSettings
from bridges.erp_rest.contract import Request
from bridges.erp_rest.mapping import ADAPTERS, terms_of
from bridges.erp_rest.store import Post, Store, store_path
from uns.cli.errors import CommandError, UsageError
from uns.cli.folder import Folder, find_folder
from uns.cli.options import iso
from uns.cli.output import print_json, print_table, say
from uns.model.plant import Plant

PROTOCOL: Final = "erp-rest"
OPEN: Final = ("dead", "unsure", "waiting")
COLUMNS: Final = ("id", "key", "state", "attempts", "since", "reason")
DONE: Final = {"unsure": "is asked for and sent again", "skipped": "is skipped"}


def list_posts(bridge: str | None, data: Path | None, *, everything: bool, as_json: bool) -> None:
    """The confirmations that are not settled; or all that are kept."""
    folder, name = found_bridge(bridge, data)
    with closing(Store(store_path(folder.root, name))) as store:
        posts = store.posts((*OPEN, "sent", "skipped") if everything else OPEN)
    if as_json:
        print_json([_shown(post) for post in posts])
    else:
        print_table(COLUMNS, [[_shown(post)[column] for column in COLUMNS] for post in posts])


def show(post_id: int, bridge: str | None, data: Path | None, *, as_json: bool) -> None:
    """A confirmation as the counterpart is told it, on one line if `as_json`. Sends nothing."""
    folder, name = found_bridge(bridge, data)
    plant = folder.load_plant()
    with closing(Store(store_path(folder.root, name))) as store:
        post = _post(store, post_id)
    settings = _settings(plant, name)
    adapter, terms = ADAPTERS[settings.adapter], terms_of(settings, plant)
    confirmation = post.confirmation
    requests = {
        "prepare": adapter.prepare(confirmation, terms),
        "post": adapter.post(confirmation, terms, None),
        "ask": adapter.ask(confirmation, terms),
    }
    said = {what: _request(request) for what, request in requests.items()}
    shown = {**_shown(post), "confirmation": confirmation.model_dump(), **said}
    print_json(shown, indent=None if as_json else 2)


def set_free(
    post_id: int,
    state: Literal["unsure", "skipped"],
    bridge: str | None,
    data: Path | None,
    *,
    as_json: bool,
) -> None:
    """Send a dead letter again, or leave it for good."""
    folder, name = found_bridge(bridge, data)
    with closing(Store(store_path(folder.root, name))) as store:
        post = _post(store, post_id)
        if not store.set_free(post_id, state):
            raise CommandError(f"{post_id} is {post.state}, no dead letter: there is nothing to do")
        post = _post(store, post_id)
    if as_json:
        print_json(_shown(post))
    else:
        say(f"{post.key} {DONE[state]}")


def found_bridge(bridge: str | None, data: Path | None) -> tuple[Folder, str]:
    """The data folder, and the bridge that was named, or the only one. Raises UsageError."""
    folder = find_folder(data)
    plant = folder.load_plant()
    names = [name for name, one in plant.bridges.items() if one.protocol == PROTOCOL]
    if bridge is None and len(names) == 1:
        return folder, names[0]
    if bridge in names:
        return folder, bridge
    known = ", ".join(names) or "none"
    raise UsageError(f"which bridge? Name one of protocol {PROTOCOL} with --bridge: {known}")


def _settings(plant: Plant, name: str) -> ErpRestSettings:
    return ErpRestSettings.model_validate(plant.bridges[name].settings)


def _post(store: Store, post_id: int) -> Post:
    post = store.post_of(post_id)
    if post is None:
        raise CommandError(f"no confirmation {post_id}: `uns erp list --all` shows them")
    return post


def _shown(post: Post) -> dict[str, Any]:
    return {
        "id": post.id,
        "key": post.key,
        "order_id": post.order_id,
        "state": post.state,
        "attempts": post.attempts,
        "since": iso(post.entered_ms),
        "done": iso(post.done_ms),
        "reason": post.reason or None,
    }


def _request(request: Request | None) -> dict[str, Any] | None:
    if request is None:
        return None
    return {"request": f"{request.method} {request.path}", "body": request.document}
