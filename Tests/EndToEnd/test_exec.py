"""ExecSync."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.errors import fails


def test_output_and_exit_code(sleeper):
    answer = sleeper.exec("/bin/sh", "-c", "echo out; echo err >&2; exit 5")
    assert (answer.stdout, answer.stderr, answer.exit_code) == (b"out\n", b"err\n", 5)


def test_output_is_bytes(sleeper):
    answer = sleeper.exec("/bin/printf", r"\377\000\200")
    assert answer.stdout == b"\xff\x00\x80"


def test_runs_as_the_container_does(pod, images):
    container = pod.run(images.app, "/bin/sleep", "1000")
    assert container.sh("id -u; id -g; pwd; echo $COLOUR").split() == ["1000", "2000", "/srv/made/here", "green"]
    container.remove()


def test_program_that_is_not_there(sleeper):
    try:
        answer = sleeper.exec("/no/such/program")
        assert answer.exit_code in (126, 127) and b"/no/such/program" in answer.stderr
    except Exception as error:
        assert "/no/such/program" in error.details()


def test_program_is_looked_up_in_path(sleeper):
    assert sleeper.exec("echo", "found").stdout == b"found\n"


def test_killed_by_a_signal(sleeper):
    assert sleeper.exec("/bin/sh", "-c", "kill -KILL $$").exit_code == 137


def test_timeout_kills_the_process_and_its_children(sleeper):
    start = time.monotonic()
    with fails("DEADLINE_EXCEEDED"):
        sleeper.exec("/bin/sh", "-c", "sleep 1234567 & (trap '' TERM; sleep 1234567) & sleep 1234567", timeout=1)
    assert time.monotonic() - start < 10
    assert "1234567" not in sleeper.sh("ps -o args | grep '[1]234567' || true")


def test_cancelled_call_kills_the_process(node, sleeper):
    call = node.cri.ExecSync.future(container_id=sleeper.id, cmd=["/bin/sleep", "2345678"])
    time.sleep(1)
    assert "2345678" in sleeper.sh("ps -o args")
    call.cancel()
    for _ in range(50):
        if "2345678" not in sleeper.sh("ps -o args | grep '[2]345678' || true"):
            return
        time.sleep(0.1)
    raise AssertionError("the process still runs")


def test_a_child_that_keeps_the_output_open_does_not_hold_up_the_answer(sleeper):
    start = time.monotonic()
    answer = sleeper.exec("/bin/sh", "-c", "sleep 30 & echo done", timeout=20)
    assert answer.stdout == b"done\n" and answer.exit_code == 0
    assert time.monotonic() - start < 15


def test_one_megabyte(sleeper):
    answer = sleeper.exec("/bin/sh", "-c", "head -c 1048576 /dev/zero | tr '\\0' x")
    assert answer.stdout == b"x" * (1 << 20) and answer.exit_code == 0


@pytest.mark.timeout(300)
def test_an_answer_fits_what_clients_take_and_more_is_dropped_without_harm(sleeper):
    answer = sleeper.exec("/bin/sh", "-c", "dd if=/dev/zero bs=1M count=20 2>/dev/null; exit 3", timeout=240)
    assert (16 << 20) - 65536 < len(answer.SerializeToString()) <= 16 << 20
    assert answer.exit_code == 3


def test_many_at_once(sleeper):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: sleeper.exec("/bin/echo", str(i)).stdout, range(24)))
    assert answers == [f"{i}\n".encode() for i in range(24)]


def test_empty_command(node, sleeper):
    with fails("INVALID_ARGUMENT"):
        node.cri.ExecSync(container_id=sleeper.id, cmd=[])


def test_container_that_does_not_run(pod, images):
    container = pod.create(images.plain, "/bin/true")
    with fails("FAILED_PRECONDITION"):
        container.exec("/bin/true")
    container.start()
    container.wait()
    with fails("FAILED_PRECONDITION"):
        container.exec("/bin/true")
    container.remove()
