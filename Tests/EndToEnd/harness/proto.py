"""The messages and methods of the project's .proto files, read from them at run time.

protoc only makes descriptors, so that neither generated Python nor grpcio-tools is needed.
"""

import os
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

ROOT = Path(__file__).resolve().parents[3]
# What is tested: what `make build` built, or what the environment names.
BIN = Path(os.environ.get("BULKHEAD_BIN", ROOT / "build" / "bin"))
GUEST = Path(os.environ.get("BULKHEAD_GUEST", ROOT / "build" / "guest"))
CACHE = Path(os.environ.get("BULKHEAD_CACHE", "/var/cache/bulkhead"))


class Api:
    """One .proto file: `api.messages.RunPodSandboxRequest(...)`, `api.enums.POD`, `api.services`."""

    def __init__(self, path: Path):
        with tempfile.TemporaryDirectory() as directory:
            out = Path(directory) / "set.pb"
            subprocess.run(
                ["protoc", f"--proto_path={path.parent}", f"--descriptor_set_out={out}", path.name], check=True
            )
            files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
        pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            pool.Add(file)
        self.file = pool.FindFileByName(path.name)
        self.messages = SimpleNamespace()
        self.enums = SimpleNamespace()
        for descriptor in self.file.message_types_by_name.values():
            self._add_message(descriptor)
        for enum in self.file.enum_types_by_name.values():
            self._add_enum(enum)
        self.services = self.file.services_by_name

    def _add_message(self, descriptor):
        setattr(self.messages, descriptor.name, message_factory.GetMessageClass(descriptor))
        for enum in descriptor.enum_types:
            self._add_enum(enum)

    def _add_enum(self, enum):
        for value in enum.values:
            setattr(self.enums, value.name, value.number)


def load_cri() -> Api:
    return Api(ROOT / "Sources" / "CRI" / "cri.proto")


def load_operator() -> Api:
    return Api(ROOT / "Sources" / "OperatorAPI" / "operator.proto")


def load_agent() -> Api:
    return Api(ROOT / "Sources" / "AgentProtocol" / "agent.proto")
