"""`uns discover`: look at a server or a device, and propose a mapping of it for namespace.yaml.

Owns options and help of these commands. What they do is discover_opcua's and discover_modbus's,
which are imported when they are needed only: their libraries take long to load. Nothing is ever
written to a device.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from uns.cli.options import Data, Json

discover_app = typer.Typer(help="What a device has, as a proposal.", rich_markup_mode=None)

Out = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write it there (default: standard output).")
]
Name = Annotated[str, typer.Option(metavar="NAME", help="The bridge's name in the proposal.")]


@discover_app.command(epilog="Example: uns discover opcua opc.tcp://10.0.0.5:4840 --out plc.yaml")
def opcua(  # noqa: PLR0913 - the options of the command, each with its default
    url: Annotated[str, typer.Argument(help="As opc.tcp://host:4840/path.")],
    *,
    chosen: Annotated[
        str | None,
        typer.Option("--filter", metavar="TEXT", help="Part of a browse path, or 'Plant/*/Temp*'."),
    ] = None,
    namespace_uri: Annotated[
        str | None, typer.Option(metavar="URI", help="Only the nodes of this namespace.")
    ] = None,
    username: Annotated[str | None, typer.Option(help="A user name (default: anonymous).")] = None,
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its password, in a file of mode 600.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Without security: SecurityPolicy None.")
    ] = False,
    policy: Annotated[
        Literal["Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"],
        typer.Option(help="The security policy."),
    ] = "Basic256Sha256",
    mode: Annotated[
        Literal["Sign", "SignAndEncrypt"], typer.Option(help="The security mode.")
    ] = "SignAndEncrypt",
    limit: Annotated[
        int, typer.Option(min=1, max=200_000, help="End after so many variables.")
    ] = 50_000,
    name: Name = "plc",
    out: Out = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Propose tags for the variables of an OPC UA server. Only reads.

    Every line says what the server says: node id, data type, access, unit, range, description and
    value. Connects with the certificate and the trust list of the data folder, as a bridge does.
    """
    from uns.cli import discover_opcua  # noqa: PLC0415 - see the module's docstring

    security = {"security_policy": policy, "security_mode": mode}
    settings = {
        "url": url,
        **({"insecure": True} if insecure else security),
        **({"username": username} if username else {}),
        **({"password_file": str(password_file.resolve())} if password_file else {}),
    }
    wanted = discover_opcua.Wanted(name, chosen, namespace_uri, limit)
    discover_opcua.propose(settings, wanted, out, data, as_json=as_json)


@discover_app.command(epilog="Example: uns discover modbus 10.0.0.7 --unit 1-10 --out meters.yaml")
def modbus(  # noqa: PLR0913 - the options of the command, each with its default
    host: Annotated[
        str | None, typer.Argument(metavar="[HOST[:PORT]]", help="Not with --serial.")
    ] = None,
    *,
    unit: Annotated[str, typer.Option(metavar="IDS", help="Unit ids, as 1-10 or 1,5,17.")] = "1-10",
    addresses: Annotated[
        str, typer.Option(metavar="RANGE", help="Addresses from 0, as 0-9999.")
    ] = "0-9999",
    requests_max: Annotated[
        int, typer.Option("--requests", min=10, max=100_000, help="At most so many a unit.")
    ] = 400,
    timeout_ms: Annotated[
        int, typer.Option("--timeout", min=50, max=60_000, metavar="MS", help="Wait for an answer.")
    ] = 500,
    pause_ms: Annotated[
        int, typer.Option("--pause", min=0, max=10_000, metavar="MS", help="Before each request.")
    ] = 10,
    rtu: Annotated[
        bool, typer.Option("--rtu-over-tcp", help="The gateway passes serial bytes on.")
    ] = False,
    serial: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="A serial port, as /dev/ttyUSB0.")
    ] = None,
    baud_rate: Annotated[int, typer.Option(min=300, max=4_000_000, help="With --serial.")] = 19_200,
    parity: Annotated[Literal["even", "odd", "none"], typer.Option(help="With --serial.")] = "even",
    stop_bits: Annotated[int, typer.Option(min=1, max=2, help="With --serial.")] = 1,
    name: Name = "meter",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Propose tags for the registers and bits of Modbus devices. Only reads.

    Finds which units answer and which addresses can be read, within a bounded number of paced
    requests. Modbus tells no names, types or units: what a value could be is said in a comment.
    """
    from uns.cli import discover_modbus  # noqa: PLC0415 - see the module's docstring

    port = {"device": serial, "baud_rate": baud_rate, "parity": parity, "stop_bits": stop_bits}
    connection = discover_modbus.connection_of(host, port if serial else None, rtu=rtu)
    pace = {"timeout_ms": timeout_ms, "pause_ms": pause_ms}
    wanted = discover_modbus.wanted_of(name, unit, addresses, requests_max)
    discover_modbus.propose(connection, pace, wanted, out, as_json=as_json)
