"""The configuration file of a test's daemon: every path below one directory."""

from pathlib import Path

from harness import proto


def write_config(
    path: Path,
    base: Path,
    guest: Path | None = None,
    state: Path | None = None,
    boot_timeout: int = 60,
    max_layer_bytes: str = "1GiB",
    log_level: str = "debug",
    cgroup_driver: str = "auto",
    network: dict | None = None,
    vm: dict | None = None,
    debug: dict | None = None,
    rlimits: list[str] | None = None,
):
    guest = guest or proto.GUEST
    tables = {
        "daemon": {
            "state_dir": state or base / "state",
            "run_dir": base / "run",
            "socket": base / "run" / "bulkhead.sock",
            "log_level": log_level,
            "cgroup_driver": cgroup_driver,
        },
        "guest": {"kernel": guest / "vmlinux", "boot_image": guest / "boot.erofs"},
        "vm": {"boot_timeout": f"{boot_timeout}s", "scratch_size": "1GiB", **(vm or {})},
        "images": {"certs_dir": base / "certs.d", "max_layer_bytes": max_layer_bytes},
        # Most tests need no network; those that do say so.
        "network": {
            "cni_conf_dir": base / "cni",
            "cni_bin_dir": [base / "cni-bin", "/usr/lib/cni"],
            "required": False,
            **(network or {}),
        },
        "libexec": {"vsock": proto.BIN / "bulkhead-vsock", "unpack": proto.BIN / "bulkhead-unpack"},
    }
    if debug:
        tables["debug"] = debug
    if rlimits is not None:
        tables["container"] = {"rlimits": rlimits}
    lines = []
    for name, table in tables.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {toml(value)}" for key, value in table.items()]
    path.write_text("\n".join(lines) + "\n")


def toml(value) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else f'"{value}"'
