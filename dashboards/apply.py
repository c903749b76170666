"""Brings folders, data source, boards, contact point and rules into a running Grafana.

Owns what is compared and what is called: by uid, never by number or title. Everything is read
first and written only where it differs, so a second run writes nothing. What does not carry our tag
is not touched, nor what Grafana made from a file. What is the plant's own choice stays: the folder
of a board, a paused rule, the default data source, whom the contact point tells (unless named).

GrafanaFault
├── GrafanaAway      retriable: no answer, a timeout, a server error
└── GrafanaRefused   the asker's: the token may not do it, or Grafana takes no such thing
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal, NamedTuple, Protocol

from dashboards import alerts, provision
from dashboards.model import DATA_SOURCE, TAG, Dashboard, Json

TIMEOUT_S: Final = 10.0
FIELDS_TOLD_MAX: Final = 3
NOT_OURS: Final = f"it does not carry {TAG}: not touched"
FROM_FILE: Final = "Grafana made it from a file: change that"
MISSING: Final = 404
LEAST_CLIENT_ERROR, LEAST_SERVER_ERROR = 400, 500
STORED_AS_IT_LIKES: Final = ("id", "version", "schemaVersion")
"""Of a board: Grafana numbers it, and may lift it to a newer schema."""

Action = Literal["create", "update", "same", "kept", "foreign"]


class GrafanaFault(Exception):  # noqa: N818 - the root of a tree of two
    """The message is one line: what is wrong, and the fix."""


class GrafanaAway(GrafanaFault):
    """The same call may succeed later."""


class GrafanaRefused(GrafanaFault):
    """The same call will fail again."""


class Step(NamedTuple):
    """What became of one thing, or would in a dry run. `why`: the fields that differ, or a word."""

    kind: str
    uid: str
    action: Action
    why: str = ""

    @property
    def writes(self) -> bool:
        """Whether Grafana is changed."""
        return self.action in ("create", "update")


@dataclass(frozen=True)
class Wishes:
    """What is brought: boards, the store as Grafana reaches it, its password, whom to tell."""

    boards: Sequence[Dashboard]
    database: provision.Database
    password: str | None = field(default=None, repr=False)
    contact: str | None = None


class Thing(Protocol):
    """Something of ours in Grafana."""

    kind: ClassVar[str]

    @property
    def uid(self) -> str:
        """Its name for ever."""

    def read(self) -> Json | None:
        """What Grafana has under the uid."""

    def kept(self, theirs: Json) -> tuple[Action, str] | None:
        """Why it is not touched, if it is not."""

    def differing(self, theirs: Json) -> list[str]:
        """The fields that differ."""

    def create(self) -> None:
        """Write it anew."""

    def update(self, theirs: Json) -> None:
        """Write it over what there is."""


def connect(url: str, token: str) -> Any:
    """A client of Grafana's API; nothing is asked yet. Raises GrafanaRefused for a bad address."""
    from grafana_client.api import GrafanaApi  # noqa: PLC0415 - of the extra [grafana]

    if not url.startswith(("http://", "https://")):
        raise GrafanaRefused(f"{url!r} is no address: use http://host:3000 or https://host")
    rooted = url if url.endswith("/") else f"{url}/"
    return GrafanaApi.from_url(rooted, credential=token, timeout=TIMEOUT_S)


def apply(api: Any, wishes: Wishes, *, dry_run: bool) -> Iterator[Step]:
    """Bring everything; each step is told when it is done. Raises GrafanaFault at the first error.

    A step `foreign` is somebody else's thing under our uid. A dry run only reads.
    """
    for thing in _things(api, wishes):
        with _named(f"{thing.kind} {thing.uid}"):
            yield _settle(thing, dry_run=dry_run)


def health(api: Any) -> str | None:
    """What is wrong between Grafana and the store; None if it answers. Raises GrafanaFault."""
    from grafana_client.client import GrafanaBadInputError  # noqa: PLC0415 - of the extra [grafana]

    with _named("data source"):
        try:
            found = api.datasource.health(DATA_SOURCE["uid"])
        except GrafanaBadInputError as error:  # how Grafana says that the database is not there
            return str(error.response.get("message", error))
    return None if found.get("status") == "OK" else str(found.get("message"))


def differing(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """Where theirs does not say what ours says. What only theirs has is no difference."""
    if not ours and not theirs:
        return
    match ours, theirs:
        case dict(), dict():
            for key, value in ours.items():
                yield from differing(value, theirs.get(key), f"{path}.{key}" if path else key)
        case list(), list() if len(ours) == len(theirs):
            for at, (one, other) in enumerate(zip(ours, theirs, strict=True)):
                yield from differing(one, other, f"{path}.{at}")
        case _ if ours != theirs:
            yield path


def _settle(thing: Thing, *, dry_run: bool) -> Step:
    theirs = thing.read()
    if theirs is None:
        if not dry_run:
            thing.create()
        return Step(thing.kind, thing.uid, "create")
    if kept := thing.kept(theirs):
        return Step(thing.kind, thing.uid, *kept)
    fields = thing.differing(theirs)
    if not fields:
        return Step(thing.kind, thing.uid, "same")
    if not dry_run:
        thing.update(theirs)
    rest = len(fields) - FIELDS_TOLD_MAX
    more = f" and {rest} more" if rest > 0 else ""
    return Step(thing.kind, thing.uid, "update", ", ".join(fields[:FIELDS_TOLD_MAX]) + more)


def _things(api: Any, wishes: Wishes) -> Iterator[Thing]:
    for uid, title in provision.FOLDERS.items():
        yield _Folder(api, uid, title)
    yield _Source(api, provision.data_source(wishes.database), wishes.password)
    for board in wishes.boards:
        yield _Board(api, board)
    yield _Contact(api, wishes.contact)
    for rule in alerts.RULES:
        yield _Rule(api, rule)


@dataclass(frozen=True)
class _Folder:
    api: Any
    uid: str
    title: str
    kind: ClassVar[str] = "folder"

    def read(self) -> Json | None:
        return _found(self.api.folder.get_folder, self.uid)

    def kept(self, _theirs: Json) -> tuple[Action, str] | None:
        return None

    def differing(self, _theirs: Json) -> list[str]:
        """A folder may be renamed and moved; what matters is that it is there."""
        return []

    def create(self) -> None:
        self.api.folder.create_folder(self.title, uid=self.uid)

    def update(self, _theirs: Json) -> None:
        """Never: nothing of it differs."""


@dataclass(frozen=True)
class _Source:
    api: Any
    wanted: Json
    password: str | None = field(repr=False)
    kind: ClassVar[str] = "data source"

    @property
    def uid(self) -> str:
        return str(self.wanted["uid"])

    def read(self) -> Json | None:
        return _found(self.api.datasource.get_datasource_by_uid, self.uid)

    def kept(self, theirs: Json) -> tuple[Action, str] | None:
        if theirs.get("readOnly"):
            return "kept", FROM_FILE
        ours = (theirs.get("jsonData") or {}).get("tag") == TAG
        return None if ours else ("foreign", NOT_OURS)

    def differing(self, theirs: Json) -> list[str]:
        fields = list(differing(self.wanted, theirs))
        return [*fields, "password"] if self._secret(theirs) else fields

    def create(self) -> None:
        if self.password is None:
            raise GrafanaRefused(
                f"set {provision.PASSWORD} to the password of the store's user"
                f" {self.wanted['user']!r}: Grafana needs it once"
            )
        secret = {"secureJsonData": {"password": self.password}}
        self.api.datasource.create_datasource({**self.wanted, **secret})

    def update(self, theirs: Json) -> None:
        own = {
            "isDefault": theirs.get("isDefault", False),
            "version": theirs.get("version"),
            "jsonData": {**(theirs.get("jsonData") or {}), **self.wanted["jsonData"]},
        }
        body = {**self.wanted, **own, **self._secret(theirs)}
        self.api.datasource.update_datasource_by_uid(self.uid, body)

    def _secret(self, theirs: Json) -> Json:
        """The password, where Grafana has none: it never tells the one it has."""
        known = (theirs.get("secureJsonFields") or {}).get("password")
        missing = self.password is not None and not known
        return {"secureJsonData": {"password": self.password}} if missing else {}


@dataclass(frozen=True)
class _Board:
    api: Any
    board: Dashboard
    kind: ClassVar[str] = "board"

    @property
    def uid(self) -> str:
        return self.board.uid

    def read(self) -> Json | None:
        return _found(self.api.dashboard.get_dashboard, self.uid)

    def kept(self, theirs: Json) -> tuple[Action, str] | None:
        if theirs.get("meta", {}).get("provisioned"):
            return "kept", FROM_FILE
        ours = TAG in (theirs["dashboard"].get("tags") or ())
        return None if ours else ("foreign", NOT_OURS)

    def differing(self, theirs: Json) -> list[str]:
        wanted = self.board.to_json()
        plain = {key: wanted[key] for key in wanted if key not in STORED_AS_IT_LIKES}
        return list(differing(plain, theirs["dashboard"]))

    def create(self) -> None:
        """Not over a board of another uid: a Grafana may keep titles unique in a folder."""
        self._write(provision.BOARDS_FOLDER_UID, overwrite=False)

    def update(self, theirs: Json) -> None:
        self._write(theirs.get("meta", {}).get("folderUid") or "", overwrite=True)

    def _write(self, folder_uid: str, *, overwrite: bool) -> None:
        body = {
            "dashboard": self.board.to_json(),
            "folderUid": folder_uid,
            "overwrite": overwrite,
            "message": "uns grafana apply",
        }
        self.api.dashboard.update_dashboard(body)


@dataclass(frozen=True)
class _Contact:
    api: Any
    to: str | None
    kind: ClassVar[str] = "contact point"
    uid: ClassVar[str] = alerts.CONTACT_UID

    def read(self) -> Json | None:
        """Ours, or another of that name: Grafana would add ours to it, as one more receiver."""
        points = self.api.alertingprovisioning.get_contactpoints(name=alerts.CONTACT) or ()
        found = [dict(point) for point in points]
        ours = (point for point in found if point.get("uid") == self.uid)
        return next(ours, found[0] if found else None)

    def kept(self, theirs: Json) -> tuple[Action, str] | None:
        if theirs.get("uid") != self.uid:
            return "foreign", f"a contact point {alerts.CONTACT} is there already: rename it"
        return ("kept", FROM_FILE) if theirs.get("provenance") == "file" else None

    def differing(self, theirs: Json) -> list[str]:
        return list(differing(alerts.contact(self.to), theirs)) if self.to else []

    def create(self) -> None:
        wanted = alerts.contact(self.to or alerts.NOBODY)
        self.api.alertingprovisioning.create_contactpoint(wanted, disable_provenance=True)

    def update(self, theirs: Json) -> None:
        wanted = alerts.contact(self.to or alerts.NOBODY)
        known = theirs.get("settings", {}) if theirs.get("type") == wanted["type"] else {}
        wanted["settings"] = {**known, **wanted["settings"]}
        update = self.api.alertingprovisioning.update_contactpoint
        update(self.uid, wanted, disable_provenance=True)


@dataclass(frozen=True)
class _Rule:
    api: Any
    rule: alerts.Rule
    kind: ClassVar[str] = "alert rule"

    @property
    def uid(self) -> str:
        return self.rule.uid

    def read(self) -> Json | None:
        return _found(self.api.alertingprovisioning.get_alertrule, self.uid)

    def kept(self, theirs: Json) -> tuple[Action, str] | None:
        if theirs.get("provenance") == "file":
            return "kept", FROM_FILE
        ours = (theirs.get("labels") or {}).get(alerts.LABEL) == TAG
        return None if ours else ("foreign", NOT_OURS)

    def differing(self, theirs: Json) -> list[str]:
        wanted = self._wanted()
        del wanted["isPaused"]
        return list(differing(wanted, theirs))

    def create(self) -> None:
        write = self.api.alertingprovisioning.create_alertrule
        write(self._wanted(), disable_provenance=True)

    def update(self, theirs: Json) -> None:
        body = {**self._wanted(), "isPaused": theirs.get("isPaused", False)}
        write = self.api.alertingprovisioning.update_alertrule
        write(self.uid, body, disable_provenance=True)

    def _wanted(self) -> Json:
        """One rule at a time: to write the group would drop what others put into it."""
        place = {"folderUID": alerts.FOLDER_UID, "ruleGroup": alerts.GROUP}
        return {**self.rule.to_json(), **place}


def _found(read: Any, uid: str) -> Json | None:
    """What a call gives for a uid; None where Grafana has nothing."""
    from grafana_client.client import GrafanaClientError  # noqa: PLC0415 - of the extra [grafana]

    try:
        return dict(read(uid))
    except GrafanaClientError as error:
        if error.status_code == MISSING:
            return None
        raise


@contextmanager
def _named(what: str) -> Iterator[None]:
    """The library's errors by our names."""
    from grafana_client.client import GrafanaException  # noqa: PLC0415 - of the extra [grafana]
    from niquests.exceptions import RequestException  # noqa: PLC0415 - what the client stands on

    try:
        yield
    except GrafanaException as error:
        told = f"{what}: {' '.join(str(error).split())[:300]}"
        if LEAST_CLIENT_ERROR <= error.status_code < LEAST_SERVER_ERROR:
            raise GrafanaRefused(_fixed(told, error.status_code)) from error
        raise GrafanaAway(f"{told}: try again") from error
    except RequestException as error:
        raise GrafanaAway(f"no Grafana answers: {' '.join(str(error).split())[:300]}") from error


def _fixed(told: str, status: int) -> str:
    if status not in (401, 403):
        return told
    return f"{told}: use the token of a service account with the role Admin"
