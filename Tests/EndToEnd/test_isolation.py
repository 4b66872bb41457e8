"""What a container sees of its confinement, from inside."""

import os
import re

import pytest

from harness import kubelet
from harness.errors import fails

DEFAULT_CAPABILITIES = "00000000a80425fb"


def security(**fields):
    return dict(security_context=fields)


def status_of_self(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+):\s*(.*)$", text, re.MULTILINE))


def test_the_kernel_is_the_guests(sleeper):
    assert sleeper.sh("uname -r").strip() != os.uname().release
    assert sleeper.sh("uname -r").startswith("6.1")


def test_default_capabilities(sleeper):
    fields = status_of_self(sleeper.sh("cat /proc/self/status"))
    assert fields["CapEff"] == fields["CapPrm"] == fields["CapBnd"] == DEFAULT_CAPABILITIES
    assert int(fields["CapInh"], 16) == int(fields["CapAmb"], 16) == 0


def test_a_user_that_is_not_root_has_no_capabilities(pod, images):
    fields = status_of_self(
        pod.output(images.plain, "cat /proc/self/status", linux=security(run_as_user=dict(value=1000)))
    )
    assert int(fields["CapEff"], 16) == int(fields["CapPrm"], 16) == 0


@pytest.mark.parametrize(
    "capabilities, effective",
    [
        (dict(drop_capabilities=["ALL"]), 0),
        (dict(drop_capabilities=["ALL"], add_capabilities=["NET_ADMIN"]), 1 << 12),
        (dict(add_capabilities=["ALL"]), (1 << 41) - 1),
        (dict(drop_capabilities=["CHOWN"]), int(DEFAULT_CAPABILITIES, 16) & ~1),
    ],
    ids=["drop-all", "only-net-admin", "add-all", "drop-chown"],
)
def test_capabilities(pod, images, capabilities, effective):
    text = pod.output(images.plain, "cat /proc/self/status", linux=security(capabilities=capabilities))
    assert int(status_of_self(text)["CapEff"], 16) == effective


def test_seccomp_profiles(pod, node, images):
    def mode(**fields):
        return status_of_self(pod.output(images.plain, "cat /proc/self/status", linux=security(**fields)))["Seccomp"]

    assert mode() == "0"
    assert mode(seccomp=dict(profile_type=node.e.Unconfined)) == "0"
    assert mode(seccomp=dict(profile_type=node.e.RuntimeDefault)) == "2"


def test_default_seccomp_refuses_what_containers_must_not_do(pod, node, images):
    context = security(
        seccomp=dict(profile_type=node.e.RuntimeDefault), capabilities=dict(add_capabilities=["SYS_TIME"])
    )
    assert "refused" in pod.output(images.plain, "unshare -U true 2>/dev/null || echo refused", linux=context)


def test_no_new_privileges(pod, images):
    def value(**fields):
        text = pod.output(images.plain, "cat /proc/self/status", linux=security(**fields))
        return status_of_self(text)["NoNewPrivs"]

    assert value() == "0"
    assert value(no_new_privs=True) == "1"


def test_a_process_sees_only_its_own(sleeper, pod, images, node):
    own = security(namespace_options=dict(pid=node.e.CONTAINER))
    processes = pod.output(images.plain, "echo $$; ls -d /proc/[0-9]* | wc -l", linux=own).split()
    assert processes[0] == "1" and int(processes[1]) <= 4
    # The pod's PID namespace is the default: the other container's process is seen.
    assert "sleep 100000" in pod.output(images.plain, "ps -o args")
    # NODE is the guest's: its first process is the agent.
    guest = pod.output(
        images.plain, "cat /proc/1/comm", linux=security(namespace_options=dict(pid=node.e.NODE))
    )
    assert guest.strip() not in ("sh", "sleep")


def test_target_pid_namespace(sleeper, pod, images, node):
    namespace = "readlink /proc/self/ns/pid"
    target = security(namespace_options=dict(pid=node.e.TARGET, target_id=sleeper.id))
    assert pod.output(images.plain, namespace, linux=target) == sleeper.sh(namespace)


def test_proc_and_sys_are_masked(pod, images):
    paths = security(masked_paths=kubelet.MASKED_PATHS, readonly_paths=kubelet.READONLY_PATHS)
    script = "cat /proc/kcore | head -c 1 | wc -c; cat /proc/keys | wc -c; grep ' /sys ' /proc/self/mounts; "
    script += "for f in /proc/sys/kernel/hostname /sys/kernel/mm/ksm/run /proc/sysrq-trigger; do "
    script += "(echo x > $f) 2>/dev/null && echo written $f; done; true"
    lines = pod.output(images.plain, script, linux=paths).splitlines()
    assert lines[:2] == ["0", "0"]
    assert " ro," in lines[2]
    assert lines[3:] == []


def test_an_empty_list_masks_nothing_below_proc(pod, images):
    """What a kubelet sends for procMount: Unmasked. /sys stays read-only, and the firmware hidden."""
    script = "grep -c ' /proc/' /proc/self/mounts; "
    script += "echo unmasked > /proc/sys/kernel/domainname && cat /proc/sys/kernel/domainname; "
    script += "ls /sys/firmware; (echo 1 > /sys/kernel/mm/transparent_hugepage/enabled) 2>/dev/null || echo refused"
    assert pod.output(images.plain, script).split() == ["0", "unmasked", "refused"]


def test_masked_and_readonly_paths_of_the_cri(pod, images):
    context = security(masked_paths=["/etc/passwd"], readonly_paths=["/home"])
    script = "wc -c < /etc/passwd; touch /home/x 2>/dev/null || echo refused"
    assert pod.output(images.plain, script, linux=context).split() == ["0", "refused"]


def test_devices(sleeper):
    devices = set(sleeper.sh("ls /dev").split())
    assert {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "fd", "stdin"} <= devices
    assert not {d for d in devices if d.startswith(("sd", "vd", "mem", "kmsg", "vsock", "vport"))}
    assert "refused" in sleeper.sh("mknod /tmp/disk b 8 0 && head -c 1 /tmp/disk >/dev/null 2>&1 || echo refused")


def test_read_only_root(pod, images):
    script = "touch /file 2>/dev/null || echo refused; touch /dev/shm/file && echo shm"
    assert pod.output(images.plain, script, linux=security(readonly_rootfs=True)).split() == ["refused", "shm"]


def test_the_images_disk_cannot_be_written(sleeper):
    assert "overlay / " in sleeper.sh("cat /proc/self/mounts")
    assert "bulkhead" not in sleeper.sh("ls /")


def test_privileged_is_over_the_guest(node, images):
    """Everything of the virtual machine's, nothing of the node's."""
    masks = dict(masked_paths=kubelet.MASKED_PATHS, readonly_paths=kubelet.READONLY_PATHS)
    profile = dict(profile_type=node.e.RuntimeDefault)
    script = "grep -E 'CapEff|Seccomp:' /proc/self/status; ls /dev | grep -c '^sd'; mkdir -p /mnt; "
    script += "mount -t tmpfs none /mnt && echo mounted; grep -c ' /proc/' /proc/self/mounts; "
    script += "grep -E ' /sys(/fs/cgroup)? ' /proc/self/mounts | grep -c ' rw,'; "
    script += "mkdir /sys/fs/cgroup/mine && echo cgroup; echo 1 > /proc/sys/vm/panic_on_oom && echo sysctl; "
    script += "head -c 512 /dev/sda > /dev/null && echo disk; "
    script += "f=/sys/kernel/mm/transparent_hugepage/enabled; echo never > $f && echo sysfs"
    with node.pod(linux=dict(security_context=dict(privileged=True))) as pod:
        lines = pod.output(images.plain, script, linux=security(privileged=True, seccomp=profile, **masks)).split("\n")
        plain = pod.output(images.plain, "ls /dev | grep -c '^sd'; true")
    assert lines[0].endswith("000001ffffffffff") and lines[1].split() == ["Seccomp:", "0"]
    assert int(lines[2]) >= 2 and lines[3] == "mounted"
    # The agent's own mask over what held the VM's secret is below /sys.
    assert lines[4] == "0" and lines[5] == "2"
    assert lines[6:10] == ["cgroup", "sysctl", "disk", "sysfs"]
    assert plain.strip() == "0", "the pod's other containers get none of it"
    assert "1" not in open("/proc/sys/vm/panic_on_oom").read()


def test_privileged_needs_a_pod_that_says_so(node, pod, images):
    with fails("INVALID_ARGUMENT", match="privileged"):
        pod.create(images.plain, "/bin/true", linux=security(privileged=True))


def test_qemu_is_confined(node, pod):
    machine = node.inspect(pod.id).vm
    status = status_of_self(open(f"/proc/{machine.qemu_pid}/status").read())
    assert int(status["CapEff"], 16) == 0 and status["Seccomp"] == "2"
    uid = int(status["Uid"].split()[0])
    assert uid == machine.uid and uid != 0
    assert os.readlink(f"/proc/{machine.qemu_pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt")
    assert os.readlink(f"/proc/{machine.qemu_pid}/ns/net") != os.readlink("/proc/self/ns/net")


def test_every_pod_has_a_user_of_its_own(node, pod):
    with node.pod() as other:
        assert node.inspect(pod.id).vm.uid != node.inspect(other.id).vm.uid


def test_nothing_is_readable_by_others(node):
    """Except directories that are only passed through, and what a VM's own user must open."""
    loose = []
    for directory, names, files in os.walk(node.base / "run"):
        for name in files:
            mode = os.lstat(os.path.join(directory, name)).st_mode
            if mode & 0o006:
                loose.append(f"{mode:o} {directory}/{name}")
    assert not [entry for entry in loose if "/netns/" not in entry], loose


def test_the_secret_is_not_on_a_command_line(node, pod):
    command = open(f"/proc/{node.inspect(pod.id).vm.qemu_pid}/cmdline", "rb").read()
    for argument in command.split(b"\0"):
        assert b"opt/bulkhead/secret" not in argument or b"string=" not in argument


def test_sysctls_and_dns_of_the_pod(node, images):
    with node.pod(
        hostname="named",
        dns_config=dict(servers=["192.0.2.1"], searches=["example.org"], options=["ndots:3"]),
        linux=dict(sysctls={"net.ipv4.ip_local_port_range": "20000 30000"}),
    ) as pod:
        text = pod.output(
            images.plain, "cat /etc/resolv.conf /etc/hostname /proc/sys/net/ipv4/ip_local_port_range; hostname"
        )
    assert "nameserver 192.0.2.1" in text and "search example.org" in text and "options ndots:3" in text
    assert text.split()[-1] == "named" and "20000\t30000" in text
    assert text.count("named") == 2


def test_resource_limits_are_in_the_cgroup(pod, images):
    text = pod.output(
        images.plain,
        "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu.weight",
        linux=dict(resources=dict(memory_limit_in_bytes=32 << 20, cpu_period=100000, cpu_quota=50000, cpu_shares=512)),
    )
    assert text.split()[:3] == [str(32 << 20), "50000", "100000"]
    assert 10 <= int(text.split()[3]) <= 60
