"""bulkheadctl exec -it at a terminal: what a person sees, and what the process inside sees of them."""

import os
import re
import signal
import subprocess
import threading
import time

import pytest

from harness import layers
from harness.proto import BIN
from harness.terminal import Terminal
from harness.wait import until

CTL = str(BIN / "bulkheadctl")


@pytest.fixture
def ctl(node):
    """A terminal with bulkheadctl in it."""
    opened = []

    def start(*arguments: str, **options) -> Terminal:
        terminal = Terminal([CTL, "--socket", str(node.socket), *arguments], **options)
        opened.append(terminal)
        return terminal

    yield start
    for terminal in opened:
        terminal.__exit__()


def daemon_memory(node) -> int:
    """Resident bytes."""
    return int(open(f"/proc/{node.process.pid}/statm").read().split()[1]) * 4096


def processes(container) -> str:
    return container.sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")


def test_a_shell_at_a_terminal(ctl, sleeper):
    terminal = ctl("exec", "-it", sleeper.id, "--", "/bin/sh", columns=91, rows=33)
    terminal.wait_for("[#$] ")
    assert terminal.is_raw(), "every key goes through"
    terminal.type("tty; stty size; echo $((6*7))\n")
    terminal.wait_for("/dev/pts/")
    terminal.wait_for("33 91")
    terminal.wait_for("42")
    terminal.resize(120, 40)
    time.sleep(0.5)
    terminal.type("stty size\n")
    terminal.wait_for("40 120")
    # Ctrl-C is the program's, not ours.
    terminal.type("sleep 1000\n")
    time.sleep(0.5)
    terminal.type(b"\x03")
    terminal.type("echo still $?\n")
    terminal.wait_for("still 130")
    terminal.type("exit 7\n")
    assert terminal.wait() == 7
    assert not terminal.is_raw(), "the terminal is as it was"


def test_end_of_file_key_ends_the_shell(ctl, sleeper):
    terminal = ctl("exec", "-it", sleeper.id, "--", "/bin/sh")
    terminal.wait_for("[#$] ")
    terminal.type(b"\x04")
    assert terminal.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_killed_client_restores_the_terminal_and_hangs_up(ctl, sleeper, number):
    terminal = ctl("exec", "-it", sleeper.id, "--", "/bin/sh", "-c", "echo ready; sleep 31415")
    terminal.wait_for("ready")
    os.kill(terminal.pid, number)
    assert terminal.wait() == 130
    assert not terminal.is_raw()
    until(lambda: "sleep 31415" not in processes(sleeper), "the process got its hang-up", 10)


def test_a_client_that_is_killed_at_once_hangs_up(ctl, sleeper):
    script = "(trap '' HUP; exec sleep 27182) & trap 'echo heard > /tmp/heard; exit' HUP; echo ready; while :; do sleep 0.1; done"
    terminal = ctl("exec", "-it", sleeper.id, "--", "/bin/sh", "-c", f"rm -f /tmp/heard; {script}")
    terminal.wait_for("ready")
    os.kill(terminal.pid, signal.SIGKILL)
    until(lambda: "27182" not in processes(sleeper), "child processes are killed", 10)
    assert sleeper.sh("cat /tmp/heard") == "heard\n"


def test_input_and_output_through_pipes(node, sleeper):
    """100 MB each way, and the end of the input ends the program."""
    size = 100_000_000
    script = f"{CTL} --socket {node.socket} exec -i {sleeper.id} -- /bin/cat"
    result = subprocess.run(
        f"head -c {size} /dev/zero | tr '\\0' y | tee >(md5sum >&2) | {script} | md5sum",
        shell=True, executable="/bin/bash", capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    sums = set(re.findall(r"[0-9a-f]{32}", result.stdout + result.stderr))
    assert len(sums) == 1, "the same bytes came back"


def test_stdout_and_stderr_are_apart_and_codes_are_the_programs(node, sleeper):
    result = node.ctl("exec", sleeper.id, "--", "/bin/sh", "-c", "echo out; echo err >&2; exit 3")
    assert (result.returncode, result.stdout, result.stderr) == (3, "out\n", "err\n")
    missing = node.ctl("exec", sleeper.id, "--", "no-such-program")
    assert missing.returncode == 127 and "no-such-program" in missing.stderr
    assert node.ctl("exec", sleeper.id, "--", "/etc/passwd").returncode == 126
    killed = node.ctl("exec", sleeper.id, "--", "/bin/sh", "-c", "kill -9 $$")
    assert killed.returncode == 137


def test_a_slow_reader_holds_the_process_up(node, sleeper):
    """And memory, in the daemon and in the guest, stays bounded."""
    sleeper.sh("rm -f /tmp/rounds")
    script = "while :; do dd if=/dev/zero bs=1000000 count=1 2>/dev/null; echo >> /tmp/rounds; done"
    before = daemon_memory(node)
    process = subprocess.Popen(
        [CTL, "--socket", str(node.socket), "exec", sleeper.id, "--", "/bin/sh", "-c", script],
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        rounds = lambda: int(sleeper.sh("wc -l < /tmp/rounds"))  # noqa: E731
        process.stdout.read(1000)
        time.sleep(2)
        first = rounds()
        time.sleep(1)
        assert rounds() == first < 20, "it waits"
        assert daemon_memory(node) - before < 32 << 20
        for _ in range(30):
            process.stdout.read(1_000_000)
        until(lambda: rounds() > first + 20, "it goes on as it is read")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    until(lambda: "rounds" not in processes(sleeper), "it ends with its client", 10)


def test_sixty_four_at_once_and_nothing_leaks(node, sleeper):
    def descriptors():
        return len(os.listdir(f"/proc/{node.process.pid}/fd"))

    def one(index: int, results: list):
        result = node.ctl("exec", sleeper.id, "--", "/bin/sh", "-c", f"sleep 1; echo {index}; exit {index}")
        results.append((index, result.returncode, result.stdout))

    node.ctl("exec", sleeper.id, "--", "/bin/true", check=True)
    before = descriptors()
    results: list = []
    threads = [threading.Thread(target=one, args=(index, results)) for index in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert sorted(results) == [(index, index, f"{index}\n") for index in range(64)]
    until(lambda: descriptors() <= before + 2, "the daemon's descriptors are as before", 10)


def test_what_is_not_running_says_so(node, pod, images):
    container = pod.create(images.plain, "/bin/true")
    result = node.ctl("exec", "-i", container.id, "--", "/bin/true")
    assert result.returncode == 1 and "running" in result.stderr
    container.remove()


def test_the_daemon_is_killed_meanwhile(own_node, images):
    node = own_node()
    node.pull(images.plain)
    with node.pod("killed") as pod:
        sleeper = pod.run(images.plain, "/bin/sleep", "100000")
        arguments = [CTL, "--socket", str(node.socket), "exec", "-it", sleeper.id, "--", "/bin/sh", "-c"]
        with Terminal([*arguments, "echo ready; sleep 16180"]) as terminal:
            terminal.wait_for("ready")
            node.restart()
            assert terminal.wait() == 1
            assert not terminal.is_raw()
        until(lambda: "16180" not in processes(sleeper), "the agent ends what nobody listens to", 15)
        assert sleeper.running()


def test_a_shell_in_the_guest(node, own_node, pod, images):
    refused = node.ctl("debug", pod.id, "--image", images.plain, "--", "/bin/true")
    assert refused.returncode == 1 and "guest_shell" in refused.stderr
    node = own_node(debug={"guest_shell": True, "image": images.plain})
    node.pull(images.plain)
    with node.pod("debugged") as pod:
        with Terminal([CTL, "--socket", str(node.socket), "debug", pod.id]) as terminal:
            terminal.wait_for("[#$] ")
            terminal.type("cat /proc/1/comm; ls /guest/sbin; id -u\n")
            terminal.wait_for("init|bulkhead-agent")
            terminal.wait_for(r"\binit\b")
            terminal.type("exit 9\n")
            assert terminal.wait() == 9
        assert not node.cri.ListContainers().containers, "nobody lists it"


def test_a_pull_draws_a_bar(node, crafted):
    blob, diff_id = layers.compressed(layers.tar(layers.file("big", os.urandom(1_000_000))))
    crafted.rate = 1_000_000
    node.trust(crafted.host)
    reference = crafted.image("bar/image", [crafted.blob(blob)], [diff_id])
    with Terminal([CTL, "--socket", str(node.socket), "image", "pull", reference], columns=120) as terminal:
        assert terminal.wait() == 0
    shown = terminal.output.decode()
    shares = [int(share) for share in re.findall(r"downloading +[█░]{30}  (\d+) %  [^\r]*/s  layer 1 of 1", shown)]
    assert len(shares) > 3 and shares == sorted(shares) and shares[0] < 50 < shares[-1], shown
    # Redrawn in place; the last line is the image.
    assert shown.count("\n") == 1 and "sha256:" in shown.splitlines()[-1], shown
