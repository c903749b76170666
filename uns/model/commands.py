"""Commands: what may be asked of the hub, one payload model a topic, and the table that lists them.

A command is a message like any other; whoever is asked answers with an event. Does not know who
that is.
"""

from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from uns.model.events import IDENTIFIER_LENGTH_MAX, Identifier, Millis, Payload
from uns.model.observation import Scalar
from uns.model.path import key_of, matches

VALUE_LENGTH_MAX: Final = 240
INTEGER_MAX: Final = 2**64 - 1


class Command(Payload):
    """A request; answered under `_event/reply/<request_id>` beside it."""

    request_id: Identifier
    at_ms: Millis | None = None
    actor: str | None = None


class ReleaseOrder(Command):
    """`_cmd/order/release`: the same content as an ERP order file."""

    order: dict[str, Any]


def _is_key(request_id: str) -> str:
    key_of(request_id)
    return request_id


def _is_bounded(value: Scalar) -> Scalar:
    if isinstance(value, str) and len(value) > VALUE_LENGTH_MAX:
        raise ValueError(f"a text to write is at most {VALUE_LENGTH_MAX} characters long")
    if isinstance(value, int) and abs(value) > INTEGER_MAX:
        raise ValueError("an integer to write has at most 64 bits")
    return value


class WriteTag(Command):
    """`_cmd/write/<tag>` at a cell: write a value to the device behind a tag.

    `request_id` becomes the last segment of the answer's topic. After `expires_at_ms` (plant
    time) the command is refused.
    """

    request_id: Annotated[Identifier, AfterValidator(_is_key)]
    value: Annotated[StrictBool | StrictInt | StrictFloat | StrictStr, AfterValidator(_is_bounded)]
    expires_at_ms: Millis | None = None
    actor: Annotated[str, Field(max_length=IDENTIFIER_LENGTH_MAX)] | None = None


COMMANDS: Final[dict[str, type[Command]]] = {
    "order/release": ReleaseOrder,
    "write/{tag}": WriteTag,
}
"""By what follows `_cmd/`; braces stand for any one segment."""


def command_named(name: str) -> type[Command] | None:
    """The payload model of what follows `_cmd/` in a topic."""
    found = (m for known, m in COMMANDS.items() if matches(known.replace("{tag}", "+"), name))
    return next(found, None)
