"""VMs that die or stop answering."""

import os
import signal
import time

import pytest

from harness import leftovers
from harness.errors import fails
from harness.wait import until


def test_a_killed_vm_is_known_within_a_second(node, images):
    pod = node.run_pod()
    container = pod.run(images.plain, "/bin/sleep", "1000")
    os.kill(node.inspect(pod.id).vm.qemu_pid, signal.SIGKILL)
    until(lambda: not pod.ready(), "the pod is not ready", 1.5, every=0.02)
    status = container.wait(2)
    assert status.exit_code == 137 and status.reason
    with fails("FAILED_PRECONDITION", "NOT_FOUND", "UNAVAILABLE"):
        container.exec("/bin/true")
    assert node.inspect(pod.id).reason
    pod.remove()


def test_a_guest_that_panics(node, images):
    pod = node.run_pod(linux=dict(security_context=dict(privileged=True)))
    container = pod.run(
        images.plain, "/bin/sh", "-c", "sleep 1; echo 2 > /proc/sys/vm/panic_on_oom; tail /dev/zero",
        linux=dict(security_context=dict(privileged=True)),
    )  # fmt: skip
    until(lambda: not pod.ready(), "the pod is not ready", 15)
    assert container.wait(2).exit_code == 137
    pod.remove()


def test_a_vm_that_stops_answering(node, images, sleeper):
    pod = node.run_pod()
    container = pod.run(images.plain, "/bin/sleep", "1000")
    pid = node.inspect(pod.id).vm.qemu_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        call = node.cri.ExecSync.future(container_id=container.id, cmd=["/bin/true"], timeout=5)
        for _ in range(10):
            start = time.monotonic()
            assert pod.id in {item.id for item in node.cri.ListPodSandbox(deadline=2).items}
            assert container.id in {item.id for item in node.cri.ListContainers(deadline=2).containers}
            container.status()
            assert time.monotonic() - start < 1
        assert sleeper.sh("echo other pods go on") == "other pods go on\n"
        assert node.inspect(pod.id).guest.unreachable
        assert call.exception().code().name in ("DEADLINE_EXCEEDED", "UNAVAILABLE")
        start = time.monotonic()
        pod.remove()
        assert time.monotonic() - start < 60
    finally:
        if os.path.exists(f"/proc/{pid}"):
            os.kill(pid, signal.SIGCONT)
    assert not os.path.exists(f"/proc/{pid}")


def test_a_guest_without_memory_for_its_container(node, images):
    """Its containers fight for it; the agent lives on."""
    with node.pod() as pod:
        hog = pod.run(images.plain, "/bin/sh", "-c", "while :; do x=$x$x.; done")
        hog.wait(60)
        assert hog.status().exit_code != 0
        assert pod.output(images.plain, "echo still here") == "still here\n"


def test_a_guest_that_fills_its_disk(node, images):
    with node.pod() as pod:
        container = pod.run(images.plain, "/bin/sleep", "1000")
        answer = container.exec("/bin/sh", "-c", "dd if=/dev/zero of=/fill bs=1M count=200 && rm /fill", timeout=60)
        assert answer.exit_code == 0, answer.stderr
        assert pod.output(images.plain, "echo fine") == "fine\n"


class TestWhatFailsLeavesNothing:
    KINDS = ("processes", "mounts", "namespaces", "links", "files")

    @pytest.fixture(autouse=True)
    def same_before_and_after(self, node):
        before = leftovers.snapshot(node.base, among=self.KINDS)
        yield
        left = {}

        def nothing_added():
            left.clear()
            left.update(leftovers.added(before, leftovers.snapshot(node.base, among=self.KINDS)))
            return not left

        try:
            until(nothing_added, "what was made is gone", 10, every=0.2)
        except AssertionError:
            raise AssertionError(f"left: {left}") from None

    def test_a_pod_that_is_removed(self, node, images):
        pod = node.run_pod()
        container = pod.run(images.plain, "/bin/echo", "x")
        container.wait()
        pod.remove()
        for path in pod.log_directory.iterdir():
            path.unlink()

    def test_run_pod_sandbox_with_a_sysctl_that_the_guest_refuses(self, node):
        with fails("INVALID_ARGUMENT", "FAILED_PRECONDITION", "INTERNAL", match="sysctl|net.ipv4.no_such"):
            node.run_pod(linux=dict(sysctls={"net.ipv4.no_such_thing": "1"}))

    def test_run_pod_sandbox_that_the_client_gives_up(self, node):
        config = node.pod_config()
        call = node.cri.RunPodSandbox.future(config=config, deadline=0.4)
        assert call.exception().code().name == "DEADLINE_EXCEEDED"

        def settled():
            found = [i for i in node.cri.ListPodSandbox().items if i.metadata.name == config.metadata.name]
            for item in found:
                node.cri.RemovePodSandbox(pod_sandbox_id=item.id)
            return not found

        time.sleep(5)
        until(settled, "the pod is gone", 20)

    def test_create_container_that_fails_in_the_guest(self, node, images, pod, sleeper):
        things = "wc -l < /proc/self/mountinfo; ls /sys/fs/cgroup | wc -l; ls /proc | grep -c '^[0-9]'"
        before = sleeper.sh(things)
        for _ in range(3):
            with fails("INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"):
                pod.create(images.plain, "/bin/true",
                           linux=dict(security_context=dict(run_as_username="no-such-user"))).start()  # fmt: skip
            for item in node.cri.ListContainers(filter=dict(pod_sandbox_id=pod.id)).containers:
                if item.id != sleeper.id and item.state == node.e.CONTAINER_EXITED:
                    node.cri.RemoveContainer(container_id=item.id)
        assert sleeper.sh(things) == before

    def test_create_container_of_a_missing_image(self, node, pod):
        with fails("NOT_FOUND"):
            pod.create("127.0.0.1:1/no/image:1", "/bin/true")
