"""File I/O in a container: its own filesystem beside the same VM's raw disks, virtiofs beside the host."""

import random
import statistics
import subprocess
import time
from pathlib import Path

from harness import layers

MB = 1_000_000
SIZE = 64 << 20
FILES = 500
# Of the scratch disk, where a new one's filesystem has nothing: the pod is thrown away afterwards.
RAW = 600 << 20
WARM = 16 << 20
# Seconds: the guest tells of its free memory two seconds after it was freed (free-page reporting).
REPORTED_AFTER = 3
TURNS = 4


class Guest:
    """A privileged container of a pod of its own, with the program and a directory of the host."""

    def __init__(self, pod, image: str, program: Path, shared: Path):
        mounts = [
            dict(host_path=str(program), container_path="/iobench", readonly=True),
            dict(host_path=str(shared), container_path="/shared"),
        ]
        self.container = pod.run(
            image, "/bin/sleep", "100000", mounts=mounts, linux=dict(security_context=dict(privileged=True))
        )
        disks = self.container.sh("for d in /sys/block/sd?; do echo ${d##*/} $(cat $d/ro) $(cat $d/size); done")
        disks = [line.split() for line in disks.splitlines()]
        self.scratch = next(f"/dev/{name}" for name, readonly, _ in disks if readonly == "0")
        self.image = next(f"/dev/{name}" for name, readonly, _ in disks if readonly == "1")

    def run(self, what: str, path: str, size: int, offset: int = 0, touch: bool = True) -> float:
        """The guest has all its free memory from the host before, if `touch`; else the host has taken it back.
        Who is first to use such memory pays for it, and the page cache of a file takes another part of the free
        memory than that of a disk."""
        self.container.sh("sync; echo 3 > /proc/sys/vm/drop_caches")
        if not touch:
            time.sleep(REPORTED_AFTER)
        first = "/iobench touch; " if touch else ""
        return float(self.container.sh(f"{first}/iobench {what} {path} {size} {offset}"))

    def warm_up(self):
        """Everything once for nothing: an emulated guest translates code when it first runs, which takes longer than
        reading so much."""
        offset = RAW + TURNS * SIZE
        # As much as is measured: the guest's memory too costs more the first time.
        self.run("write", "/warm", SIZE)
        self.run("write", self.scratch, SIZE, offset)
        for kind in ("read", "random"):
            self.run(kind, "/warm", WARM)
            self.run(kind, self.scratch, WARM, offset)
            self.run(kind, "/big", WARM)
            self.run(kind, self.image, WARM, 1 << 20)


def build(where: Path) -> Path:
    program = where / "iobench"
    source = Path(__file__).with_name("iobench.c")
    subprocess.run(["cc", "-static", "-O2", "-o", program, source], check=True)
    return program


def push_image(registry, layout: Path, name: str) -> str:
    """The plain test image with a file /big of a little more than SIZE."""
    subprocess.run(["umoci", "tag", "--image", f"{layout}:plain", "big"], check=True)
    archive = layout.parent / "big.tar"
    archive.write_bytes(layers.tar(layers.file("big", random.Random(1).randbytes(SIZE + (8 << 20)))))
    subprocess.run(["umoci", "raw", "add-layer", "--image", f"{layout}:big", archive], check=True)
    archive.unlink()
    return registry.push(layout, "big", name)


def on_host(program: Path, what: str, path: Path, size: int) -> float:
    return float(subprocess.run([program, what, path, str(size)], check=True, capture_output=True, text=True).stdout)


def measure(node, image: str, where: Path, rounds: int) -> list[tuple]:
    """Rows of name, unit, value, and what the value is to be compared with (or None). `image` has a file /big
    of at least SIZE bytes."""
    program = build(where)
    shared = where / "shared"
    shared.mkdir()
    where.chmod(0o711)
    samples: dict[str, list[float]] = {}

    def add(name: str, value: float):
        samples.setdefault(name, []).append(value)

    def in_turn(number: int, kind: str, unit: int, *places: tuple[str, str, int]):
        """Now one place first, now the other: the host's caches know what was read last."""
        for name, path, offset in places if number % 2 == 0 else reversed(places):
            add(f"{name} {kind}", guest.run(kind, path, SIZE, offset) / unit)

    for _ in range(rounds):
        with node.pod(linux=dict(security_context=dict(privileged=True))) as pod:
            guest = Guest(pod, image, program, shared)
            guest.warm_up()
            # Writes go where nothing was written before: the host's file is sparse.
            for number in range(TURNS):
                in_turn(number, "write", MB, ("scratch", f"/file{number}", 0), ("raw", guest.scratch, RAW + number * SIZE))
            add("cold write", guest.run("write", "/cold", SIZE, touch=False) / MB)
            # Of the very same blocks, which the guest's agent won't give back to the host.
            place = int(guest.container.sh("/iobench where /file0"))
            for number in range(TURNS):
                for kind, unit in (("read", MB), ("random", 1)):
                    in_turn(number, kind, unit, ("scratch", "/file0", 0), ("raw", guest.scratch, place))
                    in_turn(number, kind, unit, ("image", "/big", 0), ("raw image", guest.image, 1 << 20))
            for kind, unit in (("write", MB), ("read", MB)):
                add(f"virtiofs {kind}", guest.run(kind, "/shared/file", SIZE) / unit)
            add("virtiofs meta", guest.run("meta", "/shared", FILES))
            add("scratch meta", guest.run("meta", "/tmp", FILES))
        for kind, unit in (("write", MB), ("read", MB)):
            add(f"host {kind}", on_host(program, kind, shared / "file", SIZE) / unit)
        add("host meta", on_host(program, "meta", shared, FILES))
        (shared / "file").unlink()

    # Of all bytes in all the time: on a machine that is now fast, now slow, a median is one or the other.
    value = {name: statistics.harmonic_mean(values) for name, values in samples.items()}
    rows = []
    for name, against in (
        ("scratch write", "raw write"), ("scratch read", "raw read"), ("scratch random", "raw random"),
        ("image read", "raw image read"), ("image random", "raw image random"),
    ):  # fmt: skip
        unit = "reads/s" if "random" in name else "MB/s"
        rows.append((f"Raw disk of the VM, {against.removeprefix('raw ')}", unit, value[against], None))
        rows.append((f"Container's own filesystem, {name}", unit, value[name], value[name] / value[against]))
    for kind, unit in (("write", "MB/s"), ("read", "MB/s"), ("meta", "ops/s")):
        rows.append((f"The host's directory itself, {kind}", unit, value[f"host {kind}"], None))
        rows.append((f"virtiofs, {kind}", unit, value[f"virtiofs {kind}"], None))
    rows.append(("  the same scratch write into memory that the host took back", "MB/s", value["cold write"], None))
    rows.append(("Container's own filesystem, meta", "ops/s", value["scratch meta"], None))
    return rows
