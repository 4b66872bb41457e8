"""Pulling and converting an image, beside plain gunzip of its layers."""

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
import time
from pathlib import Path

from harness.node import Node
from harness.registry import CONFIG, LAYER, MANIFEST, Registry

# Unpacked size of the image, near enough; files as a system's image has them.
SIZE = 160 << 20
LAYERS = 4
SOURCES = ("/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/lib/python3", "/usr/share/perl")


def regular_files():
    for source in SOURCES:
        for path in sorted(Path(source).rglob("*")):
            if path.is_file() and not path.is_symlink() and path.stat().st_size < 8 << 20:
                yield path


def write_layout(where: Path) -> list[Path]:
    """An OCI layout of real files of this machine; answers its compressed layers."""
    blobs = where / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def store(data: bytes, media_type: str) -> dict:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    files, layers, diffs = regular_files(), [], []
    for _ in range(LAYERS):
        out, size = io.BytesIO(), 0
        with tarfile.open(fileobj=out, mode="w") as archive:
            for path in files:
                archive.add(path, recursive=False)
                size += path.stat().st_size
                if size > SIZE // LAYERS:
                    break
        diffs.append("sha256:" + hashlib.sha256(out.getvalue()).hexdigest())
        layers.append(store(gzip.compress(out.getvalue(), compresslevel=6), LAYER))
    config = store(
        json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers",
                    "diff_ids": diffs}}).encode(), CONFIG)  # fmt: skip
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
    entry = store(json.dumps(manifest).encode(), MANIFEST)
    entry["annotations"] = {"org.opencontainers.image.ref.name": "large"}
    (where / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (where / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return [blobs / layer["digest"].removeprefix("sha256:") for layer in layers]


def measure(node: Node, registry: Registry, where: Path, rounds: int) -> dict[str, float]:
    """Megabytes of unpacked layers a second: by gunzip alone, and by PullImage. Best of the rounds."""
    layout = where / "large"
    layers = write_layout(layout)
    unpacked = sum(len(gzip.decompress(layer.read_bytes())) for layer in layers)
    reference = registry.push(layout, "large", "bench/large:1")

    def gunzip() -> float:
        start = time.perf_counter()
        for layer in layers:
            subprocess.run(["gzip", "-dc", str(layer)], stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - start

    def pull() -> float:
        start = time.perf_counter()
        node.pull(reference)
        seconds = time.perf_counter() - start
        node.cri.RemoveImage(image=dict(image=reference))
        return seconds

    return {
        "gunzip": unpacked / 1e6 / min(gunzip() for _ in range(rounds)),
        "pull": unpacked / 1e6 / min(pull() for _ in range(rounds)),
    }
