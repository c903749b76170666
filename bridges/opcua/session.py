"""One connection to one server: opened, subscribed, closed whatever the server does.

Owns everything asyncua is asked to do. asyncua's own reconnecting is off, because a new connection
must resolve the namespace and ask for every node again. Its subscription class is not used either:
it hands out value by value, and which values were published together is worth keeping.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError

from bridges.opcua.calls import CALL_TIMEOUT_S, losing, within, words
from bridges.opcua.config import OpcUaSettings, identifier_of
from bridges.opcua.errors import LostError, OpcUaError, RefusedHistoryError, UnreadableError
from bridges.opcua.inbox import Inbox, News, bounded
from bridges.opcua.learning import Learning
from bridges.opcua.mapping import Item, Sample, Steps
from bridges.opcua.security import SecureClient
from bridges.opcua.structure import Structures
from bridges.opcua.trust import Pki
from bridges.opcua.writes import written
from uns.model.observation import Scalar

ITEMS_A_REQUEST_MAX: Final = 500
CLOSE_TIMEOUT_S: Final = 1.0
CLAIM_PERIOD_S: Final = 10.0
NOTIFICATIONS_A_PUBLISH_MAX: Final = 10_000
"""What changed at once beyond this comes in parts, and is put together again in the inbox."""
HISTORIES_A_REQUEST_MAX: Final = 20
MUCH_WORSE: Final = 2
KEEP_ALIVES_IN_SILENCE: Final = 3
LIFETIME_IN_KEEP_ALIVES: Final = 10
_CONNECTION_LOST: Final = frozenset(
    {
        StatusCodes.BadConnectionClosed,
        StatusCodes.BadSecureChannelClosed,
        StatusCodes.BadSecureChannelIdInvalid,
        StatusCodes.BadSessionClosed,
        StatusCodes.BadSessionIdInvalid,
        StatusCodes.BadServerHalted,
        StatusCodes.BadShutdown,
        StatusCodes.BadTimeout,
        StatusCodes.BadRequestTimeout,
    }
)
_LIMITS: Final = (
    ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
    ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadData,
)


class Taken(NamedTuple):
    """What was published of the item with a handle, and when it came here."""

    handle: int
    sample: Sample
    heard_ms: int


class Page(NamedTuple):
    """One page of an item's history: where it goes on, or why there is none."""

    samples: list[Sample]
    continuation: bytes | None
    refusal: str | None


@asynccontextmanager
async def opened(
    settings: OpcUaSettings, items: Sequence[Item], pki: Path, clock: Callable[[], int]
) -> AsyncIterator["Session"]:
    """A subscribed session, closed at the end; OpcUaError if it cannot be had.

    items: what to monitor; their places in the sequence are the handles.
    pki: the folder of the certificates, DATA/pki.
    clock: plant time in ms, for when a value came.
    """
    session = Session(settings, items, SecureClient(settings, Pki(pki)), clock)
    politely = True
    try:
        await session.open()
        yield session
    except OpcUaError:
        politely = False
        raise
    finally:
        await session.close(politely=politely)


class Session:
    """A connection with one subscription.

    refused: why the server monitors a handle not.
    revised: what the server grants that is much worse than asked for.
    """

    def __init__(
        self,
        settings: OpcUaSettings,
        items: Sequence[Item],
        client: SecureClient,
        clock: Callable[[], int],
    ) -> None:
        self.refused: dict[int, str] = {}
        self.revised: str | None = None
        self.histories_max = HISTORIES_A_REQUEST_MAX
        self._settings = settings
        self._items = items
        self._items_max = ITEMS_A_REQUEST_MAX
        self._namespaces: list[str] = []
        self._subscription_id = 0
        self._claim_due_s = float("inf")
        self._inbox = Inbox(clock)
        self._client = client
        self._client.connection_lost_callback = self._connection_lost
        self._waiting = list[News]()
        self._learning = Learning(Structures(client.uaclient), self._learnt)

    async def open(self) -> None:
        """Connect, subscribe to every node; then the first values come."""
        with losing():
            granted = await within(CALL_TIMEOUT_S, self._subscribe())
            await self._claim(range(len(self._items)))
            await within(CALL_TIMEOUT_S, self._switch_on())
        self._inbox.watch(_silence_s(self._settings, granted))

    @property
    def warnings(self) -> str | None:
        """What is to be said of the connection while it is up."""
        return "; ".join(self._client.warnings) or None

    async def take(self) -> list[Taken]:
        """What was published since the last call; at times nothing.

        LostError when the connection is gone, after all that came before. A structure, and what
        comes after it of its node, waits for its type.
        """
        await self._claim_again()
        news = await self._inbox.take(self._claim_due_s)
        self._waiting += (one for one in news if one.handle in range(len(self._items)))
        taken, waiting = self._apart()
        if waiting:
            await self._learning.begin()
            taken, waiting = self._apart()
        self._waiting = bounded(waiting)
        return taken

    def _apart(self) -> tuple[list[Taken], list[News]]:
        """What waits, taken apart as far as its types are known, and the rest."""
        taken, waiting, late = list[Taken](), list[News](), set[int]()
        for one in self._waiting:
            sample = None if one.handle in late else self._learning.sample(one.value)
            if sample:
                taken.append(Taken(one.handle, sample, one.heard_ms))
            else:
                late.add(one.handle)
                waiting.append(one)
        return taken, waiting

    async def write(self, handle: int, steps: Steps, value: Scalar) -> Sample:
        """Write a node's value, or the part at the steps, and read the node back.

        UnwritableError when the value does not fit, the server refuses it, or it is not there
        afterwards. LostError when the server does not answer; `take` finds out by itself.
        """
        node = self._node_id(handle)
        with losing():
            return await within(
                CALL_TIMEOUT_S, written(self._client.uaclient, node, steps, value, self._read)
            )

    async def has_history(self, handles: Sequence[int]) -> dict[int, bool]:
        """Whether the server lets us read the history of items (part 3, 8.57)."""
        bit, found = 1 << ua.AccessLevel.HistoryRead, dict[int, bool]()
        with losing():
            for start in range(0, len(handles), self._items_max):
                page = handles[start : start + self._items_max]
                nodes = [self._node_id(handle) for handle in page]
                read = self._client.uaclient.read_attributes(nodes, AttributeIds.UserAccessLevel)
                told = await within(CALL_TIMEOUT_S, read)
                levels = [one.Value.Value if one.Value else None for one in told]
                pairs = zip(page, levels, strict=True)
                found |= {handle: bool((level or 0) & bit) for handle, level in pairs}
        return found

    async def history(
        self,
        since: datetime,
        until: datetime,
        asked: Sequence[tuple[int, bytes | None]],
        values_max: int,
    ) -> list[Page]:
        """A page of the raw history of each handle, from its continuation point where it has one.

        The values are those at and after `since`, before `until`, oldest first (part 11, 6.5.3).
        RefusedHistoryError when the server does not do that; LostError.
        """
        details = ua.ReadRawModifiedDetails(
            IsReadModified=False,
            StartTime=since,
            EndTime=until,
            NumValuesPerNode=values_max,
            ReturnBounds=False,
        )
        nodes = [
            ua.HistoryReadValueId(NodeId=self._node_id(h), ContinuationPoint=c) for h, c in asked
        ]
        request = ua.HistoryReadParameters(
            HistoryReadDetails=details,
            TimestampsToReturn=ua.TimestampsToReturn.Both,
            ReleaseContinuationPoints=False,
            NodesToRead=nodes,
        )
        with losing():
            try:
                reading = self._client.uaclient.history_read(request)
                results = await within(CALL_TIMEOUT_S, reading)
            except UaStatusCodeError as error:
                if int(error.code) in _CONNECTION_LOST:
                    raise
                raise RefusedHistoryError(words(error)) from error
            if len(results) != len(asked):
                raise LostError(f"{len(results)} histories for {len(asked)} nodes")
            return [await self._page(result) for result in results]

    def nudge(self) -> None:
        """Let `take` return now."""
        self._inbox.nudge()

    async def close(self, *, politely: bool) -> None:
        """End the session in short time, or at once; the socket is gone in any case."""
        self._learning.stop()
        protocol = self._client.uaclient.protocol
        transport = protocol.transport if protocol else None
        try:
            if transport and not politely:
                transport.abort()
            with suppress(OpcUaError), losing():
                await within(CLOSE_TIMEOUT_S, self._client.disconnect())
        finally:
            if transport:
                transport.abort()

    async def _subscribe(self) -> ua.CreateSubscriptionResult:
        client = self._client
        await client.join()
        limits = await client.uaclient.read_attributes(
            [ua.NodeId(ua.Int32(limit)) for limit in _LIMITS], AttributeIds.Value
        )
        items_max, histories_max = (one.Value.Value if one.Value else None for one in limits)
        self._items_max = min(ITEMS_A_REQUEST_MAX, items_max or ITEMS_A_REQUEST_MAX)
        self.histories_max = min(HISTORIES_A_REQUEST_MAX, histories_max or HISTORIES_A_REQUEST_MAX)
        granted = await client.uaclient.create_subscription(
            _subscription(self._settings), self._inbox.published
        )
        self._subscription_id = granted.SubscriptionId
        return granted

    async def _switch_on(self) -> None:
        mode = ua.SetPublishingModeParameters(
            PublishingEnabled=True, SubscriptionIds=[self._subscription_id]
        )
        await self._client.uaclient.set_publishing_mode(mode)

    async def _claim(self, handles: Sequence[int]) -> None:
        """Ask the server to monitor nodes, and remember which it refuses."""
        namespaces = self._client.get_namespace_array()
        self._namespaces = await within(CALL_TIMEOUT_S, namespaces)
        refused = dict[int, str]()
        for start in range(0, len(handles), self._items_max):
            page = handles[start : start + self._items_max]
            refused |= await within(CALL_TIMEOUT_S, self._claim_page(page))
        self.refused = refused
        now_s = asyncio.get_running_loop().time()
        self._claim_due_s = now_s + CLAIM_PERIOD_S if refused else float("inf")

    async def _claim_again(self) -> None:
        """Ask again now and then: a server may be up before the program that owns its nodes."""
        if asyncio.get_running_loop().time() < self._claim_due_s:
            return
        try:
            with losing():
                await self._claim(tuple(self.refused))
        except LostError as error:
            self._claim_due_s = float("inf")
            self._inbox.lose(str(error))

    async def _claim_page(self, handles: Iterable[int]) -> dict[int, str]:
        requests, refused = list[ua.MonitoredItemCreateRequest](), dict[int, str]()
        for handle in handles:
            try:
                requests.append(self._request(handle))
            except UnreadableError as error:
                refused[handle] = str(error)
        if not requests:
            return refused
        results = await self._client.uaclient.create_monitored_items(
            ua.CreateMonitoredItemsParameters(
                SubscriptionId=self._subscription_id,
                TimestampsToReturn=ua.TimestampsToReturn.Both,
                ItemsToCreate=requests,
            )
        )
        for request, result in zip(requests, results, strict=True):
            handle = int(request.RequestedParameters.ClientHandle)
            if result.StatusCode.is_good():
                self.revised = self.revised or _revision(self._items[handle], result)
            else:
                refused[handle] = f"{result.StatusCode.name}: {self._items[handle].node}"
        return refused

    def _learnt(self, loss: str | None) -> None:
        if loss:
            self._inbox.lose(loss)
        self._inbox.nudge()

    async def _page(self, result: ua.HistoryReadResult) -> Page:
        found: Any = result.HistoryData
        values = found.DataValues if isinstance(found, ua.HistoryData) else []
        refusal = None if result.StatusCode.is_good() else result.StatusCode.name
        return Page(await self._learning.samples(values), result.ContinuationPoint or None, refusal)

    async def _read(self, node: ua.NodeId) -> Sample:
        values = await self._client.uaclient.read_attributes([node], AttributeIds.Value)
        (read,) = await self._learning.samples(values)
        return read

    def _node_id(self, handle: int) -> ua.NodeId:
        """UnreadableError where the server does not have the namespace."""
        item = self._items[handle]
        if item.namespace_uri not in self._namespaces:
            uris = ", ".join(self._namespaces)
            raise UnreadableError(f"no namespace {item.namespace_uri} among {uris}")
        index = self._namespaces.index(item.namespace_uri)
        identifier: Any = identifier_of(item.node)
        return ua.NodeId(identifier, ua.Int16(index))

    def _request(self, handle: int) -> ua.MonitoredItemCreateRequest:
        item = self._items[handle]
        return ua.MonitoredItemCreateRequest(
            ItemToMonitor=ua.ReadValueId(
                NodeId=self._node_id(handle), AttributeId=AttributeIds.Value
            ),
            MonitoringMode=ua.MonitoringMode.Reporting,
            RequestedParameters=ua.MonitoringParameters(
                ClientHandle=handle,
                SamplingInterval=item.sampling_interval_ms,
                QueueSize=item.queue_size,
                DiscardOldest=True,
            ),
        )

    async def _connection_lost(self, error: Exception) -> None:
        self._inbox.lose(self._client.exceeded or words(error))


def _subscription(settings: OpcUaSettings) -> ua.CreateSubscriptionParameters:
    """Starts without publishing, so that the first publish has every node's value."""
    interval_ms = settings.publishing_interval_ms
    keep_alives = max(1, settings.silence_ms_max // (KEEP_ALIVES_IN_SILENCE * interval_ms))
    return ua.CreateSubscriptionParameters(
        RequestedPublishingInterval=interval_ms,
        RequestedMaxKeepAliveCount=keep_alives,
        RequestedLifetimeCount=keep_alives * LIFETIME_IN_KEEP_ALIVES,
        MaxNotificationsPerPublish=NOTIFICATIONS_A_PUBLISH_MAX,
        PublishingEnabled=False,
        Priority=0,
    )


def _silence_s(settings: OpcUaSettings, granted: ua.CreateSubscriptionResult) -> float:
    """A server may grant slower keep-alives than asked for; that is no silence."""
    keep_alive_ms = granted.RevisedPublishingInterval * granted.RevisedMaxKeepAliveCount
    return max(settings.silence_ms_max, KEEP_ALIVES_IN_SILENCE * float(keep_alive_ms)) / 1000


def _revision(item: Item, granted: ua.MonitoredItemCreateResult) -> str | None:
    """What the server grants for an item, where it is much worse than asked for."""
    sampling_ms, queue_size = float(granted.RevisedSamplingInterval), int(granted.RevisedQueueSize)
    if sampling_ms > MUCH_WORSE * item.sampling_interval_ms:
        asked = item.sampling_interval_ms
        return f"the server samples {item.node} every {sampling_ms:g} ms, not every {asked}"
    if queue_size * MUCH_WORSE < item.queue_size:
        return f"the server queues {queue_size} values of {item.node}, not {item.queue_size}"
    return None
