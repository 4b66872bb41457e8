#!/usr/bin/env bash
# unit-test.sh [ARGUMENTS OF swift test...]: the unit tests, all of them or those that the arguments choose.
# Built without optimization, so that overflow checks and assertions are on.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$root"
# For the tests of the gRPC transport against C-core.
BULKHEAD_PYTHON=$(venv_python)
export BULKHEAD_PYTHON
scripts/step.sh build-tests 'Building the unit tests' swift build --build-tests

# Ours are Swift Testing; without this the run would close with XCTest's "Executed 0 tests".
run() { timeout --foreground -k 10 1200 swift test --skip-build --disable-xctest "$@" || ended $?; }
ended() {
  [ "$1" != 124 ] || printf 'error: these tests had not ended after 20 minutes: a test that started and neither passed nor failed hangs\n' >&2
  exit "$1"
}

if [ $# -gt 0 ]; then
  printf '==> Unit tests\n'
  run "$@"
  exit
fi

# One group after the other: Swift Testing starts all tests of a run at once on as many threads as there are
# processors, and those that fuzz or convert for seconds would starve those that wait for a peer or a machine.
# The exit test is alone, because Swift Testing looks for its end among all children of the process, and spins
# while another child of the process, a container's or a decoder's, waits to be reaped.
exits='^ImagesTests\.CrashTests/aKilledPull'
transports='^(GRPCNGHTTP2Tests|StreamingTests)\.'
guests='^(AgentTests|AgentCoreTests|ContainerInitTests)\.'
machines='^(LibvirtHypervisorTests|VsockDeviceTests)\.'
printf '==> Unit tests: transports\n'
run --filter "$transports"
printf '==> Unit tests: the agent\n'
run --filter "$guests"
printf '==> Unit tests: machines and their devices\n'
run --filter "$machines"
printf '==> Unit tests: a pull whose process is killed\n'
run --filter "$exits"
printf '==> Unit tests: everything else\n'
run --skip "$transports" --skip "$guests" --skip "$machines" --skip "$exits"
