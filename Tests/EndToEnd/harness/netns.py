"""Network namespaces that a test makes for itself, with the addresses it likes: nothing of the machine's own
network is touched, and what is left behind goes with them."""

import ctypes
import os
import subprocess
import threading
import uuid
from contextlib import contextmanager

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


class Namespace:
    def __init__(self, name: str):
        self.name = f"bh-{name}-{uuid.uuid4().hex[:6]}"
        self.path = f"/run/netns/{self.name}"
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.ip("link", "set", "lo", "up")

    def close(self):
        subprocess.run(["ip", "netns", "delete", self.name], check=False)

    def ip(self, *arguments: str) -> str:
        return self.run("ip", *arguments)

    def run(self, *command: str, check: bool = True, **options) -> str:
        """A command in the namespace, in the mounts of this process."""
        result = subprocess.run(
            ["nsenter", f"--net={self.path}", *command], capture_output=True, text=True, check=False, **options
        )
        if check:
            assert result.returncode == 0, f"{command}: {result.returncode}: {result.stdout}{result.stderr}"
        return result.stdout

    @contextmanager
    def entered(self):
        """This thread is in the namespace meanwhile; sockets made there stay there."""
        own = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
        other = os.open(self.path, os.O_RDONLY)
        try:
            _setns(other)
            try:
                yield self
            finally:
                _setns(own)
        finally:
            os.close(own)
            os.close(other)

    def join(self, other: "Namespace", mine: str, theirs: str, name: str = "uplink"):
        """A cable to another namespace: `mine` and `theirs` are the ends' addresses, with prefix length."""
        self.ip("link", "add", name, "type", "veth", "peer", "name", name, "netns", other.name)
        for namespace, address in ((self, mine), (other, theirs)):
            namespace.ip("address", "add", address, "dev", name)
            namespace.ip("link", "set", name, "up")


def _setns(descriptor: int):
    if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
