"""Limits as the process inside sees them, their updates, and where the host's processes are."""

import os
import signal
import time
import uuid
from pathlib import Path

import pytest

from harness.errors import fails
from harness.wait import until

MIB = 1 << 20


def resources(**fields):
    return dict(resources=fields)


@pytest.fixture(scope="module")
def roomy(node):
    """A pod with two CPUs and half a gigabyte, in a cgroup of the host's."""
    parent = f"/bulkhead-e2e-{uuid.uuid4().hex[:8]}/burstable/pod1"
    with node.pod(
        linux=dict(
            cgroup_parent=parent, resources=dict(cpu_period=100000, cpu_quota=200000, memory_limit_in_bytes=512 * MIB)
        )
    ) as pod:
        yield pod
    assert not cgroups(f"/{parent.split('/')[1]}"), "what was made is removed with the pod"


@pytest.fixture(scope="module")
def worker(roomy, images):
    return roomy.run(images.plain, "/bin/sleep", "100000")


def cgroup(container, *files: str) -> list[str]:
    return container.sh("; ".join(f"cat /sys/fs/cgroup/{file}" for file in files)).splitlines()


def update(container, **fields):
    container.node.cri.UpdateContainerResources(container_id=container.id, linux=fields)


def cgroups(path: str) -> list[Path]:
    """Where this cgroup is, by hierarchy."""
    lines = [line.split(" - ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    mounts = [head.split()[4] for head, tail in lines if tail.split()[0] in ("cgroup", "cgroup2")]
    return [Path(mount + path) for mount in mounts if Path(mount + path).exists()]


def hierarchies() -> int:
    return len(cgroups("/"))


class TestLimitsInside:
    def test_all_of_them_are_in_the_cgroup(self, roomy, images):
        text = roomy.output(
            images.plain,
            "cd /sys/fs/cgroup; cat cpu.weight cpu.max cpuset.cpus cpuset.mems memory.max memory.swap.max pids.max "
            "hugetlb.2MB.max memory.high; grep Cpus_allowed_list /proc/self/status",
            linux=resources(
                cpu_shares=512, cpu_period=50000, cpu_quota=25000, cpuset_cpus="1", cpuset_mems="0",
                memory_limit_in_bytes=64 * MIB, memory_swap_limit_in_bytes=80 * MIB,
                hugepage_limits=[dict(page_size="2MB", limit=4 * MIB)],
                unified={"memory.high": str(48 * MIB), "pids.max": "77"},
            ),
        )  # fmt: skip
        assert text.splitlines()[:9] == [
            "20", "25000 50000", "1", "0", str(64 * MIB), str(16 * MIB), "77", str(4 * MIB), str(48 * MIB),
        ]  # fmt: skip
        assert text.split()[-1] == "1"

    def test_shares_become_weights_as_everywhere(self, worker):
        for shares, weight in [(2, 1), (1024, 39), (262144, 10000)]:
            update(worker, cpu_shares=shares)
            assert cgroup(worker, "cpu.weight") == [str(weight)]

    def test_a_quota_throttles(self, roomy, images):
        text = roomy.output(
            images.plain,
            "timeout 2 sh -c 'while :; do :; done'; cat /sys/fs/cgroup/cpu.stat",
            linux=resources(cpu_period=100000, cpu_quota=10000),
        )
        used = dict(line.split() for line in text.splitlines())
        assert int(used["nr_throttled"]) > 5 and int(used["usage_usec"]) < 1_200_000

    def test_more_processes_than_allowed(self, roomy, images):
        text = roomy.output(
            images.plain,
            "(for i in 1 2 3 4 5 6; do sleep 2 & done) 2>&1 || echo refused",
            linux=resources(unified={"pids.max": "4"}),
        )
        assert "fork" in text or "refused" in text

    def test_huge_pages_up_to_the_limit(self, node, images):
        privileged = dict(security_context=dict(privileged=True))
        with node.pod(linux=dict(**privileged)) as pod:
            text = pod.output(
                images.plain,
                "mkdir -p /huge && mount -t hugetlbfs none /huge && fallocate -l 4M /huge/a && echo four; "
                "fallocate -l 2M /huge/b 2>/dev/null || echo refused",
                linux=dict(**privileged, resources=dict(hugepage_limits=[dict(page_size="2MB", limit=4 * MIB)])),
            )
        assert text.split() == ["four", "refused"]

    def test_page_sizes_that_the_guest_has_not_are_fine_unless_asked_for(self, roomy, images):
        sizes = [dict(page_size="2MB", limit=0), dict(page_size="16GB", limit=0)]
        assert roomy.output(images.plain, "echo ran", linux=resources(hugepage_limits=sizes)) == "ran\n"
        sizes[1]["limit"] = 1 << 34
        with fails("INVALID_ARGUMENT", match="16GB"):
            roomy.create(images.plain, "/bin/true", linux=resources(hugepage_limits=sizes))

    def test_a_limit_too_small_to_live_with(self, roomy, worker, images):
        """Refused, or a container that ends with its reason; the others live on."""
        with fails("INVALID_ARGUMENT", match="memory_limit"):
            roomy.create(images.plain, "/bin/true", linux=resources(memory_limit_in_bytes=64 << 10))
        try:
            container = roomy.run(
                images.plain, "/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=8M", "count=1",
                linux=resources(memory_limit_in_bytes=2 * MIB),
            )  # fmt: skip
        except Exception as error:
            assert "memory" in str(error), error
        else:
            status = container.wait(30)
            assert (status.exit_code, status.reason) == (137, "OOMKilled")
        assert worker.sh("echo alive") == "alive\n"

    def test_no_room_for_a_process(self, roomy, worker, images):
        with fails("FAILED_PRECONDITION", match="Resource temporarily unavailable"):
            roomy.create(images.plain, "/bin/true", linux=resources(unified={"pids.max": "0"}))
        # Arguments alone are more than it may have.
        start = time.monotonic()
        with fails("FAILED_PRECONDITION", "INVALID_ARGUMENT", match="memory"):
            roomy.create(
                images.plain, "/bin/echo", *["x" * 100_000] * 15, linux=resources(memory_limit_in_bytes=1 * MIB)
            )
        assert time.monotonic() - start < 10
        assert worker.sh("echo alive") == "alive\n"

    def test_hardly_any_cpu(self, roomy, images):
        start = time.monotonic()
        container = roomy.create(images.plain, "/bin/true", linux=resources(cpu_period=100000, cpu_quota=1000))
        assert time.monotonic() - start < 5, "making it is not the container's to wait for"
        container.remove()

    @pytest.mark.parametrize(
        "fields, names",
        [
            (dict(cpuset_cpus="7"), "cpuset_cpus"),
            (dict(cpuset_cpus="0-5"), "cpuset_cpus"),
            (dict(cpuset_cpus="one"), "cpuset_cpus"),
            (dict(cpuset_mems="3"), "cpuset_mems"),
            (dict(cpu_shares=-1), "cpu_shares"),
            (dict(cpu_quota=-5), "cpu_quota"),
            (dict(cpu_quota=5, cpu_period=10), "cpu.max"),
            (dict(cpu_period=1 << 62, cpu_quota=1 << 62), "cpu"),
            (dict(memory_limit_in_bytes=-(1 << 63)), "memory_limit"),
            (dict(memory_limit_in_bytes=32 * MIB, memory_swap_limit_in_bytes=16 * MIB), "memory_swap_limit"),
            (dict(oom_score_adj=5000), "oom_score_adj"),
            (dict(unified={"cgroup.procs": "1"}), "unified"),
            (dict(unified={"../memory.max": "1"}), "unified"),
            (dict(unified={"memory.no_such": "1"}), "memory.no_such"),
            (dict(unified={"memory.high": "lots"}), "memory.high"),
            (dict(unified={"memory.max": "4096"}), "memory.max"),
            (dict(unified={"cpuset.cpus": "7"}), "cpuset.cpus"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_absurd_limits_are_refused(self, roomy, worker, images, fields, names):
        with fails("INVALID_ARGUMENT", match=names):
            roomy.create(images.plain, "/bin/true", linux=resources(**fields))
        with fails("INVALID_ARGUMENT", match=names):
            update(worker, **fields)
        assert worker.sh("echo alive") == "alive\n"


class TestUpdates:
    def test_of_a_container_that_runs(self, worker):
        update(
            worker, cpu_shares=1024, cpu_period=100000, cpu_quota=150000, cpuset_cpus="0", memory_limit_in_bytes=100 * MIB,
            unified={"memory.high": str(90 * MIB)},
        )  # fmt: skip
        files = ("cpu.weight", "cpu.max", "cpuset.cpus.effective", "memory.max", "memory.high")
        assert cgroup(worker, *files) == ["39", "150000 100000", "0", str(100 * MIB), str(90 * MIB)]
        update(worker, memory_limit_in_bytes=120 * MIB)
        assert cgroup(worker, *files) == ["39", "150000 100000", "0", str(120 * MIB), str(90 * MIB)]
        shown = worker.status().resources.linux
        assert shown.memory_limit_in_bytes == 120 * MIB and shown.cpu_quota == 150000 and shown.cpuset_cpus == "0"
        update(worker, cpu_quota=-1, memory_limit_in_bytes=-1, unified={"memory.high": "max"})
        assert cgroup(worker, "cpu.max", "memory.max") == ["max 100000", "max"]

    def test_what_fails_changes_nothing(self, worker):
        update(worker, cpu_shares=2048, memory_limit_in_bytes=128 * MIB)
        before = cgroup(worker, "cpu.weight", "memory.max"), worker.status().resources
        with fails("INVALID_ARGUMENT", match="memory.low"):
            update(worker, cpu_shares=512, memory_limit_in_bytes=64 * MIB, unified={"memory.low": "nonsense"})
        assert (cgroup(worker, "cpu.weight", "memory.max"), worker.status().resources) == before

    def test_a_limit_below_what_is_used_is_refused(self, roomy, images):
        hog = roomy.run(
            images.plain, "/bin/sh", "-c", "dd if=/dev/zero bs=60M count=1 2>/dev/null | (echo on; sleep 1000; cat >/dev/null)",
            linux=resources(memory_limit_in_bytes=100 * MIB),
        )  # fmt: skip
        hog.wait_output("on")
        until(lambda: int(cgroup(hog, "memory.current")[0]) > 55 * MIB, "memory is in use")
        with fails("INVALID_ARGUMENT", match="in use"):
            update(hog, memory_limit_in_bytes=20 * MIB)
        assert hog.running() and cgroup(hog, "memory.max") == [str(100 * MIB)]
        hog.remove()

    def test_more_than_the_vm_has_is_refused(self, worker):
        with fails("INVALID_ARGUMENT", match="VM"):
            update(worker, memory_limit_in_bytes=4 << 30)
        with fails("INVALID_ARGUMENT", match="2 CPUs"):
            update(worker, cpu_period=100000, cpu_quota=300000)

    def test_of_one_that_has_ended(self, roomy, images):
        ended = roomy.run(images.plain, "/bin/true")
        ended.wait()
        with fails("FAILED_PRECONDITION", match="exited|ended"):
            update(ended, cpu_shares=512)
        with fails("NOT_FOUND"):
            roomy.node.cri.UpdateContainerResources(container_id="f" * 64, linux=dict(cpu_shares=2))

    def test_of_a_pod(self, node, images):
        with node.pod(linux=resources(memory_limit_in_bytes=128 * MIB, cpu_period=100000, cpu_quota=100000)) as pod:
            watcher = pod.run(images.plain, "/bin/sleep", "100000")

            def change(**fields):
                node.cri.UpdatePodSandboxResources(pod_sandbox_id=pod.id, resources=fields)

            change(memory_limit_in_bytes=64 * MIB, cpu_period=100000, cpu_quota=50000)
            # Two containers without a limit of their own, together over the pod's.
            hold = "dd if=/dev/zero bs=40M count=1 2>/dev/null | (sleep 1000; cat >/dev/null)"
            for _ in range(2):
                pod.run(images.plain, "/bin/sh", "-c", hold)
            kills = {}

            def killed():
                for pod_metrics in node.cri.ListPodSandboxMetrics().pod_metrics:
                    for metric in pod_metrics.metrics:
                        if pod_metrics.pod_sandbox_id == pod.id and metric.name == "container_oom_events_total":
                            kills["pod"] = metric.value.value
                return kills.get("pod")

            until(killed, "one of them is killed", 20)
            usage = node.cri.PodSandboxStats(pod_sandbox_id=pod.id).stats.linux.memory
            assert usage.usage_bytes.value <= 64 * MIB
            assert pod.ready() and watcher.sh("echo alive") == "alive\n"
            with fails("INVALID_ARGUMENT", match="virtual machine"):
                change(memory_limit_in_bytes=4 << 30)
            with fails("INVALID_ARGUMENT", match="virtual machine"):
                change(cpu_period=100000, cpu_quota=800000)

    @pytest.mark.parametrize(
        "fields, names",
        [
            (dict(memory_limit_in_bytes=-5), "memory_limit"),
            (dict(memory_limit_in_bytes=1), "in use"),
            (dict(cpu_quota=-7, cpu_period=100000), "cpu_quota"),
            (dict(cpu_quota=1 << 62, cpu_period=1), "cpu_quota"),
            (dict(cpu_quota=1, cpu_period=-1), "cpu_period"),
            (dict(hugepage_limits=[dict(page_size="2MB", limit=(1 << 64) - 1)] * 2), "hugepage_limits"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_absurd_limits_of_a_pod_are_refused(self, node, roomy, worker, fields, names):
        with fails("INVALID_ARGUMENT", match=names):
            node.cri.UpdatePodSandboxResources(pod_sandbox_id=roomy.id, resources=fields)
        if names != "in use":
            with fails("INVALID_ARGUMENT", match=names):
                node.run_pod(linux=dict(resources=fields))
            with fails("INVALID_ARGUMENT", match=names.replace("hugepage_limits", "")):
                node.run_pod(linux=dict(overhead=fields if names != "hugepage_limits" else dict(cpu_quota=-2)))
        assert worker.sh("echo alive") == "alive\n"

    def test_they_outlive_the_daemon(self, own_node, images):
        node = own_node()
        node.pull(images.plain)
        parent = f"bulkhead{uuid.uuid4().hex[:8]}-burstable.slice"
        top = "/" + parent.split("-")[0] + ".slice"
        pod = node.run_pod(linux=dict(cgroup_parent=parent))
        container = pod.run(images.plain, "/bin/sleep", "1000", linux=resources(memory_limit_in_bytes=64 * MIB))
        update(container, memory_limit_in_bytes=96 * MIB, cpu_shares=2048)
        node.cri.UpdatePodSandboxResources(pod_sandbox_id=pod.id, resources=dict(memory_limit_in_bytes=100 * MIB))
        node.restart()
        shown = container.status().resources.linux
        assert (shown.memory_limit_in_bytes, shown.cpu_shares) == (96 * MIB, 2048)
        assert cgroup(container, "memory.max", "cpu.weight") == [str(96 * MIB), "79"]
        info = node.cri.PodSandboxStatus(pod_sandbox_id=pod.id, verbose=True).info["info"]
        assert f'"memoryBytes":{100 * MIB}' in info
        scope = f"{top}/{parent}/bulkhead-{pod.id}.scope"
        assert len(cgroups(scope)) == hierarchies()
        # Killed in the middle of it all: the next daemon removes what there is.
        node.kill()
        os.kill(qemu(pod), signal.SIGKILL)
        node.start()
        until(lambda: not pod.ready(), "the pod is not ready")
        pod.remove()
        assert not cgroups(top)


def qemu(pod) -> int:
    """The process id of the pod's QEMU, as the host has it."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if f"guest={pod.id}".encode() in (entry / "cmdline").read_bytes():
                    return int(entry.name)
            except OSError:
                continue
    raise AssertionError(f"no QEMU of pod {pod.id}")


class TestHost:
    def test_the_machines_processes_are_in_the_pods_cgroup(self, node, roomy, worker):
        machine = node.inspect(roomy.id).vm
        path = f"{roomy.config.linux.cgroup_parent}/bulkhead-{roomy.id}"
        places = cgroups(path)
        assert len(places) == hierarchies()
        for place in places:
            members = (place / "cgroup.procs").read_text().split()
            assert {str(machine.qemu_pid)} | ({str(machine.vsock_pid)} - {"0"}) <= set(members), place

    def test_what_the_guest_uses_counts_there(self, roomy, images):
        top = "/" + roomy.config.linux.cgroup_parent.split("/")[1]

        def found(name: str) -> Path | None:
            return next((place / name for place in cgroups(top) if (place / name).exists()), None)

        def memory() -> int:
            return int((found("memory.usage_in_bytes") or found("memory.current")).read_text())

        def cpu() -> float:
            if v1 := found("cpuacct.usage"):
                return int(v1.read_text()) / 1e9
            return int(found("cpu.stat").read_text().split()[1]) / 1e6

        before = cpu()
        holder = roomy.run(
            images.plain, "/bin/sh", "-c",
            "timeout 2 sh -c 'while :; do :; done'; dd if=/dev/zero bs=150M count=1 2>/dev/null | (echo on; sleep 1000; cat >/dev/null)",
        )  # fmt: skip
        holder.wait_output("on")
        until(lambda: int(cgroup(holder, "memory.current")[0]) > 150 * MIB, "memory is held")
        assert memory() > 150 * MIB
        assert cpu() - before > 1
        holder.remove()

    def test_the_machine_has_the_pods_size(self, node, roomy, worker):
        machine = node.inspect(roomy.id).vm
        assert machine.vcpus == 2 and machine.memory_bytes >= (512 + 128) * MIB
        assert worker.sh("grep -c ^processor /proc/cpuinfo") == "2\n"

    def test_the_overhead_is_for_guest_and_qemu(self, node, images):
        """Of 256 MiB, QEMU gets 96; processors are whole ones."""
        with node.pod(
            linux=dict(
                resources=dict(memory_limit_in_bytes=100 * MIB, cpu_period=100000, cpu_quota=100000),
                overhead=dict(memory_limit_in_bytes=256 * MIB, cpu_period=100000, cpu_quota=50000),
            )
        ) as pod:
            machine = node.inspect(pod.id).vm
            assert (machine.vcpus, machine.memory_bytes) == (2, (100 + 256 - 96) * MIB)
            nproc, total = pod.output(images.plain, "nproc; grep MemTotal /proc/meminfo").split("\n")[:2]
            assert nproc == "2" and 180 < int(total.split()[1]) / 1024 < 260

    def test_without_resources_it_has_the_configured_size(self, node, pod, sleeper):
        machine = node.inspect(pod.id).vm
        assert (machine.vcpus, machine.memory_bytes) == (1, 256 * MIB)
        assert sleeper.sh("nproc") == "1\n"

    @pytest.mark.parametrize("parent", ["/a/../../b", "a--b.slice", "/a\nb"])
    def test_cgroup_parents_that_are_none(self, node, parent):
        with fails("INVALID_ARGUMENT", match="cgroup_parent"):
            node.run_pod(linux=dict(cgroup_parent=parent))

    def test_the_driver_is_the_nodes_unless_configured(self, node, own_node):
        expected = node.e.SYSTEMD if os.path.isdir("/run/systemd/system") else node.e.CGROUPFS
        assert node.cri.RuntimeConfig().linux.cgroup_driver == expected
        other = own_node(cgroup_driver="systemd")
        assert other.cri.RuntimeConfig().linux.cgroup_driver == node.e.SYSTEMD

    def test_freed_memory_goes_back_to_the_host(self, node, images):
        with node.pod(linux=resources(memory_limit_in_bytes=384 * MIB)) as pod:
            pid = node.inspect(pod.id).vm.qemu_pid

            def resident() -> int:
                return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

            container = pod.run(
                images.plain, "/bin/sh", "-c",
                "dd if=/dev/zero bs=200M count=1 2>/dev/null | sleep 4; echo freed; sleep 1000",
            )  # fmt: skip
            until(lambda: int(cgroup(container, "memory.current")[0]) > 195 * MIB, "the guest uses 200 MiB", 20)
            peak = resident()
            assert peak > 200 * MIB
            container.wait_output("freed")
            until(lambda: resident() < peak - 150 * MIB, "most of it is the host's again", 30)


class TestOutOfMemory:
    def test_a_child_killed_for_memory_does_not_fail_a_container_that_succeeds(self, roomy, images):
        container = roomy.run(
            images.plain, "/bin/sh", "-c", "dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null; exit 0",
            linux=resources(memory_limit_in_bytes=20 * MIB),
        )  # fmt: skip
        status = container.wait()
        assert (status.exit_code, status.reason) == (0, "OOMKilled")

    def test_the_whole_container_with_memory_oom_group(self, roomy, images):
        container = roomy.run(
            images.plain, "/bin/sh", "-c", "dd if=/dev/zero of=/dev/null bs=100M count=1; sleep 1000",
            linux=resources(memory_limit_in_bytes=20 * MIB, unified={"memory.oom.group": "1"}),
        )  # fmt: skip
        status = container.wait()
        assert (status.exit_code, status.reason) == (137, "OOMKilled")
