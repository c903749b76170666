"""The fault proxy itself, in front of an echo."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tests.brokers import bounded, until
from tests.fault_proxy import FaultProxy, proxied

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
SILENCE_S = 0.2


@asynccontextmanager
async def echo() -> AsyncIterator[FaultProxy]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionResetError):
            while received := await reader.read(1_000):
                writer.write(received)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, proxied("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


@asynccontextmanager
async def connected(proxy: FaultProxy) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def asked(streams: Streams, question: bytes) -> bytes:
    reader, writer = streams
    writer.write(question)
    return await reader.readexactly(len(question))


async def is_silent(streams: Streams) -> bool:
    reader, writer = streams
    writer.write(b"?")
    waiting = asyncio.ensure_future(reader.read(1))
    done, _ = await asyncio.wait({waiting}, timeout=SILENCE_S)
    waiting.cancel()
    return not done


@bounded
async def test_without_a_fault_it_changes_nothing() -> None:
    question = bytes(range(256)) * 1_000
    async with echo() as proxy, connected(proxy) as streams:
        assert await asked(streams, question) == question


@bounded
async def test_an_end_is_passed_on() -> None:
    async with echo() as proxy, connected(proxy) as (reader, writer):
        writer.write_eof()
        assert await reader.read() == b""


@bounded
async def test_bytes_come_late() -> None:
    async with echo() as proxy, connected(proxy) as streams:
        proxy.latency_s = 0.1
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        assert await asked(streams, b"ping") == b"ping"
        assert loop.time() - began_s >= 0.2


@bounded
async def test_bytes_come_one_by_one() -> None:
    async with echo() as proxy, connected(proxy) as (reader, writer):
        proxy.slice_bytes = 1
        writer.write(bytes(range(100)))
        pieces = list[bytes]()
        while len(b"".join(pieces)) < 100:
            pieces.append(await reader.read(100))
        assert b"".join(pieces) == bytes(range(100))
        assert len(pieces) > 30


@bounded
async def test_a_cut_resets_and_refuses_until_the_link_is_back() -> None:
    async with echo() as proxy, connected(proxy) as (reader, _):
        cut = asyncio.create_task(proxy.cut(0.2))
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        await cut
        async with connected(proxy) as streams:
            assert await asked(streams, b"ping") == b"ping"


@bounded
async def test_a_hanging_link_takes_everything_and_says_nothing() -> None:
    async with echo() as proxy, connected(proxy) as before:
        assert await asked(before, b"ping") == b"ping"
        proxy.hang()
        assert await is_silent(before)
        async with connected(proxy) as during:
            assert await is_silent(during)
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            await before[0].read(1)
        async with connected(proxy) as after:
            assert await asked(after, b"ping") == b"ping"


@bounded
async def test_the_end_leaves_no_task() -> None:
    async with echo() as proxy:
        tasks = asyncio.all_tasks()
        async with connected(proxy) as streams:
            assert await asked(streams, b"ping") == b"ping"
            proxy.hang()
            assert await is_silent(streams)
        await proxy.close()
        await until(lambda: asyncio.all_tasks() <= tasks)
