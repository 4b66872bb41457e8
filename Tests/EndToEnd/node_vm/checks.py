"""What the node VM shows of a pod: test_node_vm.py boots it, and there pytest runs this file. A pod on the
kernel's vhost-vsock, in a cgroup v2, with an ipvlan interface.

A pod in here is emulated twice, so there is one.
"""

import os
import pwd
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest

from harness import cni
from harness.netns import Namespace
from harness.node import WARM, Node
from harness.wait import until

IMAGE = "localhost/test/plain:1"
SHARED = Path(os.environ["NODE_SHARED"])
PORT = 7000
MIB = 1 << 20
# In the node's own seconds, of which a real one has an eighth.
PATIENCE = 120
CGROUPS = Path("/sys/fs/cgroup")
# What a kubelet names a pod's cgroup, and makes before the pod.
PARENT = "/kubepods/burstable/pod8c3a1f5e"
SUBNET = "10.77.0.0/24"
GATEWAY = "10.77.0.1"


@pytest.fixture(scope="session")
def beyond():
    """A machine beyond the node's network card, with a server."""
    namespace = Namespace("beyond")
    namespace.ip("link", "add", "uplink", "type", "veth", "peer", "name", "uplink", "netns", "1")
    namespace.ip("address", "add", f"{GATEWAY}/24", "dev", "uplink")
    namespace.ip("link", "set", "uplink", "up")
    subprocess.run(["ip", "link", "set", "uplink", "up"], check=True)
    server = subprocess.Popen(["nsenter", f"--net={namespace.path}", SHARED / "net", "serve", str(PORT)])
    yield namespace
    server.kill()
    server.wait()
    namespace.close()


@pytest.fixture(scope="session")
def parent():
    """The pod's cgroup as the kubelet makes it: controllers on above it, limits in it."""
    path = CGROUPS
    for part in PARENT.strip("/").split("/"):
        (path / "cgroup.subtree_control").write_text("+cpu +memory +pids")
        path /= part
        path.mkdir()
    (path / "memory.max").write_text(str(1024 * MIB))
    (path / "cpu.weight").write_text("50")
    return path


@contextmanager
def daemon(cri, operator, **settings):
    """One whose pods have an ipvlan interface on the node's card, with the test image."""
    node = Node(cri, operator, boot_timeout=PATIENCE, network=dict(required=True), **settings)
    network = {"type": "ipvlan", "master": "uplink", "mode": "l2", "ipam": cni.address_management(node, SUBNET)}
    cni.configure(node, network)
    node.start()
    node.cri.deadline = PATIENCE
    node.ctl("image", "import", str(SHARED / "image.tar"), check=True)
    yield node
    left = node.close()
    assert not left, f"left after the daemon: {left}"


@pytest.fixture(scope="session")
def node(cri, operator, beyond):
    with daemon(cri, operator) as node:
        yield node


@pytest.fixture(scope="session")
def libvirtd():
    """The node's own, as Debian configures it."""
    Path("/var/log/libvirt").mkdir(parents=True, exist_ok=True)
    if WARM.exists():
        shutil.copytree(WARM, "/var/cache/libvirt", dirs_exist_ok=True)
    servers = []
    for name, socket in (("virtlogd", "virtlogd-sock"), ("libvirtd", "libvirt-sock")):
        servers.append(subprocess.Popen([name]))
        until(Path("/run/libvirt", socket).exists, f"{name} serves", PATIENCE)
    yield
    for server in reversed(servers):
        server.terminate()
        server.wait()


@pytest.fixture(scope="session")
def pod(node, parent):
    return node.run_pod("inside", linux=dict(cgroup_parent=PARENT))


@pytest.fixture(scope="session")
def sleeper(pod):
    return pod.run(IMAGE, "/bin/sh", "-c", "echo started; exec sleep 100000", name="sleeper")


def command_lines() -> dict[int, list[str]]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
    return found


def qemu(pod) -> SimpleNamespace:
    machine = pod.node.inspect(pod.id).vm
    return SimpleNamespace(pid=machine.qemu_pid, arguments=command_lines()[machine.qemu_pid])


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


def machines() -> list[list[str]]:
    return [words for words in command_lines().values() if words[0].endswith("qemu-system-x86_64")]


def links() -> set[str]:
    return set(os.listdir("/sys/class/net"))


@pytest.fixture(scope="session")
def cards(beyond):
    """The node's own."""
    return links()


@pytest.fixture(scope="session")
def libvirtd_node(cri, operator, libvirtd, cards):
    with daemon(cri, operator, vm=dict(hypervisor="system")) as node:
        yield node


def test_a_pod_by_the_nodes_own_libvirtd(libvirtd_node, parent, cards):
    node = libvirtd_node
    with node.pod(linux=dict(cgroup_parent=PARENT)) as pod:
        container = pod.run(IMAGE, "/bin/sh", "-c", "echo started; exec sleep 100000")
        assert container.wait_output("started", PATIENCE) == "started\n"
        # What virsh shows, libvirtd keeps here.
        assert f"<name>{pod.id}</name>" in Path(f"/run/libvirt/qemu/{pod.id}.xml").read_text()
        assert Path(f"/proc/{qemu(pod).pid}/cgroup").read_text() == f"0::{PARENT}/bulkhead-{pod.id}\n"
        assert os.stat(f"/proc/{qemu(pod).pid}").st_uid not in (0, pwd.getpwnam("libvirt-qemu").pw_uid)
        assert pod.status().network.ip in container.sh(f"net echo {GATEWAY} {PORT} there")
        assert links() == cards
        node.restart()
        node.cri.deadline = PATIENCE
        assert pod.ready() and container.sh("echo still there") == "still there\n"
    assert not Path(f"/run/libvirt/qemu/{pod.id}.xml").exists()
    assert not machines()
    assert not [child for child in parent.iterdir() if child.is_dir()]


def test_a_start_by_libvirtd_whose_daemon_is_killed(libvirtd_node, cards):
    node = libvirtd_node
    start = node.cri.RunPodSandbox.future(config=node.pod_config())
    until(lambda: links() > cards, "the pod's tap is lent to the node", PATIENCE, every=0.005)
    # libvirtd goes on.
    node.kill()
    assert start.exception()
    node.start()
    node.cri.deadline = PATIENCE
    until(lambda: links() == cards, "the tap is gone", PATIENCE)
    until(lambda: not node.cri.ListPodSandbox().items, "the pod is gone", PATIENCE)
    time.sleep(2)
    assert not machines() and not list(Path("/run/libvirt/qemu").glob("*.xml"))
    assert links() == cards
