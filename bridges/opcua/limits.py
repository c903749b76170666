"""asyncua's client, keeping to limits: ours for what it receives, the server's for what it sends.

Left alone it takes messages of any size, tells servers that they may send chunks of 2 GB, and takes
the two buffer sizes of the server's Acknowledge for each other.
"""

from typing import Final

from asyncua.client.client import Client
from asyncua.common.connection import TransportLimits
from asyncua.ua import ua_binary

NAME: Final = "uns-mes"
MESSAGE_BYTES_MAX: Final = 16_000_000
CHUNKS_MAX: Final = 256
CHUNK_BYTES_MIN: Final = 8_192
"""What every server takes (OPC 10000-6, 7.1.2.3)."""
CHUNK_BYTES_MAX: Final = 1_048_576
PROBE_PERIOD_S_MIN: Final = 0.5


class Limits(TransportLimits):
    """What may be received and sent; `exceeded` says what the other side sent beyond it."""

    exceeded: str | None = None

    def is_msg_size_within_limit(self, sz: int) -> bool:
        """Whether a message may grow so large."""
        return self._noted(super().is_msg_size_within_limit(sz), self.max_message_size, "bytes")

    def is_chunk_count_within_limit(self, sz: int) -> bool:
        """Whether a message may have so many chunks."""
        return self._noted(super().is_chunk_count_within_limit(sz), self.max_chunk_count, "chunks")

    def _noted(self, is_within: bool, most: int, unit: str) -> bool:  # noqa: FBT001 - an answer
        if not is_within:
            self.exceeded = f"an answer of the server is larger than {most} {unit}"
        return is_within


class LimitedClient(Client):
    """A client for one connection; a server silent for `silence_s` counts as lost."""

    def __init__(self, url: str, silence_s: float) -> None:
        probe_period_s = max(PROBE_PERIOD_S_MIN, silence_s / 2)
        super().__init__(url, timeout=silence_s, watchdog_intervall=probe_period_s)
        self.name = self.description = NAME
        self.max_messagesize = MESSAGE_BYTES_MAX
        self.max_chunkcount = CHUNKS_MAX
        self._limits = Limits()
        ua_binary.MAX_RESHAPE_ELEMENTS = MESSAGE_BYTES_MAX // 4  # a matrix may be large

    async def send_hello(self) -> None:
        """State our limits, hear the server's, and keep to both (OPC 10000-6, 7.1.2.4)."""
        acknowledged = await self.uaclient.send_hello(
            self.server_url.geturl(), self.max_messagesize, self.max_chunkcount
        )
        if self.uaclient.protocol is None:
            raise ConnectionError("Connection is not open")
        self._limits = Limits(
            max_recv_buffer=CHUNK_BYTES_MAX,
            max_send_buffer=max(acknowledged.ReceiveBufferSize, CHUNK_BYTES_MIN),
            max_chunk_count=self.max_chunkcount,
            max_message_size=self.max_messagesize,
        )
        self.uaclient.protocol._connection._limits = self._limits  # noqa: SLF001 - no other way

    @property
    def exceeded(self) -> str | None:
        """What was too large to be received: the connection ends with it."""
        return self._limits.exceeded
