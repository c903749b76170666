"""The OPC UA client keeps to its own limits and to the server's."""

import asyncio
import struct

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import variant_from_binary, variant_to_binary

from bridges.opcua.limits import CHUNK_BYTES_MIN, CHUNKS_MAX, MESSAGE_BYTES_MAX, LimitedClient


def test_a_matrix_may_be_as_large_as_a_message() -> None:
    LimitedClient("opc.tcp://127.0.0.1:4840", 2.0)
    sides = [ua.Int32(1_000), ua.Int32(1_001)]
    flags = ua.Variant([True] * 1_001_000, ua.VariantType.Boolean, sides, is_array=True)
    read = variant_from_binary(Buffer(variant_to_binary(flags)))
    assert (len(read.Value), len(read.Value[0])) == (1_000, 1_001)


async def test_the_limits_are_ours_for_receiving_and_the_servers_for_sending() -> None:
    hellos = list[bytes]()

    async def small(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Its limits: receive buffer, send buffer, message size, chunks (OPC 10000-6, 7.1.2.4)."""
        hellos.append(await reader.read(1_000))
        writer.write(b"ACKF" + struct.pack("<6I", 28, 0, CHUNK_BYTES_MIN, 65_535, 10_000, 2))

    server = await asyncio.start_server(small, "127.0.0.1", 0)
    client = LimitedClient(f"opc.tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}", 2.0)
    try:
        await client.connect_socket()
        await client.send_hello()
        assert client.uaclient.protocol is not None
        limits = client.uaclient.protocol._connection._limits
        assert limits.max_send_buffer == CHUNK_BYTES_MIN
        assert 65_535 <= limits.max_recv_buffer < MESSAGE_BYTES_MAX
        assert (limits.max_message_size, limits.max_chunk_count) == (MESSAGE_BYTES_MAX, CHUNKS_MAX)
        assert struct.unpack("<2I", hellos[0][20:28]) == (MESSAGE_BYTES_MAX, CHUNKS_MAX)
    finally:
        client.disconnect_socket()
        server.close()
