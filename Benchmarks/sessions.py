"""Exec and port-forward through the streaming server, beside a bare vsock stream out of the same guest."""

import socket
import statistics
import time

from figures import Samples
from harness.node import Node
from harness.spdy import FIN, Command, Connection, PortForward

EXECS = 30
TRANSFER = 256 << 20
PORT, VSOCK_PORT = 7000, 5000


def measure(node: Node, image: str, rounds: int) -> dict:
    with node.pod() as pod:
        # The default profile keeps containers from vsock.
        unconfined = dict(security_context=dict(seccomp=dict(profile_type="Unconfined")))
        bare = pod.run(image, "/bin/net", "vsock", str(VSOCK_PORT), str(TRANSFER), linux=unconfined)
        server = pod.run(image, "/bin/net", "serve", str(PORT))
        for container in (bare, server):
            container.wait_output("serving")
        first = Samples("Exec, from the call to the first byte of its output", "ms")
        for _ in range(EXECS):
            first.add(first_byte(node, server))
        vsock_socket = node.base / "run" / "vm" / pod.id[:20] / "vsock.sock"
        speeds = {name: [] for name in ("vsock", "exec", "port-forward")}
        for _ in range(rounds):
            speeds["vsock"].append(from_vsock(vsock_socket))
            speeds["exec"].append(from_exec(node, server))
            speeds["port-forward"].append(from_port(node, pod))
        return {"first": first, **{name: statistics.median(values) for name, values in speeds.items()}}


def first_byte(node: Node, container) -> float:
    start = time.perf_counter()
    url = node.cri.Exec(container_id=container.id, cmd=["/bin/echo", "x"], stdout=True).url
    with Command(url, "stdout") as command:
        command.until(b"x")
        seconds = time.perf_counter() - start
        assert command.exit_code() == 0
    return seconds


def from_vsock(path) -> float:
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(120)
        stream.connect(str(path))
        stream.sendall(f"CONNECT {VSOCK_PORT}\n".encode())
        assert stream.recv(64).startswith(b"OK ")
        start, count = time.perf_counter(), 0
        while piece := stream.recv(1 << 20):
            count += len(piece)
        assert count >= TRANSFER - 64, count
        return megabytes_a_second(start)


def from_exec(node: Node, container) -> float:
    command = ["/bin/net", "write", str(TRANSFER)]
    url = node.cri.Exec(container_id=container.id, cmd=command, stdout=True).url
    with Command(url, "stdout") as session:
        start = time.perf_counter()
        drain(session, session.streams["stdout"])
        return megabytes_a_second(start)


def from_port(node: Node, pod) -> float:
    with PortForward(node.cri.PortForward(pod_sandbox_id=pod.id).url) as session:
        _, data = session.connect(PORT)
        start = time.perf_counter()
        session.send(data, b"s" + TRANSFER.to_bytes(8, "big"))
        drain(session, data)
        return megabytes_a_second(start)


def drain(session: Connection, stream: int):
    """Takes a stream's frames without keeping them, so that it is not the client that is measured."""
    count = 0
    while count < TRANSFER:
        header = session._read(8)
        size = int.from_bytes(header[5:], "big")
        if int.from_bytes(header[:4], "big") == stream:
            count += size
            assert count == TRANSFER or not header[4] & FIN, f"only {count} bytes"
        session._read(size)


def megabytes_a_second(start: float) -> float:
    return TRANSFER / 1e6 / (time.perf_counter() - start)
