#!/usr/bin/env python3
"""What `make bench` runs: measures the built Bulkhead from outside and writes build/bench.json.

Machines differ and are noisy, so the unit of time is *boot*: the median, in the same run, of QEMU
started by hand with the same kernel, boot image and devices, from exec to its agent answering. Each
figure stands beside its bar. A figure that falls short is reported, not hidden, and is no failure of
this program. BENCH_ROUNDS sets how often each thing is done (10).
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Tests" / "EndToEnd"))

import files  # noqa: E402
import memory  # noqa: E402
import network  # noqa: E402
import pulls  # noqa: E402
import sessions  # noqa: E402
import stats  # noqa: E402
from bare_qemu import BareMachine, kernel_command_line  # noqa: E402
from figures import Figures, Samples  # noqa: E402
from harness import proto  # noqa: E402
from harness.node import Node  # noqa: E402
from harness.registry import Registry  # noqa: E402

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "10"))


def say(text: str):
    print(f"==> {text}", flush=True)


def timed(samples: Samples, call):
    start = time.perf_counter()
    result = call()
    samples.add(time.perf_counter() - start)
    return result


def bare_machine(node: Node) -> dict:
    """What a machine like a pod's is started by hand with."""
    with node.pod() as pod:
        seen = node.inspect(pod.id).vm
        append = kernel_command_line(seen.qemu_pid)
    return dict(append=append, accelerator=seen.accelerator, memory=seen.memory_bytes, vcpus=seen.vcpus)


def measure_version(node: Node) -> Samples:
    version = Samples("Version over the unix socket (grpcio, C-core)", "ms")
    for _ in range(200):
        node.cri.Version()
    for _ in range(2000):
        timed(version, node.cri.Version)
    return version


def measure_pods(node: Node, image: str, bare: dict) -> tuple[Samples, dict[str, Samples]]:
    """Bare QEMU and pods take turns, so that noise meets both, each when what the one before left has been cleaned up."""
    boot = Samples("boot: bare QEMU, from exec to the agent's answer", "ms")
    samples = {
        "run": Samples("RunPodSandbox to its answer, no CNI", "ms"),
        "container": Samples("CreateContainer + StartContainer of a cached image", "ms"),
        "exec": Samples("ExecSync of /bin/true", "ms"),
        "remove": Samples("StopPodSandbox + RemovePodSandbox", "ms"),
    }
    for _ in range(ROUNDS):
        with BareMachine(**bare) as machine:
            time.sleep(1)
            boot.add(machine.seconds_to_answer())
        time.sleep(1)
        pod = timed(samples["run"], node.run_pod)
        for phase in node.inspect(pod.id).boot_phases:
            name = f"phase: {phase.name}"
            samples.setdefault(name, Samples(f"  {name}", "ms")).add(phase.duration_microseconds / 1e6)
        container = timed(samples["container"], lambda: pod.run(image, "/bin/sleep", "1000"))
        for _ in range(5):
            timed(samples["exec"], lambda: container.exec("/bin/true"))
        # As the kubelet does: containers first.
        container.stop(0)
        timed(samples["remove"], pod.remove)
    return boot, samples


def measure_ten_containers(node: Node, image: str) -> dict[str, Samples]:
    """CreateContainer + StartContainer of the second and of the tenth container of a pod."""
    samples = {count: Samples(f"  the same, container {count} of a pod", "ms") for count in (2, 10)}
    for _ in range(ROUNDS):
        with node.pod() as pod:
            for count in range(1, 11):
                start = time.perf_counter()
                pod.run(image, "/bin/sleep", "1000")
                if count in samples:
                    samples[count].add(time.perf_counter() - start)
    return samples


def measure_death(node: Node) -> Samples:
    """From the SIGKILL of QEMU to the status that says NotReady, asked for every 5 ms."""
    samples = Samples("A killed VM, until its pod is NotReady", "ms")
    for _ in range(ROUNDS):
        with node.pod() as pod:
            os.kill(node.inspect(pod.id).vm.qemu_pid, signal.SIGKILL)
            begin = time.perf_counter()
            while pod.status().state != node.e.SANDBOX_NOTREADY:
                time.sleep(0.005)
            samples.add(time.perf_counter() - begin)
    return samples


def machine() -> dict:
    model = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown")
    return {
        "cpus": os.cpu_count(),
        "cpu": model,
        "kernel": os.uname().release,
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=proto.ROOT, capture_output=True, text=True, check=False
        ).stdout.strip(),
        "date": time.strftime("%Y-%m-%d"),
        "rounds": ROUNDS,
    }


def main():
    if os.geteuid() != 0:
        sys.exit("make bench starts virtual machines: run it as root")
    figures = Figures(machine())
    with tempfile.TemporaryDirectory() as directory:
        where = Path(directory)
        say("Test images and a registry on loopback")
        subprocess.run([proto.ROOT / "images" / "test" / "build.sh", where / "layout"], check=True, capture_output=True)
        registry = Registry(where / "registry")
        node = Node(proto.load_cri(), proto.load_operator(), log_level="info")
        try:
            image = registry.push(where / "layout", "plain", "bench/plain:1")
            node.trust(registry.host)
            say("Starting the daemon")
            node.start()
            node.keep_libvirt_cache()
            node.pull(image)
            figures.accelerator = node.operator.Version().accelerator

            say(f"Boot and pods, {ROUNDS} rounds")
            bare = bare_machine(node)
            figures.unit, pods = measure_pods(node, image, bare)
            figures.pods(pods)
            say("Version, 2000 calls")
            figures.version(measure_version(node))
            say(f"Ten containers in a pod, {ROUNDS} rounds")
            figures.ten_containers(measure_ten_containers(node, image))
            say("Stats")
            figures.pods(stats.measure(node, image))
            say(f"Network, {ROUNDS} rounds")
            figures.network(network.measure(node.cri_api, node.operator_api, where / "layout", where, ROUNDS, bare))
            say("Exec and port-forward")
            figures.sessions(sessions.measure(node, image, min(ROUNDS, 5)))
            say(f"Killed VMs, {ROUNDS} rounds")
            figures.death(measure_death(node))
            say("Memory")
            figures.returned(stats.measure_returned(node, image))
            figures.memory(memory.measure(node, image))
            figures.overhead(*memory.overhead(node, image))
            say("File I/O")
            big = files.push_image(registry, where / "layout", "bench/big:1")
            node.pull(big)
            figures.files(files.measure(node, big, where, min(ROUNDS, 5)))
            say("Pull and convert")
            figures.pull(pulls.measure(node, registry, where, min(ROUNDS, 5)))
            figures.memory({"Daemon PSS without pods, after these pulls": memory.pss(node.process.pid)})
        finally:
            left = node.close()
            registry.close()
    if left:
        print(f"left after the daemon: {left}")
    figures.write(proto.ROOT / "build" / "bench.json")
    print(figures.table())


if __name__ == "__main__":
    main()
