"""Starting the daemon: what it refuses, and how it says so."""

import os
import shutil
import socket
import subprocess

import pytest

from harness.config import write_config
from harness.errors import fails
from harness.proto import BIN, GUEST


def run(*arguments, timeout=60):
    return subprocess.run(
        [str(BIN / "bulkheadd"), *arguments], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
        env={**os.environ, "BULKHEAD_ACCEL": "tcg"},
    )  # fmt: skip


def refused(node, match: str):
    """The daemon ends soon, with a message and a code that isn't 0."""
    result = run("--config", str(node.config))
    output = result.stdout + result.stderr
    assert result.returncode not in (0, -6, -11, -5, -4), f"{result.returncode}: {output}"
    assert match.lower() in output.lower(), output
    return output


def test_default_config_is_printed_and_valid(tmp_path):
    result = run("--print-default-config")
    assert result.returncode == 0
    assert result.stdout.count("#") > 20, "every key is explained"
    assert "/var/lib/bulkhead" in result.stdout
    path = tmp_path / "config.toml"
    path.write_text(result.stdout)
    assert run("--config", str(path), "--check-config").returncode == 0


def test_config_that_is_not_there():
    result = run("--config", "/no/such/file.toml")
    assert result.returncode != 0 and "/no/such/file.toml" in result.stdout + result.stderr


@pytest.mark.parametrize(
    "text, number, reason",
    [
        ("[daemon]\n\nno_such_key = 1\n", 3, "no_such_key"),
        ("\n[no_such_table]\nx = 1\n", 2, "no_such_table"),
        ("[daemon]\nthis is not toml\n", 2, ""),
        ('[vm]\nmemory = "a lot"\n', 2, "memory"),
        ('[vm]\nvcpus = 0\n', 2, "vcpus"),
        ('[daemon]\nstate_dir = "relative"\n', 2, "state_dir"),
        ('[daemon]\nsocket = "/' + "x" * 200 + '"\n', 2, "107"),
    ],
    ids=["unknown-key", "unknown-table", "syntax", "size", "range", "relative-path", "long-socket-path"],
)
def test_config_that_is_wrong(tmp_path, text, number, reason):
    path = tmp_path / "config.toml"
    path.write_text(text)
    result = run("--config", str(path))
    assert result.returncode not in (0, -4, -5, -6, -11)
    assert reason in result.stderr and str(path) in result.stderr
    assert f"{number}" in result.stderr.replace(str(path), ""), f"the line is not named: {result.stderr}"


def test_second_daemon_on_one_state_directory(own_node):
    node = own_node()
    other = own_node(start=False)
    write_config(other.config, other.base, state=node.base / "state")
    output = refused(other, "another")
    assert str(node.base / "state") in output
    assert node.cri.Version().runtime_name == "bulkhead"
    write_config(other.config, other.base)


def test_socket_that_is_in_use(own_node):
    node = own_node(start=False)
    node.socket.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(node.socket))
        taken.listen()
        refused(node, str(node.socket))
    node.socket.unlink(missing_ok=True)


def test_socket_that_a_dead_daemon_left(own_node):
    node = own_node(start=False)
    node.socket.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(node.socket))
    node.start()
    assert node.cri.Version().runtime_name == "bulkhead"


def test_template_disks_of_before(own_node):
    node = own_node(start=False)
    scratch = node.base / "state" / "scratch"
    scratch.mkdir(parents=True)
    (scratch / "template-1.ext4").touch()
    (scratch / "template-1.ext4.new").touch()
    node.start()
    with node.pod():
        assert [file.name.split("-")[0] for file in scratch.iterdir() if file.suffix != ".img"] == ["template"]
        assert not (scratch / "template-1.ext4").exists()


def test_no_kernel_file(own_node, tmp_path):
    node = own_node(start=False)
    guest = tmp_path / "guest"
    guest.mkdir()
    write_config(node.config, node.base, guest)
    refused(node, str(guest))
    write_config(node.config, node.base)


def test_accelerator_that_is_none(own_node):
    node = own_node(start=False)
    result = subprocess.run(
        [str(BIN / "bulkheadd"), "--config", str(node.config)], capture_output=True, text=True, timeout=60,
        env={**os.environ, "BULKHEAD_ACCEL": "warp"},
    )  # fmt: skip
    assert result.returncode != 0 and "warp" in result.stdout + result.stderr


@pytest.mark.timeout(120)
def test_a_vm_that_does_not_boot_in_time(own_node, tmp_path):
    """RunPodSandbox ends with an error and leaves nothing."""
    guest = tmp_path / "guest"
    shutil.copytree(GUEST, guest)
    tmp_path.chmod(0o755)
    for parent in guest.parents:
        if str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    # A root filesystem that is none: the guest's kernel finds nothing to start.
    (guest / "boot.erofs").write_bytes(bytes(1 << 20))
    node = own_node(start=False)
    write_config(node.config, node.base, guest, boot_timeout=10)
    node.start()
    with fails("DEADLINE_EXCEEDED", "UNAVAILABLE", "FAILED_PRECONDITION", "INTERNAL"):
        node.run_pod("unbootable")
    assert not node.cri.ListPodSandbox().items
    assert len(node.left().get("processes", {})) == 1, node.left()


def test_help():
    result = run("--help")
    assert result.returncode == 0 and "--config" in result.stdout
