#!/usr/bin/env bash
# The unit tests. Built without optimization, so that overflow checks and assertions are on.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$root"
# For the tests of the gRPC transport against C-core.
BULKHEAD_PYTHON=$(venv_python)
export BULKHEAD_PYTHON
scripts/step.sh build-tests 'Building the unit tests' swift build --build-tests
printf '==> Unit tests\n'
# Ours are Swift Testing; without this the run would close with XCTest's "Executed 0 tests".
exec swift test --skip-build --disable-xctest "$@"
