"""A pod whose libvirt is the daemon's own, on the kernel's vhost-vsock, in a cgroup v2, with an ipvlan interface.

A pod in here is emulated twice, so there is one.
"""

import os
import subprocess
import time
from pathlib import Path

import grpc
import pytest

from harness import cni
from harness.wait import until
from node_vm.world import CGROUPS, GATEWAY, IMAGE, MIB, PARENT, PATIENCE, PORT, SHARED, command_lines, daemon, machines, qemu


@pytest.fixture(scope="session")
def node(cri, operator, beyond):
    with daemon(cri, operator) as node:
        yield node


@pytest.fixture(scope="session")
def pod(node, parent):
    return node.run_pod("inside", linux=dict(cgroup_parent=PARENT))


@pytest.fixture(scope="session")
def sleeper(pod):
    return pod.run(IMAGE, "/bin/sh", "-c", "echo started; exec sleep 100000", name="sleeper")


def test_the_pod_runs_on_the_kernels_vsock(pod):
    assert any(word.startswith('{"driver":"vhost-vsock-pci"') for word in qemu(pod).arguments), qemu(pod).arguments
    assert pod.node.inspect(pod.id).vm.vsock_pid == 0
    assert not [line for line in command_lines().values() if line[0].endswith("bulkhead-vsock")]


def test_output_and_exec_come_over_it(pod, sleeper):
    assert sleeper.wait_output("started", 120) == "started\n"
    assert sleeper.sh("uname -r; echo done >&2") == os.uname().release + "\n"
    assert "over the stream\n" == pod.node.ctl("exec", sleeper.id, "--", "echo", "over the stream", check=True).stdout


def test_a_guest_finds_nothing_of_ours_that_listens(pod, sleeper):
    listening = subprocess.run(["ss", "--vsock", "--listening", "--no-header"], capture_output=True, text=True, check=True)
    assert listening.stdout == ""


def test_the_next_daemon_finds_it_again(pod, sleeper):
    pod.node.restart()
    pod.node.cri.deadline = PATIENCE
    assert pod.ready() and sleeper.running()
    assert sleeper.sh("echo still there") == "still there\n"


def test_its_processes_are_in_the_pods_cgroup(pod, parent, sleeper):
    place = f"{PARENT}/bulkhead-{pod.id}"
    assert Path(f"/proc/{qemu(pod).pid}/cgroup").read_text() == f"0::{place}\n"
    assert str(qemu(pod).pid) in (CGROUPS / place.strip("/") / "cgroup.procs").read_text().split()
    # The daemon is not.
    assert Path(f"/proc/{pod.node.process.pid}/cgroup").read_text() == "0::/\n"


def test_what_the_guest_uses_counts_there(pod, parent, sleeper):
    before = int((parent / "memory.current").read_text())
    sleeper.sh("dd if=/dev/zero of=/dev/shm/block bs=1M count=48 2>/dev/null")
    assert int((parent / "memory.current").read_text()) - before > 40 * MIB
    assert int((parent / "cpu.stat").read_text().split()[1]) > 1_000_000


def cpu_stat(cgroup: Path) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in (cgroup / "cpu.stat").read_text().splitlines())}


def cpu_used(pid: int) -> float:
    """Seconds (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def shares(pid: int, parent: Path) -> tuple[float, float, int]:
    """Of a processor, for a second: what QEMU takes, what the cgroup counts, and how often that was throttled."""
    begin, used, stat = time.monotonic(), cpu_used(pid), cpu_stat(parent)
    time.sleep(1)
    seconds, now = time.monotonic() - begin, cpu_stat(parent)
    counted = (now["usage_usec"] - stat["usage_usec"]) / 1e6
    return (cpu_used(pid) - used) / seconds, counted / seconds, now["nr_throttled"] - stat["nr_throttled"]


def test_its_cpu_limit_holds_the_guest(pod, parent, sleeper):
    burner = pod.run(IMAGE, "/bin/sh", "-c", "while :; do :; done")
    pid = qemu(pod).pid
    taken, counted, throttled = shares(pid, parent)
    assert taken > 0.7 and counted > 0.7 and throttled == 0
    (parent / "cpu.max").write_text("25000 100000")
    taken, counted, throttled = shares(pid, parent)
    (parent / "cpu.max").write_text("max")
    assert 0.1 < taken < 0.35 and 0.1 < counted < 0.35 and throttled > 5
    burner.stop(0)
    assert sleeper.running()


def test_the_interface_is_an_ipvlan_of_the_nodes_card(pod, sleeper):
    kind = subprocess.run(
        ["nsenter", f"--net={pod.node.base}/run/netns/{pod.id}", "ip", "-details", "link", "show", "eth0"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "ipvlan  mode l2" in kind
    address = pod.status().network.ip
    assert address.startswith("10.77.0.") and address != GATEWAY
    card = Path("/sys/class/net/uplink/address").read_text().strip()
    shown = sleeper.sh("cat /sys/class/net/eth0/address; ip -4 -o address show dev eth0")
    assert shown.split()[0] == card and f"inet {address}/24" in shown


def test_the_pod_reaches_another_machine_over_it(pod, sleeper):
    address = pod.status().network.ip
    answer = sleeper.sh(f"net echo {GATEWAY} {PORT} there")
    assert address in answer and "there" in answer


def test_another_machine_reaches_the_pod(pod, beyond, sleeper):
    server = pod.run(IMAGE, "/bin/net", "serve", str(PORT))
    server.wait_output("serving", 120)
    answer = beyond.run(str(SHARED / "net"), "echo", pod.status().network.ip, str(PORT), "and back")
    assert GATEWAY in answer and "and back" in answer


def test_its_memory_limit_ends_the_guest(pod, parent, sleeper):
    memory = int((parent / "memory.current").read_text())
    (parent / "memory.max").write_text(str(memory + 16 * MIB))
    with pytest.raises(grpc.RpcError):
        sleeper.sh("dd if=/dev/zero of=/dev/null bs=40M count=1")
    events = dict(line.split() for line in (parent / "memory.events").read_text().splitlines())
    assert events["oom_kill"] == "1"
    until(lambda: not pod.ready(), "the pod is not ready", PATIENCE)
    (parent / "memory.max").write_text(str(1024 * MIB))


def test_nothing_is_left_of_it(pod, parent):
    pod.remove()
    assert not machines()
    assert parent.exists() and not [child for child in parent.iterdir() if child.is_dir()]
    assert (parent / "cgroup.procs").read_text() == ""
    assert not cni.reserved(pod.node)
    assert not list((pod.node.base / "run" / "netns").iterdir())
