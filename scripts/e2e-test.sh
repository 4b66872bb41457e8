#!/usr/bin/env bash
# e2e-test.sh [ARGUMENTS OF PYTEST...]: the end-to-end tests on what `make build` built. Arguments
# choose tests, for example: scripts/e2e-test.sh test_pods.py -k prefix
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
need_root 'Starting virtual machines in network namespaces of their own'
printf '==> End-to-end tests\n'
cd "$root/Tests/EndToEnd"
exec "$root/scripts/python.sh" -m pytest "$@"
