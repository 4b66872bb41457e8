"""What the checks of the node VM share, a plugin of pytest for its fixtures: the node's network card and the machine
beyond it, a pod's cgroup, its daemons, and what runs on it."""

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import cni
from harness.netns import Namespace
from harness.node import Node

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


def machines() -> list[list[str]]:
    return [words for words in command_lines().values() if words[0].endswith("qemu-system-x86_64")]
