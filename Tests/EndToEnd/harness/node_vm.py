"""A node that is a virtual machine: the machine that runs the tests, read-only, with a layer in memory over
it, on a kernel that has what this one may lack: cgroup v2 with all controllers, vhost-vsock, ipvlan.

Its root is this machine's own by virtiofs, its kernel the one that pods have, with the modules beside it. Pods
in it are emulated by an emulated QEMU: a pod takes some twenty times as long as outside.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from harness import proto
from harness.wait import until

MODULES = proto.BIN.parent / "modules"
INIT = proto.ROOT / "Tests" / "EndToEnd" / "node_vm" / "init.sh"
MEMORY = "3G"


class NodeVM:
    """Boots it, to run the script `run` that the caller puts into `shared`. What the script writes to the virtio
    port is in `report`."""

    def __init__(self):
        self.base = Path(tempfile.mkdtemp(prefix="bhvm", dir="/tmp"))
        self.shared = self.base / "shared"
        self.shared.mkdir()
        self.console, self.report = self.base / "console", self.base / "report"
        self.processes: list[subprocess.Popen] = []

    def start(self):
        assert (MODULES / "vhost_vsock.ko").exists(), f"{MODULES} has no vhost_vsock.ko: run `make kernel`"
        (self.base / "root").mkdir()
        socket = self.base / "root.sock"
        self._launch("virtiofsd", "unshare", "--mount", "bash", "-c", SHARE, "share", self.base / "root", socket)
        until(lambda: self._running() and socket.exists(), "virtiofsd listens")
        self._launch(
            "qemu", "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-machine", "q35,memory-backend=memory", "-object", f"memory-backend-memfd,id=memory,size={MEMORY},share=on",
            # Its clock counts instructions: see docs/development.md for why that, and why without ERMS.
            "-m", MEMORY, "-accel", "tcg,thread=single", "-icount", "shift=0", "-cpu", "max,-erms",
            "-bios", "/usr/share/qemu/qboot.rom", "-kernel", proto.GUEST / "vmlinux", "-append", self._command_line(),
            "-serial", f"file:{self.console}",
            "-chardev", f"socket,id=root,path={socket}",
            "-device", "vhost-user-fs-pci,chardev=root,tag=root,queue-size=1024",
            "-device", "virtio-serial-pci", "-chardev", f"file,id=report,path={self.report}",
            "-device", "virtserialport,chardev=report,name=report",
            "-device", "virtio-rng-pci",
        )  # fmt: skip

    def _command_line(self) -> str:
        words = ["console=ttyS0", "loglevel=5", "panic=-1", "root=root", "rootfstype=virtiofs", "ro", f"init={INIT}"]
        # As pods' guests have them, for the same reasons (GuestPlatform.swift).
        words += ["tsc=reliable", "no_timer_check", "rcupdate.rcu_expedited=1", "mitigations=off"]
        # Without cmpxchg16b (bit 13 of word 4), after which QEMU's flags are wrong: see docs/development.md.
        words += ["clearcpuid=141"]
        # What the kernel doesn't know becomes process 1's environment.
        return " ".join([*words, f"NODE_SHARED={self.shared}", f"NODE_MODULES={MODULES}"])

    def _launch(self, name: str, *command):
        log = (self.base / f"{name}.log").open("wb")
        self.processes.append(
            subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        )
        log.close()

    def _running(self) -> bool:
        ended = [process for process in self.processes if process.poll() is not None]
        assert not ended, f"{ended[0].args[0]} ended with {ended[0].returncode}: {self.said()}"
        return True

    def wait(self, seconds: float):
        """Until the machine has switched itself off."""
        try:
            self.processes[-1].wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the node VM did not end within {seconds} s: {self.said()}") from None

    def panicked(self) -> bool:
        """Whether its kernel did, which says nothing of what runs in it."""
        return "Kernel panic - not syncing: Fatal exception" in self.console.read_text(errors="replace")

    def said(self) -> str:
        """The end of its console, and what its processes complain of."""
        logs = [self.console, *self.base.glob("*.log")]
        return "\n".join(f"-- {log.name}\n{log.read_text(errors='replace')[-20000:]}" for log in logs if log.exists())

    def close(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait(30)
        self.processes.clear()
        if not os.environ.get("BULKHEAD_KEEP"):
            shutil.rmtree(self.base, ignore_errors=True)


# In a mount namespace of its own, which ends with virtiofsd: a view of this machine's root that nobody can
# write to. A checkout, its cache and temporary files may be on file systems of their own.
SHARE = f"""
set -e
mount --make-rprivate /
mount --bind / "$1"
for path in {proto.ROOT} {proto.BIN} {proto.GUEST} {proto.CACHE} /tmp; do
  mountpoint=$(findmnt --noheadings --output TARGET --target "$path")
  if ! findmnt "$1$mountpoint" >/dev/null; then mount --bind "$mountpoint" "$1$mountpoint"; fi
done
findmnt --noheadings --list --output TARGET --submounts "$1" | while read -r mount; do
  mount -o remount,bind,ro "$mount"
done
exec /usr/lib/qemu/virtiofsd -f --socket-path="$2" -o "source=$1,cache=always,log_level=warn"
"""
