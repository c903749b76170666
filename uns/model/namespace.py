"""namespace.yaml: text to Plant, or every fault in it with its line and column.

Owns reading and checking. Knows no file system: the caller brings the text, and the models of
each bridge protocol as a table. YAML aliases, duplicate and unknown keys are refused.
"""

from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from typing import Any, Final, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from uns.model.checks import (
    Location,
    Protocol,
    cross_checks,
    did_you_mean,
    protocol_of,
    where_of,
)
from uns.model.plant import Plant

BYTES_MAX: Final = 5_000_000
Model = TypeVar("Model", bound=BaseModel)


class Fault(NamedTuple):
    """One fault, 1-based: `str()` is `namespace.yaml:14:9 message`."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column} {self.message}"


class NamespaceError(ValueError):
    """The file cannot be used; `faults` lists why, in file order."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


def parse_namespace(text: str, file: str, protocols: Mapping[str, Protocol]) -> Plant:
    """Read a plant. NamespaceError carries every fault that one pass can find."""
    document = _load(text, file)
    try:
        plant = Plant.model_validate(document)
    except ValidationError as error:
        raise NamespaceError(
            sorted(_from_pydantic(error, document, file, ()), key=_order)
        ) from None
    faults = [
        Fault(file, *_position(document, where), message)
        for where, message in cross_checks(plant, protocols)
    ]
    faults += _protocol_faults(plant, protocols, document, file)
    if not faults:
        faults += [
            Fault(file, *_position(document, where), message)
            for protocol in protocols.values()
            for where, message in (protocol.check(plant) if protocol.check else ())
        ]
    if faults:
        raise NamespaceError(sorted(faults, key=_order))
    return plant


def parse_yaml(text: str, file: str, model: type[Model]) -> Model:
    """Read another file by the same rules. NamespaceError carries every fault."""
    document = _load(text, file)
    faults = list(_check(model, document, document, file, ()))
    if faults:
        raise NamespaceError(sorted(faults, key=_order))
    return model.model_validate(document)


def _order(fault: Fault) -> tuple[int, int]:
    return fault.line, fault.column


def _load(text: str, file: str) -> CommentedMap:
    if len(text.encode()) > BYTES_MAX:
        raise NamespaceError([Fault(file, 1, 1, f"larger than {BYTES_MAX} bytes")])
    try:
        for event in YAML(typ="rt", pure=True).parse(StringIO(text)):
            if getattr(event, "anchor", None):
                mark = event.start_mark
                message = "YAML anchors and aliases are refused: write the value out"
                raise NamespaceError([Fault(file, mark.line + 1, mark.column + 1, message)])
        document = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        message = str(error.problem or error.context or error).splitlines()[0]
        raise NamespaceError([Fault(file, line, column, message)]) from None
    except YAMLError as error:
        raise NamespaceError([Fault(file, 1, 1, str(error).splitlines()[0])]) from None
    if not isinstance(document, CommentedMap):
        raise NamespaceError([Fault(file, 1, 1, "the file must be a mapping of keys")])
    return document


def _position(document: Any, where: Location) -> tuple[int, int]:
    """1-based line and column of the deepest key of `where` that stands in the file."""
    line, column, node = 0, 0, document
    for step in where:
        try:
            if isinstance(node, CommentedMap):
                line, column = node.lc.key(step)
            elif isinstance(node, CommentedSeq):
                line, column = node.lc.item(step)
            node = node[step]
        except (KeyError, IndexError, TypeError):
            break
    return line + 1, column + 1


def _value_position(document: Any, where: Location) -> tuple[int, int]:
    node = document
    for step in where[:-1]:
        node = node[step] if isinstance(node, CommentedMap | CommentedSeq) else None
    try:
        if isinstance(node, CommentedMap):
            line, column = node.lc.value(where[-1])
            return line + 1, column + 1
    except (KeyError, TypeError, IndexError):
        pass
    return _position(document, where)


def _from_pydantic(
    error: ValidationError, document: Any, file: str, prefix: Location
) -> Iterator[Fault]:
    for one in error.errors(include_url=False):
        where = (*prefix, *(step for step in one["loc"] if step != "[key]"))
        describe = _MESSAGES.get(one["type"])
        message = describe(one) if describe else str(one["msg"])
        at_key = one["type"] in ("extra_forbidden", "missing") or "[key]" in one["loc"]
        find = _position if at_key else _value_position
        yield Fault(file, *find(document, where), message)


def _unknown_key(one: Mapping[str, Any]) -> str:
    return f"unknown key '{one['loc'][-1]}'{did_you_mean(str(one['loc'][-1]), _KEYS)}"


def _unknown_word(one: Mapping[str, Any]) -> str:
    choices = [w.strip(" '") for w in one["ctx"]["expected"].replace(" or ", ",").split(",")]
    return f"unknown value '{one['input']}'{did_you_mean(str(one['input']), choices)}"


_MESSAGES: Final[dict[str, Callable[[Mapping[str, Any]], str]]] = {
    "extra_forbidden": _unknown_key,
    "literal_error": _unknown_word,
    "missing": lambda one: f"missing key '{one['loc'][-1]}'",
    "string_pattern_mismatch": lambda one: (
        f"'{one['input']}' is no name: use a-z, 0-9 and '-', at most 63 characters"
    ),
}


def _all_keys(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[str]:
    keys = {field.alias or name for name, field in model.model_fields.items()}
    seen.add(model)
    for field in model.model_fields.values():
        for inner in _models_in(field.annotation):
            if inner not in seen:
                keys |= _all_keys(inner, seen)
    return keys


def _keys_at(model: type[BaseModel], where: Location) -> list[str]:
    """The keys that may stand beside the last step of a place in a model."""
    models = {model}
    for step in where[:-1]:
        fields = [f for m in models for n, f in m.model_fields.items() if step in (f.alias, n)]
        models = {inner for each in fields for inner in _models_in(each.annotation)} or models
    return sorted({f.alias or name for m in models for name, f in m.model_fields.items()})


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


_KEYS: Final = sorted(_all_keys(Plant, set()))


def _protocol_faults(
    plant: Plant, protocols: Mapping[str, Protocol], document: Any, file: str
) -> Iterator[Fault]:
    for name, bridge in plant.bridges.items():
        if protocol := protocols.get(bridge.protocol):
            yield from _check(protocol.settings, bridge.settings, document, file, ("bridges", name))
    for place in plant.cells.values():
        for name, tag in place.cell.tags.items():
            protocol = protocol_of(plant, place.bridge_of(name), protocols)
            if protocol and protocol.source:
                where = (*where_of(place.path), "tags", name, "source")
                yield from _check(protocol.source, tag.source, document, file, where)


def _check(
    model: type[BaseModel], value: Any, document: Any, file: str, where: Location
) -> Iterator[Fault]:
    try:
        model.model_validate(value)
    except ValidationError as error:
        for fault, one in zip(
            _from_pydantic(error, document, file, where), error.errors(), strict=True
        ):
            if one["type"] == "extra_forbidden":
                word, known = str(one["loc"][-1]), _keys_at(model, one["loc"])
                yield fault._replace(message=f"unknown key '{word}'{did_you_mean(word, known)}")
            else:
                yield fault
