#!/usr/bin/env bash
# python.sh ARGUMENTS...: Python with the packages of scripts/requirements.txt.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
python=$(venv_python)
[ -x "$python" ] || die "the Python environment is missing: run make setup"
export PYTHONDONTWRITEBYTECODE=1
exec "$python" "$@"
