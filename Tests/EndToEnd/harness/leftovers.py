"""What Bulkhead has on the host: processes, mounts, namespaces, links, files. A failed call must
leave it as it was, and a finished run must leave nothing."""

import os
import re
import subprocess
from pathlib import Path

# Not of any pod: databases, logs, libvirt's own state and the index of what images there are.
KEPT = re.compile(r"\.(log|db|sqlite|sqlite3)(-wal|-shm)?$|/libvirt/|\.lock$|\.pid$|\.sock$")


def processes(base: Path) -> dict[int, str]:
    """Processes whose command line or environment names the daemon's directory."""
    found, needle = {}, str(base).encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            if needle in command or needle in os.readlink(entry / "cwd").encode():
                found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")[:200].strip()
        except OSError:
            continue
    return found


def mounts(base: Path) -> set[str]:
    """Mount points below the directory; network namespaces are bind mounts, so they are here too."""
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return {point for point in points if point.startswith(f"{base}/")}


def namespaces() -> set[str]:
    return set(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else set()


def links() -> set[str]:
    """Network interfaces of the host's own namespace."""
    out = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    return {line.split(": ")[1].split("@")[0] for line in out.splitlines()}


def files(base: Path) -> set[str]:
    found = set()
    for directory, _, names in os.walk(base):
        for name in names:
            path = os.path.join(directory, name)
            if not KEPT.search(path):
                found.add(path)
    return found


def snapshot(base: Path, among: tuple[str, ...] = ("processes", "mounts", "namespaces", "links", "files")) -> dict:
    everything = {
        "processes": lambda: {f"{pid} {command}" for pid, command in processes(base).items()},
        "mounts": lambda: mounts(base),
        "namespaces": namespaces,
        "links": links,
        "files": lambda: files(base),
    }
    return {kind: everything[kind]() for kind in among}


def added(before: dict, after: dict) -> dict:
    """What is there now and was not before, by kind; empty if nothing."""
    return {kind: sorted(after[kind] - before[kind]) for kind in before if after[kind] - before[kind]}
