"""Topics and places: the grammar of the one tree, and nothing of what is said in it.

    topic   = enterprise *4( "/" node ) "/" kind "/" name *( "/" key )
    node    = site, area, line, cell: levels may be cut from the right only
    kind    = one of KINDS; the first segment that begins with "_" ends the location
    segment = [a-z0-9][a-z0-9-]{0,62}

User words map to ISA-95 part 1 as: line = work center, cell = work unit.
"""

import re
from typing import Final, NamedTuple

KINDS: Final = ("_tag", "_state", "_event", "_cmd", "_meta", "_hub")
RETAINED: Final = frozenset({"_tag", "_state", "_meta", "_hub"})
LEVELS: Final = ("enterprise", "site", "area", "line", "cell")
TOPIC_BYTES_MAX: Final = 512
SEGMENT: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
SEGMENT_LENGTH_MAX: Final = 63


class TopicError(ValueError):
    """A topic or id outside the grammar; the message names the segment and the fix."""


class Topic(NamedTuple):
    """A parsed topic: `acme/berlin/_event/reply/r1` is (acme/berlin, _event, reply, (r1,))."""

    path: str
    kind: str
    name: str
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "/".join((self.path, self.kind, self.name, *self.keys))


def parse_topic(text: str) -> Topic:
    """Parse a topic of our tree, or raise TopicError naming the segment at fault."""
    if len(text.encode("utf-8", "replace")) > TOPIC_BYTES_MAX:
        raise TopicError(f"topic is longer than {TOPIC_BYTES_MAX} bytes")
    segments = text.split("/")
    cut = next((i for i, segment in enumerate(segments) if segment.startswith("_")), None)
    if cut is None:
        raise TopicError(f"no kind in {text!r}: one of {', '.join(KINDS)} must follow the place")
    place, kind, rest = segments[:cut], segments[cut], segments[cut + 1 :]
    if kind not in KINDS:
        raise TopicError(f"unknown kind {kind!r}: use one of {', '.join(KINDS)}")
    if not 1 <= len(place) <= len(LEVELS):
        raise TopicError(f"{len(place)} levels before {kind}: 1 to {len(LEVELS)} are allowed")
    if not rest:
        raise TopicError(f"no name after {kind}")
    for segment in (*place, *rest):
        check_segment(segment)
    return Topic("/".join(place), kind, rest[0], tuple(rest[1:]))


def check_segment(segment: str) -> str:
    """Return the segment, or raise TopicError with the rule it breaks."""
    if not SEGMENT.fullmatch(segment):
        raise TopicError(
            f"segment {segment!r}: use 1 to {SEGMENT_LENGTH_MAX} of a-z, 0-9 and '-', "
            "not beginning with '-'"
        )
    return segment


def parent(path: str, level: str) -> str:
    """The place cut to a level: `acme/b/a/l/c` cut to "line" is `acme/b/a/l`."""
    return "/".join(path.split("/")[: LEVELS.index(level) + 1])


def level_of(path: str) -> str:
    """The level a place stands at: `acme/berlin` is a "site"."""
    return LEVELS[path.count("/")]


def to_dotted(path: str) -> str:
    """The place as other systems want it; a bijection, because '.' is banned in segments."""
    return path.replace("/", ".")


def key_of(business_id: str) -> str:
    """Escape a business id (order, lot, serial) to one topic segment, reversibly.

    Three tiers, so that common ids stay readable:
    `po-17` is itself; `PO-17` is `po-17--u3` (bit mask of upper-case places, in hex);
    anything else is a slug with the UTF-8 bytes behind it: `A/1` is `a-1--x412f31`.
    An id too long for a segment is refused with TopicError, never cut.
    """
    if _is_plain(business_id):
        return business_id
    lowered = business_id.lower()
    if business_id.isascii() and _is_plain(lowered):
        mask = sum(1 << i for i, char in enumerate(business_id) if char.isupper())
        key = f"{lowered}--u{mask:x}"
    else:
        slug = re.sub(r"[^a-z0-9]+", "-", lowered).strip("-") or "id"
        code = f"--x{business_id.encode().hex()}"
        key = slug[: max(1, SEGMENT_LENGTH_MAX - len(code))].rstrip("-") + code
    if not business_id or len(key) > SEGMENT_LENGTH_MAX:
        raise TopicError(f"id {business_id!r} does not fit a segment of {SEGMENT_LENGTH_MAX}")
    return key


def id_of(key: str) -> str:
    """Undo key_of; TopicError if the key was not made by it."""
    slug, mark, code = key.rpartition("--")
    business_id = key
    try:
        if mark and code.startswith("u"):
            upper = int(code[1:], 16)
            business_id = "".join(c.upper() if upper >> i & 1 else c for i, c in enumerate(slug))
        elif mark and code.startswith("x"):
            business_id = bytes.fromhex(code[1:]).decode()
        if key_of(business_id) == key:
            return business_id
    except ValueError as error:
        raise TopicError(f"key {key!r} is not an escaped id: {error}") from error
    raise TopicError(f"key {key!r} is not an escaped id")


def _is_plain(text: str) -> bool:
    return SEGMENT.fullmatch(text) is not None and "--" not in text


def matches(topic_filter: str, topic: str) -> bool:
    """Whether an MQTT topic filter (with + and #) selects the topic (MQTT 3.1.1, 4.7)."""
    levels = topic.split("/")
    for i, part in enumerate(topic_filter.split("/")):
        if part == "#":
            return True
        if i >= len(levels) or part not in ("+", levels[i]):
            return False
    return topic_filter.count("/") == topic.count("/")
