"""A pod by the libvirtd that the node itself has, and one whose daemon is killed while it starts."""

import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from harness.node import WARM
from harness.wait import until
from node_vm.world import GATEWAY, IMAGE, PARENT, PATIENCE, PORT, daemon, machines, qemu


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
