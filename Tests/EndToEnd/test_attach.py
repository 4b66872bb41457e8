"""Attach: a container's output from then on, its input, its terminal."""

import os
import signal
import subprocess
import time

import pytest

from harness.proto import BIN
from harness.terminal import Terminal
from harness.wait import until

CTL = str(BIN / "bulkheadctl")
COUNT = "i=0; while [ $i -lt {} ]; do i=$((i+1)); echo line $i; sleep {}; done; exit 5"


class Attached:
    """bulkheadctl attach with pipes."""

    def __init__(self, node, container, *arguments):
        self.process = subprocess.Popen(
            [CTL, "--socket", str(node.socket), "attach", *arguments, container.id],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()

    def line(self) -> str:
        return self.process.stdout.readline().decode()

    def type(self, text: str):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()


def test_several_see_the_same_from_then_on_and_the_log_has_all(node, pod, images):
    container = pod.run(images.plain, "/bin/sh", "-c", COUNT.format(40, 0.05))
    container.wait_output("line 3")
    with Attached(node, container) as one, Attached(node, container) as other:
        first, _ = one.process.communicate(timeout=30)
        second, _ = other.process.communicate(timeout=30)
        assert one.process.returncode == other.process.returncode == 5, "its end is the container's"
    for text in (first.decode(), second.decode()):
        lines = text.splitlines()
        assert "line 1" not in lines, "what came before is the log's"
        start = int(lines[0].split()[1])
        assert lines == [f"line {index}" for index in range(start, 41)]
    assert container.output() == "".join(f"line {index}\n" for index in range(1, 41))
    container.remove()


def test_a_client_that_reads_nothing_does_not_stop_the_log_for_ever(node, pod, images):
    """It is detached and told; meanwhile another one sees everything."""
    script = "read go; i=0; while [ $i -lt 60 ]; do i=$((i+1)); dd if=/dev/zero bs=100000 count=1 2>/dev/null | tr '\\0' x; echo; done; echo done"
    container = pod.run(images.plain, "/bin/sh", "-c", script, stdin=True)
    with Attached(node, container) as silent, Attached(node, container, "-i") as reader:
        time.sleep(1)
        reader.type("go\n")
        started = time.monotonic()
        output, _ = reader.process.communicate(timeout=60)
        assert len(output) == 60 * 100_001 + 5
        assert time.monotonic() - started < 40
        container.wait_output("done", 40)
        _, errors = silent.process.communicate(timeout=30)
        assert silent.process.returncode == 1 and b"detached" in errors
    container.remove()


def test_stdin_of_several_stays_open(node, pod, images):
    script = "while read line; do echo got $line; [ $line = end ] && exit 0; done; echo eof"
    container = pod.run(images.plain, "/bin/sh", "-c", script, stdin=True)
    with Attached(node, container, "-i") as one, Attached(node, container, "-i") as other:
        time.sleep(0.5)
        one.type("first\n")
        assert one.line() == other.line() == "got first\n"
        other.type("second\n")
        assert one.line() == "got second\n"
        one.process.stdin.close()
        other.type("third\n")
        assert one.line() == "got third\n", "the end of one's input is not the container's"
    assert container.running()
    with Attached(node, container, "-i") as again:
        again.type("end\n")
        assert again.line() == "got end\n"
        assert again.process.wait(20) == 0
    container.remove()


def test_stdin_once_ends_with_the_first(node, pod, images):
    for vanish in (False, True):
        container = pod.run(images.plain, "/bin/sh", "-c", "cat; echo eof", stdin=True, stdin_once=True)
        with Attached(node, container, "-i") as attached:
            attached.type("hello\n")
            assert attached.line() == "hello\n"
            if vanish:
                attached.process.kill()
            else:
                attached.process.stdin.close()
                assert attached.line() == "eof\n"
                assert attached.process.wait(20) == 0
        assert container.wait().exit_code == 0
        assert container.output() == "hello\neof\n"
        container.remove()


def test_a_terminal_with_its_size_and_detach_keys(node, pod, images):
    container = pod.run(images.plain, "/bin/sh", tty=True, stdin=True)
    arguments = [CTL, "--socket", str(node.socket), "attach", "-i", container.id]
    with Terminal(arguments, columns=100, rows=50) as terminal:
        time.sleep(1)
        terminal.type("stty size\n")
        terminal.wait_for("50 100")
        terminal.resize(70, 20)
        time.sleep(0.5)
        terminal.type("stty size\n")
        terminal.wait_for("20 70")
        terminal.type(b"\x10\x11")
        assert terminal.wait() == 0
        assert not terminal.is_raw()
    assert container.running()
    with Terminal(arguments) as terminal:
        time.sleep(1)
        terminal.type("exit 6\n")
        assert terminal.wait() == 6
    container.remove()


def test_a_client_that_vanishes_changes_nothing(node, pod, images):
    container = pod.run(images.plain, "/bin/sh", "-c", COUNT.format(1000, 0.05), stdin=True)
    before = len(os.listdir(f"/proc/{node.process.pid}/fd"))
    for _ in range(5):
        with Attached(node, container, "-i") as attached:
            assert attached.line().startswith("line")
            attached.process.send_signal(signal.SIGKILL)
    last = container.output()
    until(lambda: container.output() != last, "it goes on writing")
    until(lambda: len(os.listdir(f"/proc/{node.process.pid}/fd")) <= before + 1, "no descriptor is left", 10)
    container.remove()


def test_what_is_not_running(node, pod, images):
    container = pod.create(images.plain, "/bin/true")
    for state in ("created", "exited"):
        result = node.ctl("attach", container.id)
        assert result.returncode == 1 and "running" in result.stderr, state
        if state == "created":
            container.start()
            container.wait()
    container.remove()


def test_after_a_restart_of_the_daemon(own_node, images):
    node = own_node()
    node.pull(images.plain)
    with node.pod("attached") as pod:
        container = pod.run(images.plain, "/bin/sh", "-c", "while read line; do echo got $line; done", stdin=True)
        with Attached(node, container, "-i") as attached:
            attached.type("before\n")
            assert attached.line() == "got before\n"
            node.restart()
            assert attached.process.wait(20) == 1
        with Attached(node, container, "-i") as attached:
            attached.type("after\n")
            assert attached.line() == "got after\n"
        assert container.output() == "got before\ngot after\n"
