"""Images that are broken or meant to harm: a clear error, nothing known of them afterwards, nothing
left, and nothing on the host touched."""

import gzip
import json
import os

import pytest

from harness import layers, leftovers
from harness.errors import fails

REFUSED = ("INVALID_ARGUMENT", "DATA_LOSS", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED", "OUT_OF_RANGE")


@pytest.fixture
def refused(node, crafted):
    """Pulls an image of one layer, which must fail and leave nothing."""
    node.trust(crafted.host)

    def pull(blob: bytes, diff: str, descriptor: dict | None = None, match: str = ""):
        reference = crafted.image("hostile/image", [descriptor or crafted.blob(blob)], [diff])
        before = leftovers.snapshot(node.base, among=("processes", "files"))
        with fails(*REFUSED, match=match):
            node.pull(reference, deadline=60)
        assert node.image(reference) is None
        left = leftovers.added(before, leftovers.snapshot(node.base, among=("processes", "files")))
        # What was fetched whole and verified may stay for the next try.
        kept = [path for path in left.get("files", []) if "/blobs/" not in path and "/ingest" not in path]
        assert not left.get("processes") and not kept, left

    return pull


def test_truncated_gzip(refused):
    archive = layers.tar(layers.file("file", os.urandom(100_000)))
    blob, diff = layers.compressed(archive)
    refused(blob[: len(blob) // 2], diff)


def test_truncated_tar(refused):
    archive = layers.tar(layers.file("file", os.urandom(100_000)))[:50_000]
    refused(gzip.compress(archive), layers.diff_id(archive))


def test_not_a_tar(refused):
    archive = b"no archive at all, " * 1000
    refused(gzip.compress(archive), layers.diff_id(archive))


def test_digest_that_does_not_match(refused, crafted):
    blob, diff = layers.compressed(layers.tar(layers.file("file")))
    descriptor = crafted.blob(blob, digest="sha256:" + "0" * 64)
    refused(blob, diff, descriptor, match="digest|sha256")


def test_diff_id_that_does_not_match(refused):
    blob, _ = layers.compressed(layers.tar(layers.file("file")))
    refused(blob, "sha256:" + "1" * 64)


def test_size_that_does_not_match(refused, crafted):
    blob, diff = layers.compressed(layers.tar(layers.file("file")))
    refused(blob, diff, {**crafted.blob(blob), "size": len(blob) + 10})


def test_absurd_sizes(refused, crafted):
    blob, diff = layers.compressed(layers.tar(layers.file("file")))
    refused(blob, diff, {**crafted.blob(blob), "size": 1 << 62})
    refused(blob, diff, {**crafted.blob(blob), "size": -5})


@pytest.mark.parametrize(
    "name", ["../../../../tmp/bulkhead-escape", "/tmp/../../tmp/bulkhead-escape", "a/../../bulkhead-escape"]
)
def test_path_traversal(node, crafted, name):
    """Refused, or kept inside of the image; never on the host."""
    node.trust(crafted.host)
    blob, diff = layers.compressed(layers.tar(layers.file(name)))
    reference = crafted.image("hostile/traversal", [crafted.blob(blob)], [diff])
    try:
        node.pull(reference, deadline=60)
        node.cri.RemoveImage(image=dict(image=reference))
    except Exception as error:
        assert error.code().name in REFUSED, error
    assert not os.path.exists("/tmp/bulkhead-escape") and not (node.base / "bulkhead-escape").exists()


def test_hard_link_out_of_the_tree(refused):
    blob, diff = layers.compressed(layers.tar(layers.link("passwd", "../../../../etc/passwd", hard=True)))
    refused(blob, diff)


def test_hard_link_to_nothing(refused):
    blob, diff = layers.compressed(layers.tar(layers.link("passwd", "no/such/file", hard=True)))
    refused(blob, diff)


def test_symlink_as_a_parent(node, crafted, tmp_path):
    """A link to a directory of the host, and a file below it."""
    node.trust(crafted.host)
    outside = tmp_path / "outside"
    outside.mkdir()
    archive = layers.tar(layers.link("dir", str(outside), hard=False), layers.file("dir/file"))
    blob, diff = layers.compressed(archive)
    reference = crafted.image("hostile/symlink", [crafted.blob(blob)], [diff])
    try:
        node.pull(reference, deadline=60)
        node.cri.RemoveImage(image=dict(image=reference))
    except Exception as error:
        assert error.code().name in REFUSED, error
    assert not list(outside.iterdir())


def test_sparse_file_of_a_terabyte(refused):
    archive = layers.gnu_sparse("sparse", 1 << 40)
    refused(gzip.compress(archive), layers.diff_id(archive))


def test_gzip_bomb(own_node, crafted):
    node = own_node(max_layer_bytes="64MiB")
    node.trust(crafted.host)
    blob, diff = layers.bomb(256 << 20)
    assert len(blob) < 1 << 20
    reference = crafted.image("hostile/bomb", [crafted.blob(blob)], [diff])
    with fails(*REFUSED, match="limit|larger|more than|exceeds"):
        node.pull(reference, deadline=60)
    assert node.image(reference) is None
    blob, diff = layers.bomb(32 << 20)
    node.pull(crafted.image("large/image", [crafted.blob(blob)], [diff]), deadline=60)


def test_device_nodes_do_no_harm(node, crafted, pod, images):
    """A disk's device node in an image: refused, or there and of no use."""
    node.trust(crafted.host)
    base, base_diff = layers.compressed(
        layers.tar(layers.directory("bin"), layers.file("bin/busybox", open("/bin/busybox", "rb").read(), 0o755),
                   layers.device("disk", 8, 0))
    )  # fmt: skip
    reference = crafted.image("hostile/device", [crafted.blob(base)], [base_diff])
    try:
        node.pull(reference, deadline=60)
    except Exception as error:
        assert error.code().name in REFUSED, error
        return
    container = pod.run(reference, "/bin/busybox", "head", "-c", "1", "/disk")
    assert container.wait().exit_code != 0
    container.remove()
    node.cri.RemoveImage(image=dict(image=reference))


def test_names_that_are_not_text(node, crafted, pod):
    node.trust(crafted.host)
    archive = bytearray(layers.tar(
        layers.directory("bin"), layers.file("bin/busybox", open("/bin/busybox", "rb").read(), 0o755),
        layers.file("odd/NAME", b"found\n"),
    ))  # fmt: skip
    at = archive.index(b"odd/NAME")
    # The header's checksum is a sum of its bytes: four others with the same sum.
    archive[at + 4 : at + 8] = bytes([0xFF, 0x01, 0x10, 0x11])
    blob, diff = layers.compressed(bytes(archive))
    reference = crafted.image("odd/names", [crafted.blob(blob)], [diff])
    node.pull(reference, deadline=60)
    container = pod.run(reference, "/bin/busybox", "sh", "-c", "/bin/busybox cat /odd/*")
    assert container.wait().exit_code == 0 and container.output() == "found\n"
    container.remove()
    node.cri.RemoveImage(image=dict(image=reference))


@pytest.mark.parametrize(
    "document",
    [b"", b"{", b"[]", b'{"schemaVersion":2,"layers":7}', b"[" * 100_000, b'{"a":' * 50_000, b"\x00" * 100],
    ids=["empty", "half", "array", "wrong-types", "deep-arrays", "deep-objects", "zeros"],
)
def test_manifest_that_is_none(node, crafted, document):
    node.trust(crafted.host)
    crafted.manifests[("bad/manifest", "latest")] = document
    with fails(*REFUSED, "NOT_FOUND", "INTERNAL"):
        node.pull(f"{crafted.host}/bad/manifest:latest", deadline=30)


def test_image_for_another_architecture_only(node, crafted):
    node.trust(crafted.host)
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": "sha256:" + "2" * 64,
                "size": 100,
                "platform": {"architecture": "s390x", "os": "linux"},
            }
        ],
    }
    crafted.manifests[("other/platform", "latest")] = json.dumps(index).encode()
    with fails("NOT_FOUND", "FAILED_PRECONDITION", "INVALID_ARGUMENT", match="amd64|platform"):
        node.pull(f"{crafted.host}/other/platform:latest", deadline=30)
