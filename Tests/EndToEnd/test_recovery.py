"""kill -9 of the daemon at any moment: VMs and containers go on, the next daemon finds them all
again, no line of output is lost or doubled, and what was half made is released."""

import os
import random
import signal
import time

import grpc
import pytest

from harness import crilog, layers, leftovers
from harness.wait import until

COUNT = "i=0; while [ $i -lt {} ]; do i=$((i+1)); echo line $i; {}; done"


def numbers(container) -> list[int]:
    return [int(line.split()[1]) for line in crilog.lines(container.log)]


@pytest.fixture
def own(own_node, images):
    node = own_node()
    node.pull(images.plain)
    return node


def test_everything_is_as_it_was(own, images):
    node = own
    pod = node.run_pod("kept", labels={"a": "b"}, annotations={"c": "d"})
    running = pod.run(images.plain, "/bin/sleep", "100000", labels={"x": "y"})
    exited = pod.run(images.plain, "/bin/sh", "-c", "echo bye; exit 3")
    exited.wait()
    created = pod.create(images.plain, "/bin/sh", "-c", "echo late")
    stopped = node.run_pod("stopped")
    stopped.stop()

    def picture():
        pods = {p.id: p.status() for p in (pod, stopped)}
        containers = {c.id: c.status() for c in (running, exited, created)}
        return pods, containers, sorted(i.id for i in node.cri.ListImages().images), node.inspect(pod.id).vm.qemu_pid

    before = picture()
    node.restart()
    assert picture() == before
    assert running.sh("echo alive") == "alive\n"
    created.start()
    created.wait()
    assert created.output() == "late\n" and exited.output() == "bye\n"
    another = pod.run(images.plain, "/bin/sh", "-c", "echo more")
    another.wait()
    assert another.output() == "more\n"
    running.stop(0)
    assert running.status().exit_code == 137


def test_no_line_is_lost_or_doubled(own, images):
    node = own
    pod = node.run_pod()
    slow = pod.run(images.plain, "/bin/sh", "-c", COUNT.format(100000, "sleep 0.01"))
    fast = pod.run(images.plain, "/bin/sh", "-c", "sleep 1; seq 60000 | sed 's/^/line /'; sleep 1000")
    until(lambda: len(numbers(slow)) > 20, "some output")
    for _ in range(4):
        time.sleep(random.uniform(0.3, 1.0))
        node.kill()
        time.sleep(0.5)
        node.start()
    seen = len(numbers(slow))
    until(lambda: len(numbers(slow)) > seen + 20, "the output goes on")
    until(lambda: len(numbers(fast)) >= 60000, "all of the fast container's output", 60)
    slow.stop(0)
    assert numbers(slow) == list(range(1, len(numbers(slow)) + 1))
    assert numbers(fast) == list(range(1, 60001))


def test_a_container_that_ended_meanwhile(own, images):
    node = own
    pod = node.run_pod()
    container = pod.run(images.plain, "/bin/sh", "-c", "echo first; sleep 2; echo last; exit 9")
    container.wait_output("first")
    node.kill()
    time.sleep(3)
    node.start()
    status = container.wait(10)
    assert (status.exit_code, status.reason) == (9, "Error")
    assert container.output() == "first\nlast\n"


def test_a_vm_that_died_meanwhile(own, images):
    node = own
    pod = node.run_pod()
    container = pod.run(images.plain, "/bin/sleep", "1000")
    pid = node.inspect(pod.id).vm.qemu_pid
    node.kill()
    os.kill(pid, signal.SIGKILL)
    node.start()
    until(lambda: not pod.ready(), "the pod is not ready", 10)
    assert container.status().exit_code == 137
    pod.remove()


@pytest.mark.parametrize("delay", [0.02, 0.15, 0.5, 1.0])
def test_killed_during_run_pod_sandbox(own, delay):
    node = own
    before = leftovers.snapshot(node.base, among=("processes", "mounts", "namespaces", "files"))
    before["processes"] = set()
    config = node.pod_config("interrupted")
    call = node.cri.RunPodSandbox.future(config=config)
    time.sleep(delay)
    node.kill()
    node.start()
    pods = node.cri.ListPodSandbox().items
    assert call.exception() is not None or pods
    if not pods:
        # Released while the daemon starts or soon after, without holding up its start.
        def nothing_left():
            now = leftovers.snapshot(node.base, among=tuple(before))
            now["processes"] = {line for line in now["processes"] if "bulkheadd --config" not in line}
            return not leftovers.added(before, now)

        until(nothing_left, "what was half made is released", 20)
    with node.pod("interrupted", attempt=1 if pods else 0) as pod:
        assert pod.ready()


def test_killed_during_a_pull(own, crafted):
    node = own
    node.trust(crafted.host)
    blob, diff = layers.compressed(layers.tar(layers.file("f", random.Random(1).randbytes(8 << 20))))
    reference = crafted.image("slow/image", [crafted.blob(blob)], [diff])
    crafted.rate = 4 << 20
    call = node.cri.PullImage.future(image=dict(image=reference))
    time.sleep(1)
    node.kill()
    assert call.exception() is not None
    node.start()
    assert node.image(reference) is None, "nothing is half known"
    until(lambda: len(leftovers.processes(node.base)) == 1, "no process of the pull is left", 10)
    crafted.rate = None
    node.pull(reference)
    assert node.image(reference).size >= 8 << 20


def test_interrupted_pull_resumes(own, crafted):
    node = own
    node.trust(crafted.host)
    blob, diff = layers.compressed(layers.tar(layers.file("f", random.Random(2).randbytes(8 << 20))))
    reference = crafted.image("resumed/image", [crafted.blob(blob)], [diff])
    crafted.rate = 4 << 20
    call = node.cri.PullImage.future(image=dict(image=reference))
    time.sleep(1.2)
    node.kill()
    assert call.exception() is not None
    crafted.rate = None
    crafted.blob_requests.clear()
    node.start()
    node.pull(reference)
    ranges = [asked for _, asked in crafted.blob_requests if asked]
    assert ranges and not ranges[0].startswith("bytes=0-"), crafted.blob_requests


def test_killed_during_stop_and_remove(own, images):
    node = own
    pod = node.run_pod("going")
    pod.run(images.plain, "/bin/sleep", "1000")
    call = node.cri.StopPodSandbox.future(pod_sandbox_id=pod.id)
    time.sleep(0.05)
    node.kill()
    assert call.exception() is not None or call.result() is not None
    node.start()
    pod.remove()
    assert not [item for item in node.cri.ListPodSandbox().items if item.id == pod.id]


def test_graceful_stop_leaves_the_pods_running(own, images):
    node = own
    pod = node.run_pod()
    container = pod.run(images.plain, "/bin/sh", "-c", COUNT.format(100000, "sleep 0.02"))
    container.wait_output("line 5")
    start = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - start < 10
    time.sleep(0.5)
    node.start()
    count = len(numbers(container))
    until(lambda: len(numbers(container)) > count + 10, "the output goes on")
    assert numbers(container) == list(range(1, len(numbers(container)) + 1))


def test_a_client_that_waits_gets_an_error_not_a_hang(own):
    node = own
    call = node.cri.RunPodSandbox.future(config=node.pod_config("waiting"))
    time.sleep(0.3)
    node.kill()
    start = time.monotonic()
    error = call.exception()
    assert isinstance(error, grpc.RpcError) and time.monotonic() - start < 5
    node.start()
