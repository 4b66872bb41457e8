"""Version, Status, RuntimeConfig, the RPCs that are not there yet, and what a broken client sends."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from harness.errors import fails

SERVED = set(
    """Version Status RuntimeConfig RunPodSandbox StopPodSandbox RemovePodSandbox PodSandboxStatus ListPodSandbox
    StreamPodSandboxes CreateContainer StartContainer StopContainer RemoveContainer ListContainers StreamContainers
    ContainerStatus ExecSync ReopenContainerLog PullImage ListImages StreamImages ImageStatus RemoveImage
    ImageFsInfo UpdateContainerResources UpdatePodSandboxResources ContainerStats ListContainerStats StreamContainerStats
    PodSandboxStats ListPodSandboxStats StreamPodSandboxStats ListMetricDescriptors ListPodSandboxMetrics
    StreamPodSandboxMetrics GetContainerEvents Exec Attach PortForward""".split()
)


def test_version(node):
    answer = node.cri.Version()
    assert answer.version == "0.1.0"
    assert answer.runtime_name == "bulkhead"
    assert answer.runtime_api_version == "v1"
    assert answer.runtime_version


def test_status(node):
    answer = node.cri.Status(verbose=True)
    conditions = {condition.type: condition for condition in answer.status.conditions}
    assert conditions["RuntimeReady"].status
    network = conditions["NetworkReady"]
    assert network.status or (network.reason and network.message)
    assert {"", "bulkhead"} <= {handler.name for handler in answer.runtime_handlers}
    assert answer.info
    for value in answer.info.values():
        json.loads(value)
    assert "tcg" in json.dumps(dict(answer.info)), "the accelerator is said in Status"


def test_status_without_verbose_has_no_info(node):
    assert not node.cri.Status().info


def test_runtime_config(node):
    driver = node.cri.RuntimeConfig().linux.cgroup_driver
    assert driver in (node.e.CGROUPFS, node.e.SYSTEMD)


def test_every_rpc_that_is_not_served_says_so(node):
    names = set(node.cri.names())
    assert len(names) == 43 and SERVED <= names
    for name in sorted(names - SERVED):
        with fails("UNIMPLEMENTED", match=name):
            answer = getattr(node.cri, name)(deadline=10)
            if getattr(node.cri, name).streaming:
                list(answer)


def test_unknown_method(node):
    call = node.cri.channel.unary_unary("/runtime.v1.RuntimeService/NoSuchThing")
    with fails("UNIMPLEMENTED"):
        call(b"", timeout=10)


def test_request_that_is_no_message(node):
    call = node.cri.channel.unary_unary("/runtime.v1.RuntimeService/PodSandboxStatus")
    with fails("INVALID_ARGUMENT", "INTERNAL"):
        call(b"\xff" * 20, timeout=10)


def test_request_over_16_mib(node):
    with fails("RESOURCE_EXHAUSTED"):
        node.cri.Version(version="x" * (17 << 20), deadline=30)


def test_request_of_15_mib(node):
    assert node.cri.Version(version="x" * (15 << 20), deadline=30).runtime_name == "bulkhead"


def test_many_calls_at_once(node):
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: node.cri.Version(deadline=30).runtime_name, range(500)))
    assert answers == ["bulkhead"] * 500


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 4096,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 1000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + (b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" * 2000),
        b"PRI * HT",
    ],
    ids=["zeros", "http1", "bad-frame", "settings-flood", "half-a-preface"],
)
def test_garbage_on_the_socket(node, garbage):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(node.socket))
        try:
            client.sendall(garbage)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
        except (ConnectionResetError, BrokenPipeError):
            pass
    assert node.cri.Version(deadline=10).runtime_name == "bulkhead"


def test_connections_that_say_nothing(node):
    silent = [socket.socket(socket.AF_UNIX) for _ in range(50)]
    try:
        for client in silent:
            client.connect(str(node.socket))
        assert node.cri.Version(deadline=10).runtime_name == "bulkhead"
    finally:
        for client in silent:
            client.close()


def test_socket_is_for_root_only(node):
    assert node.socket.stat().st_mode & 0o777 == 0o600


def test_deadline_of_the_client_is_kept(node):
    with pytest.raises(grpc.RpcError) as caught:
        node.cri.RunPodSandbox(config=node.pod_config("hasty"), deadline=0.2)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
