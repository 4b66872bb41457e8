"""QEMU started by hand, without libvirt or Bulkhead: the unit that pods are measured in.

The machine has what a pod's machine has: the same kernel and command line, boot disk, scratch disk,
controllers, devices and memory, and the vsock device of hosts without /dev/vhost-vsock. Scratch disk
and device are ready before the clock starts, so that it measures a boot and nothing else.
"""

import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from harness.client import Client
from harness.proto import BIN, GUEST, load_agent
from harness.wait import until

AGENT_PORT = 1024
AGENT = load_agent()


def kernel_command_line(qemu_pid: int) -> str:
    """What a pod's kernel was started with."""
    arguments = Path(f"/proc/{qemu_pid}/cmdline").read_bytes().decode().split("\0")
    return arguments[arguments.index("-append") + 1]


class BareMachine:
    def __init__(self, append: str, accelerator: str, memory: int = 256 << 20, vcpus: int = 1):
        self.append, self.accelerator = append, accelerator
        self.memory, self.vcpus = memory, vcpus
        self.secret = secrets.token_hex(16)
        self.qemu: subprocess.Popen | None = None

    def __enter__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="bh", dir="/tmp"))
        (self.directory / "secret").write_text(self.secret)
        scratch = self.directory / "scratch"
        with scratch.open("wb") as file:
            file.truncate(1 << 30)
        subprocess.run(["mkfs.ext4", "-q", "-O", "quota", "-E", "quotatype=prjquota", scratch], check=True)
        self.vhost = self.directory / "vhost.sock"
        self.vsock = self.directory / "vsock.sock"
        nobody = ["--uid", "65534", "--gid", "65534", "--socket-uid", "0"]
        self.device = subprocess.Popen(
            [str(BIN / "bulkhead-vsock"), "--vhost-socket", str(self.vhost), "--vsock-socket", str(self.vsock),
             "--guest-cid", "3", *nobody], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        until(lambda: self.vhost.exists() and self.vsock.exists(), "bulkhead-vsock listens", 10)
        return self

    def __exit__(self, *_):
        for process in (self.qemu, self.device):
            if process and process.poll() is None:
                process.kill()
            if process:
                process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def seconds_to_answer(self) -> float:
        """From exec of QEMU to the agent's answer to Health."""
        start = time.perf_counter()
        self.qemu = subprocess.Popen(self.arguments(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        guest = until(self._dial, "the agent listens", 120, every=0.002)
        with Bridge(self.directory / "agent.sock", guest) as bridge:
            # The agent listens before it has time for who comes.
            client = Client(str(bridge.path), AGENT, connect_ms=20_000)
            client.Health.future(metadata=[("bulkhead-secret", self.secret)]).result()
            seconds = time.perf_counter() - start
            client.close()
        return seconds

    def _dial(self) -> socket.socket | None:
        """A connection to the agent's port by the vsock device's handshake; None while nobody listens."""
        if self.qemu.poll() is not None:
            raise RuntimeError(f"QEMU ended with {self.qemu.returncode}")
        guest = socket.socket(socket.AF_UNIX)
        guest.settimeout(10)
        try:
            guest.connect(str(self.vsock))
            guest.sendall(f"CONNECT {AGENT_PORT}\n".encode())
            answer = b""
            while not answer.endswith(b"\n"):
                byte = guest.recv(1)
                if not byte:
                    break
                answer += byte
            if answer.startswith(b"OK"):
                guest.settimeout(None)
                return guest
        except OSError:
            pass
        guest.close()
        return None

    def arguments(self) -> list[str]:
        cpu = "max,-erms" if self.accelerator == "tcg" else "host"
        return [
            "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-machine", f"q35,usb=off,dump-guest-core=off,memory-backend=ram,accel={self.accelerator}",
            "-cpu", cpu, "-smp", str(self.vcpus), "-m", f"{self.memory >> 20}M",
            "-object", f"memory-backend-memfd,id=ram,size={self.memory},share=on",
            "-bios", "/usr/share/qemu/qboot.rom", "-kernel", str(GUEST / "vmlinux"), "-append", self.append,
            "-fw_cfg", f"name=opt/bulkhead/secret,file={self.directory}/secret",
            "-drive", f"if=none,id=boot,format=raw,readonly=on,file={GUEST}/boot.erofs",
            "-device", "virtio-blk-pci,drive=boot,serial=boot",
            "-device", "virtio-scsi-pci,id=scsi",
            "-drive", f"if=none,id=scratch,format=raw,cache=unsafe,file={self.directory}/scratch",
            "-device", "scsi-hd,bus=scsi.0,drive=scratch,serial=scratch",
            "-device", "pcie-root-port,id=pci.1",
            "-device", "virtio-balloon-pci,free-page-reporting=on",
            "-object", "rng-random,id=random,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=random",
            "-device", "pvpanic",
            "-serial", f"file:{self.directory}/console",
            "-chardev", f"socket,id=vsock,path={self.vhost}", "-device", "vhost-user-vsock-pci,chardev=vsock",
        ]  # fmt: skip


class Bridge:
    """Lets a gRPC client, which wants a unix socket to connect to, use a connection that is there."""

    def __init__(self, path: Path, guest: socket.socket):
        self.path, self.guest = path, guest
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()

    def __enter__(self):
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()
        self.guest.close()

    def _serve(self):
        client, _ = self.listener.accept()
        threading.Thread(target=self._copy, args=(client, self.guest), daemon=True).start()
        self._copy(self.guest, client)

    @staticmethod
    def _copy(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass
