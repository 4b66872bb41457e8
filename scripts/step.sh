#!/usr/bin/env bash
# step.sh NAME WHAT COMMAND...: runs a command that takes long and shows that it lives: what it does,
# the time that has passed and, on a terminal, the last line it printed. Everything it prints goes to
# build/log/NAME.log, whose end is shown if it fails.
set -uo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
[ $# -ge 3 ] || die "usage: step.sh NAME WHAT COMMAND..."
name=$1 what=$2
shift 2

log=$root/build/log/$name.log
mkdir -p "$(dirname "$log")"
SECONDS=0

elapsed() { printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }

show_progress() {
  local last width
  while sleep 1; do
    if [ -t 1 ]; then
      width=$(($(tput cols 2>/dev/null || echo 100) - ${#what} - 16))
      last=$(tail -n 1 "$log" 2>/dev/null | tr -cd '[:print:]' | cut -c1-$((width > 10 ? width : 10)))
      printf '\r\033[K    %s  %s  %s' "$(elapsed)" "$what" "$last"
    elif [ $((SECONDS % 30)) = 0 ]; then
      printf '    %s  %s ...\n' "$(elapsed)" "$what"
    fi
  done
}

printf '==> %s\n' "$what"
"$@" >"$log" 2>&1 </dev/null &
command=$!
show_progress &
progress=$!
# Ctrl-C ends the command and what it started, not only this wrapper.
trap 'kill "$progress" "$command" 2>/dev/null; wait "$command" 2>/dev/null; exit 130' INT TERM
wait "$command"
status=$?
kill "$progress" 2>/dev/null
wait "$progress" 2>/dev/null
[ -t 1 ] && printf '\r\033[K'
if [ "$status" != 0 ]; then
  tail -n 60 "$log"
  printf 'error: %s failed after %s; all of its output is in %s\n' "$what" "$(elapsed)" "${log#"$root"/}" >&2
  exit "$status"
fi
printf '    done in %s\n' "$(elapsed)"
