"""What `uns discover opcua` does: browse, choose, write line by line as the server tells.

Owns which variables are wanted and where they go. The walk is bridges.opcua.browse's, the text
bridges.opcua.proposal's.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from bridges.opcua.browse import Browser, browsing
from bridges.opcua.config import OpcUaSettings
from bridges.opcua.errors import OpcUaError
from bridges.opcua.proposal import Proposal, Variable
from uns.cli.errors import CommandError, UsageError
from uns.cli.folder import DEFAULT, find_folder
from uns.cli.output import hushed, note, print_json
from uns.cli.proposed import Write, writing
from uns.model.checks import did_you_mean
from uns.model.path import SEGMENT

WILD: Final = frozenset("*?[")


class Wanted(NamedTuple):
    """What to propose: the bridge's name, a filter of browse paths, a namespace, how many."""

    name: str
    pattern: str | None
    namespace_uri: str | None
    limit: int

    def has(self, variable: Variable) -> bool:
        """Whether a variable is wanted."""
        if self.namespace_uri not in (None, variable.namespace_uri):
            return False
        if self.pattern is None:
            return True
        place, pattern = variable.place.lower(), self.pattern.lower()
        return fnmatchcase(place, pattern) if WILD & set(pattern) else pattern in place


class Work(NamedTuple):
    """One call of the command."""

    settings: OpcUaSettings
    pki: Path
    wanted: Wanted
    proposal: Proposal


def propose(
    given: Mapping[str, Any], wanted: Wanted, out: Path | None, data: Path | None, *, as_json: bool
) -> None:
    """Write the proposal; CommandError when the server cannot be browsed or has nothing wanted."""
    if not SEGMENT.fullmatch(wanted.name):
        raise UsageError(f"--name {wanted.name!r}: use a-z, 0-9 and '-'")
    settings = settings_of(given)
    work = Work(settings, pki_of(data, settings), wanted, Proposal(wanted.name, given))
    try:
        with hushed("asyncua"), writing(out) as write:
            summary = asyncio.run(_run(work, write, as_json=as_json and out is None))
    except OpcUaError as error:
        raise CommandError(f"{settings.url}: {error}") from None
    if as_json and out:
        print_json({"file": str(out), **summary})
    elif not as_json:
        end = "" if summary["is_complete"] else "; there is more: raise --limit, or use --filter"
        note(f"{summary['proposed']} variables proposed; {summary['nodes']} nodes seen{end}")


def settings_of(given: Mapping[str, Any]) -> OpcUaSettings:
    """Settings of a connection; no node is named yet, so no namespace is."""
    try:
        return OpcUaSettings.model_validate({**given, "namespace_uri": ""})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the options"
        raise UsageError(f"{where}: {first['msg']}; use opc.tcp://host:4840") from None


def pki_of(data: Path | None, settings: OpcUaSettings) -> Path:
    """The folder of the certificates; a connection without security needs none."""
    if data and data.is_dir():
        return data.resolve() / "pki"
    if data is None and settings.insecure:
        return DEFAULT.resolve() / "pki"
    return find_folder(data).root / "pki"


async def _run(work: Work, write: Write, *, as_json: bool) -> dict[str, Any]:
    async with browsing(work.settings, work.pki) as browser:
        proposed, is_complete = 0, True
        async with aclosing(browser.variables()) as pages:
            async for page in pages:
                for variable in filter(work.wanted.has, page):
                    if proposed == work.wanted.limit:
                        is_complete = False
                        break
                    proposed += 1
                    for line in _lines(work.proposal, variable, as_json=as_json):
                        write(line)
                if not is_complete:
                    break
        if not proposed:
            raise CommandError(_nothing(work, browser))
        is_complete = is_complete and not browser.is_cut_short
        return {"nodes": browser.seen, "proposed": proposed, "is_complete": is_complete}


def _lines(proposal: Proposal, variable: Variable, *, as_json: bool) -> Iterator[str]:
    return proposal.documents(variable) if as_json else proposal.lines(variable)


def _nothing(work: Work, browser: Browser) -> str:
    """Why there is nothing to propose."""
    url, wanted = work.settings.url, work.wanted
    if not browser.seen:
        return f"{url}: the server shows no nodes of its own to this user"
    uri = wanted.namespace_uri
    if uri is not None and uri not in browser.namespaces:
        hint = did_you_mean(uri, browser.namespaces) or f" among {', '.join(browser.namespaces)}"
        return f"{url}: no namespace '{uri}'{hint}"
    return f"{url}: none of the {browser.seen} nodes is wanted: see --filter and --namespace-uri"
