"""The life of a container: how it starts, what it is started as, how it ends."""

import json
import time

import pytest

from harness.errors import fails
from harness.wait import until

UNKNOWN = "fedcba9876543210" * 4


def test_life(node, pod, images):
    before = time.time_ns()
    container = pod.create(
        images.plain, "/bin/sh", "-c", "echo started; exec sleep 1000", labels={"k": "v"}, annotations={"a": "b"}
    )
    status = container.status()
    assert status.state == node.e.CONTAINER_CREATED
    assert before <= status.created_at <= time.time_ns()
    assert status.started_at == 0 and status.finished_at == 0
    assert status.image.image and status.image_ref and status.image_id
    assert status.metadata == container.config.metadata
    assert dict(status.labels) == {"k": "v"} and dict(status.annotations) == {"a": "b"}

    container.start()
    assert container.log.exists(), "the log file is there when StartContainer returns"
    status = container.status()
    assert status.state == node.e.CONTAINER_RUNNING and status.started_at >= status.created_at
    assert status.log_path == str(container.log)
    container.wait_output("started")

    container.stop(0)
    status = container.status()
    assert status.state == node.e.CONTAINER_EXITED
    assert status.finished_at >= status.started_at
    container.remove()
    container.remove()
    with fails("NOT_FOUND"):
        container.status()


@pytest.mark.parametrize("code, reason", [(0, "Completed"), (3, "Error"), (255, "Error")])
def test_exit_code_and_reason(pod, images, code, reason):
    container = pod.run(images.plain, "/bin/sh", "-c", f"exit {code}")
    status = container.wait()
    assert (status.exit_code, status.reason) == (code, reason)
    container.remove()


def test_killed_by_a_signal(pod, images):
    container = pod.run(images.plain, "/bin/sh", "-c", "kill -SEGV $$")
    assert container.wait().exit_code == 128 + 11
    container.remove()


def test_a_program_that_is_not_there(pod, images):
    container = pod.create(images.plain, "/no/such/program")
    with fails("FAILED_PRECONDITION", "NOT_FOUND", "INVALID_ARGUMENT", "INTERNAL", match="/no/such/program"):
        container.start()
    status = container.wait()
    assert (status.exit_code, status.reason) == (128, "StartError")
    assert "/no/such/program" in status.message
    container.remove()


def test_a_file_that_is_no_program(pod, images):
    container = pod.create(images.plain, "/etc/passwd")
    with fails("FAILED_PRECONDITION", "PERMISSION_DENIED", "INVALID_ARGUMENT", "INTERNAL"):
        container.start()
    assert container.wait().exit_code == 128
    container.remove()


def test_dies_at_once(pod, images):
    for _ in range(3):
        container = pod.run(images.plain, "/bin/true")
        assert container.wait().reason == "Completed"
        container.remove()


def test_started_twice(pod, images):
    container = pod.run(images.plain, "/bin/sleep", "1000")
    with fails("FAILED_PRECONDITION", match="running"):
        container.start()
    container.remove()


def test_same_name_twice(pod, sleeper, images):
    with fails("ALREADY_EXISTS", match="sleeper"):
        pod.create(images.plain, "/bin/true", name="sleeper")


def test_image_config_applies(pod, images):
    container = pod.run(images.app)
    container.wait()
    assert container.output().splitlines() == [
        "arg from-image",
        "cwd /srv/made/here",
        "uid 1000 gid 2000 groups 2000 2001" if "2001" in container.output() else "uid 1000 gid 2000 groups 2000",
        "colour green",
    ]
    user = container.status().user.linux
    assert (user.uid, user.gid) == (1000, 2000)
    container.remove()


def test_cri_overrides_the_image(pod, images):
    def first_lines(*command, **fields):
        container = pod.run(images.app, *command, **fields)
        container.wait()
        text = container.output().splitlines()
        container.remove()
        return text

    assert first_lines(args=["one", "two words"])[:2] == ["arg one", "arg two words"]
    assert first_lines("/bin/echo", args=["hi"]) == ["hi"]
    # A command without arguments drops the image's arguments too, as Kubernetes defines it.
    assert first_lines("/bin/echo") == [""]
    lines = first_lines(working_dir="/new/dir", envs=[dict(key="COLOUR", value=b"red")])
    assert "cwd /new/dir" in lines and "colour red" in lines


def test_environment_is_bytes(pod, images):
    raw = bytes(range(1, 256)).replace(b"\n", b"")
    container = pod.run(images.plain, "/bin/sh", "-c", 'printf %s "$RAW" | hexdump -v -e \'1/1 "%02x"\'',
                        envs=[dict(key="RAW", value=raw)])  # fmt: skip
    container.wait()
    assert container.output().strip() == raw.hex()
    container.remove()


def security(**fields):
    return dict(security_context=fields)


def test_user_of_the_cri(pod, images):
    script = "id -u; id -g; id -G"
    by_number = pod.output(
        images.plain, script, linux=security(run_as_user=dict(value=1234), run_as_group=dict(value=4321),
                                             supplemental_groups=[7, 8])
    )  # fmt: skip
    assert by_number.split() == ["1234", "4321", "4321", "7", "8"]
    by_name = pod.output(images.plain, script, linux=security(run_as_username="app")).splitlines()
    assert by_name[:2] == ["1000", "1000"]
    assert {"2000", "2001"} <= set(by_name[2].split()), "the image's groups are merged by default"


def test_supplemental_groups_policy_strict(pod, node, images):
    groups = pod.output(
        images.plain, "id -G", linux=security(run_as_username="app", supplemental_groups_policy=node.e.Strict)
    )
    assert groups.split() == ["1000"]


def test_unknown_user(pod, images):
    with fails("INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", match="nobody-here"):
        pod.create(images.plain, "/bin/true", linux=security(run_as_username="nobody-here")).start()


def test_stop_with_grace(pod, images):
    container = pod.run(images.plain, "/bin/wait-usr1")
    container.wait_output("waiting")
    container.stop(20)
    status = container.status()
    assert status.exit_code == 8 and "got TERM" in container.output()
    container.stop(20)
    container.remove()


def test_stop_signal_of_the_image(pod, images):
    container = pod.run(images.app, "/bin/wait-usr1")
    container.wait_output("waiting")
    container.stop(20)
    assert container.status().exit_code == 7 and "got USR1" in container.output()
    container.remove()


def test_stop_signal_of_the_cri(pod, node, images):
    container = pod.run(images.plain, "/bin/wait-usr1", stop_signal=node.e.SIGNAL_SIGUSR1)
    container.wait_output("waiting")
    container.stop(20)
    assert container.status().exit_code == 7
    container.remove()


def test_stop_kills_after_the_grace_period(pod, images):
    container = pod.run(images.plain, "/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    container.wait_output("ready")
    start = time.monotonic()
    container.stop(2)
    assert 1.5 < time.monotonic() - start < 12
    assert container.status().exit_code == 137
    container.remove()


def test_children_die_with_their_container(pod, sleeper, images):
    container = pod.run(
        images.plain, "/bin/sh", "-c", "(trap '' TERM HUP; exec sleep 7654321) & echo ready; exec sleep 1000"
    )
    container.wait_output("ready")
    container.stop(1)
    assert "7654321" not in sleeper.sh("ps -o args")
    container.remove()


def test_remove_of_a_running_container(pod, images):
    container = pod.run(images.plain, "/bin/sleep", "1000")
    container.remove()
    with fails("NOT_FOUND"):
        container.status()


def test_unknown_containers(node, pod, images):
    node.cri.StopContainer(container_id=UNKNOWN)
    node.cri.RemoveContainer(container_id=UNKNOWN)
    with fails("NOT_FOUND"):
        node.cri.StartContainer(container_id=UNKNOWN)
    with fails("NOT_FOUND"):
        node.cri.ContainerStatus(container_id=UNKNOWN)
    with fails("NOT_FOUND"):
        node.cri.ExecSync(container_id=UNKNOWN, cmd=["/bin/true"])
    with fails("NOT_FOUND"):
        node.cri.ReopenContainerLog(container_id=UNKNOWN)
    with fails("NOT_FOUND"):
        node.cri.CreateContainer(pod_sandbox_id=UNKNOWN, config=pod.container_config(images.plain, "/bin/true"))


def test_configs_that_are_wrong(node, pod, images):
    def refused(match, *codes, image=images.plain, **fields):
        with fails(*(codes or ["INVALID_ARGUMENT"]), match=match):
            pod.create(image, "/bin/true", **fields)

    with fails("INVALID_ARGUMENT"):
        node.cri.CreateContainer(pod_sandbox_id=pod.id)
    refused("image", "INVALID_ARGUMENT", "NOT_FOUND", image="")
    refused("image", "NOT_FOUND", image="127.0.0.1:1/no/such:image")
    refused("log", log_path="../../../etc/passwd")
    refused("working", working_dir="relative")
    refused("env", envs=[dict(key="A=B", value=b"x")])
    refused("env", envs=[dict(key="A", value=b"nul\0byte")])
    refused("capabilit", linux=security(capabilities=dict(add_capabilities=["NO_SUCH"])))
    refused("user", linux=security(run_as_user=dict(value=-1)))
    refused("user", linux=security(run_as_user=dict(value=1 << 31)))
    refused("user", linux=security(run_as_user=dict(value=1 << 32)))
    refused("group", linux=security(run_as_user=dict(value=1), run_as_group=dict(value=-1)))
    refused("supplemental_groups", linux=security(supplemental_groups=[1 << 31]))
    refused("run_as_username", linux=security(run_as_user=dict(value=1), run_as_username="app"))
    refused("2147483648", "FAILED_PRECONDITION", linux=security(run_as_username="2147483648"))
    refused("4294967296", "FAILED_PRECONDITION", linux=security(run_as_username="4294967296"))
    refused("image's /etc/group", "FAILED_PRECONDITION", linux=security(run_as_username="app:no-such-group"))
    refused("masked_paths", linux=security(masked_paths=["/proc/../etc"]))
    refused("readonly_paths", linux=security(readonly_paths=["relative"]))
    refused("args", args=["nul\0byte"])
    refused("ambient", linux=security(capabilities=dict(add_ambient_capabilities=["SYS_ADMIN"])))
    refused("oom_score_adj", linux=dict(resources=dict(oom_score_adj=1001)))
    refused("group", linux=security(run_as_group=dict(value=5)))


def test_verbose_status_is_json(node, sleeper):
    info = node.cri.ContainerStatus(container_id=sleeper.id, verbose=True).info
    assert info and all(json.loads(value) is not None for value in info.values())


def test_unique_prefix_of_an_id(node, sleeper):
    assert node.cri.ContainerStatus(container_id=sleeper.id[:12]).status.id == sleeper.id


def test_memory_limit_kills_with_a_reason(pod, images):
    container = pod.run(
        images.plain, "/bin/sh", "-c", "set -o pipefail; tail -c 200m /dev/zero | tail",
        linux=dict(resources=dict(memory_limit_in_bytes=20 << 20)),
    )  # fmt: skip
    status = container.wait(60)
    assert (status.exit_code, status.reason) == (137, "OOMKilled")
    container.remove()


def test_first_process_killed_for_memory(pod, images):
    container = pod.run(
        images.plain, "/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1",
        linux=dict(resources=dict(memory_limit_in_bytes=20 << 20)),
    )  # fmt: skip
    status = container.wait(60)
    assert (status.exit_code, status.reason) == (137, "OOMKilled")
    container.remove()


def test_fork_bomb_leaves_the_others_alone(node, images):
    with node.pod() as pod:
        neighbour = pod.run(images.plain, "/bin/sleep", "1000")
        bomb = pod.run(images.plain, "/bin/sh", "-c", "echo on; b() { b | b & }; b; sleep 1000",
                       linux=dict(resources=dict(memory_limit_in_bytes=64 << 20)))  # fmt: skip
        bomb.wait_output("on")
        time.sleep(2)
        start = time.monotonic()
        bomb.stop(0)
        assert time.monotonic() - start < 60
        assert neighbour.sh("echo alive") == "alive\n"


def test_containers_of_a_pod_share_what_a_pod_shares(pod, sleeper, images):
    sleeper.sh("echo shared > /dev/shm/file")
    assert pod.output(images.plain, "cat /dev/shm/file; hostname") == "shared\nshared\n"
    assert "65536" in sleeper.sh("df -k /dev/shm | tail -n 1")
    own = "for kind in net uts ipc; do readlink /proc/self/ns/$kind; done"
    assert pod.output(images.plain, own) == sleeper.sh(own)


def test_writable_layers_are_apart(pod, sleeper, images):
    sleeper.sh("echo mine > /etc/new; rm /etc/passwd-copy 2>/dev/null; echo x > /bin/show")
    assert pod.output(images.plain, "test -e /etc/new || echo absent; head -c 2 /bin/show") == "absent\n#!"


def test_many_containers_in_one_pod(pod, images):
    containers = [pod.run(images.plain, "/bin/sh", "-c", f"echo {i}; sleep 1000") for i in range(8)]
    for i, container in enumerate(containers):
        container.wait_output(f"^{i}$")
    for container in containers:
        container.remove()
    until(lambda: not any(c.log.exists() and not c.output() for c in containers), "all logs written", 5)
