"""The CRI as the kubelet and crictl speak it: by grpc-go. The client is a Go program that goes through a
kubelet's calls on one connection and prints what it saw."""

import json
import subprocess

import pytest

from harness.gobuild import build_client

CREATED, STARTED, STOPPED, DELETED = (f"CONTAINER_{what}_EVENT" for what in ("CREATED", "STARTED", "STOPPED", "DELETED"))
MIB = 1 << 20


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return build_client(tmp_path_factory.mktemp("go"))


@pytest.fixture(scope="module")
def seen(program, node, images, tmp_path_factory):
    """What the client saw, by step."""
    logs = node.logs / "grpcgo"
    logs.mkdir()
    arguments = [program, "-socket", node.socket, "-image", images.plain, "-logs", logs]
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=150, stdin=subprocess.DEVNULL)
    print(result.stdout)
    assert result.returncode == 0, f"{result.stderr}\nafter:\n{result.stdout}"
    return {step["step"]: step for step in map(json.loads, result.stdout.splitlines())}


def test_who_answers(seen):
    for step in ("version, the path as authority", "version", "version, at the end"):
        assert (seen[step]["runtime"], seen[step]["api"]) == ("bulkhead", "v1")
    assert seen["status"]["conditions"]["RuntimeReady"] and seen["status"]["info"] > 0


def test_a_pod_from_its_start_to_its_end(seen, images):
    started = seen["started"]
    assert started["pod"] == "SANDBOX_READY" and started["container"] == "CONTAINER_RUNNING"
    assert started["labels"] == {"client": "grpc-go"} and started["image"] == images.plain
    assert started["name"] and started["log"]
    assert {key: seen["exec"][key] for key in ("stdout", "stderr", "exit")} == dict(stdout="out\n", stderr="err\n", exit=5)
    assert (seen["stopped"]["container"], seen["stopped"]["exit"]) == ("CONTAINER_EXITED", 143)
    assert seen["removed"]["left"] == 0


def test_events(seen):
    assert seen["events"]["container"] == [CREATED, STARTED, STOPPED, DELETED]
    assert seen["events"]["pod"] == [CREATED, STARTED, STOPPED, DELETED]


def test_15_mebibytes_each_way(seen):
    """While data arrives grpc-go pings to estimate the bandwidth-delay product: nobody may mind that."""
    assert seen["large answers"]["received"] == [15 * MIB] * 3
    assert seen["large request"]["found"] == 0


def test_deadlines(seen):
    for step in ("the client's deadline", "the command's timeout"):
        assert seen[step]["code"] == "DeadlineExceeded" and 0.9 < seen[step]["seconds"] < 4
        assert seen[step]["gone"], "the process is ended"


def test_cancellations(seen):
    assert seen["a cancelled stream"]["code"] == "Canceled" and seen["a cancelled stream"]["seconds"] < 3
    assert seen["cancelled calls"]["code"] == "Canceled" and seen["cancelled calls"]["seconds"] < 3
    assert seen["cancelled calls"]["gone"], "the process is ended"
    assert seen["cancelled calls"]["afterwards"] == 15 * MIB, "the connection's window is as it was"


def test_100_calls_at_once_on_one_connection(seen):
    assert seen["parallel"]["errors"] == [] and seen["parallel"]["right"] == 100


@pytest.mark.parametrize(
    "step, code, message",
    [
        ("an unknown container", "NotFound", "0" * 64),
        ("an unknown pod", "NotFound", "0" * 64),
        ("an empty request", "InvalidArgument", "config"),
        ("a checkpoint", "Unimplemented", "checkpoint"),
        ("/runtime.v1.RuntimeService/NoSuchCall", "Unimplemented", ""),
        ("/runtime.v1alpha2.RuntimeService/Version", "Unimplemented", ""),
    ],
)
def test_what_is_refused(seen, step, code, message):
    assert seen[step]["code"] == code
    assert seen[step]["message"] and message in seen[step]["message"].lower()


def test_a_connection_outlives_a_restart_of_the_daemon(program, own_node):
    node = own_node()
    arguments = [program, "-socket", node.socket, "-restarted"]
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with subprocess.Popen(arguments, **pipes) as client:
        steps = map(json.loads, client.stdout)
        assert next(steps)["step"] == "version"
        assert next(steps)["step"] == "ready"
        assert node.stop() == 0
        ended = next(steps)
        assert ended["step"] == "the stream ended" and ended["code"] == "EOF"
        node.start()
        client.stdin.write("go\n")
        client.stdin.flush()
        again = next(steps)
        assert again["step"] == "connected again" and again["seconds"] < 10
        assert client.wait(10) == 0
