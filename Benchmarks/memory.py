"""Where a pod's memory goes, on the host and in the guest."""

import time
from pathlib import Path

from harness.node import Node
from harness.proto import BIN

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
