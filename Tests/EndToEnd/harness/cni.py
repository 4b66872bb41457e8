"""CNI configurations for tests, and what plugins may leave behind."""

import json
from pathlib import Path

from harness.netns import Namespace
from harness.node import Node

SUBNETS = ("10.77.0.0/24", "fd00:77::/64")


def address_management(node: Node, *subnets: str) -> dict:
    """host-local, with its records below the daemon's directory."""
    routes = [{"dst": "::/0" if ":" in subnet else "0.0.0.0/0"} for subnet in subnets]
    return {
        "type": "host-local",
        "dataDir": str(node.base / "ipam"),
        "ranges": [[{"subnet": subnet}] for subnet in subnets],
        "routes": routes,
    }


def bridge(node: Node, *subnets: str, **keys) -> dict:
    return {
        "type": "bridge",
        "bridge": "pods0",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": address_management(node, *(subnets or SUBNETS)),
        **keys,
    }


def configure(node: Node, *plugins: dict, file: str = "10-pods.conflist", version: str = "1.0.0", name: str = "pods"):
    """Writes a network's configuration, as an operator would: complete when it appears."""
    directory = node.base / "cni"
    directory.mkdir(exist_ok=True)
    text = json.dumps({"cniVersion": version, "name": name, "plugins": plugins})
    (directory / ".new").write_text(text)
    (directory / ".new").rename(directory / file)


def plugin(node: Node, name: str, script: str):
    """A plugin of the test's own."""
    path = node.base / "cni-bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def reserved(node: Node) -> set[str]:
    """Addresses that host-local has given out."""
    directory = node.base / "ipam" / "pods"
    names = (path.name for path in directory.iterdir()) if directory.exists() else ()
    return {name for name in names if name[0].isdigit() or name.startswith("fd")}


def state(node: Node, netns: Namespace) -> dict:
    """All that pods' networks have on the node."""
    interfaces = {line.split(": ")[1].split("@")[0] for line in netns.ip("-o", "link").splitlines()}
    rules = set()
    for command in ("iptables-save", "ip6tables-save"):
        rules |= {line for line in netns.run(command).splitlines() if line[:1] in ("-", ":") and " [" not in line}
    return {
        "interfaces": interfaces,
        "rules": rules,
        "addresses": reserved(node),
        "namespaces": {path.name for path in Path(node.base / "run" / "netns").iterdir()},
        "records": {path.name for path in Path(node.base / "state" / "networks").iterdir()},
    }
