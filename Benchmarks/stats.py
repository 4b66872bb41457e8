"""How long stats take, and how much of the memory that a container freed the host gets back."""

import os
import time
from pathlib import Path

from figures import Samples
from harness.node import Node
from harness.wait import until

PODS, CONTAINERS, CALLS = 10, 5, 30
MIB = 1 << 20
# Looks five times a second, by the shell alone, until it is told to sleep.
WORK = "mkfifo /f; exec 3<>/f; until [ -e /asleep ]; do read -t 0.2 x <&3; done; exec sleep 100000"


def measure(node: Node, image: str) -> dict[str, Samples]:
    """Stats of many containers in one call, each pod asked anew every time. Each container does a little all the time,
    so that no guest can answer from memory; in the last figure all of them sleep."""
    samples = {
        "stats": Samples(f"ListContainerStats of {PODS} pods with {CONTAINERS} containers each", "ms"),
        "metrics": Samples("  ListPodSandboxMetrics of the same", "ms"),
        "asleep": Samples("  ListContainerStats while all containers sleep", "ms"),
    }
    pods = []
    try:
        for _ in range(PODS):
            pods.append(node.run_pod())
            for _ in range(CONTAINERS):
                pods[-1].run(image, "/bin/sh", "-c", WORK)
        # What starting them left to do is done by then, and each guest has answered once.
        time.sleep(5)
        until(lambda: len(node.cri.ListContainerStats().stats) == PODS * CONTAINERS, "all answer", 30)
        for name, call in (
            ("stats", node.cri.ListContainerStats), ("metrics", node.cri.ListPodSandboxMetrics),
            ("asleep", node.cri.ListContainerStats),
        ):  # fmt: skip
            if name == "asleep":
                for container in node.cri.ListContainers().containers:
                    node.cri.ExecSync(container_id=container.id, cmd=["/bin/touch", "/asleep"], timeout=30)
                time.sleep(3)
            for _ in range(CALLS):
                start = time.perf_counter()
                answer = call()
                samples[name].add(time.perf_counter() - start)
                count = (
                    sum(len(m.container_metrics) for m in answer.pod_metrics)
                    if name == "metrics"
                    else len(answer.stats)
                )
                assert count == PODS * CONTAINERS, f"{count} containers answered"
                time.sleep(0.05)
        return samples
    finally:
        for pod in pods:
            pod.remove()


def measure_returned(node: Node, image: str) -> dict[str, float]:
    """A container takes 200 MiB and frees them: what QEMU holds before, at the peak and after."""
    with node.pod(linux=dict(resources=dict(memory_limit_in_bytes=384 * MIB))) as pod:
        pid = node.inspect(pod.id).vm.qemu_pid

        def resident() -> int:
            return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

        container = pod.run(
            image, "/bin/sh", "-c",
            "sleep 3; dd if=/dev/zero bs=200M count=1 2>/dev/null | sleep 4; echo freed; sleep 1000",
        )  # fmt: skip
        time.sleep(2)
        before = resident()
        until(lambda: resident() > before + 190 * MIB, "the guest uses 200 MiB", 60)
        peak = resident()
        container.wait_output("freed", 60)
        start = time.monotonic()
        try:
            until(lambda: resident() < peak - 180 * MIB, "the host has it back", 60)
        except AssertionError:
            pass
        return {
            "Free-page reporting: QEMU before 200 MiB are used": before,
            "Free-page reporting: QEMU while they are": peak,
            "Free-page reporting: QEMU after they were freed": resident(),
            "Free-page reporting: until 180 MiB are back, time": time.monotonic() - start,
        }
