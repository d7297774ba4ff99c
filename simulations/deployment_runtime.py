"""Flower's deployment runtime on one machine: TLS, authenticated SuperNodes, ended by process id.

What has to be so, and why:

- Certificates and keys are made anew for each run, below a temporary folder, and vanish with it.
- A SuperNode whose public key was not registered is turned away; `stranger=True` tries one.
- Flower starts a process for every message, which imports torch anew and forgets what it computed.
  So public features, the same for all messages, are kept in files (`cache` in the configuration).
"""

import dataclasses
import datetime
import ipaddress
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from simulations.config import SimulationConfig
from simulations.flower_run import (
    FlowerFailed,
    end_process,
    find_tool,
    flower_environment,
    free_port,
    run_status,
    running_superlink,
    start_process,
    stream_run,
    write_app,
)
from simulations.pins import RELEASED, node_settings
from simulations.progress import Show

TURNED_AWAY = 240.0  # seconds; a busy machine takes minutes to import everything
REFUSAL = "No SuperNode found with the given public key"
CONNECTION = """\
[superlink]
default = "local"

[superlink.local]
address = "127.0.0.1:{port}"
root-certificates = "{certificate}"
"""


def run_deployed(
    config: SimulationConfig, *, log: Path, show: Show, stranger: bool = False
) -> None:
    """Run a configuration on Flower's deployment runtime, and wait for its end.

    Args:
        config: with absolute paths.
        log: file for everything that Flower says.
        show: is given the lines of progress.
        stranger: first let a SuperNode with an unknown key try.

    Raises:
        FlowerFailed: the run did not complete, or the stranger was let in.
    """
    with tempfile.TemporaryDirectory(prefix="flc-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        config = dataclasses.replace(config, cache=config.cache or str(home / "cache"))
        environment = flower_environment(home)
        port = free_port()
        authority = write_certificates(home)
        home.joinpath("config.toml").write_text(
            CONNECTION.format(port=port, certificate=authority), encoding="utf-8"
        )
        arguments = ["--ssl-ca-certfile", str(authority)]
        arguments += ["--ssl-certfile", str(home / "server.pem")]
        arguments += ["--ssl-keyfile", str(home / "server.key"), "--enable-supernode-auth"]
        with ExitStack() as stack:
            superlink = stack.enter_context(
                running_superlink(
                    port,
                    environment,
                    home / "superlink.log",
                    arguments=arguments,
                    certificate=authority,
                )
            )
            show(f"SuperLink with TLS and authentication, process {superlink.pid}")
            if stranger:
                _try_stranger(home, environment, port)
                show("a SuperNode with an unknown key was turned away")
            for client in range(config.clients):
                node = stack.enter_context(_supernode(config, client, home, environment, port))
                show(f"SuperNode {client}, process {node.pid}")
            app = write_app(config, home)
            stream_run(app, [], environment, superlink, log=log, show=show)
            status = run_status(environment)
        if status != "finished:completed":
            raise FlowerFailed(f"Flower reports the run as {status}")


def write_certificates(folder: Path) -> Path:
    """An authority and the server's certificate for the loopback, valid for a day.

    Returns:
        The authority's certificate; the server's are `server.pem` and `server.key`.
    """
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _certificate("fl-crafter authority", authority_key, authority_key, None)
    server = _certificate("localhost", server_key, authority_key, authority)
    path = folder / "authority.pem"
    path.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    folder.joinpath("server.pem").write_bytes(server.public_bytes(serialization.Encoding.PEM))
    key = folder / "server.key"
    key.touch(mode=0o600)
    key.write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate | None,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.subject if authority else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(signer, hashes.SHA256())
    )


def write_node_key(path: Path) -> Path:
    """A SuperNode's private key, and beside it `<name>.pub`, whose path is returned."""
    key = ec.generate_private_key(ec.SECP384R1())
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    public = path.with_suffix(".pub")
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
    )
    return public


@contextmanager
def _supernode(
    config: SimulationConfig, client: int, home: Path, environment: dict[str, str], port: int
) -> Generator["subprocess.Popen[bytes]", None, None]:
    """A registered SuperNode that pins all that concerns it."""
    key = home / f"node-{client}.key"
    public = write_node_key(key)
    register = [find_tool("flwr", environment), "supernode", "register", str(public), "local"]
    done = subprocess.run(register, env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise FlowerFailed(f"the SuperNode cannot be registered: {done.stderr or done.stdout}")
    # what was released outlives a run that is resumed
    released = Path(config.output or home) / RELEASED / f"client-{client}"
    command = node_command(environment, home, port, key) + [
        "--node-config",
        node_settings(config, client=client, released=str(released)),
    ]
    process = start_process(command, environment, home / f"node-{client}.log")
    try:
        yield process
    finally:
        end_process(process)


def node_command(environment: dict[str, str], home: Path, port: int, key: Path) -> list[str]:
    """The command of a SuperNode, without its own configuration."""
    return [
        find_tool("flower-supernode", environment),
        *("--superlink", f"127.0.0.1:{port}", "--root-certificates", str(home / "authority.pem")),
        *("--auth-supernode-private-key", str(key), "--port", str(free_port())),
    ]


def _try_stranger(home: Path, environment: dict[str, str], port: int) -> None:
    key = home / "stranger.key"
    write_node_key(key)
    command = node_command(environment, home, port, key)
    process = start_process(command, environment, home / "stranger.log")
    until = time.monotonic() + TURNED_AWAY
    try:
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
        ended = process.poll() is not None
    finally:
        end_process(process)
    # a program that failed for another reason was not turned away
    said = home.joinpath("superlink.log").read_text(encoding="utf-8", errors="replace")
    if not ended or REFUSAL not in said:
        raise FlowerFailed("a SuperNode with an unknown key was not turned away")
