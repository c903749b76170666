"""PURE: what differs between two JSON documents, field by field."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

_ABSENT: Final = object()


class Change(NamedTuple):
    """One field (`sums.gq`, `orders[2].item`) and its two values; None where it is not there."""

    field: str
    before: Any
    after: Any


def changes(before: Any, after: Any) -> list[Change]:
    """Every field that differs, in the order of the documents; the order of keys is no field."""
    old, new = dict(_leaves(before, "")), dict(_leaves(after, ""))
    return [
        Change(name, old.get(name), new.get(name))
        for name in dict.fromkeys((*old, *new))
        if not _same(old.get(name, _ABSENT), new.get(name, _ABSENT))
    ]


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple) and value:
        for n, inner in enumerate(value):
            yield from _leaves(inner, f"{name}[{n}]")
    else:
        yield name, value


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1, 1.0 and true are three values."""
    return type(one) is type(other) and one == other
