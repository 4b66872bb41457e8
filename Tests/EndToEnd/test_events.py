"""GetContainerEvents: what happens to pods and containers, in order, to everybody who asks."""

import os
import signal
import subprocess
import threading
import time

import grpc
import pytest

from harness.client import Client
from harness.proto import BIN
from harness.wait import until

MIB = 1 << 20


class Subscriber:
    """Collects events of one pod, as (type, subject) and whole."""

    def __init__(self, node):
        self.node = node
        self.client = Client(str(node.socket), node.cri_api)
        self.events, self.error = [], None
        self.call = self.client.GetContainerEvents(deadline=120)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for event in self.call:
                self.events.append(event)
            self.error = "end"
        except grpc.RpcError as error:
            self.error = error

    def of(self, pod) -> list[tuple[str, str]]:
        names = {pod.id: "pod"}
        kinds = {number: name for name, number in vars(self.node.e).items() if name.endswith("_EVENT")}
        return [
            (kinds[e.container_event_type][10:-6], names.get(e.container_id, e.container_id))
            for e in list(self.events)
            if e.pod_sandbox_status.id == pod.id
        ]

    def close(self):
        self.call.cancel()
        self.client.close()


@pytest.fixture
def subscribers(node):
    made = [Subscriber(node), Subscriber(node)]
    # Until its stream is served, a subscriber gets nothing.
    probes = []

    def served():
        with node.pod() as probe:
            probes.append(probe.id)
        return all(any(e.pod_sandbox_status.id in probes for e in one.events) for one in made)

    until(served, "both are served")
    yield made
    for one in made:
        one.close()


def test_the_life_of_a_pod_and_its_containers(node, images, subscribers):
    pod = node.run_pod(labels={"a": "b"})
    first = pod.run(images.plain, "/bin/sh", "-c", "exit 3", labels={"c": "d"})
    first.wait()
    second = pod.create(images.plain, "/bin/sleep", "1000")
    second.start()
    hog = pod.run(
        images.plain, "/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1",
        linux=dict(resources=dict(memory_limit_in_bytes=16 * MIB)),
    )  # fmt: skip
    hog.wait()
    second.stop(0)
    first.remove()
    pod.remove()
    expected = [
        ("CREATED", "pod"), ("STARTED", "pod"),
        ("CREATED", first.id), ("STARTED", first.id), ("STOPPED", first.id),
        ("CREATED", second.id), ("STARTED", second.id),
        ("CREATED", hog.id), ("STARTED", hog.id), ("STOPPED", hog.id),
        ("STOPPED", second.id), ("DELETED", first.id), ("STOPPED", "pod"),
    ]  # fmt: skip
    for one in subscribers:
        until(lambda one=one: ("DELETED", "pod") in one.of(pod), "the last event", 10)
        told = one.of(pod)
        assert told[: len(expected)] == expected
        assert set(told[len(expected) : -1]) == {("DELETED", second.id), ("DELETED", hog.id)}
        events = [e for e in one.events if e.pod_sandbox_status.id == pod.id]
        times = [e.created_at for e in events]
        assert times == sorted(times) and abs(times[-1] / 1e9 - time.time()) < 60
        by_name = {(name, subject): e for (name, subject), e in zip(told, events, strict=True)}
        stopped = by_name["STOPPED", first.id]
        assert stopped.pod_sandbox_status.state == node.e.SANDBOX_READY
        assert dict(stopped.pod_sandbox_status.labels) == {"a": "b"}
        (status,) = [s for s in stopped.containers_statuses if s.id == first.id]
        assert (status.exit_code, status.state, status.reason) == (3, node.e.CONTAINER_EXITED, "Error")
        assert dict(status.labels) == {"c": "d"}
        (status,) = [s for s in by_name["STOPPED", hog.id].containers_statuses if s.id == hog.id]
        assert (status.exit_code, status.reason) == (137, "OOMKilled")
        assert first.id not in {s.id for s in by_name["DELETED", first.id].containers_statuses}
        assert by_name["STOPPED", "pod"].pod_sandbox_status.state == node.e.SANDBOX_NOTREADY


def test_a_vm_that_dies(node, images, subscribers):
    pod = node.run_pod()
    container = pod.run(images.plain, "/bin/sleep", "1000")
    os.kill(node.inspect(pod.id).vm.qemu_pid, signal.SIGKILL)
    one = subscribers[0]
    until(lambda: {("STOPPED", "pod"), ("STOPPED", container.id)} <= set(one.of(pod)), "both ends are told", 5)
    pod.remove()


def test_one_that_leaves_does_not_matter_to_the_others(node, subscribers):
    subscribers[0].close()
    with node.pod() as pod:
        until(lambda: ("STARTED", "pod") in subscribers[1].of(pod), "the other is told", 5)


def test_they_end_with_the_daemon(own_node):
    node = own_node()
    one = Subscriber(node)
    time.sleep(0.5)
    start = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - start < 4, "nobody waits for a subscriber"
    until(lambda: one.error is not None, "the stream ends", 5)
    one.close()
    node.start()


def test_bulkheadctl_events(node, images):
    with subprocess.Popen(
        [str(BIN / "bulkheadctl"), "--socket", str(node.socket), "events"], stdout=subprocess.PIPE, text=True
    ) as process:
        lines = []
        threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, "")), daemon=True).start()

        def told():
            with node.pod() as pod:
                pod.run(images.plain, "/bin/sh", "-c", "exit 3", name="ends").wait()
            return any("stopped" in line and "/ends" in line and "exit code 3" in line for line in lines)

        until(told, "the container's end is shown", 20)
        process.terminate()
