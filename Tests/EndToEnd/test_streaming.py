"""Exec, attach and port-forward as clients speak them: SPDY/3.1 (a client written from its specification),
WebSocket channels (PyPI's websockets and Kubernetes' own client)."""

import hashlib
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import kubernetes.client
import kubernetes.stream.ws_client as kubernetes_ws
import pytest
from harness.errors import fails
from harness.spdy import Command, PortForward, Refused
from harness.wait import until
from websockets.sync.client import connect

MEGABYTE = 1_000_000


def exec_url(container, *command, stdin=False, stdout=True, stderr=False, tty=False):
    return container.node.cri.Exec(
        container_id=container.id, cmd=list(command), stdin=stdin, stdout=stdout, stderr=stderr, tty=tty
    ).url


def alive(container, pid: str) -> bool:
    return container.exec("/bin/kill", "-0", pid).exit_code == 0


# Exec


def test_stdout_stderr_and_exit_code(sleeper):
    url = exec_url(sleeper, "/bin/sh", "-c", "echo out; echo err >&2; exit 3", stderr=True)
    assert url.startswith("http://127.0.0.1:")
    with Command(url, "stdout", "stderr") as command:
        assert command.exit_code() == 3
        assert command.got("stdout") == b"out\n"
        assert command.got("stderr") == b"err\n"


def test_the_end_of_stdin_reaches_the_process(sleeper):
    with Command(exec_url(sleeper, "/bin/sh", "-c", "cat; echo end", stdin=True), "stdin", "stdout") as command:
        command.write(b"typed\n")
        command.until(b"typed\n")
        command.write(b"more\n", fin=True)
        assert command.exit_code() == 0
        assert command.got("stdout") == b"typed\nmore\nend\n"


def test_terminal_and_its_size(sleeper):
    url = exec_url(sleeper, "/bin/sh", stdin=True, tty=True)
    with Command(url, "stdin", "stdout", "resize") as command:
        command.resize(132, 43)
        command.write(b"stty size; tty; echo to-stderr >&2\n")
        command.until(b"43 132")
        command.until(b"\r\nto-stderr\r\n")
        assert b"/dev/pts/" in command.got("stdout")
        command.resize(80, 24)
        command.write(b"sleep 0.2; stty size; exit 7\n")
        assert command.exit_code() == 7
        assert b"24 80" in command.got("stdout")


def test_a_program_that_is_not_there(sleeper):
    with Command(exec_url(sleeper, "/no/such/program", stderr=True), "stdout", "stderr") as command:
        assert command.exit_code() == 127
        assert b"/no/such/program" in command.got("stderr")


def test_100_megabytes_each_way_without_loss(sleeper):
    data = os.urandom(MEGABYTE) * 100
    with Command(exec_url(sleeper, "/bin/md5sum", stdin=True), "stdin", "stdout") as command:
        command.write(data, fin=True)
        assert command.exit_code() == 0
        assert command.got("stdout").split()[0].decode() == hashlib.md5(data).hexdigest()
    # Not by head, which copies byte by byte.
    script = f"yes 0123456789abcde | dd bs={MEGABYTE} count=100 iflag=fullblock"
    with Command(exec_url(sleeper, "/bin/sh", "-c", script), "stdout") as command:
        assert command.exit_code() == 0
        assert command.got("stdout") == b"0123456789abcde\n" * (100 * MEGABYTE // 16)


def test_a_slow_reader_holds_the_process_up(node, sleeper):
    script = "i=0; while :; do dd if=/dev/zero bs=100000 count=1; i=$((i+1)); echo $i >/tmp/written; done"
    with Command(exec_url(sleeper, "/bin/sh", "-c", script), "stdout") as command:
        command.until(b"\0")
        seen = []

        def stands_still():
            seen.append(sleeper.sh("cat /tmp/written"))
            return len(seen) > 1 and seen[-1] == seen[-2]

        until(stands_still, "the process stands still", 30, every=0.5)
        # What the buffers on the way hold, and no more.
        assert int(seen[-1]) * 100_000 < 32 * MEGABYTE


@pytest.mark.parametrize("tty", [False, True])
def test_a_client_that_vanishes_hangs_the_process_up(sleeper, tty):
    types = ["stdout", "resize"] if tty else ["stdout"]
    command = Command(exec_url(sleeper, "/bin/sh", "-c", "echo pid $$ end; exec sleep 1000", tty=tty), *types)
    command.until(b" end")
    pid = command.got("stdout").split()[1].decode()
    assert alive(sleeper, pid)
    command.close()
    until(lambda: not alive(sleeper, pid), "the process is gone", 10)


def test_64_sessions_at_once(sleeper):
    commands = []
    with ThreadPoolExecutor(16) as pool:
        urls = [exec_url(sleeper, "/bin/cat", stdin=True) for _ in range(64)]
        commands = list(pool.map(lambda url: Command(url, "stdin", "stdout"), urls))
        for number, command in enumerate(commands):
            command.write(f"session {number}\n".encode())
        for number, command in enumerate(commands):
            command.until(f"session {number}\n".encode())
        for command in commands:
            command.write(b"", fin=True)
            assert command.exit_code() == 0
            command.close()


def test_nothing_is_left_after_200_rounds(node, sleeper):
    def descriptors():
        return len(os.listdir(f"/proc/{node.process.pid}/fd"))

    def processes():
        return sleeper.sh("ls -d /proc/[0-9]* | wc -l").strip()

    def one(number):
        url = exec_url(sleeper, "/bin/cat", stdin=True)
        if number % 4 == 3:
            return
        with Command(url, "stdin", "stdout") as command:
            if number % 4 == 0:
                command.write(b"", fin=True)
                assert command.exit_code() == 0
            if number % 4 == 1:
                command.socket.sendall(b"\xff" * 100)

    for number in range(8):
        one(number)
    before, running = until(lambda: (descriptors(), processes()), "a first count")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(200)))
    until(lambda: descriptors() <= before, "no descriptor is left", 30)
    until(lambda: processes() == running, "no process is left", 30)


# What is refused


def test_what_is_refused(node, pod, sleeper, images):
    url = exec_url(sleeper, "/bin/true")
    with Command(url, "stdout") as command:
        assert command.exit_code() == 0
    with pytest.raises(Refused) as refused:
        Command(url, "stdout")
    assert refused.value.status == 404
    with fails("INVALID_ARGUMENT", match="tty"):
        exec_url(sleeper, "/bin/true", stderr=True, tty=True)
    with fails("INVALID_ARGUMENT", match="stdin, stdout"):
        exec_url(sleeper, "/bin/true", stdout=False)
    with fails("INVALID_ARGUMENT", match="cmd"):
        exec_url(sleeper)
    for port in (0, -1, 65536, 1 << 30):
        with fails("INVALID_ARGUMENT", match="65535"):
            node.cri.PortForward(pod_sandbox_id=pod.id, port=[port])
    with fails("NOT_FOUND"):
        node.cri.Attach(container_id="0" * 64, stdout=True)
    created = pod.create(images.plain, "/bin/true")
    with fails("FAILED_PRECONDITION", match="not running"):
        exec_url(created, "/bin/true")
    created.remove()


def test_garbage_ends_its_session_only(node, sleeper):
    garbage = [
        # Two kilobytes that inflate to a megabyte; a frame of 16 MiB; another version; no frame at all.
        lambda c: c.open(wait=False, **{"streamtype": "a" * MEGABYTE}),
        lambda c: c.socket.sendall(b"\x80\x03\x00\x01\x00\xff\xff\xff"),
        lambda c: c.socket.sendall(b"\x80\x02\x00\x01\x00\x00\x00\x00"),
        lambda c: c.socket.sendall(b"\xa5" * 4096),
    ]
    for send in garbage:
        with Command(exec_url(sleeper, "/bin/cat", stdin=True), "stdin", "stdout") as command:
            send(command)
            with pytest.raises(ConnectionError):
                while True:
                    command.step()
            assert command.went_away == 1
    assert node.running()
    assert sleeper.sh("echo still here") == "still here\n"


# Attach


def test_attach_several_at_once(node, pod, images):
    script = "while read line; do echo got $line; done; echo end"
    container = pod.run(images.plain, "/bin/sh", "-c", script, stdin=True, stdin_once=True)

    def attach(*types):
        url = node.cri.Attach(container_id=container.id, stdin="stdin" in types, stdout=True).url
        return Command(url, *types)

    with attach("stdin", "stdout") as first, attach("stdout") as second:
        first.write(b"one\n")
        first.until(b"got one\n")
        second.until(b"got one\n")
        with attach("stdout") as late:
            first.write(b"two\n")
            late.until(b"got two\n")
            assert b"one" not in late.got("stdout")
            # With stdin_once the end of the first client's input is the container's.
            first.write(b"", fin=True)
            for one in (first, second, late):
                assert one.status()["status"] == "Success"
                assert one.got("stdout").endswith(b"got two\nend\n")
    assert container.wait().exit_code == 0
    assert container.output() == "got one\ngot two\nend\n"
    container.remove()


# Port-forward


def test_port_forward(node, pod, echo):
    with PortForward(node.cri.PortForward(pod_sandbox_id=pod.id).url) as client:
        for _ in range(3):
            error, data = client.connect(1)
            client.until_ended(error, data)
            assert b"refused" in client.data[error]
        connections = [client.connect(echo) for _ in range(20)]
        payloads = [os.urandom(100_000) for _ in connections]
        sender = threading.Thread(
            target=lambda: [client.send(data, payload) for (_, data), payload in zip(connections, payloads)]
        )
        sender.start()
        for (_, data), payload in zip(connections, payloads):
            while len(client.data.get(data, b"")) < len(payload):
                client.step()
            assert client.data[data] == payload
        sender.join()
        error, data = client.connect(70000)
        client.until_ended(error, data)
        assert b"1 to 65535" in client.data[error]


def test_port_forward_100_megabytes_each_way(node, pod, echo):
    with PortForward(node.cri.PortForward(pod_sandbox_id=pod.id).url) as client:
        _, data = client.connect(echo)
        payload = os.urandom(MEGABYTE) * 100
        sender = threading.Thread(target=lambda: client.send(data, payload))
        sender.start()
        while len(client.data.get(data, b"")) < len(payload):
            client.step()
        sender.join()
        assert client.data[data] == payload


# Clients that are not ours


def test_websockets_v5(sleeper):
    url = exec_url(sleeper, "/bin/sh", "-c", "md5sum; echo done >&2; exit 5", stdin=True, stderr=True)
    data = os.urandom(MEGABYTE) * 20
    with connect(url.replace("http", "ws"), subprotocols=["v5.channel.k8s.io"], max_size=None) as client:
        assert client.subprotocol == "v5.channel.k8s.io"
        for start in range(0, len(data), 1 << 20):
            client.send(b"\0" + data[start : start + (1 << 20)])
        client.send(b"\xff\0")
        assert client.ping().wait(30)
        got = {}
        for message in client:
            got[message[0]] = got.get(message[0], b"") + message[1:]
        assert got[1].split()[0].decode() == hashlib.md5(data).hexdigest()
        assert got[2] == b"done\n"
        assert b'"NonZeroExitCode"' in got[3]
        assert client.close_code == 1000


def kubernetes_client(url):
    return kubernetes.client.Configuration(), url.replace("http", "ws")


def test_kubernetes_own_client(sleeper):
    url = exec_url(sleeper, "/bin/sh", "-c", "read line; echo got $line; echo err >&2; exit 4", stdin=True, stderr=True)
    client = kubernetes_ws.WSClient(*kubernetes_client(url), {}, capture_all=True)
    client.write_stdin("typed\n")
    client.run_forever(timeout=30)
    assert client.read_stdout() == "got typed\n"
    assert client.read_stderr() == "err\n"
    assert client.returncode == 4


def test_kubernetes_own_port_forward(node, pod, echo):
    url = node.cri.PortForward(pod_sandbox_id=pod.id, port=[echo]).url
    configuration, url = kubernetes_client(url)
    forward = kubernetes_ws.PortForward(kubernetes_ws.create_websocket(configuration, url), [echo])
    end: socket.socket = forward.socket(echo)
    end.setblocking(True)
    end.settimeout(30)
    end.sendall(b"through the kubelet's oldest protocol")
    got = b""
    while len(got) < 37:
        got += end.recv(100)
    assert got == b"through the kubelet's oldest protocol"
    end.close()
