"""Writing a value to a node, or to one element of an array, and reading it back.

Owns how a write is made safe: the node's own type, no other element touched, the answer read from
the device. Does not know who may write what, which was decided before (uns.runtime.gate).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from asyncua import ua
from asyncua.client.ua_client import UaClient
from asyncua.ua.attribute_ids import AttributeIds

from bridges.opcua.errors import UnreadableError, UnwritableError
from bridges.opcua.mapping import Sample, Steps, part_of, same_value, writable_value
from uns.model.observation import Scalar

READ_BACKS_MAX: Final = 5
READ_BACK_PERIOD_S: Final = 0.1
Read = Callable[[ua.NodeId], Awaitable[Sample]]


async def written(
    client: UaClient, node: ua.NodeId, steps: Steps, value: Scalar, read: Read
) -> Sample:
    """Write a node's value, or the element at the steps, and read it back.

    A PLC may take a few of its cycles to show it. The sample is of the whole node.
    UnwritableError when the value does not fit, the server refuses it or it is not there
    afterwards.
    """
    before = await read(node)
    if before.type_name is None:
        raise UnwritableError("the node has no value, so its type is not known")
    if not steps and isinstance(before.value, list | Mapping):
        raise UnwritableError("the node has an array or a structure: say which element with 'path'")
    wanted = (
        writable_value(value, before.type_name) if not steps else _element(before, steps, value)
    )
    if steps:
        await _check_ranges(client, node, steps)
    variant = ua.Variant([wanted] if steps else wanted, ua.VariantType[before.type_name])
    request = ua.WriteValue(
        NodeId=node,
        AttributeId=AttributeIds.Value,
        IndexRange=_range(steps),
        Value=ua.DataValue(variant, StatusCode=None),
    )
    (status,) = await client.write(ua.WriteParameters(NodesToWrite=[request]))
    if not status.is_good():
        raise UnwritableError(f"the server refused it: {status.doc} ({status.name})")
    for _ in range(READ_BACKS_MAX):
        sample = await read(node)
        if _same(sample, steps, wanted, before.type_name):
            return sample
        await asyncio.sleep(READ_BACK_PERIOD_S)
    raise UnwritableError(f"the server took it, but shows {sample.value!r:.60} afterwards")


def _element(before: Sample, steps: Steps, value: Scalar) -> Scalar:
    """The value as the array takes it, where there is such an element now."""
    if len(steps) != 1 or not isinstance(steps[0], int):
        raise UnwritableError(
            "only an element of an array is written: a part of a structure goes out with the "
            "whole, and would put back old values of its other parts"
        )
    try:
        part_of(before.value, steps)
    except UnreadableError as error:
        raise UnwritableError(str(error)) from error
    return writable_value(value, before.type_name)


async def _check_ranges(client: UaClient, node: ua.NodeId, steps: Steps) -> None:
    """A server that takes no notice of an index range would put the element in the array's place.

    One that reads a single element by it is taken to write by it as well (part 4, 5.11.4).
    """
    asked = ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value, IndexRange=_range(steps))
    (data,) = await client.read(ua.ReadParameters(NodesToRead=[asked]))
    value: Any = data.Value.Value if data.Value else None
    if not isinstance(value, list) or len(value) != 1:
        raise UnwritableError("the server takes no index range, so no single element is written")


def _range(steps: Steps) -> str | None:
    """The index range of one element: `2` (part 4, 7.27)."""
    return str(steps[0]) if steps else None


def _same(sample: Sample, steps: Steps, wanted: Scalar, type_name: str) -> bool:
    try:
        return same_value(part_of(sample.value, steps), wanted, type_name)
    except UnreadableError:
        return False
