"""Host paths, memory, images and block devices in containers, seen from inside; and that nothing of
them stays on the host."""

import os
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
    """A pod that the containers of these tests share; one of them is privileged."""
    pod = node.run_pod("volumes", linux=dict(security_context=dict(privileged=True)))
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


def test_sources_that_a_machine_cannot_be_shown(vpod, images, host):
    import socket

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(host / "socket"))
    os.mkfifo(host / "fifo")
    (host / "dangling").symlink_to("nowhere")
    before = entries(vpod.node, vpod)
    for name, code, match in [
        ("socket", "INVALID_ARGUMENT", "socket"),
        ("fifo", "INVALID_ARGUMENT", "neither"),
        ("dangling", "FAILED_PRECONDITION|INTERNAL", "dangling"),
    ]:
        with fails(*code.split("|"), match=match):
            vpod.create(images.plain, "/bin/true", mounts=[mount(host, "/first"), mount(host / name, "/m")])
    assert entries(vpod.node, vpod) == before
    listener.close()


# Memory


def test_memory_is_the_guests_and_the_pods(vpod, images, host):
    volume = kubelet_volume(host, "empty-dir", "cache")
    tmpfs(volume, "size=8m")
    os.chown(volume, 0, 5000)
    volume.chmod(0o2777)
    one = vpod.run(images.plain, "/bin/sleep", "1000", mounts=[mount(volume, "/cache")])
    facts = one.sh("grep ' /cache ' /proc/mounts; stat -c '%a %g' /cache; df -k /cache | tail -1; echo x > /cache/file")
    assert facts.startswith("tmpfs ") and "2777 5000" in facts and " 8192 " in facts
    assert os.listdir(volume) == []
    two = vpod.run(images.plain, "/bin/sleep", "1000", mounts=[mount(volume, "/c", readonly=True)])
    assert two.sh("cat /c/file; touch /c/y 2>/dev/null || echo refused").split() == ["x", "refused"]
    # A container that is started anew finds what was there.
    one.stop(0)
    one.remove()
    assert vpod.output(images.plain, "cat /cache/file", mounts=[mount(volume, "/cache")]) == "x\n"
    two.stop(0)
    two.remove()


def test_part_of_memory(vpod, images, host):
    """A subPath: the kubelet makes the directory and mounts it elsewhere."""
    volume = kubelet_volume(host, "empty-dir", "parts")
    tmpfs(volume, "size=8m")
    (volume / "a" / "b").mkdir(parents=True)
    part = host / "volume-subpaths" / "0"
    part.mkdir(parents=True)
    subprocess.run(["mount", "--bind", volume / "a" / "b", part], check=True)
    text = vpod.output(
        images.plain, "echo in part > /part/file; cat /all/a/b/file",
        mounts=[mount(part, "/part"), mount(volume, "/all")],
    )
    assert text == "in part\n" and os.listdir(part) == []


def test_memory_has_its_limit(vpod, images, host):
    volume = kubelet_volume(host, "empty-dir", "small")
    tmpfs(volume, "size=1m")
    script = "dd if=/dev/zero of=/m/file bs=1k count=2048 2>&1 | grep -o 'No space left'"
    assert vpod.output(images.plain, script, mounts=[mount(volume, "/m")]) == "No space left\n"


# What the kubelet updates


class AtomicWriter:
    """Writes a volume as the kubelet does."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.count = 0

    def write(self, **files: str):
        self.count += 1
        new = self.directory / f"..2026_01_01_00_00_00.{self.count}"
        new.mkdir()
        for name, text in files.items():
            (new / name).write_text(text)
            (new / name).chmod(0o440)
            os.chown(new / name, 0, 5000)
        data = self.directory / "..data"
        old = data.resolve() if data.is_symlink() else None
        (self.directory / "..data_tmp").symlink_to(new.name)
        (self.directory / "..data_tmp").rename(data)
        for name in files:
            if not (self.directory / name).is_symlink():
                (self.directory / name).symlink_to(f"..data/{name}")
        for entry in self.directory.iterdir():
            if not entry.name.startswith("..") and entry.name not in files:
                entry.unlink()
        if old:
            subprocess.run(["rm", "-r", old], check=True)


WATCHER = r"""
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>
int main(int argc, char **argv) {
  char buffer[4096] __attribute__((aligned(8)));
  int fd = inotify_init1(0);
  if (argc < 2 || inotify_add_watch(fd, argv[1], IN_CREATE | IN_DELETE | IN_MOVED_TO) < 0) return 1;
  puts("watching");
  fflush(stdout);
  for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0; fflush(stdout))
    for (char *p = buffer; p < buffer + n;) {
      struct inotify_event *event = (struct inotify_event *)p;
      printf("%s %s\n", event->mask & IN_MOVED_TO ? "moved" : event->mask & IN_CREATE ? "made" : "gone", event->name);
      p += sizeof *event + event->len;
    }
}
"""


@pytest.fixture(scope="module")
def watcher(tmp_path_factory):
    """A program that prints what inotify tells it of a directory."""
    directory = tmp_path_factory.mktemp("watcher")
    directory.chmod(0o755)
    (directory / "watcher.c").write_text(WATCHER)
    program = directory / "watcher"
    subprocess.run(["cc", "-static", "-O1", "-o", program, directory / "watcher.c"], check=True)
    return program


@pytest.mark.parametrize("plugin", ["configmap", "projected"])
def test_inotify_tells_of_an_update(vpod, images, host, watcher, plugin):
    volume = kubelet_volume(host, plugin)
    writer = AtomicWriter(volume)
    writer.write(key="old\n", dropped="x\n")
    mounts = [mount(volume, "/etc/config", readonly=True), mount(watcher, "/bin/watcher", readonly=True)]
    container = vpod.run(images.plain, "/bin/watcher", "/etc/config", mounts=mounts)
    container.wait_output("watching")
    assert container.sh("cat /etc/config/key; stat -c '%a %g' /etc/config/..data/key").split() == ["old", "440", "5000"]
    writer.write(key="new\n", added="y\n")
    container.wait_output("moved ..data$", 10)
    container.wait_output("made added", 5)
    container.wait_output("gone dropped", 5)
    assert container.sh("cat /etc/config/key /etc/config/added; ls /etc/config").split() == ["new", "y", "added", "key"]
    assert "refused" in container.sh("touch /etc/config/x 2>/dev/null || echo refused")
    # Another container sees the same copy.
    late = vpod.output(images.plain, "cat /c/key; grep ' /c ' /proc/mounts", mounts=[mount(volume, "/c", readonly=True)])
    assert late.startswith("new\ntmpfs ")
    container.stop(0)
    container.remove()


def test_a_volume_too_large_to_copy_is_shown_itself(vpod, images, host):
    volume = kubelet_volume(host, "projected", "large")
    writer = AtomicWriter(volume)
    writer.write(key="x" * (5 << 20))
    mounts = [mount(volume, "/c", readonly=True)]
    container = vpod.run(images.plain, "/bin/sleep", "1000", mounts=mounts)
    assert " virtiofs " in container.sh("grep ' /c ' /proc/mounts") and container.sh("wc -c < /c/key") == f"{5 << 20}\n"
    writer.write(key="new\n")
    until(lambda: container.sh("cat /c/key 2>/dev/null; true") == "new\n", "the update is seen", 10)
    container.stop(0)
    container.remove()


# Image volumes


def test_image_volumes(vpod, images, host):
    def volume(path, sub_path=""):
        return dict(container_path=path, image=dict(image=images.app), image_sub_path=sub_path, readonly=True)

    text = vpod.output(
        images.plain,
        "cat /image/data/kept/file /part/file; touch /image/x 2>/dev/null || echo refused; grep ' /image ' /proc/mounts",
        mounts=[volume("/image"), volume("/part", "data/kept")],
    )
    assert text.split()[:3] == ["kept", "kept", "refused"] and "erofs ro" in text
    with fails("FAILED_PRECONDITION", "NOT_FOUND", match="no/such"):
        vpod.create(images.plain, "/bin/true", mounts=[volume("/image", "no/such")])
    with fails("NOT_FOUND", match="pull it first"):
        missing = dict(container_path="/image", image=dict(image="example.org/missing:1"))
        vpod.create(images.plain, "/bin/true", mounts=[missing])
    with fails("INVALID_ARGUMENT", match=r"\.\."):
        vpod.create(images.plain, "/bin/true", mounts=[volume("/image", "../..")])


# Devices


@pytest.fixture
def loop(host):
    """A loop device over a file."""
    (host / "disk").write_bytes(b"on the disk".ljust(8 << 20, b"\0"))
    device = subprocess.run(
        ["losetup", "--find", "--show", host / "disk"], check=True, capture_output=True, text=True
    ).stdout.strip()
    yield device
    subprocess.run(["losetup", "--detach", device], check=True)


def test_block_devices(node, images, host, loop):
    before = os.stat(loop)
    assert "system.posix_acl_access" not in os.listxattr(loop)
    (host / "by-id").symlink_to(loop)
    with node.pod() as pod:
        text = pod.output(
            images.plain,
            "head -c 11 /dev/xvda; test -b /dev/xvda && echo block; echo -n written | dd of=/dev/xvda bs=512 seek=8 "
            "conv=sync,fsync 2>/dev/null; wc -c < /dev/xvda",
            devices=[dict(container_path="/dev/xvda", host_path=str(host / "by-id"), permissions="rwm")],
        )
        assert text.split() == ["on", "the", "diskblock", str(8 << 20)]
        assert (host / "disk").read_bytes()[4096:4103] == b"written"
        # Nobody else in the pod has it.
        other = "ls /dev/xvda 2>/dev/null; mknod /tmp/d b 8 16; head -c 1 /tmp/d >/dev/null 2>&1 || echo refused"
        assert pod.output(images.plain, other) == "refused\n"
    after = os.stat(loop)
    assert (before.st_mode, before.st_uid, before.st_gid) == (after.st_mode, after.st_uid, after.st_gid)
    # The VM's user was named in its access list, and is no more.
    assert "system.posix_acl_access" not in os.listxattr(loop)


def test_block_device_that_is_only_read(node, images, host, loop):
    read = [dict(container_path="/dev/ro", host_path=loop, permissions="r")]
    with node.pod(linux=dict(security_context=dict(privileged=True))) as pod:
        text = pod.output(
            images.plain, "head -c 11 /dev/ro; echo; echo x > /dev/ro 2>/dev/null || echo refused; cat /sys/block/sd?/ro",
            devices=read,
        )
        assert text.split("\n")[:2] == ["on the disk", "refused"]
        # At the hypervisor: the guest's root can't either.
        privileged = pod.output(
            images.plain,
            "for d in /sys/block/sd?; do test $(cat $d/size) = 16384 && cat $d/ro && echo x > /dev/${d##*/}; done; true",
            linux=dict(security_context=dict(privileged=True)), devices=read,
        )
        assert privileged.split()[0] == "1"
    assert (host / "disk").read_bytes().startswith(b"on the disk")


def test_devices_that_a_machine_cannot_have(vpod, images, host):
    (host / "file").touch()
    for path in ("/dev/null", str(host / "file"), "/dev"):
        with fails("INVALID_ARGUMENT", match="block device"):
            vpod.create(images.plain, "/bin/true", devices=[dict(host_path=path, container_path="/dev/x")])
    with fails("NOT_FOUND", match="missing"):
        vpod.create(images.plain, "/bin/true", devices=[dict(host_path="/dev/missing", container_path="/dev/x")])
    with fails("INVALID_ARGUMENT", match="r, w and m"):
        devices = [dict(host_path="/dev/loop0", container_path="/dev/x", permissions="q")]
        vpod.create(images.plain, "/bin/true", devices=devices)
    with fails("UNIMPLEMENTED", match="vendor.example/gpu=0"):
        vpod.create(images.plain, "/bin/true", CDI_devices=[dict(name="vendor.example/gpu=0")])


# What is left


def test_virtiofsd_is_confined_and_shows_nothing_else(vpod, images, host):
    (host / "file").write_text("x\n")
    (host / "sibling").touch()
    container = vpod.run(images.plain, "/bin/sleep", "1000", mounts=[mount(host / "file", "/f")])
    daemons = [pid for pid, line in leftovers.processes(vpod.node.base).items() if f"shares/{vpod.id}" in line]
    assert len(daemons) == 2
    for pid in daemons:
        assert os.readlink(f"/proc/{pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt")
        assert set(os.listdir(Path("/proc", str(pid), "root"))) == entries(vpod.node, vpod)
    serving = [Path(f"/proc/{pid}/status").read_text() for pid in daemons]
    assert any("Seccomp:\t2" in text for text in serving)
    assert not any(int(text.split("CapEff:\t")[1].split()[0], 16) & 1 << 21 for text in serving if "Seccomp:\t2" in text)
    container.stop(0)
    container.remove()


def test_no_mount_no_virtiofsd_and_nothing_is_left(node, images, host):
    before = leftovers.snapshot(node.base)
    with node.pod() as pod:
        pod.output(images.plain, "true")
        assert not [line for line in leftovers.processes(node.base).values() if f"shares/{pod.id}" in line]
        container = pod.run(images.plain, "/bin/sleep", "1000", mounts=[mount(host, "/m")])
        assert len(entries(node, pod)) == 1
        # A container that can't be made takes back what was made for it, and nothing else.
        (host / "other").mkdir()
        with fails("INVALID_ARGUMENT", "FAILED_PRECONDITION", match="dev/null|neither"):
            pod.create(images.plain, "/bin/true", mounts=[mount(host / "other", "/o"), mount("/dev/null", "/m")])
        with fails("FAILED_PRECONDITION", match="/etc/passwd"):
            pod.create(images.plain, "/bin/true", mounts=[mount(host / "other", "/etc/passwd")])
        assert len(entries(node, pod)) == 1
        container.stop(0)
        container.remove()
        assert entries(node, pod) == set()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", host / "other"], check=True)
        pod.run(images.plain, "/bin/sleep", "1000", mounts=[mount(host / "other", "/m")])
        pod.stop()
        # What the pod had mounted can be unmounted now.
        subprocess.run(["umount", host / "other"], check=True)
    left = leftovers.added(before, leftovers.snapshot(node.base))
    assert not left, left


def test_a_dead_virtiofsd_ends_its_pod(node, images, host):
    with node.pod() as pod:
        container = pod.run(images.plain, "/bin/sleep", "1000", mounts=[mount(host, "/m")])
        for pid, line in leftovers.processes(node.base).items():
            if f"shares/{pod.id}" in line:
                os.kill(pid, 9)
        until(lambda: not pod.ready(), "the pod is not ready", 10)
        assert container.status().exit_code == 137 and "virtiofsd" in container.status().message


def test_volumes_survive_the_daemon(own_node, images, host):
    node = own_node()
    node.pull(images.plain)
    pod = node.run_pod()
    volume = kubelet_volume(host, "configmap")
    writer = AtomicWriter(volume)
    writer.write(key="old\n")
    mounts = [mount(host, "/m", readonly=True), mount(volume, "/c", readonly=True)]
    container = pod.run(images.plain, "/bin/sleep", "100000", mounts=mounts)
    before = entries(node, pod)
    call = node.cri.CreateContainer.future(
        pod_sandbox_id=pod.id, sandbox_config=pod.config,
        config=pod.container_config(images.plain, "/bin/true", mounts=[mount(volume.parent, "/interrupted")]),
    )
    time.sleep(0.02)
    node.restart()
    writer.write(key="new\n")
    until(lambda: container.sh("cat /c/key") == "new\n", "the update is seen", 10)
    if call.exception() is not None and len(node.cri.ListContainers().containers) == 1:
        assert entries(node, pod) == before
    # The same entry, which was read-only, for one that writes.
    writing = pod.run(images.plain, "/bin/sh", "-c", "echo x > /w/written; sleep 1000", mounts=[mount(host, "/w")])
    until(lambda: (host / "written").exists(), "the container writes", 5)
    assert container.sh("cat /m/written; touch /m/y 2>/dev/null || echo refused").split() == ["x", "refused"]
    assert entries(node, pod) == before
    writing.stop(0)
    writing.remove()
    container.remove()
    assert entries(node, pod) == set()
    node.kill()
    (host / "later").mkdir()
    node.start()
    pod.remove()
    assert not leftovers.mounts(node.base)
