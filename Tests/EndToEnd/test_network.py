"""Pods' networks by CNI's own plugins, in namespaces made here: what pods, the node and a machine beyond it
see of each other."""

import json
import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from harness import cni
from harness.errors import fails
from harness.netns import Namespace
from harness.node import Node
from harness.wait import until

PORT = 7000
BULK = 1 << 30
# Of pods with machines; NodeNetworkTests has the 200 of networks alone.
ROUNDS = 20
IMAGE = "localhost/test/plain:1"


def talk(namespace: Namespace, address: str, port: int, text: str = "hello", seconds: float = 20) -> str:
    """What the pod's server answers over TCP: the client's address as it sees it, and the text."""
    with namespace.entered():
        with socket.create_connection((address, port), timeout=seconds) as connection:
            connection.sendall(b"e" + text.encode())
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def ask(namespace: Namespace, address: str, port: int, data: bytes, seconds: float = 20) -> bytes:
    """What comes back over UDP."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with namespace.entered(), socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(seconds)
        client.sendto(data, (address, port))
        return client.recv(1 << 16)


@contextmanager
def serving_pod(node, name: str | None = None, **fields):
    """A pod with the server of net.c in it, listening."""
    with node.pod(name, **fields) as pod:
        pod.server = pod.run(IMAGE, "/bin/net", "serve", str(PORT))
        pod.ip = pod.status().network.ip
        until(lambda: "serving" in pod.server.output(), "the server listens")
        yield pod


@contextmanager
def network(node, *plugins, **options):
    """Another network that new pods are attached to meanwhile: its file comes first. Of the same name, so that
    no address is given out twice."""
    cni.configure(node, *plugins, file="00-other.conflist", **options)
    try:
        yield
    finally:
        (node.base / "cni" / "00-other.conflist").unlink()


@pytest.fixture(scope="module")
def world(cri, operator, layout, tmp_path_factory):
    """A node in a network namespace of its own, a machine beyond it, and the daemon with the test image."""
    inside, outside = Namespace("node"), Namespace("outside")
    try:
        outside.join(inside, "198.51.100.2/24", "198.51.100.1/24")
        for way in ("10.77.0.0/24 via 198.51.100.1",):
            outside.ip("route", "add", *way.split())
        settings = dict(required=True, plugin_timeout="4s", address_annotations=True, max_networks=2)
        node = Node(cri, operator, netns=inside, network=settings)
        node.start()
        try:
            # No registry is reachable from there.
            archive = tmp_path_factory.mktemp("archive") / "plain.tar"
            copy = ["skopeo", "copy", "--quiet", f"oci:{layout}:plain", f"docker-archive:{archive}:{IMAGE}"]
            subprocess.run(copy, check=True)
            node.ctl("image", "import", str(archive), check=True)
            yield SimpleNamespace(node=node, inside=inside, outside=outside)
        finally:
            left = node.close()
        assert not left, f"left after the daemon: {left}"
    finally:
        inside.close()
        outside.close()


@pytest.fixture(scope="module")
def pods(world):
    """Two pods on a bridge with IPv4 and IPv6, the first with ports of the node, each with a server running."""
    node = world.node
    cni.configure(
        node,
        cni.bridge(node, ipMasq=True),
        {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
        {"type": "firewall"},
        {"type": "tuning", "sysctl": {"net.core.somaxconn": "777"}},
        {"type": "loopback"},
    )
    mappings = [
        dict(protocol=node.e.TCP, container_port=PORT, host_port=8080),
        dict(protocol=node.e.UDP, container_port=PORT, host_port=8081),
    ]
    # The second with two processors, and so with two queues.
    resources = dict(resources=dict(cpu_quota=200000, cpu_period=100000))
    made = [node.run_pod("first", port_mappings=mappings), node.run_pod("second", linux=resources)]
    for pod in made:
        pod.server = pod.run(IMAGE, "/bin/net", "serve", str(PORT))
        network = pod.status().network
        pod.ip, pod.ip6 = network.ip, network.additional_ips[0].ip
    # The servers are started, not yet there.
    until(lambda: all("serving" in pod.server.output() for pod in made), "the servers listen")
    yield made
    for pod in made:
        pod.remove()


def network_ready(node):
    return next(one for one in node.cri.Status().status.conditions if one.type == "NetworkReady")


def test_the_network_is_not_ready_without_configuration(world):
    condition = network_ready(world.node)
    assert not condition.status and condition.reason == "NetworkPluginNotReady"
    assert str(world.node.base / "cni") in condition.message
    with fails("FAILED_PRECONDITION", match="NetworkPluginNotReady"):
        world.node.run_pod("early")
    assert not [pod for pod in world.node.cri.ListPodSandbox().items if pod.metadata.name == "early"]


def test_configuration_is_picked_up_without_a_restart(world, pods):
    assert network_ready(world.node).status
    assert pods[0].ip.startswith("10.77.0.") and pods[0].ip6.startswith("fd00:77::")


def test_the_pod_has_what_the_plugins_gave(world, pods):
    text = pods[0].server.sh("ip address show eth0; ip route; ip -6 route; cat /proc/sys/net/core/somaxconn; ls /sys/class/net")
    assert f"inet {pods[0].ip}/24" in text and f"inet6 {pods[0].ip6}/64" in text
    assert "default via 10.77.0.1 dev eth0" in text and "default via fd00:77::1 dev eth0" in text
    assert text.split()[-3:] == ["777", "eth0", "lo"]
    # The hardware address is that of the plugins' interface, which the bridge knows.
    namespace = world.node.base / "run" / "netns" / pods[0].id
    link = subprocess.run(
        ["nsenter", f"--net={namespace}", "cat", "/proc/net/dev"], capture_output=True, text=True, check=True
    )
    assert "eth0" in link.stdout and "bhtap0" in link.stdout
    neighbours = world.inside.ip("neighbour", "show", pods[0].ip)
    talk(world.inside, pods[0].ip, PORT)
    neighbours = world.inside.ip("neighbour", "show", pods[0].ip)
    assert pods[0].server.sh("cat /sys/class/net/eth0/address").strip() in neighbours


def test_the_machine_is_inside_the_namespace_with_a_queue_for_each_processor(world, pods):
    for pod, queues in zip(pods, (1, 2)):
        qemu = world.node.inspect(pod.id).vm.qemu_pid
        namespace = world.node.base / "run" / "netns" / pod.id
        assert os.stat(f"/proc/{qemu}/ns/net").st_ino == namespace.stat().st_ino
        assert pod.server.sh("ls -d /sys/class/net/eth0/queues/rx-*").count("rx-") == queues


def test_hosts_and_hostname(pods):
    hosts = pods[0].server.sh("cat /etc/hosts; hostname").split("\n")
    assert "127.0.0.1\tlocalhost" in hosts
    assert f"{pods[0].ip}\tfirst" in hosts and f"{pods[0].ip6}\tfirst" in hosts and "first" in hosts



def test_node_to_pod_and_from_beyond(world, pods):
    for pod in pods:
        assert talk(world.inside, pod.ip, PORT) == "::ffff:10.77.0.1 hello"
        assert talk(world.inside, pod.ip6, PORT) == "fd00:77::1 hello"
        assert ask(world.inside, pod.ip, PORT, b"datagram") == b"datagram"
        assert ask(world.inside, pod.ip6, PORT, b"datagram") == b"datagram"
    assert talk(world.outside, pods[1].ip, PORT) == "::ffff:198.51.100.2 hello"


def test_pod_to_pod(pods):
    first, second = pods
    for address, own in ((second.ip, f"::ffff:{first.ip}"), (second.ip6, first.ip6)):
        assert first.server.sh(f"net echo {address} {PORT} across") == f"{own} across"
    # A pod reaches itself by its own address.
    assert first.server.sh(f"net echo {first.ip} {PORT} self").endswith(" self")


def test_pod_to_node_and_beyond(world, pods):
    for namespace, address in ((world.inside, "10.77.0.1"), (world.outside, "198.51.100.2")):
        with namespace.entered():
            listener = socket.create_server((address, 7100))
        with listener:
            answer = pods[0].run(IMAGE, "/bin/sh", "-c", f"echo from the pod | nc -w 3 {address} 7100")
            listener.settimeout(10)
            connection, peer = listener.accept()
            with connection:
                assert connection.makefile().readline() == "from the pod\n"
            answer.remove()
        # ipMasq: beyond the node the pod is the node.
        assert peer[0] == (pods[0].ip if namespace is world.inside else "198.51.100.1")


def test_only_the_guest_answers_for_the_address(world, pods):
    """The address is on the host's side too, where plugins look for it; that side must stay silent."""
    def ping():
        return world.inside.run("busybox", "ping", "-c", "2", "-W", "1", pods[1].ip, check=False)

    answers = ping()
    assert "2 packets received" in answers and "DUP" not in answers
    qemu = world.node.inspect(pods[1].id).vm.qemu_pid
    os.kill(qemu, signal.SIGSTOP)
    try:
        world.inside.ip("neighbour", "flush", "dev", "pods0")
        assert "0 packets received" in ping()
    finally:
        os.kill(qemu, signal.SIGCONT)
    until(lambda: "2 packets received" in ping(), "the guest answers again")


@pytest.mark.parametrize("address", ["127.0.0.1", "198.51.100.1"])
def test_ports_of_the_node(world, pods, address):
    assert talk(world.inside, address, 8080).endswith(" hello")
    assert ask(world.inside, address, 8081, b"datagram") == b"datagram"


def test_ports_of_the_node_from_beyond(world, pods):
    assert talk(world.outside, "198.51.100.1", 8080) == "::ffff:198.51.100.2 hello"
    assert ask(world.outside, "198.51.100.1", 8081, b"datagram") == b"datagram"


# Bulk: what goes wrong when offloads, sizes or families are not right.


@pytest.mark.parametrize("family", ["ip", "ip6"])
@pytest.mark.parametrize("way", ["receive", "send"])
def test_a_large_transfer_is_right(world, pods, tool, way, family):
    """`net` checks each byte at the far end. The node sends to the pod, and the pod to the node."""
    size = BULK if family == "ip" else BULK // 8
    print(world.inside.run(tool, way, getattr(pods[1], family), str(PORT), str(size), timeout=150))


def test_a_large_transfer_between_pods_is_right(pods):
    print(pods[0].server.sh(f"net send {pods[1].ip} {PORT} {BULK // 8}"))


@pytest.mark.parametrize("size", [1472, 1473, 9000, 65000])
def test_datagrams_in_fragments(world, pods, size):
    for address in (pods[1].ip, pods[1].ip6):
        data = os.urandom(size)
        assert ask(world.inside, address, PORT, data) == data


# Other shapes of networks, a pod each.


def test_jumbo_frames(world, tool):
    with network(world.node, cni.bridge(world.node, "10.79.0.0/24", bridge="pods9", mtu=9000)):
        with serving_pod(world.node) as pod:
            assert "mtu 9000" in pod.server.sh("ip link show eth0")
            answer = world.inside.run("busybox", "ping", "-c", "1", "-W", "2", "-s", "8972", pod.ip, check=False)
            assert "1 packets received" in answer
            for way in ("send", "receive"):
                world.inside.run(tool, way, pod.ip, str(PORT), str(64 << 20), timeout=60)


def test_macvlan_is_a_machine_of_the_uplinks_network(world):
    addresses = dict(type="host-local", dataDir=str(world.node.base / "ipam"))
    addresses["ranges"] = [[dict(subnet="198.51.100.0/24", rangeStart="198.51.100.100")]]
    with network(world.node, {"type": "macvlan", "master": "uplink", "mode": "bridge", "ipam": addresses}):
        with serving_pod(world.node) as pod:
            assert talk(world.outside, pod.ip, PORT) == "::ffff:198.51.100.2 hello"
            assert ask(world.outside, pod.ip, PORT, os.urandom(3000))


def test_a_point_to_point_link(world):
    plugin = {"type": "ptp", "mtu": 1400, "ipMasq": True, "ipam": cni.address_management(world.node, "10.78.0.0/24")}
    with network(world.node, plugin):
        with serving_pod(world.node) as pod:
            routes = pod.server.sh("ip route; ip link show eth0")
            assert "default via 10.78.0.1" in routes and "mtu 1400" in routes
            assert talk(world.inside, pod.ip, PORT).endswith(" hello")
            assert pod.server.sh("net echo 198.51.100.2 1 x 2>&1 || true").count("refused") == 1


def test_bandwidth_from_the_kubelets_annotations(world, tool):
    plugins = [cni.bridge(world.node), {"type": "bandwidth", "capabilities": {"bandwidth": True}}]
    rate = {"kubernetes.io/egress-bandwidth": "40M", "kubernetes.io/ingress-bandwidth": "1G"}
    with network(world.node, *plugins), serving_pod(world.node, annotations=rate) as pod:
        start = time.monotonic()
        world.inside.run(tool, "receive", pod.ip, str(PORT), str(30 << 20), timeout=60)
        # 30 MiB at 40 Mbit/s are 6.3 s, less what fits the queue.
        shaped = time.monotonic() - start
        start = time.monotonic()
        world.inside.run(tool, "send", pod.ip, str(PORT), str(30 << 20), timeout=60)
        free = time.monotonic() - start
    assert 4 < shaped < 12 and free < shaped / 2, f"{shaped} s and {free} s"


def test_addresses_that_the_pod_chooses(world):
    plugin = cni.bridge(world.node, "10.80.0.0/24", bridge="pods8", capabilities={"ips": True, "mac": True})
    wish = {"network.bulkhead.dev/ips": "10.80.0.77/24", "network.bulkhead.dev/mac": "0a:00:00:00:00:77"}
    with network(world.node, plugin):
        with serving_pod(world.node, annotations=wish) as pod:
            assert pod.ip == "10.80.0.77"
            assert "0a:00:00:00:00:77" in pod.server.sh("cat /sys/class/net/eth0/address")
            before = cni.state(world.node, world.inside)
            with fails("INTERNAL", match="10.80.0.77"):
                world.node.run_pod("late", annotations=wish)
            assert cni.state(world.node, world.inside) == before
            assert talk(world.inside, pod.ip, PORT).endswith(" hello")


def test_an_address_that_another_pod_had_a_moment_ago(world):
    """Neighbours remember the former pod's hardware address."""
    plugin = cni.bridge(world.node, "10.83.0.0/24", "fd00:83::/64", bridge="pods7", capabilities={"ips": True})
    wish = {"network.bulkhead.dev/ips": "10.83.0.7/24,fd00:83::7/64"}
    with network(world.node, plugin):
        hardware = set()
        for _ in range(2):
            with serving_pod(world.node, annotations=wish) as pod:
                for address in ("10.83.0.7", "fd00:83::7"):
                    assert talk(world.inside, address, PORT, seconds=3).endswith(" hello")
                hardware.add(pod.server.sh("cat /sys/class/net/eth0/address"))
        assert len(hardware) == 2


SECOND_INTERFACE = """
case $CNI_COMMAND in
ADD)
  nsenter --net=$CNI_NETNS ip link add net1 type veth peer name net1-peer
  nsenter --net=$CNI_NETNS ip address add 192.0.2.9/32 dev net1
  nsenter --net=$CNI_NETNS ip neighbour add 192.0.2.1 lladdr 0a:00:00:00:00:01 dev net1 nud permanent
  nsenter --net=$CNI_NETNS ip link set net1 up
  python3 -c "
import json, os, sys
result = json.load(sys.stdin)['prevResult']
result['interfaces'].append(dict(name='net1', sandbox=os.environ['CNI_NETNS']))
print(json.dumps(result))" ;;
esac
"""


def test_plugins_that_make_several_interfaces(world):
    cni.plugin(world.node, "second-interface", SECOND_INTERFACE)
    with network(world.node, cni.bridge(world.node), {"type": "second-interface"}):
        for starts in (2, 1):
            with serving_pod(world.node) as pod:
                text = pod.server.sh("ip address show net1; ip neigh; ls /sys/class/net")
                assert "192.0.2.9/32" in text and "0a:00:00:00:00:01" in text
                assert text.split()[-3:] == ["eth0", "lo", "net1"]
                assert talk(world.inside, pod.ip, PORT).endswith(" hello")
                # The first such pod's machine was started again; later ones are born with two cards.
                phases = [phase.name for phase in world.node.inspect(pod.id).boot_phases]
                assert phases.count("vm start") == starts


def test_two_networks(world):
    """Of the second the pod has an interface more, and its one address in Status is that of the first."""
    second = cni.bridge(world.node, "10.84.0.0/24", bridge="pods6")
    cni.configure(world.node, second, file="20-second.conflist", name="second")
    try:
        with network(world.node, cni.bridge(world.node)), serving_pod(world.node) as pod:
            assert pod.server.sh("ls /sys/class/net").split() == ["eth0", "eth1", "lo"]
            assert [pod.ip[:6], *(one.ip[:4] for one in pod.status().network.additional_ips)] == ["10.77.", "fd00"]
            there = pod.server.sh("ip -o -4 address show eth1").split()[3].split("/")[0]
            assert talk(world.inside, pod.ip, PORT).endswith(" hello")
            assert talk(world.inside, there, PORT).endswith(" hello")
            # Both give a default route. What the guest prefers, a container would.
            namespace = str(world.node.base / "run" / "netns" / pod.id)
            host = world.inside.run("nsenter", f"--net={namespace}", "ip", "-4", "route", "show", "default")
            routes = [line for line in pod.server.sh("ip route").splitlines() if line.startswith("default")]
            assert [line.split()[:5] for line in routes] == [line.split()[:5] for line in host.splitlines()]
            assert len(routes) == 2
    finally:
        (world.node.base / "cni" / "20-second.conflist").unlink()


def test_cards_that_only_other_pods_need_are_not_seen(world):
    """Since some pod had two, machines are born with two."""
    with network(world.node, cni.bridge(world.node)), serving_pod(world.node) as pod:
        assert pod.server.sh("ls /sys/class/net").split() == ["eth0", "lo"]
        assert talk(world.inside, pod.ip, PORT).endswith(" hello")


def test_what_plugins_are_told(world):
    """By a .conf file, the form for one plugin."""
    node = world.node
    told = node.base / "told"
    listen = f'[ $CNI_COMMAND = ADD ] && printf "%s\\n%s" "$CNI_ARGS" "$config" > {told}'
    cni.plugin(node, "listener", f'config=$(cat); {listen}; printf %s "$config" | /usr/lib/cni/bridge')
    names = ["portMappings", "bandwidth", "dns", "ips", "mac", "aliases", "infinibandGUID", "ignored"]
    wish = {f"network.bulkhead.dev/{name}": value for name, value in (
        ("ips", "192.0.2.5/24, fd00::5/64"), ("mac", "0a:00:00:00:00:05"), ("aliases", "web,db"),
        ("infiniband-guid", "c2:11:22:33:44:55:66:77"))}  # fmt: skip
    wish["kubernetes.io/ingress-bandwidth"] = "16M"
    fields = dict(
        annotations=wish,
        port_mappings=[dict(protocol=node.e.SCTP, container_port=1, host_port=2, host_ip="127.0.0.1")],
        dns_config=dict(servers=["10.96.0.10"], searches=["svc"], options=["ndots:5"]),
    )
    file = node.base / "cni" / "00-single.conf"
    plugin = cni.bridge(node, "192.0.2.0/24", "fd00::/64", bridge="pods5", own=[1, None])
    plugin.update(type="listener", capabilities=dict.fromkeys(names, True))
    file.write_text(json.dumps(dict(cniVersion="0.3.1", name="single", **plugin)))
    try:
        with node.pod(**fields) as pod:
            arguments, configuration = told.read_text().split("\n", 1)
            status = pod.status().network
            assert [status.ip, status.additional_ips[0].ip] == ["192.0.2.5", "fd00::5"]
    finally:
        file.unlink()
    metadata = pod.config.metadata
    expected = dict(K8S_POD_NAMESPACE=metadata.namespace, K8S_POD_NAME=metadata.name, K8S_POD_UID=metadata.uid)
    expected.update(IgnoreUnknown="1", K8S_POD_INFRA_CONTAINER_ID=pod.id)
    assert dict(part.split("=") for part in arguments.split(";")) == expected
    configuration = json.loads(configuration)
    assert configuration["runtimeConfig"] == {
        "portMappings": [dict(hostPort=2, containerPort=1, protocol="sctp", hostIP="127.0.0.1")],
        "bandwidth": dict(ingressRate=16_000_000, ingressBurst=2_000_000),
        "dns": dict(servers=["10.96.0.10"], searches=["svc"], options=["ndots:5"]),
        "ips": ["192.0.2.5/24", "fd00::5/64"],
        "mac": "0a:00:00:00:00:05",
        "aliases": ["web", "db"],
        "infinibandGUID": "c2:11:22:33:44:55:66:77",
    }
    assert (configuration["cniVersion"], configuration["name"], configuration["own"]) == ("0.3.1", "single", [1, None])


# What goes wrong.


def test_an_invalid_file_is_named_and_the_others_used(world, pods):
    bad = world.node.base / "cni" / "05-bad.conflist"
    bad.write_text("{ this is no JSON")
    try:
        condition = network_ready(world.node)
        assert condition.status and "05-bad.conflist" in condition.message
        with world.node.pod() as pod:
            assert pod.status().network.ip.startswith("10.77.0.")
        assert "05-bad.conflist is not used" in (world.node.base / "daemon.log").read_text()
    finally:
        bad.unlink()


def test_a_network_whose_plugin_says_that_it_is_not_ready(world, pods):
    cni.plugin(world.node, "no-uplink", 'echo \'{"code": 51, "msg": "the uplink is down"}\'; exit 1')
    with network(world.node, {"type": "no-uplink"}, version="1.1.0"):
        condition = network_ready(world.node)
    assert not condition.status and "the uplink is down" in condition.message
    assert network_ready(world.node).status


@pytest.mark.parametrize(
    "script, message",
    [
        ("[ $CNI_COMMAND = DEL ] || sleep 1000", "killed"),
        ("[ $CNI_COMMAND = DEL ] || kill -SEGV $$", "signal 11"),
        ("[ $CNI_COMMAND = DEL ] || printf 'rubbish\\033[2J'", "rubbish.u{1b}"),
        ("[ $CNI_COMMAND = DEL ] || { echo why >&2; exit 1; }", "why"),
    ],
    ids=["hangs", "crashes", "prints rubbish", "fails"],
)
def test_a_plugin_that_fails_leaves_nothing_behind(world, pods, script, message):
    cni.plugin(world.node, "broken", script)
    before = cni.state(world.node, world.inside)
    mapping = dict(protocol=world.node.e.TCP, container_port=PORT, host_port=9090)
    chain = [cni.bridge(world.node), {"type": "portmap", "capabilities": {"portMappings": True}}, {"type": "broken"}]
    with network(world.node, *chain):
        with fails("INTERNAL", "DEADLINE_EXCEEDED", match=message):
            world.node.run_pod("unlucky", port_mappings=[mapping])
    assert cni.state(world.node, world.inside) == before
    assert not [pod for pod in world.node.cri.ListPodSandbox().items if pod.metadata.name == "unlucky"]


def test_a_pod_that_cannot_be_taken_back_is_not_ready_until_it_is(world, pods):
    """Its network can be neither made nor unmade: the kubelet sees what is left of it, and removes it."""
    node = world.node
    stuck = node.base / "stuck"
    cni.plugin(node, "sticky", f"[ ! -e {stuck} ] || {{ echo held fast >&2; exit 1; }}")
    before = cni.state(node, world.inside)

    def listed():
        return [pod for pod in node.cri.ListPodSandbox().items if pod.metadata.name == "left-over"]

    with network(node, cni.bridge(node), {"type": "sticky"}):
        stuck.touch()
        config = node.pod_config("left-over")
        with fails("INTERNAL", match="stays, not ready.*held fast"):
            node.cri.RunPodSandbox(config=config)
        (left,) = listed()
        assert left.state == node.e.SANDBOX_NOTREADY
        with fails("FAILED_PRECONDITION", match="held fast"):
            node.cri.RunPodSandbox(config=config)
        with fails("INTERNAL", match="held fast"):
            node.cri.RemovePodSandbox(pod_sandbox_id=left.id)
        # The next daemon knows it as well.
        node.kill()
        node.start()
        assert [pod.id for pod in listed()] == [left.id]
        # The same name: first the rest is released.
        stuck.unlink()
        again = node.cri.RunPodSandbox(config=config).pod_sandbox_id
        assert [(pod.id, pod.state) for pod in listed()] == [(again, node.e.SANDBOX_READY)]
        node.cri.RemovePodSandbox(pod_sandbox_id=again)
        # Or it is removed.
        stuck.touch()
        with fails("INTERNAL", match="held fast"):
            node.cri.RunPodSandbox(config=config)
        stuck.unlink()
        (left,) = listed()
        node.cri.StopPodSandbox(pod_sandbox_id=left.id)
        node.cri.RemovePodSandbox(pod_sandbox_id=left.id)
        assert not listed()
    assert cni.state(node, world.inside) == before


def test_nothing_leaks_when_networks_fail(world, pods):
    """Pods whose network fails when it is all but made, each with a machine that had been started."""
    node = world.node
    cni.plugin(node, "broken", "[ $CNI_COMMAND = DEL ] || exit 1")
    mapping = dict(protocol=node.e.TCP, container_port=PORT, host_port=9090)
    chain = [cni.bridge(node), {"type": "portmap", "capabilities": {"portMappings": True}}, {"type": "broken"}]
    with network(node, *chain):
        for _ in range(5):
            with fails("INTERNAL", match="broken"):
                node.run_pod(port_mappings=[mapping])
        before, files = cni.state(node, world.inside), open_files(node)
        start = time.monotonic()
        for _ in range(ROUNDS):
            with fails("INTERNAL", match="broken"):
                node.run_pod(port_mappings=[mapping])
        print(f"{ROUNDS} rounds in {time.monotonic() - start:.1f} s")
    assert cni.state(node, world.inside) == before
    assert open_files(node) <= files + 2
    assert len(cni.reserved(node)) == 2 * len(pods)


def open_files(node) -> int:
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))


# The daemon dies.


def test_pods_keep_their_network_when_the_daemon_is_killed(world, pods):
    node = world.node
    calls = node.base / "calls"
    cni.plugin(node, "recorder", f"echo $CNI_COMMAND $CNI_CONTAINERID >> {calls}")
    with network(node, cni.bridge(node), {"type": "recorder"}):
        kept = node.run_pod("kept")
        node.kill()
        assert talk(world.inside, pods[0].ip, PORT).endswith(" hello")
        node.start()
    assert kept.ready() and pods[0].ready()
    assert pods[0].status().network.ip == pods[0].ip
    assert talk(world.outside, "198.51.100.1", 8080).endswith(" hello")
    # Its configuration has gone meanwhile: what undoes it was kept.
    kept.remove()
    assert calls.read_text().split() == ["ADD", kept.id, "CHECK", kept.id, "DEL", kept.id]


def test_a_daemon_that_is_killed_while_a_plugin_runs(world, pods):
    node = world.node
    marker = node.base / "in-add"
    cni.plugin(node, "slow", f"[ $CNI_COMMAND = DEL ] || {{ touch {marker}; sleep 3; }}")
    before = cni.state(node, world.inside)
    with network(node, cni.bridge(node), {"type": "slow"}):
        config = node.pod_config("cut-off")
        call = node.cri.RunPodSandbox.future(config=config)
        until(marker.exists, "the plugin runs")
        node.kill()
        assert call.exception() is not None
        node.start()
    assert cni.state(node, world.inside) == before
    assert talk(world.inside, pods[0].ip, PORT).endswith(" hello")
