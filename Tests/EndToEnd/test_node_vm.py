"""What the kernel of the machine that runs the tests may lack, in nodes that are virtual machines themselves. What is
asserted there is in node_vm; each check is a test here, under the same name."""

import ast
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import proto
from harness.node_vm import NodeVM

TESTS = Path(__file__).parent
# Each in a node of its own, all at the same time: a node has one processor, and its clock does not mind who else uses
# the machine's.
FILES = ("by_the_daemon.py", "by_libvirtd.py")


def names(file: str) -> list[str]:
    tree = ast.parse((TESTS / "node_vm" / file).read_text())
    return [node.name for node in tree.body if getattr(node, "name", "").startswith("test_")]


# The kernel's command line leaves process 1 little of an environment.
RUN = f"""
export NODE_SHARED BULKHEAD_ACCEL=tcg BULKHEAD_BIN={proto.BIN} BULKHEAD_GUEST={proto.GUEST} BULKHEAD_CACHE={proto.CACHE}
export PYTHONDONTWRITEBYTECODE=1
cd {TESTS}
{sys.executable} -m pytest -p node_vm.world --timeout=300 --junitxml=/tmp/report.xml -v node_vm/{{file}}
cat /tmp/report.xml >/dev/vport*
"""


@pytest.fixture(scope="module")
def reports(layout, tool):
    """What came of each check, by its file: None, or how it failed."""
    with ThreadPoolExecutor(len(FILES)) as pool:
        running = {file: pool.submit(report, file, layout, tool) for file in FILES}
    return running


def report(file: str, layout, tool) -> dict[str, str | None]:
    vm = boot(file, layout, tool)
    try:
        for _ in range(2):
            if vm.panicked():
                # Seen once in a dozen boots, by what seems to be QEMU's fault: see docs/development.md.
                warnings.warn(f"the node's own kernel panicked, and is booted again: {vm.said()}")
                vm.close()
                vm = boot(file, layout, tool)
        assert vm.report.stat().st_size, f"the checks did not run: {vm.said()}"
        results = {case.get("name"): outcome(case) for case in ElementTree.parse(vm.report).iter("testcase")}
        return {name: text and f"{text}\n{vm.said()}" for name, text in results.items()}
    finally:
        vm.close()


def boot(file: str, layout, tool) -> NodeVM:
    """A node in which the checks of the file have run."""
    vm = NodeVM()
    try:
        archive = f"docker-archive:{vm.shared}/image.tar:localhost/test/plain:1"
        subprocess.run(["skopeo", "copy", "--quiet", f"oci:{layout}:plain", archive], check=True)
        (vm.shared / "net").write_bytes(Path(tool).read_bytes())
        (vm.shared / "net").chmod(0o755)
        (vm.shared / "run").write_text(RUN.format(file=file))
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
@pytest.mark.parametrize("file, check", [(file, check) for file in FILES for check in names(file)])
def test_in_the_node(reports, file, check):
    results = reports[file].result()
    assert check in results, f"{check} did not run"
    if results[check]:
        pytest.fail(results[check], pytrace=False)
