"""bulkheadctl port-forward: a pod's own loopback, reached from this node's."""

import hashlib
import os
import re
import signal
import socket
import subprocess
import threading
from contextlib import contextmanager

import pytest

from harness.proto import BIN
from harness.wait import until


@pytest.fixture(scope="module")
def server(pod, images):
    """Servers on the pod's loopback: 7 echoes, 8080 answers what it got when the client has ended its half, 81
    is on IPv6 alone."""
    script = (
        "net mirror 7 & nc -ll -p 8080 -e sh -c 'wc -c' & httpd -p '[::1]:81' & "
        "nc -ll -p 82 -e sh -c 'sleep 100000' & wait"
    )
    container = pod.run(images.plain, "/bin/sh", "-c", script)
    listening = "cat /proc/net/tcp /proc/net/tcp6 | grep ' 0A ' | grep -cE ':(0007|1F90|0051|0052) ' || true"
    until(lambda: container.sh(listening).strip() == "4", "the servers listen")
    yield container
    container.stop(0)
    container.remove()


@contextmanager
def forward(node, pod, *ports: str):
    """bulkheadctl port-forward; yields the process and its local ports."""
    process = subprocess.Popen(
        [str(BIN / "bulkheadctl"), "--socket", str(node.socket), "port-forward", pod.id, *ports],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        local = {}
        while len(local) < len(ports):
            line = process.stdout.readline()
            match = re.fullmatch(r"Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)\n", line)
            if match:
                local[int(match[2])] = int(match[1])
            else:
                assert "::1" in line, line + (process.stderr.read() if not line else "")
        yield process, local
    finally:
        process.kill()
        process.communicate()


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    return connection


def everything(connection: socket.socket) -> bytes:
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def test_half_closed_streams_and_ipv6(node, pod, server):
    with forward(node, pod, "0:8080", "0:81", "0:7") as (_, ports):
        for size in (0, 1, 100_000):
            with connect(ports[8080]) as connection:
                connection.sendall(b"x" * size)
                connection.shutdown(socket.SHUT_WR)
                assert everything(connection).strip() == str(size).encode()
        with connect(ports[81]) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert everything(connection).startswith(b"HTTP/1.")


def test_many_connections_with_much_data(node, pod, server):
    failures = []

    def echo(port: int, seed: int, size: int):
        data = bytes((seed * 31 + index * 7) % 251 for index in range(1000)) * (size // 1000)
        with connect(port) as connection:
            sender = threading.Thread(target=lambda: (connection.sendall(data), connection.shutdown(socket.SHUT_WR)))
            sender.start()
            digest, count = hashlib.md5(), 0
            while piece := connection.recv(1 << 17):
                digest.update(piece)
                count += len(piece)
            sender.join()
        if digest.digest() != hashlib.md5(data).digest():
            failures.append((seed, count, len(data)))

    with forward(node, pod, "0:7") as (_, ports):
        threads = [threading.Thread(target=echo, args=(ports[7], seed, 1_000_000)) for seed in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        echo(ports[7], 99, 50_000_000)
    assert not failures


def test_a_refused_connection_ends_alone(node, pod, server):
    with forward(node, pod, "0:7", "0:9999") as (process, ports):
        with connect(ports[7]) as good:
            good.sendall(b"one")
            assert good.recv(3) == b"one"
            with connect(ports[9999]) as refused:
                assert everything(refused) == b""
            good.sendall(b"two")
            assert good.recv(3) == b"two"
        assert "9999" in process.stderr.readline()


def test_clients_that_vanish_leave_nothing(node, pod, server):
    def descriptors():
        return len(os.listdir(f"/proc/{node.process.pid}/fd"))

    def sleepers():
        return server.sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").count("sleep 100000")

    before, waiting = descriptors(), sleepers()
    with forward(node, pod, "0:82") as (process, ports):
        connections = []
        # One after the other: nc takes few at once.
        for _ in range(10):
            connections.append(connect(ports[82]))
            until(lambda: sleepers() >= waiting + len(connections), "the server runs")
        process.send_signal(signal.SIGKILL)
        for connection in connections:
            connection.close()
    until(lambda: descriptors() <= before + 1, "the daemon's descriptors are as before", 10)


def test_ports_that_are_none(node, pod):
    for ports in ("0", "80:0", "65536", "x:1"):
        assert node.ctl("port-forward", pod.id, ports).returncode == 2
