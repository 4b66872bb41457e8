"""Fixtures: images and registries for the session, one daemon that most tests share, and daemons of
their own for tests that kill or misconfigure theirs."""

import os
import subprocess
from types import SimpleNamespace

import pytest

from harness import proto
from harness.node import Node
from harness.proto import BIN
from harness.registry import CraftedRegistry, Registry


def pytest_collection_modifyitems(items):
    if not os.environ.get("BULKHEAD_COLLECT_ONLY") and not (BIN / "bulkheadd").exists():
        pytest.exit(f"{BIN}/bulkheadd is not there: run `make build` first", returncode=3)


@pytest.fixture(scope="session")
def cri():
    return proto.load_cri()


@pytest.fixture(scope="session")
def operator():
    return proto.load_operator()


@pytest.fixture(scope="session")
def layout(tmp_path_factory):
    """An OCI layout with the test images."""
    directory = tmp_path_factory.mktemp("layout") / "oci"
    subprocess.run([proto.ROOT / "images" / "test" / "build.sh", directory], check=True, capture_output=True)
    return directory


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    registry = Registry(tmp_path_factory.mktemp("registry") / "registry")
    yield registry
    registry.close()


@pytest.fixture(scope="session")
def images(registry, layout):
    """References of the test images in the registry: images.plain, images.app, images.other."""
    return SimpleNamespace(
        plain=registry.push(layout, "plain", "test/plain:1"),
        app=registry.push(layout, "app", "test/app:1"),
        other=registry.push(layout, "other", "test/other:1"),
    )


@pytest.fixture(scope="session")
def tool(tmp_path_factory):
    """The test images' `net`, for this machine."""
    path = tmp_path_factory.mktemp("tool") / "net"
    source = proto.ROOT / "images" / "test" / "net.c"
    subprocess.run(["gcc", "-static", "-O2", "-o", path, source], check=True, capture_output=True)
    return str(path)


@pytest.fixture
def crafted():
    registry = CraftedRegistry()
    yield registry
    registry.close()


@pytest.fixture(scope="session")
def node(cri, operator, registry, images):
    """The daemon that most tests share, with the test images pulled. Nothing of it may be left."""
    node = Node(cri, operator, rlimits=["nofile=2048:4096", "core=0:unlimited"])
    node.trust(registry.host)
    node.start()
    node.keep_libvirt_cache()
    for image in vars(images).values():
        node.pull(image)
    yield node
    left = node.close()
    assert not left, f"left after the daemon: {left}"


@pytest.fixture(scope="session")
def pod(node):
    """A pod that containers of many tests share."""
    return node.run_pod("shared")


@pytest.fixture(scope="session")
def sleeper(pod, images):
    """A container of the shared pod that does nothing, to execute things in."""
    return pod.run(images.plain, "/bin/sleep", "100000", name="sleeper")


@pytest.fixture(scope="module")
def echo(pod, images):
    """A port of the shared pod that gives back what it gets."""
    port = 9000
    container = pod.run(images.plain, "/bin/net", "mirror", str(port))
    container.wait_output("serving")
    yield port
    container.stop(0)
    container.remove()


@pytest.fixture
def own_node(cri, operator, registry):
    """Makes daemons that a test may kill and configure as it likes: `own_node(start=True, **settings)`."""
    made = []

    def make(start=True, **settings):
        made.append(Node(cri, operator, **settings))
        made[-1].trust(registry.host)
        if start:
            made[-1].start()
        return made[-1]

    yield make
    left = [entry for entry in (one.close() for one in made) if entry]
    assert not left, f"left after the daemons: {left}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A failed test shows the end of its daemon's log."""
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        for name in ("node", "own_node"):
            value = item.funcargs.get(name)
            if isinstance(value, Node):
                report.sections.append(("end of the daemon's log", value.tail()))
