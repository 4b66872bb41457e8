"""Host paths, memory, images and block devices in containers, seen from inside; and that nothing of
them stays on the host."""

import os
import stat
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from harness import leftovers
from harness.errors import fails
from harness.wait import until


@pytest.fixture(scope="module")
def vpod(node):
    """A pod that the containers of these tests share."""
    pod = node.run_pod("volumes")
    yield pod
    pod.remove()


@pytest.fixture
def host(tmp_path):
    """A directory of the host's; what tests mount there is taken away."""
    tmp_path.chmod(0o755)
    yield tmp_path
    for point in sorted(leftovers.mounts(tmp_path), reverse=True):
        subprocess.run(["umount", "-l", point], check=True)


def mount(host_path, container_path, **fields):
    return dict(host_path=str(host_path), container_path=container_path, **fields)


def kubelet_volume(base: Path, plugin: str, name: str = "vol") -> Path:
    path = base / "pods" / str(uuid.uuid4()) / "volumes" / f"kubernetes.io~{plugin}" / name
    path.mkdir(parents=True)
    return path


def tmpfs(path: Path, *options: str):
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options) or "size=1m", "tmpfs", path], check=True)


def entries(node, pod) -> set[str]:
    """What of the host the pod's virtiofsd shows."""
    share = node.base / "run" / "shares" / pod.id
    return set(os.listdir(share)) if share.exists() else set()


# Directories and files


def test_directory_is_read_and_written(vpod, images, host):
    (host / "from-host").write_text("hello\n")
    os.chown(host / "from-host", 4711, 4712)
    text = vpod.output(
        images.plain,
        "cat /data/from-host; stat -c '%u %g' /data/from-host; echo inside > /data/new; sync /data/new; "
        "chown 1234:2345 /data/new; chmod 640 /data/new; mkdir /data/dir; ln -s new /data/link; mv /data/dir /data/moved;"
        "dd if=/dev/zero of=/data/big bs=64k count=16 conv=fsync 2>/dev/null; grep ' /data ' /proc/mounts",
        mounts=[mount(host, "/data")],
    )
    assert text.splitlines()[:2] == ["hello", "4711 4712"] and "virtiofs" in text
    new = os.stat(host / "new")
    assert ((host / "new").read_text(), new.st_uid, new.st_gid, new.st_mode & 0o777) == ("inside\n", 1234, 2345, 0o640)
    assert os.readlink(host / "link") == "new" and (host / "moved").is_dir() and not (host / "dir").exists()
    assert (host / "big").stat().st_size == 1 << 20


def test_single_file_without_its_siblings(vpod, images, host):
    (host / "file").write_text("one\n")
    (host / "secret").write_text("two\n")
    container = vpod.run(images.plain, "/bin/sleep", "1000", mounts=[mount(host / "file", "/etc/app/file")])
    assert container.sh("cat /etc/app/file; ls /etc/app").split() == ["one", "file"]
    container.sh("echo written > /etc/app/file")
    assert (host / "file").read_text() == "written\n"
    (host / "file").write_text("by the host\n")
    until(lambda: container.sh("cat /etc/app/file") == "by the host\n", "the host's change is seen", 5)
    # Not by any other way into the share either.
    assert container.sh("cat /proc/*/mountinfo | grep -c secret || true").strip() == "0"
    container.stop(0)
    container.remove()


def test_symlinked_and_missing_sources(vpod, images, host):
    (host / "target").mkdir()
    (host / "target" / "file").write_text("behind the link\n")
    (host / "link").symlink_to("target")
    text = vpod.output(
        images.plain,
        "cat /linked/file; touch /made/by-container; stat -c %a /made",
        mounts=[mount(host / "link", "/linked"), mount(host / "not" / "there", "/made")],
    )
    assert text.split("\n")[:2] == ["behind the link", "755"]
    assert (host / "not" / "there" / "by-container").exists()


def test_read_only_on_the_host_too(vpod, images, host, node):
    (host / "file").write_text("kept\n")
    container = vpod.run(
        images.plain, "/bin/sleep", "1000", mounts=[mount(host, "/ro", readonly=True)],
        linux=dict(security_context=dict(privileged=True)),
    )
    assert "refused" in container.sh("echo x > /ro/file 2>/dev/null || echo refused")
    # Root of the guest takes the flag off its own mount; the host's stays.
    container.sh("mount -o remount,rw,bind /ro")
    assert " rw," in container.sh("grep ' /ro ' /proc/mounts")
    assert "refused" in container.sh("(echo x > /ro/file) 2>/dev/null || echo refused; touch /ro/x 2>&1 || true")
    assert (host / "file").read_text() == "kept\n" and os.listdir(host) == ["file"]
    container.stop(0)
    container.remove()


def test_read_only_is_not_recursive_unless_asked_for(vpod, images, host):
    tmpfs(host / "below")
    script = "touch /m/x 2>/dev/null || echo top; touch /m/below/x 2>/dev/null || echo below"
    assert vpod.output(images.plain, script, mounts=[mount(host, "/m", readonly=True)]).split() == ["top"]
    assert (host / "below" / "x").exists()
    recursive = [mount(host, "/m", readonly=True, recursive_read_only=True)]
    assert vpod.output(images.plain, script, mounts=recursive).split() == ["top", "below"]


def test_read_only_for_one_and_writable_for_another(vpod, images, host):
    reader = vpod.run(images.plain, "/bin/sleep", "1000", mounts=[mount(host, "/v", readonly=True)])
    writer = vpod.run(images.plain, "/bin/sleep", "1000", mounts=[mount(host, "/v")])
    writer.sh("echo shared > /v/file")
    assert reader.sh("cat /v/file; touch /v/x 2>/dev/null || echo refused").split() == ["shared", "refused"]
    for container in (reader, writer):
        container.stop(0)
        container.remove()


def test_propagation(vpod, images, host):
    tmpfs(host / "shared", "size=1m")
    subprocess.run(["mount", "--make-shared", host / "shared"], check=True)
    (host / "shared" / "later").mkdir()
    both = [
        mount(host / "shared", "/slave", propagation=vpod.node.e.PROPAGATION_HOST_TO_CONTAINER),
        mount(host / "shared", "/private"),
    ]
    container = vpod.run(images.plain, "/bin/sleep", "1000", mounts=both)
    tmpfs(host / "shared" / "later")
    (host / "shared" / "later" / "file").write_text("came later\n")
    until(lambda: "came later" in container.sh("cat /slave/later/file 2>/dev/null; true"), "the mount is seen", 5)
    assert container.sh("ls /private/later") == ""
    container.stop(0)
    container.remove()
    with fails("FAILED_PRECONDITION", match="make-rshared"):
        tmpfs(host / "private")
        subprocess.run(["mount", "--make-private", host / "private"], check=True)
        slave = mount(host / "private", "/m", propagation=vpod.node.e.PROPAGATION_HOST_TO_CONTAINER)
        vpod.create(images.plain, "/bin/true", mounts=[slave])
    with fails("INVALID_ARGUMENT", match="bidirectional"):
        mounts = [mount(host, "/m", propagation=vpod.node.e.PROPAGATION_BIDIRECTIONAL)]
        vpod.create(images.plain, "/bin/true", mounts=mounts)


def test_the_hosts_other_mounts_keep_their_flags(vpod, images, host):
    tmpfs(host / "noexec", "noexec", "nosuid")
    (host / "noexec" / "run").write_text("#!/bin/sh\necho ran\n")
    (host / "noexec" / "run").chmod(0o755)
    (host / "run").write_text("#!/bin/sh\necho ran\n")
    (host / "run").chmod(0o755)
    text = vpod.output(
        images.plain, "/a/run 2>/dev/null || echo refused; /b/run",
        mounts=[mount(host / "noexec", "/a"), mount(host, "/b")],
    )
    assert text.split() == ["refused", "ran"]


def test_groups_of_the_pod_may_write(vpod, images, host):
    """Kubernetes' fsGroup: the volume belongs to a group that the process has as a supplementary one."""
    os.chown(host, 0, 5000)
    host.chmod(0o2775)
    text = vpod.output(
        images.plain,
        "mkdir /v/dir && touch /v/dir/file && stat -c '%u %g' /v/dir/file; touch /etc/x 2>/dev/null || echo refused",
        mounts=[mount(host, "/v")],
        linux=dict(security_context=dict(run_as_user=dict(value=1000), supplemental_groups=[5000])),
    )
    assert text.split() == ["1000", "5000", "refused"]
    other = dict(security_context=dict(run_as_user=dict(value=1001)))
    refused = vpod.output(images.plain, "touch /v/x 2>/dev/null || echo no", mounts=[mount(host, "/v")], linux=other)
    assert refused == "no\n"


def test_containers_share_sockets_and_pipes(vpod, images, host):
    """As two containers do with a unix socket in an emptyDir: syslogd listens in one, logger writes in the other."""
    volume = kubelet_volume(host, "empty-dir")
    link = "ln -s /v/log /dev/log"
    server = vpod.run(
        images.plain, "/bin/sh", "-c", f"{link}; exec syslogd -n -O /v/messages", mounts=[mount(volume, "/v")]
    )
    client = vpod.run(images.plain, "/bin/sleep", "1000", mounts=[mount(volume, "/v")])
    until(lambda: "log" in client.sh("ls /v").split(), "the socket is there", 5)
    client.sh(f"{link}; logger -t client through the socket; mkfifo /v/fifo")
    until(lambda: "through the socket" in client.sh("cat /v/messages 2>/dev/null; true"), "the message arrives", 5)
    server.sh("cat /v/fifo > /v/out &")
    client.sh("echo through > /v/fifo")
    until(lambda: client.sh("cat /v/out 2>/dev/null; true") == "through\n", "the pipe connects the containers", 5)
    for container in (server, client):
        container.stop(0)
        container.remove()


# Places


def test_the_files_that_a_kubelet_mounts(vpod, images, host):
    (host / "etc-hosts").write_text("127.0.0.1 localhost\n192.0.2.9 from.kubelet\n")
    (host / "termination").touch()
    text = vpod.output(
        images.plain, "cat /etc/hosts; hostname; cat /etc/hostname; echo -n 'last words' > /dev/termination-log",
        mounts=[mount(host / "etc-hosts", "/etc/hosts"), mount(host / "termination", "/dev/termination-log")],
    )
    assert "from.kubelet" in text and text.split()[-2:] == ["volumes", "volumes"]
    assert (host / "termination").read_text() == "last words"


def test_mounts_lie_on_each_other_in_any_order(vpod, images, host):
    for name in ("outer", "inner", "first", "second"):
        (host / name).mkdir()
        (host / name / name).touch()
    (host / "outer" / "in").mkdir()
    text = vpod.output(
        images.plain, "ls /o /o/in /twice",
        mounts=[
            mount(host / "inner", "/o/in"), mount(host / "outer", "/o"),
            mount(host / "first", "/twice"), mount(host / "second", "/twice/"),
        ],
    )
    assert text.split() == ["/o:", "in", "outer", "/o/in:", "inner", "/twice:", "second"]


def test_an_images_links_lead_nowhere_else(vpod, images, host, crafted):
    from harness import layers

    archive = layers.tar(
        layers.link("escape", "../../../../../../etc", hard=False), layers.link("proc-link", "/proc/self", hard=False)
    )
    data, diff_id = layers.compressed(archive)
    plain_layers = crafted.blob(data)
    vpod.node.trust(crafted.host)
    image = crafted.image("links", [plain_layers], [diff_id], {"Cmd": ["/nothing"]})
    vpod.node.pull(image)
    (host / "passwd").write_text("mine\n")
    before = Path("/etc/passwd").read_text()
    container = vpod.create(image, "/nothing", mounts=[mount(host / "passwd", "/escape/passwd")])
    assert Path("/etc/passwd").read_text() == before
    container.remove()
    with fails("FAILED_PRECONDITION", match="/proc"):
        vpod.create(image, "/nothing", mounts=[mount(host, "/proc-link/attr")])


def test_status_says_what_is_mounted(vpod, images, host, node):
    mounts = [mount(host, "/m", readonly=True, recursive_read_only=True)]
    container = vpod.create(images.plain, "/bin/true", mounts=mounts)
    [status] = container.status().mounts
    assert (status.container_path, status.host_path, status.readonly, status.recursive_read_only) == (
        "/m", str(host), True, True,
    )
    container.remove()
    assert all(h.features.recursive_read_only_mounts for h in node.cri.Status().runtime_handlers)


@pytest.mark.parametrize(
    "fields, match",
    [
        (dict(container_path="/a/../b", host_path="/tmp"), r"\.\."),
        (dict(container_path="relative", host_path="/tmp"), "absolute"),
        (dict(container_path="/nul\0", host_path="/tmp"), "NUL"),
        (dict(container_path="/", host_path="/tmp"), "container_path"),
        (dict(container_path="", host_path="/tmp"), "container_path"),
        (dict(container_path="/proc", host_path="/tmp"), "/proc"),
        (dict(container_path="//proc/./sys/kernel", host_path="/tmp"), "/proc"),
        (dict(container_path="/m", host_path="/tmp/../etc"), r"\.\."),
        (dict(container_path="/m", host_path="tmp"), "absolute"),
        (dict(container_path="/m"), "host_path"),
        (dict(container_path="/m", host_path="/dev/null"), "neither a directory"),
        (dict(container_path="/m", host_path="/tmp", recursive_read_only=True), "readonly"),
        (dict(container_path="/m", host_path="/tmp", propagation=77), "unknown"),
        (dict(container_path="/m", host_path="/tmp", mount_options=["loop"]), "option"),
    ],
)
def test_bad_mounts(vpod, images, fields, match):
    with fails("INVALID_ARGUMENT", match=match):
        vpod.create(images.plain, "/bin/true", mounts=[fields])
