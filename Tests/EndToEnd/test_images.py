"""Pulling, listing and removing images."""

import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import layers
from harness.errors import fails


def skopeo_config_digest(layout, tag):
    """The config's digest: what an image's id must be."""
    manifest = subprocess.run(
        ["skopeo", "inspect", "--raw", f"oci:{layout}:{tag}"], check=True, capture_output=True, text=True
    ).stdout
    return re.search(r'"config":\s*\{[^}]*"digest":\s*"(sha256:[0-9a-f]+)"', manifest).group(1)


def test_status_of_a_pulled_image(node, registry, layout, images):
    image = node.image(images.app)
    assert image.id.removeprefix("sha256:") == skopeo_config_digest(layout, "app").removeprefix("sha256:")
    assert images.app in image.repo_tags
    repository = images.app.rsplit(":", 1)[0]
    assert f"{repository}@{registry.digest(images.app)}" in image.repo_digests
    assert image.size > 100_000
    assert image.username == "app" and not image.HasField("uid")


def test_found_by_id_digest_and_prefix_of_id(node, registry, images):
    image = node.image(images.app)
    by_digest = f"{images.app.rsplit(':', 1)[0]}@{registry.digest(images.app)}"
    for name in (image.id, image.id.removeprefix("sha256:"), by_digest):
        assert node.image(name).id == image.id


def test_an_image_that_is_not_there(node):
    assert node.image("127.0.0.1:1/no/such:image") is None
    assert node.image("Not A Reference!!") is None
    with fails("INVALID_ARGUMENT"):
        node.cri.ImageStatus()


def test_pull_by_digest(node, registry, layout):
    tagged = registry.push(layout, "other", "digest/only:1")
    reference = f"{registry.host}/digest/only@{registry.digest(tagged)}"
    answer = node.pull(reference)
    assert node.image(answer).id == node.image(reference).id
    assert reference in node.image(reference).repo_digests


def test_pull_again_is_quick_and_answers_the_same(node, images):
    first = node.pull(images.plain)
    start = time.monotonic()
    assert node.pull(images.plain) == first
    assert time.monotonic() - start < 2


def test_removing_one_tag_of_two_leaves_the_other(node, registry, layout):
    one = registry.push(layout, "other", "tags/two:one")
    two = registry.push(layout, "other", "tags/two:two")
    node.pull(one)
    node.pull(two)
    assert {one, two} <= set(node.image(one).repo_tags)
    node.cri.RemoveImage(image=dict(image=one))
    assert node.image(one) is None
    assert one not in node.image(two).repo_tags and two in node.image(two).repo_tags
    node.cri.RemoveImage(image=dict(image=two))
    node.cri.RemoveImage(image=dict(image=two))


def test_filter(node, images):
    found = node.cri.ListImages(filter=dict(image=dict(image=images.app))).images
    assert [image.id for image in found] == [node.image(images.app).id]
    assert not node.cri.ListImages(filter=dict(image=dict(image="127.0.0.1:1/no:thing"))).images


def test_fs_info_is_true(node, registry, crafted):
    def used():
        answer = node.cri.ImageFsInfo().image_filesystems[0]
        assert answer.timestamp > 0 and answer.fs_id.mountpoint.startswith("/")
        return answer.used_bytes.value, answer.inodes_used.value

    def on_disk(directory):
        out = subprocess.run(["du", "-s", "--block-size=1", directory], capture_output=True, text=True, check=True)
        return int(out.stdout.split()[0])

    before, _ = used()
    node.trust(crafted.host)
    blob, diff = layers.compressed(layers.tar(layers.file("random", open("/dev/urandom", "rb").read(4 << 20))))
    reference = crafted.image("fs/info", [crafted.blob(blob)], [diff])
    node.pull(reference)
    after, inodes = used()
    assert 4 << 20 <= after - before < 10 << 20 and inodes > 0
    mountpoint = node.cri.ImageFsInfo().image_filesystems[0].fs_id.mountpoint
    assert abs(on_disk(mountpoint) - after) < 2 << 20
    node.cri.RemoveImage(image=dict(image=reference))
    assert used()[0] <= before + (1 << 20)


def test_missing_tag_and_repository(node, registry):
    for name in ("test/plain:no-such-tag", "no/such/repository:1"):
        with fails("NOT_FOUND", match=name.split(":")[0]):
            node.pull(f"{registry.host}/{name}")


def test_registry_that_is_not_there(node):
    node.trust("127.0.0.1:1")
    start = time.monotonic()
    with fails("UNAVAILABLE", "NOT_FOUND", match="127.0.0.1:1"):
        node.pull("127.0.0.1:1/some/image:1")
    assert time.monotonic() - start < 60


def test_references_that_are_wrong(node):
    for name in ("", "docker.io/UPPER/case:1", "a b", "x" * 10000, "host/name@sha256:abc"):
        with fails("INVALID_ARGUMENT"):
            node.pull(name)


def test_password(node, crafted):
    node.trust(crafted.host)
    crafted.credentials = ("someone", "secret-word")
    blob, diff = layers.compressed(layers.tar(layers.file("file")))
    reference = crafted.image("private/image", [crafted.blob(blob)], [diff])
    for auth in ({}, dict(auth=dict(username="someone", password="wrong-word"))):
        with fails("UNAUTHENTICATED", "PERMISSION_DENIED"):
            node.pull(reference, **auth)
    node.pull(reference, auth=dict(username="someone", password="secret-word"))
    assert node.image(reference)
    log = node.tail(1 << 20)
    assert "secret-word" not in log and "wrong-word" not in log
    node.cri.RemoveImage(image=dict(image=reference))


def test_two_pulls_of_one_image_join(node, crafted):
    node.trust(crafted.host)
    blob, diff = layers.compressed(layers.tar(layers.file("file", open("/dev/urandom", "rb").read(1 << 20))))
    reference = crafted.image("joined/image", [crafted.blob(blob)], [diff])
    crafted.rate = 1 << 20
    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(lambda _: node.pull(reference), range(2)))) == 1
    layer = crafted.image and [digest for digest, _ in crafted.blob_requests]
    assert len(layer) == len(set(layer)), "a blob was fetched twice"
    node.cri.RemoveImage(image=dict(image=reference))


def test_layers_are_applied(pod, images):
    container = pod.run(images.app, "/bin/sleep", "1000")
    tree = container.sh("cd /data; find . | sort; cat kept/file symlink replaced/new; stat -c '%a %h' setuid kept/file")
    assert tree.split() == [
        ".", "./big", "./kept", "./kept/file", "./kept/link", "./replaced", "./replaced/new", "./setuid", "./symlink",
        "kept", "kept", "new", "4755", "1", "644", "2",
    ]  # fmt: skip
    assert container.sh("wc -c < /data/big; tr -d x < /data/big | wc -c").split() == ["307200", "0"]
    container.remove()


def test_an_image_in_use_is_not_removed(node, registry, layout, pod):
    reference = registry.push(layout, "plain", "in/use:1")
    other = registry.push(layout, "other", "in/use:other")
    node.pull(other)
    container = pod.run(other, "/bin/sleep", "1000")
    try:
        node.cri.RemoveImage(image=dict(image=other))
    except Exception as error:
        assert error.code().name == "FAILED_PRECONDITION"
    assert container.sh("cat /etc/other").strip() == "other", f"the container's files are still there ({reference})"
    container.remove()


@pytest.mark.parametrize("kind", ["oci", "docker-archive"])
def test_import(node, layout, tmp_path, kind):
    if kind == "oci":
        path = layout
        name = "example.org/imported/layout:1"
    else:
        path = tmp_path / "archive.tar"
        name = "example.org/imported/archive:1"
        subprocess.run(["skopeo", "copy", "--quiet", f"oci:{layout}:other", f"docker-archive:{path}:{name}"], check=True)
    answer = node.operator.ImportImage(path=str(path), name=name)
    assert answer.images
    for image in answer.images:
        assert node.image(image.id).size > 0
    if kind == "docker-archive":
        assert node.image(name)
        node.cri.RemoveImage(image=dict(image=name))


def test_import_of_what_is_not_there(node, tmp_path):
    with fails("NOT_FOUND", "INVALID_ARGUMENT"):
        node.operator.ImportImage(path=str(tmp_path / "nothing"))
    with fails("INVALID_ARGUMENT"):
        node.operator.ImportImage(path="relative")
    (tmp_path / "junk").write_bytes(b"junk" * 1000)
    with fails("INVALID_ARGUMENT", "DATA_LOSS", "FAILED_PRECONDITION"):
        node.operator.ImportImage(path=str(tmp_path / "junk"))
