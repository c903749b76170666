import pytest

from uns.sparkplug.datatype import DataType
from uns.sparkplug.edge import Write
from uns.sparkplug.edge_metrics import Scalar
from uns.sparkplug.edge_queue import BacklogLimits, Entry, MemoryBacklog
from uns.sparkplug.edge_session import DOUBTS_MAX, LIVE_MAX, EdgeOutput, EdgeSession
from uns.sparkplug.edge_settings import EdgeSettings
from uns.sparkplug.outputs import Ignored, Publish
from uns.sparkplug.payload import decode, encode
from uns.sparkplug.state import offline, online
from uns.sparkplug.values import QUALITY_BAD, Metric, Payload, Property

AT_MS = 1_765_432_100_000
SETTLE_MS = 500
REBIRTH_MS = 1_000
DOUBT_MS = 15_000
NCMD = "spBv1.0/g/NCMD/e"


class Rig:
    """An edge session with a clock, and all that it has said."""

    def __init__(
        self, host: str | None = None, servers: int = 1, bd_seq: int | None = None
    ) -> None:
        settings = EdgeSettings("g", "e", host, servers, REBIRTH_MS, SETTLE_MS, 5_000, DOUBT_MS)
        self.backlog = MemoryBacklog(BacklogLimits(50, 3_600_000))
        self.session = EdgeSession(settings, self.backlog, bd_seq)
        self.now_ms = AT_MS
        self.said: list[tuple[str, Payload]] = []

    def show(self, name: str, value: Scalar, at_ms: int | None = None) -> None:
        self.show_at("d", name, value, at_ms)

    def show_at(self, device: str | None, name: str, value: Scalar, at_ms: int | None) -> None:
        at_ms = self.now_ms if at_ms is None else at_ms
        self.session.update(Entry(device, name, value, at_ms, 192), self.now_ms)

    def connect(self) -> None:
        self.session.connecting()
        self.session.connected(self.now_ms)

    def speak(self) -> list[str]:
        """Say all there is to say now; which verbs."""
        before = len(self.said)
        while message := self.session.next(self.now_ms):
            self.session.accepted(self.now_ms)
            self.said.append((message.topic, read(message)))
        return [topic.split("/")[2] for topic, _ in self.said[before:]]

    def born(self) -> "Rig":
        self.show("a", 1)
        self.now_ms += SETTLE_MS
        self.connect()
        assert self.speak() == ["NBIRTH", "DBIRTH"]
        return self

    def lose_long_after(self) -> None:
        """Lose the connection when all that was said is believed to have arrived."""
        self.now_ms += DOUBT_MS
        assert self.speak() == []
        self.lose()

    def hear(self, message: Publish) -> list[EdgeOutput]:
        return self.session.receive(message.topic, message.payload, self.now_ms)

    def command(self, topic: str, *metrics: Metric) -> list[EdgeOutput]:
        return self.session.receive(topic, encode(Payload(metrics, self.now_ms)), self.now_ms)

    def ask_rebirth(self) -> None:
        asked = Metric("Node Control/Rebirth", value=True, datatype=DataType.BOOLEAN)
        assert self.command(NCMD, asked) == []

    def lose(self) -> None:
        self.session.ended()

    def history(self) -> list[tuple[object, int | None]]:
        return [
            (metric.value, metric.timestamp_ms)
            for topic, payload in self.said
            if "DATA" in topic
            for metric in payload.metrics
            if metric.is_historical
        ]


def read(message: Publish) -> Payload:
    payload = decode(message.payload)
    assert isinstance(payload, Payload), payload
    return payload


def bd_seq_of(payload: Payload) -> object:
    metric = payload.metric("bdSeq")
    assert metric
    return metric.value


@pytest.fixture
def rig() -> Rig:
    return Rig().born()


# --- connections


@pytest.mark.tck(
    "message-flow-edge-node-birth-publish-connect",
    "message-flow-edge-node-birth-publish-will-message",
    "message-flow-edge-node-birth-publish-will-message-topic",
    "message-flow-edge-node-birth-publish-will-message-payload",
    "message-flow-edge-node-birth-publish-will-message-payload-bdSeq",
    "message-flow-edge-node-birth-publish-nbirth-payload-bdSeq",
    "topics-nbirth-bdseq-increment",
    "topics-nbirth-bdseq-matching",
    "payloads-ndeath-bdseq",
    "payloads-nbirth-bdseq-repeat",
)
def test_bd_seq_begins_at_0_and_is_one_more_for_each_connect() -> None:
    rig = Rig()
    assert rig.session.next(AT_MS) is None
    for expected in (0, 1, 2):
        plan = rig.session.connecting()
        assert plan.will.topic == "spBv1.0/g/NDEATH/e"
        assert (plan.bd_seq, bd_seq_of(read(plan.will))) == (expected, expected)
        assert rig.session.connecting() == plan
        rig.session.ended(was_asked=False)  # nobody listened
        assert rig.session.connecting() == plan
        rig.session.connected(AT_MS)
        assert rig.speak() == ["NBIRTH"]
        assert bd_seq_of(rig.said[-1][1]) == expected
        rig.lose()
    rig.session.connecting()
    rig.session.ended()  # asked, and never stood
    assert bd_seq_of(read(rig.session.connecting().will)) == 4
    assert [Rig(bd_seq=last).session.bd_seq for last in (254, 255)] == [255, 0]


@pytest.mark.tck("message-flow-edge-node-ncmd-subscribe", "message-flow-device-dcmd-subscribe")
def test_it_subscribes_to_its_commands_and_to_its_host_exactly() -> None:
    commands = (NCMD, "spBv1.0/g/DCMD/e/+")
    assert Rig().session.connecting().filters == commands
    assert Rig("h").session.connecting().filters == (*commands, "spBv1.0/STATE/h")


# --- births


@pytest.mark.tck(
    "principles-birth-certificates-order",
    "message-flow-device-birth-publish-nbirth-wait",
    "payloads-dbirth-order",
    "payloads-ndata-order",
    "payloads-ddata-order",
    "topics-nbirth-metric-reqs",
    "topics-dbirth-metric-reqs",
    "operational-behavior-data-publish-nbirth",
    "operational-behavior-data-publish-nbirth-values",
    "operational-behavior-data-publish-dbirth",
    "operational-behavior-data-publish-dbirth-values",
)
def test_births_come_first_once_metrics_settled_and_say_the_newest() -> None:
    rig = Rig()
    rig.show("a", 1, AT_MS - 2)
    rig.show_at("c", "x", "red", AT_MS)
    rig.show_at(None, "line", True, AT_MS)  # noqa: FBT003 - a value
    rig.connect()
    assert rig.speak() == []
    rig.show("a", 2, AT_MS)
    rig.now_ms += SETTLE_MS
    assert rig.speak() == ["NBIRTH", "DBIRTH", "DBIRTH", "DDATA"]
    node, device = rig.said[0][1], rig.said[1][1]
    assert [metric.name for metric in node.metrics][-2:] == ["bdSeq", "Node Control/Rebirth"]
    assert node.metrics[0][:4] == ("line", True, DataType.BOOLEAN, AT_MS)
    assert device.metrics[0][:4] == ("a", 2, DataType.INT64, AT_MS)
    assert rig.history() == [(1, AT_MS - 2)]


def test_births_state_units_and_quality(rig: Rig) -> None:
    rig.session.describe("d", "b", {"engUnit": Property(DataType.STRING, "mm")})
    rig.session.update(Entry("d", "b", 2.5, AT_MS, QUALITY_BAD), rig.now_ms)
    rig.now_ms += SETTLE_MS
    rig.speak()
    metric = rig.said[-1][1].metric("b")
    assert metric
    assert metric.properties == {
        "engUnit": Property(DataType.STRING, "mm"),
        "Quality": Property(DataType.INT32, QUALITY_BAD),
    }


@pytest.mark.tck(
    "operational-behavior-data-publish-nbirth-order",
    "operational-behavior-data-publish-dbirth-order",
)
def test_births_and_data_are_in_order_of_time(rig: Rig) -> None:
    rig.show("b", 1, AT_MS - 50)
    rig.now_ms += SETTLE_MS
    rig.speak()
    assert [metric.name for metric in rig.said[-1][1].metrics] == ["b", "a"]
    rig.show("a", 5, AT_MS + 9)
    rig.show("b", 4, AT_MS + 8)
    rig.speak()
    assert [metric.value for metric in rig.said[-1][1].metrics] == [4, 5]


@pytest.mark.tck(
    "operational-behavior-data-commands-rebirth-action-1",
    "operational-behavior-data-commands-rebirth-action-2",
    "operational-behavior-data-commands-rebirth-action-3",
)
def test_a_rebirth_stops_data_and_says_all_births_with_the_same_bd_seq(rig: Rig) -> None:
    rig.ask_rebirth()
    rig.show("a", 2, AT_MS + 1)
    rig.show("a", 3, AT_MS + 2)
    assert rig.speak() == []  # at most one birth sequence in a while
    rig.now_ms += REBIRTH_MS
    rig.ask_rebirth()
    assert rig.speak() == ["NBIRTH", "DBIRTH", "DDATA"]
    node, device, _ = (payload for _, payload in rig.said[-3:])
    assert (bd_seq_of(node), node.seq, device.seq, device.metrics[0].value) == (0, 0, 1, 3)
    assert rig.history() == [(2, AT_MS + 1)]
    assert rig.speak() == []


# --- data


@pytest.mark.tck(
    "topics-ddata-payload",
    "operational-behavior-data-publish-dbirth-change",
    "principles-rbe-recommended",
)
def test_every_change_is_said_once_with_its_own_time(rig: Rig) -> None:
    rig.show("a", 2, AT_MS + 1)
    rig.show("a", 3, AT_MS + 2)
    assert rig.speak() == ["DDATA"]
    assert [(m.value, m.timestamp_ms, m.is_historical) for m in rig.said[-1][1].metrics] == [
        (2, AT_MS + 1, False),
        (3, AT_MS + 2, False),
    ]
    assert rig.speak() == []


@pytest.mark.tck("topics-ndata-payload", "operational-behavior-data-publish-nbirth-change")
def test_a_new_metric_of_the_node_is_born_with_all_births_again(rig: Rig) -> None:
    rig.show_at(None, "line", 1, AT_MS)
    rig.now_ms += REBIRTH_MS
    assert rig.speak() == ["NBIRTH", "DBIRTH"]
    rig.show_at(None, "line", 2, AT_MS)
    assert rig.speak() == ["NDATA"]


@pytest.mark.tck("topics-ddata-seq-num", "payloads-sequence-num-incrementing")
def test_a_message_that_the_client_refuses_costs_no_seq_and_no_value(rig: Rig) -> None:
    rig.show("a", 2)
    rig.show("a", 3)
    assert rig.session.next(rig.now_ms)
    rig.session.refused()
    assert rig.speak() == ["DDATA"]
    payload = rig.said[-1][1]
    assert (payload.seq, [metric.value for metric in payload.metrics]) == (2, [2, 3])


def test_a_type_widens_by_death_and_birth_of_the_device_and_at_most_twice(rig: Rig) -> None:
    types = list[DataType | None]()
    for value in (2.5, 7, "text", True, 3):
        rig.show("a", value)
        rig.now_ms += SETTLE_MS
        rig.speak()
        births = [payload for topic, payload in rig.said if "/DBIRTH/" in topic]
        types.append(births[-1].metrics[0].datatype)
    assert types == [DataType.DOUBLE, DataType.DOUBLE, *[DataType.STRING] * 3]
    verbs = [topic.split("/")[2] for topic, _ in rig.said]
    assert verbs == ["NBIRTH", "DBIRTH"] + ["DDEATH", "DBIRTH", "DDATA"] * 2 + ["DDATA"]
    assert [metric.value for metric in rig.said[-1][1].metrics] == ["3"]


# --- devices


@pytest.mark.tck("operational-behavior-device-ddeath", "topics-ddeath-seq-num")
def test_a_device_that_goes_dies_after_what_it_had_to_say_and_is_born_again(rig: Rig) -> None:
    rig.show("a", 2)
    rig.session.presence("d", is_present=False, now_ms=rig.now_ms)
    rig.show("a", 99)
    assert rig.speak() == ["DDATA", "DDEATH"]
    assert [payload.seq for _, payload in rig.said] == [0, 1, 2, 3]
    rig.session.presence("d", is_present=True, now_ms=rig.now_ms)
    rig.show("a", 4, AT_MS + 7)
    rig.now_ms += SETTLE_MS
    assert rig.speak() == ["DBIRTH"]
    assert rig.said[-1][1].metrics[0].value == 4


def test_the_history_of_a_device_that_has_gone_is_told_between_birth_and_death(rig: Rig) -> None:
    rig.lose_long_after()
    rig.show("a", 2, AT_MS + 1)
    rig.session.presence("d", is_present=False, now_ms=rig.now_ms)
    rig.show("a", 3, AT_MS + 2)
    rig.connect()
    assert rig.speak() == ["NBIRTH", "DBIRTH", "DDATA", "DDEATH"]
    assert rig.history() == [(2, AT_MS + 1)]


# --- commands


def test_a_command_asks_for_a_write_and_says_nothing_by_itself(rig: Rig) -> None:
    wanted = Metric("a", 9, DataType.INT64)
    assert rig.command("spBv1.0/g/DCMD/e/d", wanted) == [Write("d", "a", 9, DataType.INT64, None)]
    assert rig.speak() == []
    (refused,) = rig.command("spBv1.0/g/DCMD/e/d", Metric("a", 1.5, DataType.DOUBLE))
    assert isinstance(refused, Ignored)
    assert "born INT64" in refused.reason


# --- primary host


@pytest.mark.tck(
    "message-flow-edge-node-birth-publish-phid-wait",
    "message-flow-edge-node-birth-publish-phid-wait-id",
    "message-flow-edge-node-birth-publish-phid-wait-online",
    "operational-behavior-edge-node-birth-sequence-wait",
)
def test_births_wait_for_the_primary_host_and_for_no_other() -> None:
    rig = Rig("h")
    rig.connect()
    assert rig.speak() == []
    rig.hear(online("other", AT_MS))
    rig.hear(offline("h", AT_MS))
    assert rig.speak() == []
    assert not rig.session.leaves(rig.now_ms + 60_000)  # there is no other server
    assert rig.hear(online("h", AT_MS)) == []  # of the same time: it counts
    assert rig.speak() == ["NBIRTH"]


@pytest.mark.tck(
    "message-flow-edge-node-birth-publish-phid-wait-timestamp",
    "message-flow-edge-node-birth-publish-phid-offline",
    "operational-behavior-edge-node-termination-host-offline",
    "operational-behavior-edge-node-termination-host-offline-timestamp",
)
def test_an_old_state_does_not_count_and_an_equal_one_does() -> None:
    rig = Rig("h")
    rig.connect()
    rig.hear(online("h", AT_MS))
    rig.speak()
    (ignored,) = rig.hear(offline("h", AT_MS - 1))
    assert isinstance(ignored, Ignored)
    assert not rig.session.leaves(rig.now_ms)
    rig.show("a", 1)
    rig.now_ms += SETTLE_MS
    assert rig.speak() == ["DBIRTH"]
    rig.hear(offline("h", AT_MS))
    rig.show("a", 2)
    assert rig.session.leaves(rig.now_ms)
    assert rig.speak() == []
    assert bd_seq_of(read(rig.session.death())) == 0
    rig.session.ended()
    rig.connect()
    assert rig.session.bd_seq == 1
    rig.hear(offline("h", AT_MS))
    rig.hear(online("h", AT_MS - 1))
    assert rig.speak() == []
    rig.hear(online("h", AT_MS + 1))
    assert rig.speak()[:2] == ["NBIRTH", "DBIRTH"]


def test_rubbish_of_the_host_is_ignored() -> None:
    rig = Rig("h")
    rig.connect()
    assert isinstance(rig.session.receive("spBv1.0/STATE/h", b"ONLINE", AT_MS)[0], Ignored)
    assert rig.speak() == []


@pytest.mark.tck(
    "operational-behavior-primary-application-state-with-multiple-servers-walk",
    "operational-behavior-primary-application-state-with-multiple-servers-single-server",
    "operational-behavior-edge-node-termination-host-offline-reconnect",
)
def test_servers_are_walked_one_at_a_time() -> None:
    rig = Rig("h", servers=3)
    assert rig.session.connecting().server == 0
    rig.session.ended()  # no answer
    assert rig.session.connecting().server == 1
    rig.session.connected(rig.now_ms)
    rig.hear(offline("h", AT_MS))  # the host is not there
    assert rig.session.leaves(rig.now_ms)
    rig.session.ended()
    assert rig.session.connecting().server == 2
    rig.session.connected(rig.now_ms)
    assert not rig.session.leaves(rig.now_ms + 4_999)
    assert rig.session.leaves(rig.now_ms + 5_000)  # the host says nothing
    rig.session.ended()
    assert rig.session.connecting().server == 0
    rig.session.connected(rig.now_ms)
    rig.hear(online("h", AT_MS - 9))  # each server has a time of its own
    assert rig.speak() == ["NBIRTH"]


# --- store and forward


def test_what_changes_while_nobody_hears_comes_as_history_after_the_births(rig: Rig) -> None:
    rig.lose_long_after()
    for value in range(2, 6):
        rig.show("a", value, AT_MS + value)
    rig.now_ms += SETTLE_MS
    rig.connect()
    assert rig.speak() == ["NBIRTH", "DBIRTH", "DDATA"]
    birth, history = rig.said[-2][1], rig.said[-1][1]
    assert birth.metrics[0].value == 5
    assert rig.history() == [(value, AT_MS + value) for value in (2, 3, 4)]
    assert {metric.alias for metric in history.metrics} == {birth.metrics[0].alias}
    rig.show("a", 6)
    rig.speak()
    assert [(m.value, m.is_historical) for m in rig.said[-1][1].metrics] == [(6, False)]


def test_what_was_sent_just_before_a_loss_is_sent_again(rig: Rig) -> None:
    rig.show("a", 2, AT_MS + 2)
    rig.speak()
    rig.now_ms += DOUBT_MS
    rig.show("a", 3, AT_MS + 3)
    rig.speak()
    rig.ask_rebirth()
    rig.show("a", 4, AT_MS + 4)
    rig.show("a", 5, AT_MS + 5)
    rig.speak()
    rig.lose()
    rig.show("a", 6, AT_MS + 6)
    rig.said.clear()
    rig.connect()
    rig.speak()
    assert rig.history() == [(value, AT_MS + value) for value in (3, 4, 5)]


def test_what_is_sent_again_keeps_the_order_in_which_it_was_sent() -> None:
    rig = Rig()
    rig.show("a", 0, AT_MS)  # said by the birth only, which may not arrive either
    rig.now_ms += SETTLE_MS
    rig.connect()
    rig.speak()
    rig.show("a", 1, AT_MS + 1)
    rig.speak()
    rig.lose()
    rig.show("a", 2, AT_MS + 2)
    rig.connect()
    rig.speak()
    assert rig.history() == [(0, AT_MS), (1, AT_MS + 1)]


def test_what_is_sent_again_drops_nothing_of_what_waits() -> None:
    rig = Rig().born()
    rig.show("a", 2, AT_MS + 2)
    rig.speak()
    rig.lose()
    for value in range(3, 33):
        rig.show("a", value, AT_MS + value)
    rig.now_ms += SETTLE_MS
    rig.connect()
    rig.speak()
    rig.show("a", 33, AT_MS + 33)
    rig.speak()
    rig.lose()
    assert (len(rig.backlog), rig.backlog.dropped) == (33, 0)
    rig.said.clear()
    rig.connect()
    rig.speak()
    assert rig.history()[1:] == [(value, AT_MS + value) for value in range(2, 33)]


def test_history_is_sent_again_until_it_is_believed(rig: Rig) -> None:
    rig.lose_long_after()
    rig.show("a", 2, AT_MS + 2)
    rig.show("a", 3, AT_MS + 3)
    for _ in range(2):
        rig.said.clear()
        rig.connect()
        rig.speak()
        assert rig.history() == [(2, AT_MS + 2)]
        rig.lose()
    rig.connect()
    rig.speak()
    rig.session.ended(was_heard=True)
    assert len(rig.backlog) == 0


def test_history_that_no_birth_declares_is_counted(rig: Rig) -> None:
    rig.lose_long_after()
    rig.backlog.append([Entry("gone", "x", 1, AT_MS, 192), Entry("d", "gone", 1, AT_MS, 192)])
    rig.show("a", 2)
    rig.connect()
    assert rig.speak() == ["NBIRTH", "DBIRTH"]
    assert rig.session.unsendable == 2


def test_a_client_that_takes_nothing_fills_no_memory(rig: Rig) -> None:
    for value in range(LIVE_MAX + 2):
        rig.show("a", value)
    assert len(rig.session._live) <= LIVE_MAX
    assert len(rig.backlog) == 50
    for value in range(DOUBTS_MAX + 2):
        rig.show("a", value)
        rig.speak()
    assert len(rig.session._doubts) == DOUBTS_MAX


def test_patience_is_the_walls_however_fast_the_clock_goes() -> None:
    fast = EdgeSettings("g", "e", "h", 2, 1_000, 500, 5_000, 15_000).at_speed(60)
    assert fast == EdgeSettings("g", "e", "h", 2, 60_000, 30_000, 300_000, 900_000)
