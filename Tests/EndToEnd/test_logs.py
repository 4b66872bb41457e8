"""Container output in the CRI's log format."""

import os

from harness import crilog
from harness.errors import fails
from harness.wait import until


LINES = """awk 'BEGIN { for (i = 1; i <= 25000; i++) printf "line %06d of the output of this container\\n", i }'"""


def test_streams_and_tags(pod, images):
    container = pod.run(images.plain, "/bin/sh", "-c", "echo one; echo two >&2; printf 'no newline'")
    container.wait()
    entries = crilog.entries(container.log)
    assert [(e.stream, e.partial, e.text) for e in entries if e.stream == "stdout"] == [
        ("stdout", False, b"one"),
        ("stdout", True, b"no newline"),
    ] or [e.text for e in entries if e.stream == "stdout"] == [b"one", b"no newline"]
    assert [e.text for e in entries if e.stream == "stderr"] == [b"two"]
    times = [e.time for e in entries]
    assert times == sorted(times) or len(set(times)) > 1
    container.remove()


def test_long_lines_are_split_at_16_kib(pod, images):
    container = pod.run(images.plain, "/bin/sh", "-c", "head -c 40000 /dev/zero | tr '\\0' x; echo")
    container.wait()
    entries = crilog.entries(container.log)
    assert all(len(e.text) <= 16 << 10 for e in entries)
    assert [e.partial for e in entries][-1] is False and entries[0].partial
    assert b"".join(e.text for e in entries) == b"x" * 40000
    container.remove()


def test_one_megabyte_of_lines(pod, images):
    container = pod.run(images.plain, "/bin/sh", "-c", LINES)
    container.wait(60)
    expected = [f"line {i:06d} of the output of this container" for i in range(1, 25001)]
    assert crilog.lines(container.log) == expected
    container.remove()


def test_output_is_complete_when_the_container_counts_as_exited(pod, images):
    for _ in range(3):
        container = pod.run(images.plain, "/bin/sh", "-c", "seq 2000")
        container.wait()
        assert crilog.lines(container.log) == [str(i) for i in range(1, 2001)]
        container.remove()


def test_log_is_for_root_only(sleeper):
    assert os.stat(sleeper.log).st_mode & 0o007 == 0


def test_reopen_after_rotation(node, pod, images):
    container = pod.run(images.plain, "/bin/sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done")
    container.wait_output("^10$")
    rotated = container.log.with_suffix(".log.1")
    container.log.rename(rotated)
    node.cri.ReopenContainerLog(container_id=container.id)
    assert container.log.exists()
    until(lambda: len(crilog.lines(container.log)) > 10, "the new file is written to")
    container.stop(0)
    numbers = [int(line) for line in crilog.lines(rotated) + crilog.lines(container.log)]
    assert numbers == list(range(1, len(numbers) + 1))
    with fails("FAILED_PRECONDITION"):
        node.cri.ReopenContainerLog(container_id=container.id)
    container.remove()


def test_terminal_writes_stdout_only(pod, images):
    container = pod.run(images.plain, "/bin/sh", "-c", "test -t 0 && echo tty; echo err >&2", tty=True, stdin=True)
    container.wait()
    entries = crilog.entries(container.log)
    assert {e.stream for e in entries} == {"stdout"}
    assert [e.text.strip() for e in entries] == [b"tty", b"err"]
    container.remove()


def test_no_log_path_means_no_log(pod, images):
    before = set(os.listdir(pod.log_directory))
    container = pod.run(images.plain, "/bin/echo", "unseen", log_path="")
    container.wait()
    assert set(os.listdir(pod.log_directory)) == before
    container.remove()
