"""The broker's files as text: configuration, access list, passwords.

PURE: plant and ports in, text out; randomness and paths are given. SETTINGS is the one source of
the configuration: what a broker reads, what `broker/mosquitto.conf` explains and what the table in
`broker/README.md` says are rendered from it. Format: mosquitto 2.0 (mosquitto.conf(5)).
"""

import base64
import hashlib
import hmac
import json
import re
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Final, NamedTuple

from uns.model.plant import Plant
from uns.mqtt.acl import READ, WRITE, Access, BrokerUser
from uns.mqtt.message import PAYLOAD_BYTES_MAX, RECEIVE_WINDOW

QUEUE_MIN: Final = 1_000_000
MESSAGES_PER_TAG: Final = 50
PACKET_BYTES_MAX: Final = PAYLOAD_BYTES_MAX + 70_000
SALT_BYTES: Final = 12
ITERATIONS: Final = 101
USER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,127}")


@dataclass(frozen=True, slots=True)
class BrokerSetup:
    """What differs from one broker to another.

    folder: where it keeps its files, absolute; mosquitto.conf, acl and passwords are there too.
    run_as: the system user it runs as, who must own the folder.
    queue_messages: messages that one session may have waiting (see `queue_messages_for`).
    """

    folder: str
    port: int = 1883
    ws_port: int = 9001
    host: str = "127.0.0.1"
    run_as: str = "mosquitto"
    queue_messages: int = QUEUE_MIN


CONTAINER: Final = BrokerSetup("/mosquitto/hub", host="0.0.0.0")  # noqa: S104 - see SETTINGS
"""The broker of docker-compose.yml, whose file is also the explained example in `broker/`."""


class Setting(NamedTuple):
    """One line of the configuration, `{fields}` of BrokerSetup filled in, and its reason."""

    key: str
    value: str
    why: str


SETTINGS: Final = (
    Setting("user", "{run_as}",
        "Started as root, mosquitto becomes this user before it opens the files below, which are "
        "of mode 600: so it must be their owner. Started as anybody else, it ignores this line."),
    Setting("per_listener_settings", "false",
        "One set of users and rights for all listeners."),
    Setting("allow_anonymous", "false",
        "Every component has its own user; who has none has no access."),
    Setting("password_file", "{folder}/passwords",
        "Hashed passwords, mode 600."),
    Setting("acl_file", "{folder}/acl",
        "What each user may read and write, computed from namespace.yaml. Note: a SUBSCRIBE is "
        "always granted, rights apply to each delivery; and to an MQTT 3.1.1 client a refused "
        "PUBLISH is acknowledged like any other."),
    Setting("set_tcp_nodelay", "true",
        "Small messages leave at once instead of waiting up to 40 ms for company."),
    Setting("max_inflight_messages", str(RECEIVE_WINDOW),
        "Messages a client may hold unacknowledged. The historian acks after its commit: with the "
        "default of 20 it stores some 900 messages/s, with this tens of thousands."),
    Setting("max_queued_messages", "{queue_messages}",
        "Messages waiting for one client beyond those. The default (1000) cuts the retained set of "
        "a large tree at its first 1,020 topics without an error, and loses what comes in while a "
        "session is away."),
    Setting("max_queued_bytes", "268435456",
        "The same in bytes: a client that never comes back costs at most 256 MiB. What does not "
        "fit is lost here, noticed by its sequence number and sent again by its source."),
    Setting("max_packet_size", str(PACKET_BYTES_MAX),
        "Largest packet: 1 MiB of payload and the longest topic. Who sends a larger one is "
        "disconnected; message_size_limit would drop it and, in MQTT 3.1.1, say success."),
    Setting("persistent_client_expiration", "7d",
        "A session nobody came back to for this time is forgotten with its queue."),
    Setting("persistence", "true",
        "Retained topics and sessions survive an orderly restart."),
    Setting("persistence_location", "{folder}/",
        "In the data folder, beside what belongs to it."),
    Setting("autosave_interval", "30",
        "Seconds between saves. After kill -9 everything since the last one is gone, though it was "
        "acknowledged: the store and the outboxes rebuild it. A shorter time shortens the repair, "
        "but each save writes everything and stops the broker while it does."),
    Setting("sys_interval", "10",
        "Seconds between the broker's own figures below $SYS."),
    Setting("log_dest", "stderr",
        "Whoever started the broker decides where its log goes."),
    Setting("log_type", "error",
        "Logged: what is broken."),
    Setting("log_type", "warning",
        "Logged: what is suspicious."),
    Setting("log_type", "notice",
        "Logged: who connects and who leaves, but not every packet."),
    Setting("log_timestamp_format", "%Y-%m-%dT%H:%M:%S",
        "Readable time stamps instead of seconds since 1970."),
    Setting("listener", "{port} {host}",
        "MQTT over TCP, versions 3.1.1 and 5. There is no TLS here, so it is loopback only; in a "
        "container it is all interfaces, and the host publishes the port on its loopback."),
    Setting("protocol", "mqtt",
        "The protocol of this listener."),
    Setting("max_connections", "500",
        "A bound on clients, and with it on memory."),
    Setting("listener", "{ws_port} {host}",
        "The same over WebSocket, for browsers and MQTT Explorer."),
    Setting("protocol", "websockets",
        "The protocol of this listener."),
    Setting("max_connections", "500",
        "As above."),
)  # fmt: skip


def queue_messages_for(plant: Plant) -> int:
    """How many messages a session must be able to hold: the retained set and an absence."""
    tags = sum(len(place.cell.tags) for place in plant.cells.values())
    return max(QUEUE_MIN, MESSAGES_PER_TAG * tags)


def render_config(setup: BrokerSetup) -> str:
    """mosquitto.conf, each setting under its reason."""
    fields = asdict(setup)
    blocks = [
        textwrap.fill(why, 98, initial_indent="# ", subsequent_indent="# ", break_long_words=False)
        + f"\n{key} {value.format_map(fields)}\n"
        for key, value, why in SETTINGS
    ]
    return (
        "# Generated by `uns broker config`: change the generator, not this file.\n\n"
        + "\n".join(blocks)
    )


def render_acl(users: Iterable[BrokerUser]) -> str:
    """The access list: who is not in it may nothing."""
    lines = ["# Generated from namespace.yaml.", ""]
    for user in users:
        lines += [f"user {_checked(user.name)}"]
        lines += [f"topic {access} {topic_filter}" for access, topic_filter in user.grants]
        lines += [""]
    return "\n".join(lines)


def render_password_file(users: Iterable[BrokerUser], salt: Callable[[], bytes]) -> str:
    """The password file; `salt` gives 12 new random bytes a call."""
    return "".join(f"{_checked(u.name)}:{hash_password(u.password, salt())}\n" for u in users)


def hash_password(password: str, salt: bytes) -> str:
    """A password as mosquitto 2.0 keeps it: PBKDF2-HMAC-SHA512, 64 bytes, base64.

    The passwords are 128 random bits, which no stretching makes harder to guess; so it is the
    number of iterations that mosquitto_passwd takes, and a log-in costs no time.
    """
    if len(salt) != SALT_BYTES:
        raise ValueError(f"mosquitto wants {SALT_BYTES} bytes of salt, not {len(salt)}")
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    return f"$7${ITERATIONS}${_base64(salt)}${_base64(digest)}"


def password_matches(password: str, hashed: str) -> bool:
    """Whether a password is the one that `hash_password` hashed."""
    salt = base64.b64decode(hashed.split("$")[3])
    return hmac.compare_digest(hash_password(password, salt), hashed)


def render_embedded(setup: BrokerSetup, users: Iterable[BrokerUser]) -> str:
    """The same broker for `uns.mqtt.embedded`, as far as it can: JSON for amqtt."""
    users = list(users)
    listener = {"max_connections": 500}
    config = {
        "listeners": {
            "default": {"type": "tcp", "bind": f"{setup.host}:{setup.port}", **listener},
            "ws": {"type": "ws", "bind": f"{setup.host}:{setup.ws_port}", **listener},
        },
        "plugins": {
            "uns.mqtt.embedded.PasswordFilePlugin": {"password_file": f"{setup.folder}/passwords"},
            "uns.mqtt.embedded.AclPlugin": {
                "publish": _filters(users, WRITE),
                "receive": _filters(users, READ),
            },
            "amqtt.plugins.sys.broker.BrokerSysPlugin": {"sys_interval": 10},
        },
    }
    return json.dumps(config, indent=2) + "\n"


def render_readme_table() -> str:
    """SETTINGS as a Markdown table, for broker/README.md."""
    rows = [f"| `{key} {value}` | {why} |" for key, value, why in SETTINGS]
    return "\n".join(["| setting | why |", "|---|---|", *rows]) + "\n"


def _filters(users: Iterable[BrokerUser], access: Access) -> dict[str, list[str]]:
    return {
        user.name: [g.topic_filter for g in user.grants if g.access == access] for user in users
    }


def _checked(name: str) -> str:
    """A name that cannot break out of its line in the files."""
    if not USER_NAME.fullmatch(name):
        raise ValueError(f"user name {name!r}: use letters, digits, space, '.', '_' and '-'")
    return name


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
