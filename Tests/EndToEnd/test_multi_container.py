"""Pods of several containers: what they share, and that none takes the others with it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.errors import fails


@pytest.fixture(scope="module")
def crowd(node):
    """A pod for this module's containers alone."""
    pod = node.run_pod("crowd")
    yield pod
    pod.remove()


def test_init_containers_sidecar_and_main(crowd, images):
    """In the kubelet's order; each sees what those before it left in the shared memory."""
    for step in ("first", "second"):
        init = crowd.run(images.plain, "/bin/sh", "-c", f"cat /dev/shm/steps; echo {step} >> /dev/shm/steps", name=step)
        status = init.wait()
        assert (status.exit_code == 0) and status.reason == "Completed"
        assert init.output().split() == ([] if step == "first" else ["first"])
    sidecar = crowd.run(images.plain, "/bin/sh", "-c", "mkfifo /dev/shm/pipe; echo up; cat /dev/shm/pipe", name="sidecar")
    sidecar.wait_output("up")
    main = crowd.run(images.plain, "/bin/sh", "-c", "cat /dev/shm/steps; echo hello > /dev/shm/pipe", name="main")
    assert main.wait().exit_code == 0 and main.output().split() == ["first", "second"]
    assert sidecar.wait().exit_code == 0 and "hello" in sidecar.output()
    assert crowd.ready(), "a pod lives on when all of its containers have ended"


def test_shared_namespaces_and_memory(crowd, images):
    one = crowd.run(images.plain, "/bin/sh", "-c", "echo on; exec sleep 7001")
    one.wait_output("on")
    script = "ps -o args | grep -c '[s]leep 7001'; df -k /dev/shm | tail -n 1; hostname; "
    script += "dd if=/dev/zero of=/dev/shm/full bs=1M count=65 2>&1 | tail -n 1; wc -c < /dev/shm/full; rm /dev/shm/full; "
    script += "kill $(pidof sleep)"
    lines = crowd.output(images.plain, script).splitlines()
    assert lines[0] == "1" and lines[1].split()[1] == "65536" and lines[2] == "crowd"
    assert (63 << 20) < int(lines[-1]) <= (64 << 20), "64 MiB and not a byte more"
    assert one.wait().exit_code == 128 + 15, "signals reach the other containers"


def test_restart_of_one_while_the_others_run(crowd, images):
    neighbour = crowd.run(images.plain, "/bin/sleep", "1000")
    first = neighbour.sh("cut -d' ' -f22 /proc/self/stat > /tmp/mark; cat /tmp/mark")
    for attempt in range(3):
        container = crowd.run(
            images.plain, "/bin/sh", "-c", "test -e /tmp/mine && echo dirty; touch /tmp/mine; echo up; exec sleep 1000",
            name="restarted", attempt=attempt,
        )  # fmt: skip
        assert "dirty" not in container.wait_output("up"), "each attempt has a writable layer of its own"
        assert container.status().metadata.attempt == attempt
        with fails("ALREADY_EXISTS", match="restarted"):
            crowd.create(images.plain, "/bin/true", name="restarted", attempt=attempt)
        container.stop(0)
    assert neighbour.running() and neighbour.sh("cat /tmp/mark") == first


def test_the_same_container_twice_at_once(crowd, images, node):
    """Of two that race, one is made."""
    config = crowd.container_config(images.plain, "/bin/true", name="raced")

    def create(_):
        try:
            return node.cri.CreateContainer(pod_sandbox_id=crowd.id, config=config, sandbox_config=crowd.config).container_id
        except Exception as error:
            assert error.code().name == "ALREADY_EXISTS", error
            return None

    with ThreadPoolExecutor(4) as threads:
        made = [container for container in threads.map(create, range(4)) if container]
    assert len(made) == 1
    node.cri.RemoveContainer(container_id=made[0])
    node.cri.RemoveContainer(container_id=create(None))


def test_twenty_containers_ten_of_them_crash_looping(crowd, images):
    steady = [crowd.run(images.plain, "/bin/sh", "-c", f"echo {i}; exec sleep 1000", name=f"steady-{i}") for i in range(10)]

    def crash(i):
        for attempt in range(3):
            container = crowd.run(
                images.plain, "/bin/sh", "-c", f"echo crash {attempt}; exit {i + 1}", name=f"crash-{i}", attempt=attempt
            )
            status = container.wait(60)
            assert (status.exit_code, status.reason) == (i + 1, "Error")
            assert container.output() == f"crash {attempt}\n"
            if attempt < 2:
                container.remove()

    with ThreadPoolExecutor(10) as threads:
        list(threads.map(crash, range(10)))
    assert crowd.ready()
    for i, container in enumerate(steady):
        assert container.running() and container.output() == f"{i}\n"
    assert steady[0].sh("echo alive") == "alive\n"
    for container in steady:
        container.stop(0)


def test_what_fails_leaves_the_others_alone(crowd, images):
    """Every way for a container not to start, in one pod with one that runs."""
    steady = crowd.run(images.plain, "/bin/sleep", "1000")

    def start_error(match, *command, **fields):
        container = crowd.create(images.plain, *command, **fields)
        with fails("FAILED_PRECONDITION", match=match):
            container.start()
        status = container.status()
        assert (status.exit_code, status.reason) == (128, "StartError") and status.message
        assert status.finished_at > 0 and container.log.exists()
        container.remove()

    def refused(match, *command, **fields):
        with fails("FAILED_PRECONDITION", "INVALID_ARGUMENT", match=match):
            crowd.create(images.plain, *(command or ["/bin/true"]), **fields)

    start_error("not found", "no-such-program")
    start_error("/no/such", "/no/such")
    start_error("Permission denied", "/etc/passwd")
    start_error("Permission denied|directory", "/tmp")
    refused("nobody-here", linux=dict(security_context=dict(run_as_username="nobody-here")))
    refused("working directory", working_dir="/etc/passwd")
    refused("empty|nothing to run", "")
    refused("capability", linux=dict(security_context=dict(capabilities=dict(drop_capabilities=["NOPE"]))))
    refused("stop_signal", stop_signal=99)
    for command, code in ((["kill", "-SEGV", "$$"], 139), (["kill", "-KILL", "$$"], 137), (["exit", "42"], 42)):
        container = crowd.run(images.plain, "/bin/sh", "-c", " ".join(command))
        status = container.wait()
        assert (status.exit_code, status.reason) == (code, "Error")
        container.remove()
    assert crowd.ready() and steady.sh("echo alive") == "alive\n"
