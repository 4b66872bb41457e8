"""What a network costs: a pod's start with CNI beside one without, and TCP between a pod and its node beside the
same QEMU with a tap, started by hand."""

import statistics
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from bare_qemu import AGENT, BareMachine, Bridge
from figures import Samples
from harness import cni
from harness.client import Client
from harness.netns import Namespace
from harness.node import Node
from harness.proto import ROOT
from harness.wait import until

IMAGE = "localhost/bench/plain:1"
PORT = 7000
# One machine differs from the next by a few per cent for as long as it lives, whoever started it.
MACHINES = 3
TRANSFERS = 6
TRANSFER = 128 << 20
HARDWARE = bytes.fromhex("020000000001")


class NetworkedMachine(BareMachine):
    """With one network card on a tap of its namespace, whose other end is the namespace itself."""

    def __init__(self, netns: Namespace, image: Path, **machine):
        super().__init__(**machine)
        self.netns, self.image = netns, image

    def arguments(self):
        return [
            *super().arguments(),
            "-netdev", "tap,id=net,ifname=tap0,script=no,downscript=no",
            "-device", "virtio-net-pci,netdev=net,mac=" + HARDWARE.hex(":"),
            "-drive", f"if=none,id=image,format=raw,readonly=on,file={self.image}",
            "-device", "scsi-hd,bus=scsi.0,drive=image,serial=image",
        ]  # fmt: skip

    def serve(self):
        """Boots, and runs the server of net.c as a container."""
        self.netns.ip("tuntap", "add", "tap0", "mode", "tap", "vnet_hdr")
        self.netns.ip("address", "add", "192.0.2.1/24", "dev", "tap0")
        self.netns.ip("link", "set", "tap0", "up")
        command = ["nsenter", f"--net={self.netns.path}", *self.arguments()]
        # A session of its own, as the pod's, since the scheduler shares a processor out among sessions first.
        self.qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
        guest = until(self._dial, "the agent listens", 120, every=0.01)
        card = dict(boot_hardware_address=HARDWARE, hardware_address=HARDWARE, name="eth0", mtu=1500)
        card["addresses"] = [dict(address=bytes([192, 0, 2, 2]), prefix_length=24)]
        card["routes"] = [dict(destination=bytes([192, 0, 2, 0]), prefix_length=24, scope=253)]
        process = dict(args=[b"/bin/net", b"serve", str(PORT).encode()], cwd=b"/")
        with Bridge(self.directory / "agent.sock", guest) as bridge:
            client = Client(str(bridge.path), AGENT, connect_ms=20_000)
            try:
                for method, fields in (
                    ("CreateSandbox", dict(hostname="bare", scratch_serial="scratch", interfaces=[card])),
                    ("CreateContainer", dict(container_id="net", image_serial="image", spec=dict(process=process))),
                    ("StartContainer", dict(container_id="net")),
                ):
                    call = getattr(client, method).future(metadata=[("bulkhead-secret", self.secret)], **fields)
                    call.result()
            finally:
                client.close()


def measure(cri, operator, layout: Path, where: Path, rounds: int, bare: dict) -> dict:
    """`bare` is what `BareMachine` takes. Times in `Samples`, throughput in MB/s."""
    tool = where / "net"
    subprocess.run(["gcc", "-static", "-O2", "-o", tool, ROOT / "images" / "test" / "net.c"], check=True,
                   capture_output=True)  # fmt: skip
    archive = where / "plain.tar"
    copy = ["skopeo", "copy", "--quiet", f"oci:{layout}:plain", f"docker-archive:{archive}:{IMAGE}"]
    subprocess.run(copy, check=True)
    with ExitStack() as stack:
        inside = Namespace("bench")
        stack.callback(inside.close)
        node = Node(cri, operator, netns=inside, log_level="info")
        stack.callback(node.close)
        node.start()
        node.ctl("image", "import", str(archive), check=True)
        samples = starts(node, rounds)
        return {**samples, **throughput(stack, node, inside, str(tool), where, bare)}


def starts(node: Node, rounds: int) -> dict:
    """Pods without a network and with one, by turns."""
    without = Samples("RunPodSandbox without CNI, for the next", "ms")
    add = Samples("CNI ADD of bridge and portmap, for the next", "ms")
    run = Samples("RunPodSandbox with bridge CNI", "ms")
    file = "10-pods.conflist"
    for number in range(rounds + 1):
        alone = seconds(node)
        cni.configure(node, cni.bridge(node), {"type": "portmap", "capabilities": {"portMappings": True}}, file=file)
        both, plugins = seconds(node, "network")
        (node.base / "cni" / file).unlink()
        # The first makes the bridge.
        if number > 0:
            without.add(alone[0])
            add.add(plugins)
            run.add(both)
    return {"without": without, "add": add, "run": run}


def seconds(node: Node, *phases: str) -> list[float]:
    """How long RunPodSandbox takes, and phases of it."""
    start = time.perf_counter()
    pod = node.run_pod()
    elapsed = time.perf_counter() - start
    seen = {phase.name: phase for phase in node.inspect(pod.id).boot_phases}
    pod.remove()
    return [elapsed, *(seen[name].duration_microseconds / 1e6 for name in phases)]


def throughput(stack: ExitStack, node: Node, inside: Namespace, tool: str, where: Path, bare: dict) -> dict:
    """All machines run all the time, and transfers take turns, so that noise meets all."""
    cni.configure(node, cni.bridge(node))
    tree, image = where / "tree", where / "tree.erofs"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin" / "net").write_bytes(Path(tool).read_bytes())
    (tree / "bin" / "net").chmod(0o755)
    subprocess.run(["mkfs.erofs", image, tree], check=True, capture_output=True)
    places = []
    for number in range(MACHINES):
        pod = stack.enter_context(node.pod())
        server = pod.run(IMAGE, "/bin/net", "serve", str(PORT))
        until(lambda server=server: "serving" in server.output(), "the server listens")
        other = Namespace(f"bare{number}")
        stack.callback(other.close)
        machine = stack.enter_context(NetworkedMachine(other, image, **bare))
        machine.serve()
        places += [("pod", inside, pod.status().network.ip), ("bare", other, "192.0.2.2")]
    figures = {}
    for way, name in (("receive", "pod to host"), ("send", "host to pod")):
        speeds = {"pod": [], "bare": []}
        for number in range(TRANSFERS + 1):
            for kind, namespace, address in places:
                speed = namespace.run(tool, way, address, str(PORT), str(TRANSFER)).split()[0]
                # The first of a machine finds its memory untouched.
                if number > 0:
                    speeds[kind].append(float(speed))
        figures[name] = {kind: statistics.median(values) for kind, values in speeds.items()}
    return figures
