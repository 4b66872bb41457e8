"""What the kernel of the machine that runs the tests may lack, in a node that is a virtual machine itself. What is
asserted there is in node_vm/checks.py; each check is a test here, under the same name."""

import ast
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from harness import proto
from harness.node_vm import NodeVM

CHECKS = Path(__file__).parent / "node_vm" / "checks.py"
NAMES = [node.name for node in ast.parse(CHECKS.read_text()).body if getattr(node, "name", "").startswith("test_")]

# The kernel's command line leaves process 1 little of an environment.
RUN = f"""
export NODE_SHARED BULKHEAD_ACCEL=tcg BULKHEAD_BIN={proto.BIN} BULKHEAD_GUEST={proto.GUEST} BULKHEAD_CACHE={proto.CACHE}
cd {CHECKS.parent.parent}
PYTHONDONTWRITEBYTECODE=1 {sys.executable} -m pytest --timeout=300 --junitxml=/tmp/report.xml -v {CHECKS}
cat /tmp/report.xml >/dev/vport*
"""


@pytest.fixture(scope="module")
def report(layout, tool):
    """What came of each check: None, or how it failed."""
    vm = boot(layout, tool)
    try:
        if vm.panicked():
            # Seen once in a dozen boots, in RCU, cause unknown: see docs/development.md.
            warnings.warn(f"the node's own kernel panicked, and is booted again: {vm.said()}")
            vm.close()
            vm = boot(layout, tool)
        assert vm.report.stat().st_size, f"the checks did not run: {vm.said()}"
        cases = ElementTree.parse(vm.report).iter("testcase")
        results = {case.get("name"): outcome(case) for case in cases}
        yield {name: text and f"{text}\n{vm.said()}" for name, text in results.items()}
    finally:
        vm.close()


def boot(layout, tool) -> NodeVM:
    """A node in which the checks have run."""
    vm = NodeVM()
    try:
        archive = f"docker-archive:{vm.shared}/image.tar:localhost/test/plain:1"
        subprocess.run(["skopeo", "copy", "--quiet", f"oci:{layout}:plain", archive], check=True)
        (vm.shared / "net").write_bytes(Path(tool).read_bytes())
        (vm.shared / "net").chmod(0o755)
        (vm.shared / "run").write_text(RUN)
        vm.start()
        vm.wait(1500)
    except BaseException:
        vm.close()
        raise
    return vm


def outcome(case) -> str | None:
    bad = [child for child in case if child.tag in ("failure", "error", "skipped")]
    return "\n".join(f"{child.get('message')}\n{child.text}" for child in bad) or None


@pytest.mark.timeout(3300)
@pytest.mark.parametrize("check", NAMES)
def test_in_the_node(report, check):
    assert check in report, f"{check} did not run"
    if report[check]:
        pytest.fail(report[check], pytrace=False)
