"""Where a pod's memory goes, on the host and in the guest."""

import os
import time
from pathlib import Path

from harness.node import Node
from harness.proto import BIN
from harness.wait import until

PODS = 10


def pss(pid: int) -> int:
    """Bytes of the process, shared pages divided by those who share them (proc(5))."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    return 0


def guest_memory(pid: int) -> int:
    """The part of QEMU's PSS that is the guest's own memory, a memfd that is mapped shared."""
    total, inside = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        first = line.split(maxsplit=1)[0]
        if "-" in first and not first.endswith(":"):
            inside = "memfd:" in line
        elif inside and first == "Pss:":
            total += int(line.split()[1]) << 10
    return total


def measure(node: Node, image: str) -> dict[str, int]:
    """Bytes by name, with ten pods that have one sleeping container each."""
    pods = []
    try:
        for _ in range(PODS):
            pods.append(node.run_pod())
            pods[-1].run(image, "/bin/sleep", "100000")
        # The pages that booting needed and idling does not are given back by then.
        time.sleep(5)
        inspected = [node.inspect(pod.id) for pod in pods]
        middle = sorted(inspected, key=lambda one: one.vm.qemu_resident_bytes)[PODS // 2]
        guest = middle.guest
        machine = middle.vm
        qemu = pss(machine.qemu_pid)
        own = guest_memory(machine.qemu_pid)
        result = {
            "Agent binary, stripped": (BIN / "bulkhead-agent").stat().st_size,
            "Agent's resident memory at idle": guest.agent_resident_bytes,
            "Guest memory in use with one sleeping container": guest.memory_total_bytes - guest.memory_available_bytes,
            f"Daemon PSS with {PODS} pods": pss(node.process.pid),
            "Host memory of a pod: the guest's own": own,
            "Host memory of a pod beyond it: QEMU": qemu - own,
        }
        if machine.vsock_pid:
            result["Host memory of a pod beyond it: bulkhead-vsock"] = pss(machine.vsock_pid)
        return result
    finally:
        for pod in pods:
            pod.remove()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def overhead(node: Node, image: str) -> tuple[dict[str, int], float]:
    """What a pod costs the host beyond what its containers use: for deploy/runtimeclass.yaml. Bytes with idle
    containers and with memory in use up to near the limit, and the processor's share, in cores, while idle."""
    limit = 512 << 20
    with node.pod(linux=dict(resources=dict(memory_limit_in_bytes=limit))) as pod:
        containers = [pod.run(image, "/bin/sleep", "100000") for _ in range(3)]
        machine = node.inspect(pod.id).vm
        processes = [pid for pid in (machine.qemu_pid, machine.vsock_pid) if pid]

        def beyond() -> int:
            used = node.cri.PodSandboxStats(pod_sandbox_id=pod.id).stats.linux.memory.usage_bytes.value
            return sum(pss(pid) for pid in processes) - used

        # The pages that booting needed and idling does not are given back by then.
        time.sleep(5)
        sizes = {"Overhead of a pod, its containers idle": beyond()}
        start, before = time.monotonic(), sum(map(cpu_seconds, processes))
        time.sleep(10)
        idle = (sum(map(cpu_seconds, processes)) - before) / (time.monotonic() - start)
        # Anonymous memory, files written and processes started, as containers do.
        containers[0].exec("/bin/sh", "-c", "dd if=/dev/zero of=/file bs=1M count=100 2>/dev/null; sync", timeout=60)
        holder = pod.run(
            image, "/bin/sh", "-c", "dd if=/dev/zero bs=350M count=1 2>/dev/null | (echo on; sleep 1000; cat >/dev/null)"
        )
        holder.wait_output("on", 60)
        until(lambda: int(holder.sh("cat /sys/fs/cgroup/memory.current")) > 340 << 20, "memory is in use", 60)
        for container in containers:
            for _ in range(10):
                container.exec("/bin/true")
        sizes["Overhead of a pod, 450 of 512 MiB in use"] = beyond()
        return sizes, idle
