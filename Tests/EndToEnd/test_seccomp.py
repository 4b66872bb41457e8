"""Seccomp profiles, by what the system calls of the process inside answer."""

import json
import os
import re

import pytest

from harness import proto
from harness.errors import fails

ALLOW, ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"


@pytest.fixture
def profile(tmp_path, node):
    """Writes a profile on the node, and answers the security context that asks for it."""

    def write(content, name="profile.json", **fields):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return localhost(node, path, **fields)

    return write


def localhost(node, path, **fields):
    return dict(security_context=dict(seccomp=dict(profile_type=node.e.Localhost, localhost_ref=str(path)), **fields))


def rule(*names, action=ERRNO, errno=None, args=(), **fields):
    arguments = [dict(index=i, value=v, valueTwo=w, op=f"SCMP_CMP_{op}") for i, op, v, w in args]
    extra = {} if errno is None else dict(errnoRet=errno)
    return dict(names=list(names), action=action, args=arguments, **extra, **fields)


def always_allowed():
    """The list of docs/seccomp.md."""
    text = (proto.ROOT / "docs" / "seccomp.md").read_text()
    return text.split("### Always allowed")[1].split("```")[1].split()


def test_every_operator(pod, images, profile):
    """Each operator guards one system call, so that its own error shows which one answered."""
    enospc, erofs, edquot = 28, 30, 122
    context = profile(
        dict(
            defaultAction=ALLOW,
            architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64"],
            syscalls=[
                rule("ftruncate", errno=enospc, args=[(1, "EQ", 4096, 0)]),
                rule("chown", errno=erofs, args=[(1, "NE", 7, 0)]),
                rule("lchown", errno=edquot, args=[(2, "LT", 10, 0)]),
                rule("mknodat", errno=enospc, args=[(3, "LE", 5, 0)]),
                rule("setpriority", errno=erofs, args=[(2, "GE", 5, 0)]),
                rule("kill", errno=edquot, args=[(1, "GT", 17, 0)]),
                rule("chmod", errno=enospc, args=[(1, "MASKED_EQ", 0o4000, 0o4000)]),
            ],
        )
    )
    script = """
    cd /tmp; touch f
    try() { "$@" 2>&1 && echo ok; }
    try truncate -s 4096 f; try truncate -s 4095 f
    try chown 8 f; try chown 7 f
    try chown -h 1:9 f; try chown -h 1:10 f
    try mknod five c 0 5; try mknod six c 0 6
    try renice -n 5 -p $$; try renice -n 4 -p $$
    try kill -18 $$; try kill -0 $$
    try chmod 4711 f; try chmod 2711 f
    grep Seccomp: /proc/self/status
    """
    lines = [line.split(": ")[-1] for line in pod.output(images.plain, script, linux=context).splitlines()]
    full, readonly, quota = "No space left on device", "Read-only file system", "Disk quota exceeded"
    assert [line.split("\t")[-1] for line in lines] == [
        full, "ok", readonly, "ok", quota, "ok", full, "ok", readonly, "ok", quota, "ok", full, "ok", "2",
    ]  # fmt: skip


def test_every_action(pod, images, profile):
    """One container: each action befalls a system call that one small program makes."""
    context = profile(
        dict(
            defaultAction=ALLOW,
            flags=["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"],
            syscalls=[
                rule("mkdir", "mkdirat", errno=28),
                rule("rmdir"),
                rule("symlink", "symlinkat", action="SCMP_ACT_TRACE"),
                rule("sync", action="SCMP_ACT_KILL_PROCESS"),
                rule("chroot", action="SCMP_ACT_KILL"),
                rule("sethostname", action="SCMP_ACT_KILL_THREAD"),
                rule("link", "linkat", action="SCMP_ACT_TRAP"),
                rule("chmod", action="SCMP_ACT_LOG"),
                rule("cachestat", "unlink", action=ALLOW),
            ],
        )
    )
    script = """
    cd /tmp; touch f
    mkdir d 2>&1; rmdir d 2>&1; ln -s f s 2>&1
    sync; echo $?; chroot / true; echo $?; hostname x; echo $?; ln f g; echo $?
    chmod 600 f; echo $?; rm f; echo $?
    """
    lines = pod.output(images.plain, script, linux=context).splitlines()
    killed = str(128 + 31)
    # Without an errnoRet the error is EPERM; a traced call that nobody traces does not exist.
    assert [line.split(": ")[-1] for line in lines if not line.startswith("Bad system call")] == [
        "No space left on device", "Operation not permitted", "Function not implemented",
        killed, killed, killed, killed, "0", "0",
    ]  # fmt: skip


def test_default_action_and_conditions(pod, images, profile, node):
    """An allow-list, with the conditions of Docker's and CRI-O's profiles."""
    content = dict(
        defaultAction=ERRNO,
        defaultErrnoRet=122,
        archMap=[dict(architecture="SCMP_ARCH_X86_64", subArchitectures=["SCMP_ARCH_X86"])],
        syscalls=[
            rule(*(set(always_allowed()) - {"mkdir", "mkdirat", "rmdir", "mknod", "mknodat"}), action=ALLOW),
            rule("clone", "socket", action=ALLOW, excludes=dict(arches=["arm64"])),
            rule("mkdir", "mkdirat", action=ALLOW, includes=dict(caps=["CAP_SYS_TIME"])),
            rule("rmdir", action=ALLOW, includes=dict(minKernel="4.8"), comment="ignored"),
            rule("mknod", "mknodat", action=ALLOW, includes=dict(minKernel="99.0")),
        ],
    )
    script = "mkdir /tmp/d 2>&1; rmdir /nowhere 2>&1; mknod /tmp/n c 1 3 2>&1; true"
    quota = "Disk quota exceeded"
    plain = pod.output(images.plain, script, linux=profile(content)).splitlines()
    assert [line.split(": ")[-1] for line in plain] == [quota, "No such file or directory", quota]
    capable = profile(content, capabilities=dict(add_capabilities=["SYS_TIME"]))
    lines = pod.output(images.plain, script, linux=capable).splitlines()
    assert [line.split(": ")[-1] for line in lines] == ["No such file or directory", quota]


def test_exec_has_the_containers_filter(pod, images, profile):
    container = pod.run(
        images.plain, "/bin/sleep", "1000", linux=profile(dict(defaultAction=ALLOW, syscalls=[rule("mkdir", errno=28)]))
    )
    answer = container.exec("/bin/mkdir", "/tmp/d")
    assert answer.exit_code != 0 and b"No space left" in answer.stderr
    container.remove()


def test_profiles_that_are_none_are_refused_and_nothing_else(pod, sleeper, images, profile, node, tmp_path):
    def refused(match, context, *codes):
        with fails(*(codes or ["INVALID_ARGUMENT"]), match=match):
            pod.create(images.plain, "/bin/true", linux=context)

    def bad(match, **fields):
        refused(match, profile({"defaultAction": ALLOW, **fields}))

    refused("valid JSON", profile("defaultAction: SCMP_ACT_ALLOW"))
    refused("valid JSON", profile('{"defaultAction": "SCMP_ACT_AL'))
    refused("format", profile("[]"))
    refused("defaultAction", profile("{}"))
    refused("defaultAction.*SCMP_ACT_PERHAPS", profile(dict(defaultAction="SCMP_ACT_PERHAPS")))
    bad("NOTIFY.*(runtime class|ERRNO)", syscalls=[rule("mkdir", action="SCMP_ACT_NOTIFY")])
    bad(r"syscalls\[0\].names", syscalls=[dict(names="mkdir", action=ERRNO)])
    bad(r"syscalls\[0\].args\[0\].op", syscalls=[rule("mkdir", args=[(0, "SOMEHOW", 1, 0)])])
    bad("argument 6", syscalls=[rule("mkdir", args=[(6, "EQ", 1, 0)])])
    bad(r"args\[0\].value: .*0 to", syscalls=[rule("mkdir", args=[(0, "EQ", -1, 0)])])
    bad(r"args\[0\].value: .*0 to", syscalls=[rule("mkdir", args=[(0, "EQ", 1 << 64, 0)])])
    bad("errnoRet", syscalls=[rule("mkdir", errno=70000)])
    bad("mkdri", syscalls=[rule("mkdir", "mkdri")])
    bad("SCMP_ARCH_PDP11", architectures=["SCMP_ARCH_PDP11"])
    bad("flag", flags=["SECCOMP_FILTER_FLAG_MAYBE"])
    bad("without names", syscalls=[rule()])
    refused("KiB", profile(" " * (300 << 10)))
    refused("No such file", localhost(node, tmp_path / "missing.json"))
    refused("not a file", localhost(node, tmp_path))
    os.mkfifo(tmp_path / "fifo")
    refused("not a file", localhost(node, tmp_path / "fifo"))
    refused("absolute", localhost(node, "profile.json"))
    refused(r"\.\.", localhost(node, "/var/lib/../profile.json"))
    refused("no profile", localhost(node, ""))
    refused("profile_type", dict(security_context=dict(seccomp=dict(profile_type=7))))
    refused("seccomp_profile_path", dict(security_context=dict(seccomp_profile_path="whatever")))
    assert sleeper.sh("echo alive") == "alive\n"


def test_the_field_that_profiles_had_before(pod, images, profile, tmp_path):
    def mode(text):
        status = pod.output(
            images.plain, "cat /proc/self/status", linux=dict(security_context=dict(seccomp_profile_path=text))
        )
        return re.search(r"^Seccomp:\s*(\d)", status, re.MULTILINE)[1]

    profile(dict(defaultAction=ALLOW, syscalls=[rule("sync")]))
    assert mode("runtime/default") == "2"
    assert mode("unconfined") == "0"
    assert mode(f"localhost/{tmp_path}/profile.json") == "2"
