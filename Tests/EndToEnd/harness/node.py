"""A daemon of its own, with every path below one directory, and shorthands for what a kubelet does
with it."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path

import grpc

from harness import crilog, leftovers, proto
from harness.client import Client
from harness.config import write_config
from harness.netns import Namespace
from harness.proto import BIN, CACHE
from harness.wait import until

# The first daemon on a machine asks every emulator that is installed what it can do.
START_SECONDS = 120
# What libvirt found out about the emulators: up to 40 s to find out again. libvirt itself checks
# that it is still true.
WARM = CACHE / "libvirt"


class Node:
    def __init__(self, cri: proto.Api, operator: proto.Api, netns: Namespace | None = None, **settings):
        # Short, because the path of a unix socket has at most 107 bytes. Others must be able to
        # reach what is inside: every VM runs as a user of its own.
        self.base = Path(tempfile.mkdtemp(prefix="bh", dir="/tmp"))
        self.base.chmod(0o711)
        self.logs = self.base / "pods"
        self.logs.mkdir()
        self.socket = self.base / "run" / "bulkhead.sock"
        self.config = self.base / "config.toml"
        write_config(self.config, self.base, **settings)
        # Where the daemon runs: what plugins do to "the node" they do there.
        self.netns = netns
        self.cri_api, self.operator_api = cri, operator
        self.m, self.e = cri.messages, cri.enums
        self.process: subprocess.Popen | None = None
        # Whether there can be pods to remove.
        self.served = False
        self.cri: Client | None = None
        self.operator: Client | None = None
        if WARM.exists():
            shutil.copytree(WARM, self.libvirt_cache)

    # The daemon itself.

    @property
    def libvirt_cache(self) -> Path:
        return self.base / "state" / "libvirt" / "cache"

    def keep_libvirt_cache(self):
        """For daemons to come, here and in later runs."""
        if self.libvirt_cache.exists():
            shutil.copytree(self.libvirt_cache, WARM, dirs_exist_ok=True)

    def trust(self, host: str):
        """Lets the daemon speak plain HTTP with this registry."""
        directory = self.base / "certs.d" / host
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "hosts.toml").write_text(f'server = "http://{host}"\n\n[host."http://{host}"]\n')

    def launch(self, **environment) -> subprocess.Popen:
        """Starts the daemon without waiting until it serves."""
        log = (self.base / "daemon.log").open("ab")
        entered = ["nsenter", f"--net={self.netns.path}"] if self.netns else []
        self.process = subprocess.Popen(
            [*entered, str(BIN / "bulkheadd"), "--config", str(self.config)],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            cwd="/",
            env={**os.environ, "BULKHEAD_ACCEL": os.environ.get("BULKHEAD_ACCEL", "tcg"), **environment},
        )
        log.close()
        return self.process

    def start(self, **environment) -> "Node":
        self.launch(**environment)
        self.connect()
        return self

    def connect(self):
        self.disconnect()
        until(self._answers, "the daemon answers", START_SECONDS)
        self.cri = Client(str(self.socket), self.cri_api)
        self.operator = Client(str(self.socket), self.operator_api)
        self.served = True

    def disconnect(self):
        for client in (self.cri, self.operator):
            if client:
                client.close()
        self.cri = self.operator = None

    def _answers(self):
        code = self.process.poll()
        assert code is None, f"bulkheadd ended with {code}:\n{self.tail()}"
        # A client of its own each time: one that failed to connect waits before it tries again.
        client = Client(str(self.socket), self.cri_api)
        try:
            client.Version(deadline=5)
            return True
        except grpc.RpcError:
            return False
        finally:
            client.close()

    def tail(self, size: int = 6000) -> str:
        path = self.base / "daemon.log"
        return path.read_text(errors="replace")[-size:] if path.exists() else ""

    def kill(self):
        """kill -9, as the kernel's out-of-memory killer would."""
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def restart(self):
        """kill -9 and a new daemon."""
        self.kill()
        self.start()

    def remove_everything(self):
        for pod in self.cri.ListPodSandbox().items:
            self.cri.StopPodSandbox(pod_sandbox_id=pod.id)
            self.cri.RemovePodSandbox(pod_sandbox_id=pod.id)

    def close(self) -> dict:
        """Removes all pods, stops the daemon, and answers what is left of it, by kind."""
        try:
            if self.served and not self.running():
                self.start()
            if self.served:
                self.remove_everything()
            if self.running():
                self.stop()
            return self.left()
        finally:
            self.disconnect()
            self.wipe()

    def wipe(self):
        """Whatever happened: nothing of this daemon's may disturb the tests that follow."""
        for pid in leftovers.processes(self.base):
            os.kill(pid, signal.SIGKILL)
        for mount in sorted(leftovers.mounts(self.base), reverse=True):
            subprocess.run(["umount", "-l", mount], check=False)
        if not os.environ.get("BULKHEAD_KEEP"):
            shutil.rmtree(self.base, ignore_errors=True)

    def left(self) -> dict:
        """Processes and mounts of this daemon's."""
        everything = {"processes": leftovers.processes(self.base), "mounts": leftovers.mounts(self.base)}
        return {kind: value for kind, value in everything.items() if value}

    # What a kubelet does.

    def pod_config(self, name: str | None = None, attempt: int = 0, **fields):
        name = name or f"pod-{uuid.uuid4().hex[:8]}"
        directory = self.logs / f"{name}-{attempt}"
        directory.mkdir(exist_ok=True)
        return self.m.PodSandboxConfig(
            metadata=dict(name=name, uid=f"uid-{name}", namespace="tests", attempt=attempt),
            **{"hostname": name, "log_directory": str(directory), **fields},
        )

    def run_pod(self, name: str | None = None, **fields) -> "Pod":
        config = self.pod_config(name, **fields)
        answer = self.cri.RunPodSandbox(config=config)
        return Pod(self, answer.pod_sandbox_id, config)

    @contextmanager
    def pod(self, name: str | None = None, **fields):
        pod = self.run_pod(name, **fields)
        try:
            yield pod
        finally:
            pod.remove()

    def pull(self, image: str, **fields) -> str:
        return self.cri.PullImage(image=dict(image=image), **fields).image_ref

    def image(self, name: str):
        """ImageStatus' image, None if it isn't there."""
        answer = self.cri.ImageStatus(image=dict(image=name))
        return answer.image if answer.HasField("image") else None

    def inspect(self, pod_id: str):
        return self.operator.InspectPod(pod_id=pod_id)

    def ctl(self, *arguments: str, timeout: float = 120, check: bool = False, **options):
        """bulkheadctl on this daemon's socket."""
        result = subprocess.run(
            [str(BIN / "bulkheadctl"), "--socket", str(self.socket), *arguments],
            capture_output=True,
            timeout=timeout,
            text=options.pop("text", True),
            stdin=subprocess.DEVNULL,
            **options,
        )
        if check:
            assert result.returncode == 0, f"bulkheadctl {arguments}: {result.returncode}: {result.stderr}"
        return result


class Pod:
    def __init__(self, node: Node, pod_id: str, config):
        self.node, self.id, self.config = node, pod_id, config
        self.log_directory = Path(config.log_directory)

    def status(self, **fields):
        return self.node.cri.PodSandboxStatus(pod_sandbox_id=self.id, **fields).status

    def ready(self) -> bool:
        return self.status().state == self.node.e.SANDBOX_READY

    def stop(self):
        self.node.cri.StopPodSandbox(pod_sandbox_id=self.id)

    def remove(self):
        self.stop()
        self.node.cri.RemovePodSandbox(pod_sandbox_id=self.id)

    def container_config(self, image: str, *command: str, name: str | None = None, **fields):
        name = name or f"c-{uuid.uuid4().hex[:8]}"
        attempt = fields.pop("attempt", 0)
        return self.node.m.ContainerConfig(
            metadata=dict(name=name, attempt=attempt),
            image=dict(image=image),
            **{"command": list(command), "log_path": f"{name}-{attempt}.log", **fields},
        )

    def create(self, image: str, *command: str, **fields) -> "Container":
        config = self.container_config(image, *command, **fields)
        answer = self.node.cri.CreateContainer(pod_sandbox_id=self.id, config=config, sandbox_config=self.config)
        return Container(self, answer.container_id, config)

    def run(self, image: str, *command: str, **fields) -> "Container":
        container = self.create(image, *command, **fields)
        container.start()
        return container

    def output(self, image: str, script: str, **fields) -> str:
        """What a shell script prints in a container of its own, which must succeed."""
        container = self.run(image, "/bin/sh", "-c", script, **fields)
        status = container.wait()
        text = crilog.text(container.log).decode(errors="surrogateescape")
        assert status.exit_code == 0, f"exit {status.exit_code} {status.reason}: {text} {container.error_output()}"
        container.remove()
        return text


class Container:
    def __init__(self, pod: Pod, container_id: str, config):
        self.pod, self.id, self.config = pod, container_id, config
        self.node = pod.node
        self.log = pod.log_directory / config.log_path

    def start(self):
        self.node.cri.StartContainer(container_id=self.id)

    def status(self):
        return self.node.cri.ContainerStatus(container_id=self.id).status

    def running(self) -> bool:
        return self.status().state == self.node.e.CONTAINER_RUNNING

    def wait(self, seconds: float = 30):
        """The status once it has exited."""

        def exited():
            status = self.status()
            return status if status.state == self.node.e.CONTAINER_EXITED else None

        return until(exited, f"container {self.config.metadata.name} exits", seconds)

    def stop(self, timeout: int = 10):
        self.node.cri.StopContainer(container_id=self.id, timeout=timeout)

    def remove(self):
        self.node.cri.RemoveContainer(container_id=self.id)

    def exec(self, *command: str, timeout: int = 30):
        return self.node.cri.ExecSync(container_id=self.id, cmd=list(command), timeout=timeout)

    def sh(self, script: str) -> str:
        """A shell script's standard output by ExecSync; it must succeed."""
        answer = self.exec("/bin/sh", "-c", script)
        assert answer.exit_code == 0, f"exit {answer.exit_code}: {answer.stdout!r} {answer.stderr!r}"
        return answer.stdout.decode(errors="surrogateescape")

    def output(self) -> str:
        return crilog.text(self.log).decode(errors="surrogateescape")

    def error_output(self) -> str:
        return crilog.text(self.log, "stderr").decode(errors="surrogateescape")

    def wait_output(self, pattern: str, seconds: float = 30) -> str:
        """The output once it matches."""
        return until(
            lambda: self.output() if re.search(pattern, self.output(), re.MULTILINE) else None,
            f"{pattern!r} in the output of {self.config.metadata.name}",
            seconds,
        )
