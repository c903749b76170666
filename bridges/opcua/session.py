"""One connection to one server: opened, subscribed, closed whatever the server does.

Owns everything asyncua is asked to do. asyncua's own reconnecting is off, because a new connection
must resolve the namespace and ask for every node again. Its subscription class is not used either:
it hands out value by value, and which values were published together is worth keeping.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, TypeVar

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds

from bridges.opcua.config import OpcUaSettings
from bridges.opcua.errors import LostError, OpcUaError, RefusedError, UnwritableError
from bridges.opcua.inbox import Inbox
from bridges.opcua.mapping import Sample, same_value, writable_value
from uns.model.observation import Scalar

MESSAGE_BYTES_MAX: Final = 16_000_000
CHUNKS_MAX: Final = 256
ITEMS_A_REQUEST_MAX: Final = 500
OPEN_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 1.0
PROBE_PERIOD_S_MIN: Final = 0.5
CLAIM_PERIOD_S: Final = 10.0
READ_BACKS_MAX: Final = 5
READ_BACK_PERIOD_S: Final = 0.1
SESSION_TIMEOUT_MS: Final = 60_000
"""A session left behind by a crash holds one of the server's few places no longer than this."""
KEEP_ALIVES_IN_SILENCE: Final = 3
LIFETIME_IN_KEEP_ALIVES: Final = 10
_WORDS: Final[dict[type[Exception], str]] = {
    ConnectionRefusedError: "connection refused",
    socket.gaierror: "unknown host",
    TimeoutError: "no answer in time",
    ConnectionError: "connection lost",
}
T = TypeVar("T")


@asynccontextmanager
async def opened(settings: OpcUaSettings, nodes: Sequence[str]) -> AsyncIterator["Session"]:
    """A subscribed session, closed at the end; OpcUaError if it cannot be had.

    nodes: identifiers in the settings' namespace; their places in the sequence are the handles.
    """
    _check_security(settings)
    session = Session(settings, nodes)
    politely = True
    try:
        await session.open()
        yield session
    except OpcUaError:
        politely = False
        raise
    finally:
        await session.close(politely=politely)


def _check_security(settings: OpcUaSettings) -> None:
    if not settings.insecure:
        raise RefusedError(
            "set 'insecure: true' to allow SecurityPolicy None, the only one this bridge speaks"
        )


class Session:
    """A connection with one subscription. `refused` is why the server monitors a handle not."""

    def __init__(self, settings: OpcUaSettings, nodes: Sequence[str]) -> None:
        self.refused: dict[int, str] = {}
        self._settings = settings
        self._nodes = nodes
        self._namespace = 0
        self._subscription_id = 0
        self._claim_due_s = float("inf")
        self._inbox = Inbox()
        self._client = _client(settings)
        self._client.connection_lost_callback = self._connection_lost

    async def open(self) -> None:
        """Connect, find the namespace, subscribe to every node; then the first values come."""
        with _losing():
            await _within(OPEN_TIMEOUT_S, self._open())

    async def take(self) -> list[tuple[int, Sample]]:
        """What was published since the last call, as (handle, sample); at times nothing.

        LostError when the connection is gone. Refused nodes are asked for again now and then: a
        server may be up before the program that owns its nodes.
        """
        items = await self._inbox.take(self._claim_due_s)
        if asyncio.get_running_loop().time() >= self._claim_due_s:
            with _losing():
                await _within(OPEN_TIMEOUT_S, self._claim(tuple(self.refused)))
        known = range(len(self._nodes))
        return [(int(i.ClientHandle), _sample(i.Value)) for i in items if i.ClientHandle in known]

    async def write(self, handle: int, value: Scalar) -> Sample:
        """Write a node's value and read it back; a PLC may take a few of its cycles to show it.

        UnwritableError when the value does not fit, the server refuses it, or it is not there
        afterwards. LostError when the server does not answer; `take` finds out by itself.
        """
        with _losing():
            return await _within(OPEN_TIMEOUT_S, self._write(self._node_id(handle), value))

    def nudge(self) -> None:
        """Let `take` return now."""
        self._inbox.nudge()

    async def close(self, *, politely: bool) -> None:
        """End the session in short time, or at once; the socket is gone in any case."""
        protocol = self._client.uaclient.protocol
        transport = protocol.transport if protocol else None
        try:
            if transport and not politely:
                transport.abort()
            with suppress(OpcUaError), _losing():
                await _within(CLOSE_TIMEOUT_S, self._client.disconnect())
        finally:
            if transport:
                transport.abort()

    async def _open(self) -> None:
        await self._client.connect()
        uris = await self._client.get_namespace_array()
        if self._settings.namespace_uri not in uris:
            raise LostError(f"no namespace {self._settings.namespace_uri} among {', '.join(uris)}")
        self._namespace = uris.index(self._settings.namespace_uri)
        result = await self._client.uaclient.create_subscription(
            _subscription(self._settings), self._inbox.published
        )
        self._subscription_id = result.SubscriptionId
        await self._claim(range(len(self._nodes)))
        mode = ua.SetPublishingModeParameters(
            PublishingEnabled=True, SubscriptionIds=[self._subscription_id]
        )
        await self._client.uaclient.set_publishing_mode(mode)
        self._inbox.watch(_silence_s(self._settings, result))

    async def _claim(self, handles: Iterable[int]) -> None:
        """Ask the server to monitor nodes, and remember which it refuses."""
        requests = [self._request(handle) for handle in handles]
        refused = dict[int, str]()
        for start in range(0, len(requests), ITEMS_A_REQUEST_MAX):
            some = requests[start : start + ITEMS_A_REQUEST_MAX]
            results = await self._client.uaclient.create_monitored_items(
                ua.CreateMonitoredItemsParameters(
                    SubscriptionId=self._subscription_id,
                    TimestampsToReturn=ua.TimestampsToReturn.Both,
                    ItemsToCreate=some,
                )
            )
            for request, result in zip(some, results, strict=True):
                if not result.StatusCode.is_good():
                    handle = int(request.RequestedParameters.ClientHandle)
                    refused[handle] = f"{result.StatusCode.name}: {self._nodes[handle]}"
        self.refused = refused
        now_s = asyncio.get_running_loop().time()
        self._claim_due_s = now_s + CLAIM_PERIOD_S if refused else float("inf")

    async def _write(self, node: ua.NodeId, value: Scalar) -> Sample:
        type_name = (await self._read(node)).type_name
        if type_name is None:
            raise UnwritableError("the node has no value, so its type is not known")
        wanted = writable_value(value, type_name)
        data = ua.DataValue(ua.Variant(wanted, ua.VariantType[type_name]), StatusCode=None)
        (status,) = await self._client.uaclient.write_attributes([node], [data])
        if not status.is_good():
            raise UnwritableError(f"the server refused it: {status.doc} ({status.name})")
        for _ in range(READ_BACKS_MAX):
            sample = await self._read(node)
            if same_value(sample.value, wanted, type_name):
                return sample
            await asyncio.sleep(READ_BACK_PERIOD_S)
        raise UnwritableError(f"the server took it, but shows {sample.value!r} afterwards")

    async def _read(self, node: ua.NodeId) -> Sample:
        (data,) = await self._client.uaclient.read_attributes([node], AttributeIds.Value)
        return _sample(data)

    def _node_id(self, handle: int) -> ua.NodeId:
        return ua.NodeId.from_string(f"ns={self._namespace};{self._nodes[handle]}")

    def _request(self, handle: int) -> ua.MonitoredItemCreateRequest:
        return ua.MonitoredItemCreateRequest(
            ItemToMonitor=ua.ReadValueId(
                NodeId=self._node_id(handle), AttributeId=AttributeIds.Value
            ),
            MonitoringMode=ua.MonitoringMode.Reporting,
            RequestedParameters=ua.MonitoringParameters(
                ClientHandle=handle,
                SamplingInterval=self._settings.sampling_interval_ms,
                QueueSize=self._settings.queue_size,
                DiscardOldest=True,
            ),
        )

    async def _connection_lost(self, error: Exception) -> None:
        self._inbox.lose(_words(error))


def _client(settings: OpcUaSettings) -> Client:
    silence_s = settings.silence_ms_max / 1000
    client = Client(
        settings.url,
        timeout=silence_s,
        watchdog_intervall=max(PROBE_PERIOD_S_MIN, silence_s / 2),
    )
    client.name = client.description = "uns-mes"
    client.application_uri = "urn:uns-mes:opcua-bridge"
    client.session_timeout = max(SESSION_TIMEOUT_MS, 4 * settings.silence_ms_max)
    client.max_messagesize = MESSAGE_BYTES_MAX
    client.max_chunkcount = CHUNKS_MAX
    if settings.username is not None:
        client.set_user(settings.username)
        client.set_password(settings.password or "")
    return client


def _subscription(settings: OpcUaSettings) -> ua.CreateSubscriptionParameters:
    """Starts without publishing, so that the first publish has every node's value."""
    interval_ms = settings.publishing_interval_ms
    keep_alives = max(1, settings.silence_ms_max // (KEEP_ALIVES_IN_SILENCE * interval_ms))
    return ua.CreateSubscriptionParameters(
        RequestedPublishingInterval=interval_ms,
        RequestedMaxKeepAliveCount=keep_alives,
        RequestedLifetimeCount=keep_alives * LIFETIME_IN_KEEP_ALIVES,
        MaxNotificationsPerPublish=0,
        PublishingEnabled=False,
        Priority=0,
    )


def _silence_s(settings: OpcUaSettings, granted: ua.CreateSubscriptionResult) -> float:
    """A server may grant slower keep-alives than asked for; that is no silence."""
    keep_alive_ms = granted.RevisedPublishingInterval * granted.RevisedMaxKeepAliveCount
    return max(settings.silence_ms_max, KEEP_ALIVES_IN_SILENCE * float(keep_alive_ms)) / 1000


def _sample(data: ua.DataValue) -> Sample:
    status = data.StatusCode or ua.StatusCode()
    variant = data.Value
    empty = variant is None or variant.VariantType is ua.VariantType.Null
    return Sample(
        value=variant.Value if variant else None,
        type_name=None if variant is None or empty else variant.VariantType.name,
        status=int(status.value),
        status_name=status.name,
        source_at=data.SourceTimestamp,
        server_at=data.ServerTimestamp,
    )


async def _within(timeout_s: float, work: Coroutine[Any, Any, T]) -> T:
    """Bound work in time.

    It runs in its own task because `asyncio.wait_for`, which asyncua uses, can swallow a
    cancellation that meets the result (CPython 86296, fixed in 3.12).
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task,), timeout=timeout_s)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@contextmanager
def _losing() -> Iterator[None]:
    """Whatever asyncua raises over foreign bytes is a loss; our own errors stay what they are."""
    try:
        yield
    except OpcUaError:
        raise
    except Exception as error:
        raise LostError(_words(error)) from error


def _words(error: Exception) -> str:
    known = (words for kind, words in _WORDS.items() if isinstance(error, kind))
    return next(known, str(error) or type(error).__name__)
