"""The life of a pod sandbox."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

from harness.errors import fails

UNKNOWN = "0123456789abcdef" * 4


def test_life(node):
    before = time.time_ns()
    pod = node.run_pod("life", labels={"app": "life"}, annotations={"note": "with space, and ümlaut"})
    assert len(pod.id) == 64 and set(pod.id) <= set("0123456789abcdef")

    status = pod.status()
    assert status.state == node.e.SANDBOX_READY
    assert status.metadata == pod.config.metadata
    assert before <= status.created_at <= time.time_ns()
    assert dict(status.labels) == {"app": "life"}
    assert dict(status.annotations) == {"note": "with space, and ümlaut"}
    assert status.linux.namespaces.options.pid == node.e.POD

    pod.stop()
    assert pod.status().state == node.e.SANDBOX_NOTREADY
    pod.stop()
    with fails("FAILED_PRECONDITION", "NOT_FOUND"):
        pod.create("whatever")
    node.cri.RemovePodSandbox(pod_sandbox_id=pod.id)
    node.cri.RemovePodSandbox(pod_sandbox_id=pod.id)
    with fails("NOT_FOUND", match=pod.id[:12]):
        pod.status()
    assert pod.id not in {item.id for item in node.cri.ListPodSandbox().items}


def test_the_agent_of_a_pod_has_nothing_to_complain_of(node, pod, images):
    """Its rehearsal of a container among it, whose failure nothing else tells but time."""
    assert pod.output(images.plain, "echo ready").strip() == "ready"
    console = node.ctl("console", pod.id, check=True).stdout
    assert "bulkhead-agent:" not in console, console


def test_verbose_status_is_json(pod, node):
    info = node.cri.PodSandboxStatus(pod_sandbox_id=pod.id, verbose=True).info
    assert info and all(json.loads(value) is not None for value in info.values())


def test_a_pod_of_the_same_name_is_refused_while_one_is_there(node, pod):
    with fails("ALREADY_EXISTS", match="shared"):
        node.cri.RunPodSandbox(config=pod.config)


def test_two_pods_of_one_name_at_once(node):
    config = node.pod_config("twins")
    calls = [node.cri.RunPodSandbox.future(config=config) for _ in range(2)]
    errors = [call.exception() for call in calls]
    made = [call.result().pod_sandbox_id for call, error in zip(calls, errors) if error is None]
    try:
        assert len(made) == 1
        assert next(error for error in errors if error).code().name == "ALREADY_EXISTS"
    finally:
        for pod_id in made:
            node.cri.RemovePodSandbox(pod_sandbox_id=pod_id)


def test_next_attempt_after_removal_and_pods_side_by_side(node):
    with ThreadPoolExecutor(2) as pool:
        pods = list(pool.map(lambda attempt: node.run_pod("again", attempt=attempt), range(2)))
    assert len({pod.id for pod in pods}) == 2
    for pod in pods:
        node.cri.RemovePodSandbox(pod_sandbox_id=pod.id)
    with node.pod("again") as pod:
        assert pod.ready()


def test_unknown_pods(node):
    node.cri.StopPodSandbox(pod_sandbox_id=UNKNOWN)
    node.cri.RemovePodSandbox(pod_sandbox_id=UNKNOWN)
    with fails("NOT_FOUND"):
        node.cri.PodSandboxStatus(pod_sandbox_id=UNKNOWN)
    for bad in ("", "no/such\nid", "x" * 5000):
        with fails("NOT_FOUND", "INVALID_ARGUMENT"):
            node.cri.PodSandboxStatus(pod_sandbox_id=bad)


def test_unique_prefix_of_an_id(node, pod):
    assert node.cri.PodSandboxStatus(pod_sandbox_id=pod.id[:12]).status.id == pod.id


def test_configs_that_are_wrong(node):
    good = node.pod_config("wrong")

    def refused(match="", **changes):
        config = type(good)()
        config.CopyFrom(good)
        for name, value in changes.items():
            config.ClearField(name)
            if isinstance(value, dict):
                config.MergeFrom(type(good)(**{name: value}))
            elif value is not None:
                setattr(config, name, value)
        with fails("INVALID_ARGUMENT", match=match):
            node.cri.RunPodSandbox(config=config)

    metadata = dict(name="wrong", uid="u", namespace="tests")
    with fails("INVALID_ARGUMENT"):
        node.cri.RunPodSandbox()
    refused("metadata", metadata=None)
    refused("name", metadata={**metadata, "name": ""})
    refused("namespace", metadata={**metadata, "namespace": ""})
    refused("hostname", hostname="a b")
    refused("hostname", hostname="x" * 300)
    refused("log", log_directory="relative/path")
    refused("sysctl", linux={"sysctls": {"../../etc/passwd": "1"}})
    refused("network", linux={"security_context": {"namespace_options": {"network": node.e.NODE}}})
    with fails("INVALID_ARGUMENT", "NOT_FOUND", match="handler"):
        node.cri.RunPodSandbox(config=good, runtime_handler="no-such-handler")


def test_removing_a_pod_removes_its_containers(node, images):
    pod = node.run_pod()
    container = pod.run(images.plain, "/bin/sleep", "1000")
    pod.stop()
    status = container.status()
    assert status.state == node.e.CONTAINER_EXITED and status.finished_at > 0
    node.cri.RemovePodSandbox(pod_sandbox_id=pod.id)
    with fails("NOT_FOUND"):
        container.status()


def test_removing_a_running_pod_stops_it(node, images):
    pod = node.run_pod()
    pod.run(images.plain, "/bin/sleep", "1000")
    pid = node.inspect(pod.id).vm.qemu_pid
    node.cri.RemovePodSandbox(pod_sandbox_id=pod.id)
    with fails("NOT_FOUND"):
        pod.status()
    assert not process_is(pid, b"qemu")


def process_is(pid: int, name: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return name in file.read()
    except OSError:
        return False
