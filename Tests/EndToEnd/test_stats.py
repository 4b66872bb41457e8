"""What pods and containers use, held against what they see themselves."""

import json
import os
import signal
import time

import pytest

from harness.errors import fails
from harness.wait import until

MIB = 1 << 20


@pytest.fixture(scope="module")
def measured(node, images):
    """A pod of a few containers: one that works, one that holds memory and wrote a file, one that sleeps."""
    with node.pod(
        labels={"tier": "measured"}, annotations={"a": "b"}, linux=dict(resources=dict(memory_limit_in_bytes=256 * MIB))
    ) as pod:
        pod.burner = pod.run(
            images.plain, "/bin/sh", "-c", "while :; do :; done", labels={"kind": "burner"},
            linux=dict(resources=dict(cpu_period=100000, cpu_quota=40000)),
        )  # fmt: skip
        pod.holder = pod.run(
            images.plain, "/bin/sh", "-c",
            "mkdir /many; for i in 1 2 3 4 5 6 7 8 9 10; do echo > /many/$i; done; "
            "dd if=/dev/zero of=/file bs=1M count=20 2>/dev/null; sync; "
            "dd if=/dev/zero bs=30M count=1 2>/dev/null | (echo on; sleep 100000; cat >/dev/null)",
            labels={"kind": "holder"}, annotations={"note": "x"},
            linux=dict(resources=dict(memory_limit_in_bytes=100 * MIB)),
        )  # fmt: skip
        pod.idle = pod.run(images.plain, "/bin/sleep", "100000")
        pod.holder.wait_output("on")
        until(lambda: int(pod.holder.sh("cat /sys/fs/cgroup/memory.current")) > 50 * MIB, "memory is held")
        yield pod


class Disk:
    """What the host has of a pod's scratch disk."""

    def __init__(self, node, pod):
        self.pod = pod
        self.file = node.base / "state" / "scratch" / f"{pod.id}.img"
        self.before = self.size()

    def size(self) -> int:
        return self.file.stat().st_blocks * 512

    def writer(self, images, then: str):
        """A container that has written 100 MiB and done `then`. Zeros would be no blocks of the host's."""
        write = "tr '\\0' x < /dev/zero | dd of=/x bs=1M count=100 iflag=fullblock 2>/dev/null; sync"
        container = self.pod.run(images.plain, "/bin/sh", "-c", f"{write}; {then}; echo done; sleep 100000")
        container.wait_output("done", 60)
        return container


@pytest.fixture(scope="module")
def deleter(node, images):
    """The disk of a pod with a container that has deleted what it wrote. It is looked at last."""
    with node.pod() as pod:
        disk = Disk(node, pod)
        disk.writer(images, "rm /x")
        assert disk.size() > disk.before + 90 * MIB
        yield disk


def stats_of(container):
    return container.node.cri.ContainerStats(container_id=container.id).stats


def inside(container, file: str) -> dict[str, int]:
    return {key: int(value) for key, value in map(str.split, container.sh(f"cat /sys/fs/cgroup/{file}").splitlines())}


class TestContainers:
    def test_who_it_is_about_and_when(self, measured):
        stats = stats_of(measured.holder)
        assert stats.attributes.id == measured.holder.id
        assert stats.attributes.metadata.name == measured.holder.config.metadata.name
        assert dict(stats.attributes.labels) == {"kind": "holder"} and dict(stats.attributes.annotations) == {"note": "x"}
        for part in (stats.cpu, stats.memory, stats.writable_layer, stats.swap, stats.io):
            assert abs(part.timestamp / 1e9 - time.time()) < 5
        assert stats_of(measured.holder).cpu.timestamp > stats.cpu.timestamp

    def test_cpu_in_core_nanoseconds(self, measured):
        before = inside(measured.burner, "cpu.stat")["usage_usec"] * 1000
        told = stats_of(measured.burner).cpu.usage_core_nano_seconds.value
        after = inside(measured.burner, "cpu.stat")["usage_usec"] * 1000
        assert 0 < before <= told <= after

    def test_cpu_rate(self, measured):
        stats_of(measured.burner)
        time.sleep(2.5)
        rate = stats_of(measured.burner).cpu.usage_nano_cores.value
        assert 250_000_000 < rate < 500_000_000, "40 % of a core"
        assert stats_of(measured.idle).cpu.usage_nano_cores.value < 50_000_000

    def test_memory_with_the_working_set_as_cadvisor_has_it(self, measured):
        seen = inside(measured.holder, "memory.stat")
        memory = stats_of(measured.holder).memory
        assert memory.usage_bytes.value > 50 * MIB
        assert abs(memory.working_set_bytes.value - (memory.usage_bytes.value - seen["inactive_file"])) < 2 * MIB
        assert memory.working_set_bytes.value < memory.usage_bytes.value - 5 * MIB, "the file's pages are a cache"
        assert abs(memory.rss_bytes.value - seen["anon"]) < 2 * MIB and memory.rss_bytes.value > 30 * MIB
        assert abs(memory.available_bytes.value - (100 * MIB - memory.working_set_bytes.value)) < 1000
        assert memory.page_faults.value >= 30 * MIB // 4096 // 512 and memory.HasField("major_page_faults")
        assert stats_of(measured.idle).memory.working_set_bytes.value < 5 * MIB

    def test_the_writable_layer(self, measured, images):
        layer = stats_of(measured.holder).writable_layer
        assert 20 * MIB <= layer.used_bytes.value < 22 * MIB
        # /many, ten files in it, and /file.
        assert layer.inodes_used.value - stats_of(measured.idle).writable_layer.inodes_used.value == 12
        assert os.path.isdir(layer.fs_id.mountpoint)
        assert stats_of(measured.idle).writable_layer.used_bytes.value < MIB
        writer = measured.run(images.plain, "/bin/sleep", "1000")
        before = stats_of(writer).writable_layer
        writer.sh("dd if=/dev/zero of=/x bs=1M count=7 2>/dev/null; sync; touch /a /b /c")
        after = stats_of(writer).writable_layer
        assert 7 * MIB <= after.used_bytes.value - before.used_bytes.value < 8 * MIB
        assert after.inodes_used.value - before.inodes_used.value == 4
        writer.sh("rm /x /a /b /c; sync")
        until(lambda: stats_of(writer).writable_layer.used_bytes.value < MIB, "what was deleted counts no more")
        writer.remove()

    def test_a_removed_containers_space_is_the_hosts_again(self, node, measured, images, deleter):
        disk = Disk(node, measured)
        writer = disk.writer(images, "true")
        assert disk.size() > disk.before + 90 * MIB
        writer.remove()
        assert disk.size() < disk.before + 10 * MIB

    def test_pressure(self, measured):
        def seen(file):
            lines = [line.split() for line in measured.burner.sh(f"cat /sys/fs/cgroup/{file}").splitlines()]
            return {words[0]: dict(word.split("=") for word in words[1:]) for words in lines}

        before = seen("cpu.pressure")
        told = stats_of(measured.burner).cpu.psi
        after = seen("cpu.pressure")
        for line, name in ((told.Some, "some"), (told.Full, "full")):
            assert int(before[name]["total"]) <= line.Total // 1000 <= int(after[name]["total"])
            averages = [float(one[name]["avg300"]) for one in (before, after)]
            assert min(averages) - 0.01 <= line.Avg300 <= max(averages) + 0.01
        cpu = stats_of(measured.burner).cpu
        assert cpu.psi.Some.Total > 0 and 0 <= cpu.psi.Some.Avg10 <= 100
        stats = stats_of(measured.idle)
        assert stats.memory.HasField("psi") and stats.io.HasField("psi") and stats.cpu.psi.HasField("Full")

    def test_no_swap(self, measured):
        swap = stats_of(measured.idle).swap
        assert swap.HasField("swap_usage_bytes") and swap.swap_usage_bytes.value == 0

    def test_one_that_has_ended_or_is_not_there(self, measured, images):
        ended = measured.run(images.plain, "/bin/sh", "-c", "dd if=/dev/zero of=/x bs=1M count=3 2>/dev/null; sync")
        ended.wait()
        assert stats_of(ended).writable_layer.used_bytes.value >= 3 * MIB
        assert ended.id not in {s.attributes.id for s in measured.node.cri.ListContainerStats().stats}
        ended.remove()
        with fails("NOT_FOUND"):
            stats_of(ended)


class TestPods:
    def test_a_pod_as_a_whole(self, measured):
        stats = measured.node.cri.PodSandboxStats(pod_sandbox_id=measured.id[:16]).stats
        assert stats.attributes.id == measured.id and stats.attributes.metadata.namespace == "tests"
        assert dict(stats.attributes.labels) == {"tier": "measured"}
        parts = {s.attributes.id: s for s in stats.linux.containers}
        assert set(parts) >= {measured.burner.id, measured.holder.id, measured.idle.id}
        used = sum(s.cpu.usage_core_nano_seconds.value for s in parts.values())
        assert stats.linux.cpu.usage_core_nano_seconds.value >= used * 0.9
        assert stats.linux.memory.usage_bytes.value >= parts[measured.holder.id].memory.usage_bytes.value
        assert 4 <= stats.linux.process.process_count.value < 20
        assert abs(stats.linux.network.timestamp / 1e9 - time.time()) < 5

    def test_processes_of_exec_count(self, measured):
        def count():
            stats = measured.node.cri.PodSandboxStats(pod_sandbox_id=measured.id).stats
            return stats.linux.process.process_count.value

        before = count()
        call = measured.node.cri.ExecSync.future(container_id=measured.idle.id, cmd=["/bin/sleep", "2"], timeout=10)
        until(lambda: count() == before + 1, "one process more", 2)
        call.result()
        until(lambda: count() == before, "and gone", 5)

    def test_network_by_interface(self, node, images):
        admin = dict(security_context=dict(capabilities=dict(add_capabilities=["NET_ADMIN", "NET_RAW"])))
        with node.pod() as pod:
            container = pod.run(images.plain, "/bin/sleep", "1000", linux=admin)
            container.sh(
                "[ $(ls /sys/class/net) = lo ] || exit 1; for i in eth0 net1; do ip link add $i type dummy && ip link set $i up; done; "
                "ip addr add 10.9.1.1/24 dev eth0; ip addr add 10.9.2.1/24 dev net1; "
                "ping -c 2 -W 1 10.9.1.9; ping -c 4 -W 1 -s 1000 10.9.2.9; ping -c 1 127.0.0.1; true"
            )

            def seen():
                rows = [line.replace(":", " ").split() for line in container.sh("cat /proc/net/dev").splitlines()[2:]]
                return {row[0]: (int(row[1]), int(row[9])) for row in rows}

            before = seen()
            network = node.cri.PodSandboxStats(pod_sandbox_id=pod.id).stats.linux.network
            after = seen()
            told = {one.name: one for one in [network.default_interface, *network.interfaces]}
            assert network.default_interface.name == "eth0" and set(told) == {"eth0", "net1"}
            for name, one in told.items():
                assert before[name][0] <= one.rx_bytes.value <= after[name][0]
                assert before[name][1] <= one.tx_bytes.value <= after[name][1]
            assert told["net1"].tx_bytes.value > 4000 and told["eth0"].tx_bytes.value > 150
            (own,) = [m for m in node.cri.ListPodSandboxMetrics().pod_metrics if m.pod_sandbox_id == pod.id]
            sent = {m.label_values[-1]: m.value.value for m in own.metrics if m.name == "container_network_transmit_bytes_total"}
            assert sent["net1"] >= 4000 and sent["lo"] > 0

    def test_one_that_has_stopped(self, node):
        with node.pod() as pod:
            pod.stop()
            with fails("FAILED_PRECONDITION", match="not running"):
                node.cri.PodSandboxStats(pod_sandbox_id=pod.id)
            assert pod.id not in {s.attributes.id for s in node.cri.ListPodSandboxStats().stats}


class TestLists:
    def test_filters(self, node, measured, pod, sleeper):
        def containers(**filter):
            return {s.attributes.id for s in node.cri.ListContainerStats(filter=filter).stats}

        mine = {measured.burner.id, measured.holder.id, measured.idle.id}
        assert mine | {sleeper.id} <= containers()
        assert containers(pod_sandbox_id=measured.id[:12]) == mine
        assert containers(id=sleeper.id[:12]) == {sleeper.id}
        assert containers(label_selector={"kind": "holder"}) == {measured.holder.id}
        assert containers(id=sleeper.id, pod_sandbox_id=measured.id) == set()

        def pods(**filter):
            return {s.attributes.id for s in node.cri.ListPodSandboxStats(filter=filter).stats}

        assert {measured.id, pod.id} <= pods()
        assert pods(id=pod.id[:12]) == {pod.id}
        assert pods(label_selector={"tier": "measured"}) == {measured.id}
        assert pods(label_selector={"tier": "other"}) == set()

    def test_streams_say_the_same(self, node, measured, sleeper):
        streamed = [s for part in node.cri.StreamContainerStats() for s in part.container_stats]
        assert {s.attributes.id for s in streamed} == {s.attributes.id for s in node.cri.ListContainerStats().stats}
        only = [s for part in node.cri.StreamContainerStats(filter=dict(id=sleeper.id)) for s in part.container_stats]
        assert [s.attributes.id for s in only] == [sleeper.id]
        pods = [s for part in node.cri.StreamPodSandboxStats() for s in part.pod_sandbox_stats]
        assert {s.attributes.id for s in pods} == {s.attributes.id for s in node.cri.ListPodSandboxStats().stats}
        metrics = [m for part in node.cri.StreamPodSandboxMetrics() for m in part.pod_sandbox_metrics]
        assert {m.pod_sandbox_id for m in metrics} == {s.attributes.id for s in pods}


class TestMetrics:
    NAMES = """container_cpu_usage_seconds_total container_cpu_user_seconds_total container_cpu_system_seconds_total
        container_cpu_cfs_periods_total container_cpu_cfs_throttled_periods_total container_memory_working_set_bytes
        container_memory_usage_bytes container_memory_rss container_memory_cache container_memory_failures_total
        container_network_receive_bytes_total container_network_transmit_bytes_total container_fs_usage_bytes
        container_fs_reads_bytes_total container_fs_writes_bytes_total container_processes container_threads
        container_oom_events_total container_spec_memory_limit_bytes container_start_time_seconds
        container_last_seen container_pressure_cpu_waiting_seconds_total container_file_descriptors container_sockets
        container_tasks_state container_ulimits_soft""".split()

    def test_names_and_labels(self, node, measured):
        descriptors = {d.name: list(d.label_keys) for d in node.cri.ListMetricDescriptors().descriptors}
        assert set(self.NAMES) <= set(descriptors)
        (own,) = [m for m in node.cri.ListPodSandboxMetrics().pod_metrics if m.pod_sandbox_id == measured.id]
        seen = {}
        for owner, metrics in [(measured.id, own.metrics)] + [(c.container_id, c.metrics) for c in own.container_metrics]:
            for metric in metrics:
                labels = dict(zip(descriptors[metric.name], metric.label_values, strict=True))
                assert (labels["namespace"], labels["pod"]) == ("tests", measured.config.metadata.name)
                assert labels["id"] == owner and abs(metric.timestamp / 1e9 - time.time()) < 10
                seen.setdefault((owner, metric.name), []).append((labels, metric.value.value, metric.metric_type))
        (labels, value, kind), *_ = seen[measured.holder.id, "container_memory_working_set_bytes"]
        assert labels["container"] == measured.holder.config.metadata.name and labels["image"]
        assert kind == node.e.GAUGE and abs(value - stats_of(measured.holder).memory.working_set_bytes.value) < 2 * MIB
        (labels, value, kind), *_ = seen[measured.burner.id, "container_cpu_usage_seconds_total"]
        assert labels["cpu"] == "total" and kind == node.e.COUNTER
        assert abs(value - stats_of(measured.burner).cpu.usage_core_nano_seconds.value / 1e9) < 2
        assert seen[measured.holder.id, "container_spec_memory_limit_bytes"][0][1] == 100 * MIB
        lines = [line.split() for line in measured.holder.sh("cat /sys/fs/cgroup/io.stat").splitlines()]
        inside_now = [dict(word.split("=") for word in words[1:]) for words in lines if len(words) > 1]
        for name, key in (("reads", "rbytes"), ("writes", "wbytes")):
            told = sum(v for _, v, _ in seen[measured.holder.id, f"container_fs_{name}_bytes_total"])
            now = sum(int(disk[key]) for disk in inside_now)
            assert 0 < told <= now < told + MIB
        assert told >= 19 * MIB
        assert seen[measured.id, "container_processes"][0][0]["container"] == "POD"
        assert {labels["interface"] for labels, _, _ in seen[measured.id, "container_network_receive_bytes_total"]} >= {"lo"}
        assert (measured.idle.id, "container_network_receive_bytes_total") not in seen

    def test_what_processes_have_open_and_do(self, node, images, measured):
        script = "exec 5<&1 6<&1 7<&1; (ulimit -n 99; exec sleep 1000) & nc -l -p 81 & sleep 1001 & kill -STOP $!; echo up; wait"
        with node.pod() as pod:
            busy = pod.run(images.plain, "/bin/sh", "-c", f"ulimit -n 512; {script}")
            busy.wait_output("up")

            def value(name: str, label: str) -> int:
                (own,) = [m for m in node.cri.ListPodSandboxMetrics().pod_metrics if m.pod_sandbox_id == pod.id]
                (of_it,) = own.container_metrics
                return next(m.value.value for m in of_it.metrics if m.name == name and label in m.label_values)

            until(lambda: value("container_tasks_state", "stopped") == 1, "one is stopped", 10)
            until(lambda: value("container_tasks_state", "sleeping") == 3, "three sleep", 10)
            # Three streams each and three more, and a socket.
            assert value("container_file_descriptors", busy.id) == 4 * 6 + 1
            assert value("container_sockets", busy.id) == 1
            assert value("container_ulimits_soft", "max_open_files") == 512


class TestAPodThatHangs:
    def test_nobody_waits_for_it(self, node, images, measured):
        with node.pod() as known, node.pod() as never_asked:
            one = known.run(images.plain, "/bin/sleep", "1000")
            other = never_asked.run(images.plain, "/bin/sleep", "1000")
            last = stats_of(one).cpu.timestamp
            pids = [node.inspect(p.id).vm.qemu_pid for p in (known, never_asked)]
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            try:
                for call in (node.cri.ListContainerStats, node.cri.ListPodSandboxStats, node.cri.ListPodSandboxMetrics):
                    start = time.monotonic()
                    answer = call()
                    assert time.monotonic() - start < 2.5, call
                listed = {s.attributes.id: s for s in node.cri.ListContainerStats().stats}
                assert {measured.burner.id, measured.idle.id} <= set(listed)
                assert time.time() - listed[measured.idle.id].cpu.timestamp / 1e9 < 2
                assert listed[one.id].cpu.timestamp == last, "what it said last, at the time when it said it"
                assert other.id not in listed
                with fails("DEADLINE_EXCEEDED", match="did not answer"):
                    stats_of(other)
                start = time.monotonic()
                for _ in range(3):
                    answer = node.cri.ListPodSandboxStats().stats
                assert time.monotonic() - start < 2.5, "a pod known to hang gets little time"
                assert measured.id in {s.attributes.id for s in answer}
            finally:
                for pid in pids:
                    os.kill(pid, signal.SIGCONT)
            until(lambda: stats_of(one).cpu.timestamp > last, "it answers again", 10)
            until(lambda: other.id in {s.attributes.id for s in node.cri.ListContainerStats().stats}, "and the other", 10)


def test_bulkheadctl_stats(node, measured):
    rows = json.loads(node.ctl("stats", "--output", "json", "--pod", measured.id, check=True).stdout)
    holder = next(row for row in rows if row["id"] == measured.holder.id)
    assert holder["writtenBytes"] >= 20 * MIB and holder["workingSetBytes"] > 30 * MIB
    text = node.ctl("stats", "--pods", check=True).stdout
    assert "WORKING SET" in text.splitlines()[0] and measured.config.metadata.name in text


def test_what_a_container_deletes_is_the_hosts_again_within_a_minute(deleter):
    until(lambda: deleter.size() < deleter.before + 10 * MIB, "the host has it back", 90)
