"""A state directory on a disk that is full."""

import os
import subprocess

import pytest

from harness import layers, leftovers
from harness.errors import fails


@pytest.fixture
def small(own_node):
    """A daemon whose state directory is a file system of 160 MiB."""
    node = own_node(start=False)
    state = node.base / "state"
    kept = state.with_name("kept")
    if state.exists():
        state.rename(kept)
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m,mode=711", "none", state], check=True)
    if kept.exists():
        subprocess.run(["cp", "-r", f"{kept}/.", state], check=True)
    node.start()
    yield node
    if not node.running():
        node.start()
    node.remove_everything()
    node.stop()
    subprocess.run(["umount", state], check=True)
    node.served = False


def test_pull_into_a_full_disk(small, crafted, images):
    node = small
    node.trust(crafted.host)
    blob, diff = layers.compressed(layers.tar(layers.file("large", os.urandom(80 << 20))))
    reference = crafted.image("too/large", [crafted.blob(blob)], [diff])
    with fails("RESOURCE_EXHAUSTED", match="disk"):
        node.pull(reference, deadline=60)
    assert node.image(reference) is None
    node.pull(images.plain)
    with node.pod() as pod:
        assert pod.output(images.plain, "echo it goes on") == "it goes on\n"


def test_run_pod_sandbox_with_a_full_disk(small):
    node = small
    filler = node.base / "state" / "filler"
    free = os.statvfs(filler.parent).f_bavail * os.statvfs(filler.parent).f_frsize
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - 65536)
    before = leftovers.snapshot(node.base, among=("processes", "mounts"))
    with fails("RESOURCE_EXHAUSTED", match="space"):
        node.run_pod("no-space")
    assert not leftovers.added(before, leftovers.snapshot(node.base, among=("processes", "mounts")))
    filler.unlink()
    with node.pod("space-again") as pod:
        assert pod.ready()
