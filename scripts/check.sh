#!/usr/bin/env bash
# What is checked without running anything: Swift's format and lint, shell and Python scripts, and
# that nothing of the machine it was written on is in the repository.
# shellcheck disable=SC2317 # check calls the functions by their names
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$root"
failed=0

check() {
  local what=$1
  shift
  if output=$("$@" 2>&1); then
    printf '    ok      %s\n' "$what"
  else
    printf '    FAILED  %s\n%s\n' "$what" "$output"
    failed=1
  fi
}

# Generated code is what the generators make; it is not formatted.
swift_files() { git ls-files '*.swift' | grep -vE '\.(pb|grpc)\.swift$'; }
shell_files() { git ls-files '*.sh' .ci/run; }

lint_swift() { swift_files | xargs swift format lint --strict --parallel --configuration .swift-format; }
parse_shell() { shell_files | xargs -n 1 bash -n; }
lint_shell() { shell_files | xargs shellcheck -x; }
compile_python() {
  git ls-files '*.py' | xargs python3 -c \
    'import ast, sys; [ast.parse(open(path, encoding="utf-8").read(), path) for path in sys.argv[1:]]'
}

# Paths that exist on one machine only, and the place that this project's notes come from.
no_machine_paths() {
  ! git grep -nIE '(^|[^a-zA-Z0-9_.-])(/work/|/root/|/Users/|\.\./shared)' -- ':!scripts/check.sh'
}

# A generated file that was edited by hand, or a .proto without its code.
protos_have_code() {
  local proto
  for proto in $(git ls-files '*.proto'); do
    if [ ! -e "${proto%.proto}.pb.swift" ] || [ ! -e "${proto%.proto}.grpc.swift" ]; then
      echo "$proto: run make protos"
      return 1
    fi
  done
}

printf '==> Checks\n'
check 'Swift format and lint' lint_swift
check 'shell scripts parse' parse_shell
if command -v shellcheck >/dev/null; then check 'shellcheck' lint_shell; fi
check 'Python files parse' compile_python
check 'no paths of one machine' no_machine_paths
check 'every .proto has its code' protos_have_code
exit "$failed"
