"""Exec, attach, port-forward and copy as people do them: by kubectl, through an API server that passes its
connections on. Debian's kubectl speaks SPDY; one that is installed beside it, where there is one, may be so
new that it asks for WebSockets first."""

import hashlib
import os
import re
import shutil
import socket
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.apiserver import NAMESPACE, ApiServer
from harness.proto import CACHE
from harness.terminal import Terminal
from harness.wait import until

MIB = 1 << 20
# Unpacked by scripts/setup.sh; it is in nobody's way there.
DEBIAN = CACHE / "kubernetes-client" / "usr" / "bin" / "kubectl"
INSTALLED = shutil.which("kubectl")


class Kubectl:
    def __init__(self, program: str, api: ApiServer, directory: Path):
        assert Path(program).exists(), f"{program} is missing: run `make setup`"
        config = directory / "config"
        config.write_text("apiVersion: v1\nkind: Config\n")
        self.start = [program, f"--server={api.url}", f"--kubeconfig={config}", f"--cache-dir={directory}/cache"]
        self.start += [f"--namespace={NAMESPACE}"]
        self.minor = int(re.search(r"v1\.(\d+)", self.run("version", "--client").stdout.decode())[1])

    def arguments(self, *words) -> list[str]:
        return [*self.start, *map(str, words)]

    def run(self, *words, stdin: bytes | None = None) -> subprocess.CompletedProcess:
        given = dict(input=stdin) if stdin is not None else dict(stdin=subprocess.DEVNULL)
        return subprocess.run(self.arguments(*words), capture_output=True, timeout=60, **given)

    def popen(self, *words) -> subprocess.Popen:
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return subprocess.Popen(self.arguments(*words), **pipes)

    def terminal(self, *words, **size) -> Terminal:
        return Terminal(self.arguments(*words), **size)


@pytest.fixture(scope="module")
def api(node, sleeper):
    server = ApiServer(node)
    server.show(sleeper)
    yield server
    server.close()


@pytest.fixture(scope="module", params=["debian", *(["installed"] if INSTALLED else [])])
def kubectl(request, api, tmp_path_factory):
    return Kubectl(str(DEBIAN) if request.param == "debian" else INSTALLED, api, tmp_path_factory.mktemp("kubectl"))


@pytest.fixture
def target(pod, sleeper):
    """The words that name the container that does nothing."""
    return [pod.config.metadata.name, "-c", sleeper.config.metadata.name]


def running(container, text: str) -> bool:
    return text in container.sh("ps -o args")


# Exec


def test_output_and_exit_code(kubectl, target):
    result = kubectl.run("exec", *target, "--", "/bin/sh", "-c", "echo out; echo err >&2; exit 3")
    assert result.stdout == b"out\n"
    assert result.stderr.startswith(b"err\n") and b"exit code 3" in result.stderr
    assert result.returncode == 3
    result = kubectl.run("exec", *target, "--", "/bin/true")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


def test_the_protocol_that_client_and_daemon_agree_on(kubectl, api, target):
    kubectl.run("exec", *target, "--", "/bin/true")
    action, protocol = api.upgrades[-1]
    # 1.31 made WebSockets the default.
    assert action == "exec" and protocol == ("v5.channel.k8s.io" if kubectl.minor >= 31 else "v4.channel.k8s.io")


def test_stdin_to_its_end(kubectl, target):
    data = os.urandom(8 * MIB)
    result = kubectl.run("exec", "-i", *target, "--", "/bin/sh", "-c", "cat; echo end >&2", stdin=data)
    assert (result.returncode, result.stderr) == (0, b"end\n")
    assert hashlib.md5(result.stdout).digest() == hashlib.md5(data).digest()


def test_much_output(kubectl, target):
    script = "yes 0123456789abcde | dd bs=1M count=8 iflag=fullblock 2>/dev/null"
    assert kubectl.run("exec", *target, "--", "/bin/sh", "-c", script).stdout == b"0123456789abcde\n" * (8 * MIB // 16)


def wait_for_size(terminal, columns: int, rows: int):
    """Until the shell in the terminal sees it."""
    terminal.type(f"until stty size | grep '{rows} {columns}'; do sleep 0.1; done\n")
    terminal.wait_for(f"\n{rows} {columns}")


def test_a_terminal_and_its_size(kubectl, target):
    with kubectl.terminal("exec", "-it", *target, "--", "/bin/sh", columns=100, rows=50) as terminal:
        terminal.wait_for("# ")
        terminal.type("stty size; tty\n")
        terminal.wait_for("50 100\r\n/dev/pts/")
        terminal.resize(70, 20)
        wait_for_size(terminal, 70, 20)
        terminal.type("exit 7\n")
        assert terminal.wait() == 7
        assert not terminal.is_raw()


def test_ctrl_c_of_a_terminal_reaches_the_process(kubectl, target):
    with kubectl.terminal("exec", "-it", *target, "--", "/bin/sh", "-c", "trap 'exit 9' INT; echo up; while :; do sleep 0.1; done") as terminal:
        terminal.wait_for("up")
        terminal.type(b"\x03")
        assert terminal.wait() == 9


def test_a_client_that_is_killed_takes_its_process_along(kubectl, target, sleeper):
    process = kubectl.popen("exec", *target, "--", "/bin/sh", "-c", "echo up; exec sleep 3456789")
    assert process.stdout.readline() == b"up\n"
    assert running(sleeper, "3456789")
    process.kill()
    process.communicate()
    until(lambda: not running(sleeper, "3456789"), "the process is gone", 10)


def test_what_goes_wrong_is_said(kubectl, api, pod, target, images):
    result = kubectl.run("exec", *target, "--", "/no/such/program")
    assert result.returncode == 127 and b"/no/such/program" in result.stderr
    created = pod.create(images.plain, "/bin/true")
    api.show(created)
    result = kubectl.run("exec", target[0], "-c", created.config.metadata.name, "--", "/bin/true")
    assert result.returncode == 1 and b"not running" in result.stderr
    api.hide(created)
    created.remove()


# Attach


def test_attach(kubectl, api, pod, images):
    script = "while read line; do echo got $line; echo heard $line >&2; done; echo eof; exit 4"
    container = pod.run(images.plain, "/bin/sh", "-c", script, stdin=True, stdin_once=True)
    api.show(container)
    words = [pod.config.metadata.name, "-c", container.config.metadata.name]
    watcher, process = kubectl.popen("attach", *words), kubectl.popen("attach", "-i", *words)
    with watcher, process:
        watched = []
        reader = threading.Thread(target=lambda: watched.extend(iter(watcher.stdout.readline, b"")))
        reader.start()

        def attached():
            process.stdin.write(b"one\n")
            process.stdin.flush()
            return watched

        until(attached, "who only watches sees something", every=0.3)
        output, errors = process.communicate(b"two\n", timeout=30)
        assert output.startswith(b"got one\n") and output.endswith(b"got one\ngot two\neof\n")
        assert b"heard one\nheard two\n" in errors
        reader.join(30)
        assert watched[-3:] == [b"got one\n", b"got two\n", b"eof\n"]
    assert container.wait().exit_code == 4
    assert container.output() == output.decode()
    api.hide(container)
    container.remove()


def test_attach_to_a_terminal(kubectl, api, pod, images):
    container = pod.run(images.plain, "/bin/sh", stdin=True, tty=True)
    api.show(container)
    words = ["-it", pod.config.metadata.name, "-c", container.config.metadata.name]
    with kubectl.terminal("attach", *words, columns=90, rows=30) as terminal:
        terminal.wait_for("If you don't see a command prompt")
        wait_for_size(terminal, 90, 30)
        terminal.resize(60, 15)
        wait_for_size(terminal, 60, 15)
        terminal.type("exit\n")
        assert terminal.wait() == 0
    api.hide(container)
    container.wait()
    container.remove()


# Port-forward


@contextmanager
def forwarded(kubectl, pod, *ports: int):
    """kubectl port-forward; yields the process and its local ports by those of the pod."""
    process = kubectl.popen("port-forward", f"pod/{pod.config.metadata.name}", *(f":{port}" for port in ports))
    try:
        local = {}
        while len(local) < len(ports):
            line = process.stdout.readline().decode()
            match = re.fullmatch(r"Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)\n", line)
            if match:
                local[int(match[2])] = int(match[1])
            else:
                assert "[::1]" in line, line + (process.stderr.read().decode() if not line else "")
        yield process, local
    finally:
        process.kill()
        process.communicate()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def check_echo(connection: socket.socket, data: bytes):
    sender = threading.Thread(target=connection.sendall, args=(data,))
    sender.start()
    got = bytearray()
    while len(got) < len(data) and (piece := connection.recv(1 << 16)):
        got += piece
    sender.join()
    assert got == data


def test_port_forward(kubectl, pod, echo):
    with forwarded(kubectl, pod, echo) as (_, ports):
        connections = [connect(ports[echo]) for _ in range(10)]
        for number, connection in enumerate(connections):
            check_echo(connection, f"connection {number}".encode())
        failures = []

        def transfer(connection):
            try:
                check_echo(connection, os.urandom(MIB))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=transfer, args=(connection,)) for connection in connections[:5]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not failures
        for connection in connections:
            connection.close()
        with connect(ports[echo]) as connection:
            check_echo(connection, b"after all others were closed")


def test_a_refused_port_is_said(kubectl, pod, echo):
    with forwarded(kubectl, pod, echo, 9101) as (process, ports):
        with connect(ports[echo]) as good:
            check_echo(good, b"before")
            with connect(ports[9101]) as refused:
                assert refused.recv(1) == b""
            line = process.stderr.readline().decode()
            assert "9101" in line and "refused" in line
            # Newer ones end their session themselves where a port was refused.
            if kubectl.minor < 23:
                check_echo(good, b"after")


# Copy


def test_copy_both_ways(kubectl, target, sleeper, tmp_path):
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "data").write_bytes(os.urandom(3 * MIB))
    (tree / "script").write_text("#!/bin/sh\n")
    (tree / "script").chmod(0o755)
    name, container = target[0], target[2]
    result = kubectl.run("cp", tree, f"{name}:/tmp/copied", "-c", container)
    assert result.returncode == 0, result.stderr
    digest = hashlib.md5((tree / "deep" / "data").read_bytes()).hexdigest()
    assert digest in sleeper.sh("test -x /tmp/copied/script && md5sum /tmp/copied/deep/data")
    result = kubectl.run("cp", f"{name}:/tmp/copied", tmp_path / "back", "-c", container)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "back" / "deep" / "data").read_bytes() == (tree / "deep" / "data").read_bytes()
    sleeper.sh("rm -r /tmp/copied")
