"""What the process of a container is: who, where, with which limits, in which namespaces. Seen from inside."""

import re

import pytest

from harness.errors import fails
from harness.wait import until


def security(**fields):
    return dict(security_context=fields)


def user_of(container):
    user = container.status().user.linux
    return user.uid, user.gid, list(user.supplemental_groups)


# Identity


@pytest.mark.parametrize(
    "context, inside",
    [
        (dict(run_as_user=dict(value=0)), (0, 0, [0])),
        (dict(run_as_user=dict(value=1000)), (1000, 1000, [1000, 2000, 2001])),
        (dict(run_as_user=dict(value=2147483647), run_as_group=dict(value=2147483647)), (2147483647,) * 2 + ([2147483647],)),
        (dict(run_as_username="1234"), (1234, 0, [0])),
        (dict(run_as_username="app:staff"), (1000, 2000, [2000, 2001])),
        (dict(run_as_username="app", run_as_group=dict(value=5), supplemental_groups=[6]), (1000, 5, [5, 6, 2000, 2001])),
        (dict(run_as_user=dict(value=1000), supplemental_groups=[6], supplemental_groups_policy="Strict"), (1000, 1000, [1000, 6])),
        (dict(run_as_username="app", supplemental_groups_policy="Strict"), (1000, 1000, [1000])),
    ],
    ids=["root", "uid", "largest", "number-as-name", "name-and-group", "merge", "strict", "strict-name"],
)  # fmt: skip
def test_users(pod, node, images, context, inside):
    if "supplemental_groups_policy" in context:
        context = {**context, "supplemental_groups_policy": node.e.Strict}
    container = pod.run(images.plain, "/bin/sh", "-c", "id -u; id -g; id -G; sleep 1000", linux=security(**context))
    lines = container.wait_output(r"(.+\n){3}").splitlines()
    uid, gid, groups = inside
    assert (int(lines[0]), int(lines[1]), sorted(map(int, lines[2].split()))) == (uid, gid, sorted(groups))
    assert user_of(container)[:2] == (uid, gid) and sorted(user_of(container)[2]) == sorted(groups)
    assert container.sh("id -u; id -G").split()[0] == str(uid), "an exec runs as the container does"
    container.remove()


def test_the_policy_for_groups_is_advertised(node):
    assert node.cri.Status().features.supplemental_groups_policy


# The process


def test_limits_priority_and_environment(pod, images):
    """What every process has; nofile and core come from the daemon's configuration."""
    script = "cut -d' ' -f19 /proc/self/stat; ulimit -Sn; ulimit -Hn; ulimit -Hc; ulimit -u; umask; "
    script += "cat /proc/self/oom_score_adj; grep -E 'SigIgn|SigBlk' /proc/self/status; ls /proc/self/fd | wc -l; env"
    adjusted = dict(resources=dict(oom_score_adj=321))
    lines = pod.output(images.plain, script, linux=adjusted).splitlines()
    assert lines[:7] == ["0", "2048", "4096", "unlimited", "unlimited", "0022", "321"]
    assert int(lines[7].split()[1], 16) == int(lines[8].split()[1], 16) == 0
    # Standard streams, and the directory that is being listed.
    assert lines[9] == "4"
    assert {"HOSTNAME=shared", "HOME=/root", "PATH=/bin"} <= set(lines[10:])


def test_exec_has_the_containers_limits(pod, images):
    container = pod.run(images.plain, "/bin/sleep", "1000", linux=dict(resources=dict(oom_score_adj=-500)))
    text = container.sh("cat /proc/self/oom_score_adj; ulimit -Sn; cut -d' ' -f19 /proc/self/stat")
    assert text.split() == ["-500", "2048", "0"]
    container.remove()


def test_working_directory(pod, sleeper, images):
    """Made if it is missing, root's, even where the root is read-only."""
    script = "pwd; stat -c '%u %g %a' . ..; touch file 2>/dev/null || echo refused"
    made = pod.output(images.plain, script, working_dir="/made/for/me")
    assert made.splitlines() == ["/made/for/me", "0 0 755", "0 0 755"]
    readonly = pod.output(images.plain, script, working_dir="/made/for/me", linux=security(readonly_rootfs=True))
    assert readonly.splitlines() == ["/made/for/me", "0 0 755", "0 0 755", "refused"]
    with fails("FAILED_PRECONDITION", match="working directory.*Not a directory"):
        pod.create(images.plain, "/bin/true", working_dir="/etc/passwd/below")
    with fails("INVALID_ARGUMENT", match=r"working_dir.*\.\."):
        pod.create(images.plain, "/bin/true", working_dir="/tmp/../etc")
    assert sleeper.sh("echo alive") == "alive\n"


def test_standard_input(pod, images):
    assert pod.output(images.plain, "readlink /proc/self/fd/0; cat; echo end").split() == ["/dev/null", "end"]
    waiting = pod.run(images.plain, "/bin/sh", "-c", "echo reading; cat; echo end", stdin=True)
    waiting.wait_output("reading")
    assert waiting.sh("readlink /proc/1/fd/0; true") is not None
    assert waiting.running() and "end" not in waiting.output()
    waiting.remove()


def test_terminal(pod, images):
    script = "test -t 0 && test -t 1 && test -t 2 && echo terminal; tty; echo $TERM; echo error >&2; "
    script += "stat -c '%t:%T %u' /dev/console; echo x > /dev/tty"
    container = pod.run(
        images.plain, "/bin/sh", "-c", script, tty=True, linux=security(run_as_user=dict(value=1000))
    )
    assert container.wait().exit_code == 0
    lines = container.output().replace("\r", "").splitlines()
    assert lines[:4] == ["terminal", "/dev/pts/0", "xterm", "error"] and lines[5] == "x"
    assert lines[4].startswith("88:") and lines[4].endswith(" 1000")
    assert container.error_output() == "", "a terminal has one output"
    container.remove()


# Capabilities


def test_ambient_capabilities_reach_a_user(pod, images):
    net = dict(add_capabilities=["NET_ADMIN"], add_ambient_capabilities=["NET_ADMIN"])
    text = pod.output(
        images.plain, "cat /proc/self/status", linux=security(run_as_user=dict(value=1000), capabilities=net)
    )
    sets = {name: int(value, 16) for name, value in re.findall(r"^(Cap\w+):\s*(\w+)$", text, re.MULTILINE)}
    assert sets["CapAmb"] == sets["CapEff"] == sets["CapPrm"] == 1 << 12


# Namespaces


def test_pid_namespaces_of_containers(pod, sleeper, node, images):
    """CONTAINER, and TARGET of a container that has one of its own."""
    own = pod.run(
        images.plain, "/bin/sh", "-c", "echo on; exec sleep 4711", linux=security(namespace_options=dict(pid=node.e.CONTAINER))
    )
    own.wait_output("on")
    assert own.sh("cat /proc/1/cmdline").split("\0")[:2] == ["sleep", "4711"]
    target = security(
        namespace_options=dict(pid=node.e.TARGET, target_id=own.id[:12]), capabilities=dict(add_capabilities=["SYS_PTRACE"])
    )
    lines = pod.output(images.plain, "cat /proc/1/cmdline | tr '\\0' ' '; echo; readlink /proc/1/ns/pid; readlink /proc/self/ns/pid", linux=target).splitlines()
    assert lines[0].split() == ["sleep", "4711"] and lines[1] == lines[2]
    assert lines[2] != sleeper.sh("readlink /proc/self/ns/pid").strip()
    # A debugger in it dies with it, and nobody else does.
    debugger = pod.run(images.plain, "/bin/sleep", "1000", linux=target)
    own.stop(0)
    assert debugger.wait().exit_code == 137
    with fails("FAILED_PRECONDITION", match="target_id.*not running"):
        pod.create(images.plain, "/bin/true", linux=target)
    own.remove()
    with fails("INVALID_ARGUMENT", match="target_id"):
        pod.create(images.plain, "/bin/true", linux=target)
    with fails("INVALID_ARGUMENT", match="target_id"):
        pod.create(images.plain, "/bin/true", linux=security(namespace_options=dict(pid=node.e.TARGET)))
    assert sleeper.sh("echo alive") == "alive\n"


def test_the_pods_first_process_reaps(sleeper):
    sleeper.sh("for i in 1 2 3 4 5; do (sleep 0.1 &) ; done")
    until(lambda: "sleep 0.1" not in sleeper.sh("ps -o args"), "the orphans are gone", 5)
    assert " Z " not in sleeper.sh("cat /proc/[0-9]*/stat 2>/dev/null")
    assert sleeper.sh("cat /proc/1/comm") == "pause\n"
    # Nor can the containers, which share it, kill it.
    sleeper.sh("kill -9 1; kill -TERM 1; true")
    assert sleeper.sh("cat /proc/1/comm") == "pause\n"


def test_namespaces_of_the_node_are_the_guests(pod, sleeper, node, images):
    everything = security(
        namespace_options=dict(pid=node.e.NODE, ipc=node.e.NODE), capabilities=dict(add_capabilities=["SYS_PTRACE"])
    )
    script = "cat /proc/1/comm; readlink /proc/1/ns/ipc; readlink /proc/self/ns/ipc; readlink /proc/self/ns/net; uname -r"
    lines = pod.output(images.plain, script, linux=everything).splitlines()
    assert lines[0] not in ("pause", "sh", "sleep", "systemd")
    assert lines[1] == lines[2], "IPC: the pod's is its node's, which is the virtual machine"
    assert lines[3] == sleeper.sh("readlink /proc/self/ns/net").strip()
    assert lines[4].startswith("6.1")


# What can't be had is refused, and what is no more than the default is not


def test_what_the_guests_kernel_lacks_is_refused(pod, sleeper, node, images):
    local, default, unconfined = node.e.Localhost, node.e.RuntimeDefault, node.e.Unconfined

    def create(**fields):
        pod.create(images.plain, "/bin/true", linux=security(**fields)).remove()

    for fields in (
        dict(apparmor=dict(profile_type=local, localhost_ref="mine")),
        dict(apparmor_profile="localhost/mine"),
    ):
        with fails("INVALID_ARGUMENT", match="AppArmor.*runtime class"):
            create(**fields)
    with fails("INVALID_ARGUMENT", match="SELinux.*runtime class"):
        create(selinux_options=dict(type="container_t"))
    with fails("INVALID_ARGUMENT", match="hostNetwork.*runtime class"):
        create(namespace_options=dict(network=node.e.NODE))
    with fails("INVALID_ARGUMENT", match="hostUsers"):
        create(namespace_options=dict(userns_options=dict(
            mode=node.e.POD, uids=[dict(host_id=65536, length=65536)], gids=[dict(host_id=65536, length=65536)])))  # fmt: skip
    for fields in (
        dict(apparmor=dict(profile_type=default)),
        dict(apparmor=dict(profile_type=unconfined)),
        dict(apparmor_profile="runtime/default"),
        dict(selinux_options=dict()),
        dict(namespace_options=dict(userns_options=dict(mode=node.e.NODE))),
    ):
        create(**fields)
    handlers = node.cri.Status().runtime_handlers
    assert handlers and not any(handler.features.user_namespaces for handler in handlers)
    assert sleeper.sh("echo alive") == "alive\n"


def test_pods_that_ask_for_what_a_machine_has_not(node):
    def refused(match, **linux):
        with fails("INVALID_ARGUMENT", match=match):
            node.run_pod(linux=linux)

    refused("hostNetwork.*runtime class", **security(namespace_options=dict(network=node.e.NODE)))
    refused("hostUsers", **security(namespace_options=dict(userns_options=dict(mode=node.e.POD))))
    refused("SELinux", **security(selinux_options=dict(level="s0:c1,c2")))
    refused("AppArmor", **security(apparmor=dict(profile_type=node.e.Localhost, localhost_ref="mine")))
    refused("namespace_options.pid", **security(namespace_options=dict(pid=node.e.TARGET, target_id="a")))
    refused("namespace_options.ipc", **security(namespace_options=dict(ipc=node.e.CONTAINER)))
    refused("run_as_user", **security(run_as_user=dict(value=-1)))
    refused("supplemental_groups", **security(supplemental_groups=[1 << 32]))
    refused("kernel.core_pattern", sysctls={"kernel.core_pattern": "|/bin/sh"})
    refused("vm.overcommit_memory", sysctls={"vm.overcommit_memory": "1"})
    refused("kernel.hostname", sysctls={"kernel.hostname": "other"})
    refused("name", sysctls={"net.ipv4/../../kernel/core_pattern": "x"})
    refused("name", sysctls={"net..x": "1"})
    refused("line", sysctls={"net.ipv4.tcp_syncookies": "1\n2"})
    refused("twice", sysctls={"net.ipv4.tcp_syncookies": "1", "net/ipv4/tcp_syncookies": "0"})
    refused("no_such_thing", sysctls={"net.ipv4.no_such_thing": "1"})
    with fails("INVALID_ARGUMENT", match="hostname"):
        node.run_pod(hostname="under_score")
    assert not [pod for pod in node.cri.ListPodSandbox().items if pod.metadata.name.startswith("pod-")]


def test_sysctls_of_the_pod(node, images):
    """The kubelet's safe set, and others that are kept by namespace."""
    sysctls = {
        "kernel.shm_rmid_forced": "1",
        "net.ipv4.ip_local_port_range": "20000\t30000",
        "net.ipv4.tcp_syncookies": "0",
        "net.ipv4.ping_group_range": "0\t2147483647",
        "net.ipv4.ip_unprivileged_port_start": "80",
        "net.ipv4.ip_local_reserved_ports": "8080-8081",
        "net.ipv4.tcp_keepalive_time": "600",
        "net.ipv4.tcp_fin_timeout": "30",
        "net.ipv4.tcp_keepalive_intvl": "20",
        "net.ipv4.tcp_keepalive_probes": "3",
        "net.ipv4.tcp_rmem": "4096\t65536\t1048576",
        "net.ipv4.tcp_wmem": "4096\t32768\t1048576",
        "net/core/somaxconn": "1000",
        "kernel.shmmax": "1048576",
        "kernel.sem": "250\t32000\t32\t128",
        "kernel.msgmax": "4096",
        "fs.mqueue.msg_max": "64",
    }
    with node.pod(linux=dict(sysctls=sysctls), hostname="") as pod:
        files = " ".join("/proc/sys/" + key.replace(".", "/") for key in sysctls)
        lines = pod.output(images.plain, f"cat {files}; hostname").splitlines()
    assert [line.split() for line in lines[:-1]] == [value.split() for value in sysctls.values()]
    assert lines[-1] == pod.config.metadata.name
