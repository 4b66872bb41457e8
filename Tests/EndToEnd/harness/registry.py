"""Registries on loopback: Debian's docker-registry for what a registry does right, and one of our
own for what goes wrong."""

import base64
import hashlib
import json
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

from harness.httpserver import LoopbackServer, QuietHandler
from harness.wait import until

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Registry:
    """docker-registry, storing below `directory`."""

    def __init__(self, directory: Path):
        directory.mkdir(parents=True)
        self.host = f"127.0.0.1:{free_port()}"
        config = directory / "config.yml"
        config.write_text(
            "version: 0.1\nlog: {level: warn}\n"
            f"storage: {{filesystem: {{rootdirectory: {directory}/data}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '{self.host}'}}\n"
        )
        self.log = (directory / "log").open("wb")
        self.process = subprocess.Popen(
            ["docker-registry", "serve", str(config)], stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL
        )
        until(self._answers, "docker-registry answers", 30)

    def _answers(self):
        assert self.process.poll() is None, f"docker-registry ended: {Path(self.log.name).read_text()}"
        try:
            urllib.request.urlopen(f"http://{self.host}/v2/", timeout=1).close()
            return True
        except OSError:
            return False

    def push(self, layout: Path, tag: str, name: str) -> str:
        """Copies an image of an OCI layout here; answers the reference to pull it by."""
        reference = f"{self.host}/{name}"
        subprocess.run(
            ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{layout}:{tag}", f"docker://{reference}"],
            check=True,
        )
        return reference

    def digest(self, reference: str) -> str:
        """The manifest's digest of something that was pushed."""
        repository, tag = reference.removeprefix(f"{self.host}/").rsplit(":", 1)
        request = urllib.request.Request(
            f"http://{self.host}/v2/{repository}/manifests/{tag}", headers={"Accept": MANIFEST}, method="HEAD"
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.headers["Docker-Content-Digest"]

    def close(self):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()


class CraftedRegistry(LoopbackServer):
    """Serves whatever it is given, right or wrong, and can ask for a password or be slow."""

    def __init__(self):
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[tuple[str, str], bytes] = {}
        self.credentials: tuple[str, str] | None = None
        # Bytes a second for blobs; None: as fast as it goes.
        self.rate: int | None = None
        self.blob_requests: list[tuple[str, str | None]] = []
        super().__init__(self._handler())
        self.host = self.address

    def blob(self, data: bytes, digest: str | None = None) -> dict:
        """Stores a blob, under a digest that may be wrong; answers the rest of its descriptor."""
        digest = digest or "sha256:" + hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return {"digest": digest, "size": len(data)}

    def image(self, name: str, layers: list[dict], diff_ids: list[str], config: dict | None = None) -> str:
        """Stores config and manifest of an image of these layers' descriptors; answers its reference."""
        document = {
            "architecture": "amd64",
            "os": "linux",
            "config": config or {"Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, **self.blob(json.dumps(document).encode())},
            "layers": [{"mediaType": LAYER, **layer} for layer in layers],
        }
        self.manifests[(name, "latest")] = json.dumps(manifest).encode()
        return f"{self.host}/{name}:latest"

    def manifest(self, repository: str, reference: str) -> bytes | None:
        if (repository, reference) in self.manifests:
            return self.manifests[(repository, reference)]
        for (name, _), data in self.manifests.items():
            if name == repository and "sha256:" + hashlib.sha256(data).hexdigest() == reference:
                return data
        return None

    def _handler(self):
        registry = self

        class Handler(QuietHandler):
            def do_HEAD(self):
                self.do_GET()

            def do_GET(self):
                try:
                    self.answer()
                except (BrokenPipeError, ConnectionResetError):
                    pass

            def answer(self):
                if registry.credentials and not self.authorized():
                    return self.reply(401, b'{"errors":[{"code":"UNAUTHORIZED"}]}', auth=True)
                parts = self.path.split("/")
                if self.path == "/v2/":
                    return self.reply(200, b"{}")
                repository, kind, reference = "/".join(parts[2:-2]), parts[-2], parts[-1]
                if kind == "manifests":
                    data = registry.manifest(repository, reference)
                    if data is not None:
                        return self.reply(200, data, MANIFEST)
                if kind == "blobs" and reference in registry.blobs:
                    registry.blob_requests.append((reference, self.headers.get("Range")))
                    return self.reply_blob(registry.blobs[reference])
                self.reply(404, b'{"errors":[{"code":"NOT_FOUND"}]}')

            def authorized(self):
                expected = base64.b64encode(":".join(registry.credentials).encode()).decode()
                return self.headers.get("Authorization") == f"Basic {expected}"

            def reply(self, status, body, kind="application/json", auth=False):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                if auth:
                    self.send_header("WWW-Authenticate", 'Basic realm="test"')
                if kind == MANIFEST:
                    self.send_header("Docker-Content-Digest", "sha256:" + hashlib.sha256(body).hexdigest())
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def reply_blob(self, data):
                start = 0
                asked = self.headers.get("Range")
                if asked and asked.startswith("bytes="):
                    start = int(asked[6:].split("-")[0])
                    self.send_response(206)
                    self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
                else:
                    self.send_response(200)
                self.send_header("Content-Type", "application/octet-stream")
                self.send_header("Content-Length", str(len(data) - start))
                self.end_headers()
                if self.command == "HEAD":
                    return
                step = max(1, (registry.rate or 1 << 40) // 20)
                for offset in range(start, len(data), step):
                    self.wfile.write(data[offset : offset + step])
                    if registry.rate:
                        time.sleep(0.05)

        return Handler
