"""Builds the Go client with Debian's packages alone: no modules are fetched from anywhere."""

import os
import shutil
import subprocess
from pathlib import Path

from harness.proto import CACHE, ROOT

# Where Debian's -dev packages of Go libraries put their sources.
DEBIAN = "/usr/share/gocode"
SOURCES = Path(__file__).resolve().parents[1] / "grpcgo"


def build_client(directory: Path) -> Path:
    """The client of Tests/EndToEnd/grpcgo, with the messages of the project's cri.proto."""
    for program in ("go", "protoc", "protoc-gen-go"):
        assert shutil.which(program), f"{program} is missing: run `make setup`"
    generated = directory / "src" / "cri"
    generated.mkdir(parents=True)
    options = "plugins=grpc,import_path=cri"
    protos = ROOT / "Sources" / "CRI"
    subprocess.run(["protoc", f"--proto_path={protos}", f"--go_out={options}:{generated}", "cri.proto"], check=True)
    shutil.copytree(SOURCES, directory / "src" / "client")
    # Compiling grpc-go takes a quarter of a minute; Go keeps what it compiled, named by its inputs.
    # -trimpath: and so that the directory, another each time, is none of them.
    settings = {"GO111MODULE": "off", "GOPATH": f"{directory}:{DEBIAN}", "GOCACHE": str(CACHE / "go"), "GOFLAGS": "-trimpath", "CGO_ENABLED": "0"}
    program = directory / "client"
    subprocess.run(["go", "build", "-o", str(program), "client"], env={**os.environ, **settings}, check=True)
    return program
