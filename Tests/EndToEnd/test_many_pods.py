"""Fifty pods at once, and what is told of them while one of their virtual machines hangs."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from harness.wait import until

COUNT = 50
LABELS = {"group": "many"}
# Of a caller that would go on without the answer. The daemon waits for a pod for a second.
DEADLINE = 5

# Fifty machines take a minute and a half to boot where two processors emulate them.
pytestmark = pytest.mark.timeout(480)


@pytest.fixture(scope="module")
def pods(node):
    """In the order of their start; nobody has asked for their stats."""
    small = dict(resources=dict(memory_limit_in_bytes=64 << 20))
    with ThreadPoolExecutor(4) as pool:
        started = [pool.submit(node.run_pod, labels=LABELS, linux=small) for _ in range(COUNT)]
        try:
            yield [pod.result() for pod in started]
        finally:
            list(pool.map(lambda pod: pod.exception() or pod.result().remove(), started))


@contextmanager
def hanging(node, pod):
    """The pod's virtual machine does nothing."""
    pid = node.inspect(pod.id).vm.qemu_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def told(node) -> dict[str, int]:
    """When each of the pods said what is told of it, by its id."""
    stats = node.cri.ListPodSandboxStats(filter=dict(label_selector=LABELS), deadline=DEADLINE).stats
    return {one.attributes.id: one.linux.cpu.timestamp for one in stats}


def test_all_but_one_that_never_answered(node, pods):
    ids = {pod.id for pod in pods}
    stuck = pods[COUNT // 2]
    with hanging(node, stuck):
        # Guests that are asked for the first time, all at once, may need longer than anybody waits for them. Each is
        # told of when it is asked for the next time, as a kubelet does every ten seconds.
        assert set(told(node)) <= ids - {stuck.id}
        time.sleep(DEADLINE)
        assert set(told(node)) == ids - {stuck.id}
    until(lambda: set(told(node)) == ids, "the last one answers", 20)


def test_one_that_hangs_is_told_of_as_it_said_last(node, pods):
    ids = {pod.id for pod in pods}
    until(lambda: set(told(node)) == ids, "all answer", 20)
    stuck = pods[COUNT // 3]
    last = told(node)[stuck.id]
    with hanging(node, stuck):
        asked = time.time_ns()
        times = until(lambda: fresh if (fresh := told(node)) and all_since(fresh, asked, stuck) else None, "the others", 20)
        assert times[stuck.id] == last
        metrics = node.cri.ListPodSandboxMetrics(deadline=DEADLINE).pod_metrics
        assert ids <= {one.pod_sandbox_id for one in metrics} | {stuck.id}
    until(lambda: told(node)[stuck.id] > last, "it answers again", 20)


def all_since(times: dict[str, int], start: int, but) -> bool:
    return len(times) == COUNT and all(time >= start for id, time in times.items() if id != but.id)
