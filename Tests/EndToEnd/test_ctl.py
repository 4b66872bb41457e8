"""bulkheadctl, as an operator uses it at 3 a.m."""

import json
import re
import subprocess

import pytest

from harness.proto import BIN


def test_version(node):
    text = node.ctl("version", check=True).stdout
    assert "bulkhead" in text.lower() and "tcg" in text
    assert json.loads(node.ctl("version", "-o", "json", check=True).stdout)


def test_pods(node, pod):
    text = node.ctl("pods", check=True).stdout
    assert "shared" in text and pod.id[:12] in text
    entries = json.loads(node.ctl("pods", "-o", "json", check=True).stdout)
    assert pod.id in json.dumps(entries)


def test_containers(node, sleeper, images):
    text = node.ctl("containers", check=True).stdout
    assert "sleeper" in text and sleeper.id[:12] in text
    assert sleeper.id in json.dumps(json.loads(node.ctl("containers", "-o", "json", check=True).stdout))


def test_images(node, images):
    text = node.ctl("images", check=True).stdout
    assert images.app.rsplit(":", 1)[0] in text
    assert images.app in json.dumps(json.loads(node.ctl("images", "-o", "json", check=True).stdout))


def test_inspect(node, pod, sleeper):
    text = node.ctl("inspect", pod.id[:12], check=True).stdout
    for word in ("shared", "tests", "sleeper", "6.1", str(node.inspect(pod.id).vm.qemu_pid)):
        assert word in text, f"no {word} in:\n{text}"
    document = json.loads(node.ctl("inspect", pod.id, "-o", "json", check=True).stdout)
    assert pod.id in json.dumps(document)


def test_inspect_says_what_the_vm_is(node, pod, sleeper):
    answer = node.inspect(pod.id)
    assert (answer.name, answer.namespace, answer.state) == ("shared", "tests", "ready")
    assert answer.vm.accelerator == "tcg" and answer.vm.vcpus >= 1
    assert 0 < answer.vm.qemu_resident_bytes and answer.vm.memory_bytes >= 64 << 20
    assert any(disk.readonly for disk in answer.vm.disks)
    assert answer.guest.kernel_release.startswith("6.1") and answer.guest.agent_version
    assert 0 < answer.guest.memory_available_bytes < answer.guest.memory_total_bytes <= answer.vm.memory_bytes
    assert 0 < answer.guest.agent_resident_bytes < 64 << 20
    assert len(answer.boot_phases) >= 3
    assert any(container.id == sleeper.id for container in answer.containers)


def test_console(node, images):
    privileged = dict(security_context=dict(privileged=True))
    with node.pod("talks", linux=privileged) as pod:
        pod.output(images.plain, r"printf 'before \033[31m after\n' > /dev/ttyS0", linux=privileged)
        text = node.ctl("console", pod.id[:12], check=True).stdout
    assert "before" in text and "after" in text
    assert "\x1b" not in text, "control bytes of the guest don't reach the terminal"


def test_logs(node, pod, images):
    container = pod.run(images.plain, "/bin/sh", "-c", "echo to stdout; echo to stderr >&2")
    container.wait()
    result = node.ctl("logs", container.id[:12], check=True)
    assert result.stdout == "to stdout\n" and result.stderr == "to stderr\n"
    container.remove()


def test_exec(node, sleeper):
    result = node.ctl("exec", sleeper.id[:12], "--", "/bin/sh", "-c", "echo out; echo err >&2; exit 42")
    assert (result.returncode, result.stdout, result.stderr) == (42, "out\n", "err\n")


def test_run(node, images):
    before = {item.id for item in node.cri.ListPodSandbox().items}
    result = node.ctl("run", images.plain, "--", "/bin/sh", "-c", "echo ran; echo oops >&2; exit 17")
    assert (result.returncode, result.stdout) == (17, "ran\n")
    assert "oops" in result.stderr
    assert {item.id for item in node.cri.ListPodSandbox().items} == before


def test_run_of_an_image_that_is_not_there(node, registry):
    result = node.ctl("run", f"{registry.host}/no/such/image:1", "--", "/bin/true")
    assert result.returncode not in (0, 1) or "no/such/image" in result.stderr
    assert result.returncode != 0


def test_image_pull_and_rm(node, registry, layout):
    reference = registry.push(layout, "other", "ctl/image:1")
    result = node.ctl("image", "pull", reference, check=True)
    assert node.image(reference).id.removeprefix("sha256:")[:12] in result.stdout + result.stderr
    node.ctl("image", "rm", reference, check=True)
    assert node.image(reference) is None


def test_image_import(node, layout, tmp_path):
    archive = tmp_path / "archive.tar"
    subprocess.run(
        ["skopeo", "copy", "--quiet", f"oci:{layout}:plain", f"docker-archive:{archive}:example.org/ctl/import:1"],
        check=True,
    )
    node.ctl("image", "import", str(archive), check=True)
    assert node.image("example.org/ctl/import:1")
    node.ctl("image", "rm", "example.org/ctl/import:1", check=True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect", "0123456789ab"),
        ("logs", "0123456789ab"),
        ("console", "0123456789ab"),
        ("exec", "0123456789ab", "--", "/bin/true"),
        ("image", "pull", "Not A Reference"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_failures_have_a_message_and_a_code(node, arguments):
    result = node.ctl(*arguments)
    assert result.returncode != 0
    assert result.stderr.strip() and "Error Domain" not in result.stderr


def test_daemon_that_is_not_there(tmp_path):
    result = subprocess.run(
        [str(BIN / "bulkheadctl"), "--socket", str(tmp_path / "no.sock"), "pods"], capture_output=True, text=True,
        timeout=30,
    )  # fmt: skip
    assert result.returncode != 0 and "no.sock" in result.stderr


def test_help_and_completions():
    text = subprocess.run([str(BIN / "bulkheadctl"), "--help"], capture_output=True, text=True, check=True).stdout
    for word in ("pods", "containers", "images", "inspect", "console", "logs", "exec", "run", "image", "version"):
        assert re.search(rf"^\s+{word}\b", text, re.MULTILINE), word
    script = subprocess.run(
        [str(BIN / "bulkheadctl"), "--generate-completion-script", "bash"], capture_output=True, text=True, check=True
    ).stdout
    assert "inspect" in script
