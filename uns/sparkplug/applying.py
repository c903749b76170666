"""Owns what births, deaths and data do to one edge node once their turn has come.

It knows no order, no timer and no request: those are `host`. Each function reads the message to
its end before it moves anything, so that what raises DecodeError has changed nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from zlib import crc32

from uns.sparkplug.catalogue import declare, values_of_birth, values_of_data
from uns.sparkplug.errors import DecodeError
from uns.sparkplug.node import BD_SEQ, SEQ_MODULUS, Birth, Message, Node, Phase
from uns.sparkplug.outputs import DropBirths, HostOutput, Ignored, KeepBirth, Online, Stale
from uns.sparkplug.reading import read_payload

if TYPE_CHECKING:
    from uns.sparkplug.values import Payload

HALF: Final = SEQ_MODULUS // 2
_DIED: Final = "the edge node died"


def read_birth(message: Message) -> Birth:
    """Read what a birth declares."""
    payload = read_payload(message.wire)
    catalogue = declare(payload.metrics)
    return Birth(message.at_ms, crc32(message.raw), _bd_seq(payload), payload.metrics, catalogue)


def node_birth(node: Node, message: Message, out: list[HostOutput]) -> None:
    """Begin anew; messages of the new session that came early stay pending."""
    birth = read_birth(message)
    early = node.take_sent_since(birth.at_ms)
    out.extend(node.end(Phase.ONLINE, "born again", message.now_ms))
    node.begin(birth, (message.wire.seq + 1) % SEQ_MODULUS, is_remembered=False)
    node.pending = early
    _put_online(node, None, birth, message, out)


def node_death(node: Node, message: Message, out: list[HostOutput]) -> None:
    """End the node and its devices at the host's clock, if the death is that of the last birth.

    Of what is only known by kept births the last values turn stale too: a host that was away may
    still show them. There a later bd_seq counts as well, for a birth was missed.
    """
    if node.phase is Phase.OFFLINE and None not in node.kept:
        out.append(Ignored("death of a node that is not online", message.text))
        return
    stated = _bd_seq(read_payload(message.wire))
    if stated is None:
        raise DecodeError(f"a node's death needs {BD_SEQ} as an integer")
    unheard = node.kept.get(None)
    held, is_remembered = (unheard.bd_seq, True) if unheard else (node.bd_seq, node.is_remembered)
    if held is not None and not _ends(stated, held, is_remembered=is_remembered):
        out.append(Ignored(f"death of {BD_SEQ} {stated}, the node has {held}", message.text))
        return
    unseen = [Stale(*node.place(each), message.now_ms, _DIED) for each in node.kept]
    out.extend(node.end(Phase.OFFLINE, _DIED, message.now_ms))
    out.extend(unseen)


def device_birth(node: Node, message: Message, devices_max: int, out: list[HostOutput]) -> None:
    """Put a device online, instead of what it was before."""
    device = message.topic.device
    birth = read_birth(message)
    if device not in node.places and len(node.places) > devices_max:
        raise DecodeError(f"more than {devices_max} devices")
    out.extend(node.recall(None, message.at_ms))
    node.kept.pop(device, None)
    if device in node.places:
        out.append(Stale(*node.place(device), message.now_ms, "born again"))
    out.extend(_namesakes(node, device, message.text))
    _put_online(node, device, birth, message, out)


def device_death(node: Node, message: Message, out: list[HostOutput]) -> None:
    """End a device at the payload's time."""
    device = message.topic.device
    out.extend(node.recall(None, message.at_ms))
    known = node.places.pop(device, None) or node.kept.pop(device, None)
    if known is None:
        out.append(Ignored("death of a device that was not born", message.text))
        return
    out.append(Stale(*node.place(device), message.at_ms, "the device died"))
    out.append(DropBirths(*node.place(device)))


def apply_values(node: Node, message: Message, out: list[HostOutput]) -> None:
    """Give the values; the first of a kept birth puts its place online."""
    place = node.place(message.topic.device)
    birth = node.places.get(place.device) or node.kept.get(place.device)
    if birth is None:
        raise DecodeError(f"no birth of the device {place.device!r}")
    values = values_of_data(place, birth.catalogue, message.wire, message.at_ms)
    if node.kept:
        out.extend(node.recall(place.device, message.at_ms))
    out.extend(values)


def _put_online(
    node: Node, device: str | None, birth: Birth, message: Message, out: list[HostOutput]
) -> None:
    place = node.place(device)
    node.places[device] = birth
    out.append(KeepBirth(message.text, message.raw))
    out.append(Online(*place, birth.at_ms, birth.metrics))
    out.extend(values_of_birth(place, birth.metrics, birth.at_ms))


def _namesakes(node: Node, device: str | None, text: str) -> list[HostOutput]:
    """Notice ids that differ by case only (`tck-id-case-sensitivity-sparkplug-ids`)."""
    folded = (device or "").casefold()
    return [
        Ignored(f"device {device!r} differs from {other!r} by case only", text)
        for other in node.places
        if other is not None and other != device and other.casefold() == folded
    ]


def _bd_seq(payload: Payload) -> int | None:
    stated = payload.metric(BD_SEQ)
    return stated.value if stated and isinstance(stated.value, int) else None


def _ends(stated: int, held: int, *, is_remembered: bool) -> bool:
    ahead = (stated - held) % SEQ_MODULUS
    return ahead == 0 or (is_remembered and ahead < HALF)
