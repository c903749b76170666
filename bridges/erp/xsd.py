"""The XML Schema that a plant's B2MML must fit: MESA's, as the plant got it from MESA.

Owns the schema's files and lxml, which checks by them (extra `b2mml`). A schema is the files of one
folder; neither they nor a document have a DTD, so no entities, and nothing is fetched. What a
document means is b2mml.py's.
"""

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

from bridges.erp.errors import BadSchema, FolderLost
from bridges.erp.tree import XmlError, parse_xml
from uns.model.releasing import Refused

FILES_MAX: Final = 100
FILE_BYTES_MAX: Final = 10_000_000
FAULTS_SAID_MAX: Final = 5
_XSD: Final = "{http://www.w3.org/2001/XMLSchema}"
_LEADS_ON: Final = tuple(_XSD + name for name in ("include", "import", "redefine"))
_NAMESPACE: Final = re.compile(r"\{[^{}]*\}")


class Schema(NamedTuple):
    """A schema by the name of its file; `namespace` is that of the documents that it is for."""

    name: str
    namespace: str
    compiled: Any

    def misfit(self, raw: bytes) -> Refused | None:
        """What of a document does not fit, line by line.

        None for one that fits, for one of another namespace, and for what is no XML that is read:
        of those, whoever reads them says what is wrong.
        """
        try:
            if parse_xml(raw).namespace != self.namespace:
                return None
        except XmlError:
            return None
        etree = import_module("lxml.etree")
        try:
            if self.compiled.validate(etree.fromstring(raw, _parser())):
                return None
        except etree.XMLSyntaxError as error:
            return self._refused([f"line {error.lineno}: {error.msg}"])
        return self._refused([_said(one) for one in self.compiled.error_log])

    def _refused(self, faults: list[str]) -> Refused:
        more = len(faults) - FAULTS_SAID_MAX
        said = "; ".join([*faults[:FAULTS_SAID_MAX], *([f"and {more} more"] if more > 0 else ())])
        return Refused("", f"does not fit {self.name}: {said}")


def read_schema(path: Path) -> Schema:
    """The schema in a file and in those that it includes and imports.

    Raises BadSchema, or FolderLost where a file cannot be read.
    """
    if not find_spec("lxml"):
        raise BadSchema("lxml is missing: pip install 'uns-mes[b2mml]'")
    etree = import_module("lxml.etree")
    root = _checked(path)
    try:
        compiled = etree.XMLSchema(file=str(path))
    except etree.XMLSchemaParseError as error:
        raise BadSchema(f"{path.name}: {_bare(str(error))}") from None
    return Schema(path.name, root.get("targetNamespace", ""), compiled)


def _checked(path: Path) -> Any:
    """The outermost element of a schema all of whose files are there, beside each other."""
    roots: dict[str, Any] = {}
    rest = [path.name]
    while rest:
        name = rest.pop()
        if name in roots:
            continue
        if len(roots) == FILES_MAX:
            raise BadSchema(f"{path.name}: more than {FILES_MAX} files")
        roots[name] = root = _parsed(path.with_name(name))
        locations = [one.get("schemaLocation") for one in root.iter(*_LEADS_ON)]
        for location in filter(None, locations):
            if Path(location).name != location:
                raise BadSchema(f"{name}: {location!r} lies elsewhere: put it beside {path.name}")
            rest.append(location)
    return roots[path.name]


def _parsed(path: Path) -> Any:
    etree = import_module("lxml.etree")
    try:
        raw = path.read_bytes()
        root = etree.fromstring(raw, _parser()) if len(raw) <= FILE_BYTES_MAX else None
    except OSError as error:
        raise FolderLost(f"{error.strerror}: {path}") from None
    except etree.XMLSyntaxError as error:
        raise BadSchema(f"{path.name}: line {error.lineno}: {error.msg}") from None
    if root is None:
        raise BadSchema(f"{path.name}: larger than {FILE_BYTES_MAX} bytes")
    if root.getroottree().docinfo.internalDTD is not None:
        raise BadSchema(f"{path.name}: a DOCTYPE is refused: no DTD, no entities")
    if root.tag != f"{_XSD}schema":
        raise BadSchema(f"{path.name}: {_bare(root.tag)!r} is no XML Schema")
    return root


def _parser() -> Any:
    return import_module("lxml.etree").XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )


def _said(fault: Any) -> str:
    return f"line {fault.line}: {_bare(fault.message).rstrip('.')}"


def _bare(text: str) -> str:
    return _NAMESPACE.sub("", text)
