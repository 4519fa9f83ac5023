#!/usr/bin/env bash
# Runs one end-to-end test in an empty directory, which stays for inspection when the test fails. 77: the test was not run.
set -euo pipefail
script=$1
shift
: "${WORK:?is set by ctest}"
rm -rf -- "$WORK"
mkdir -p -- "$WORK"
cd -- "$WORK"
code=0
bash "$script" "$@" || code=$?
[ "$code" = 0 ] || [ "$code" = 77 ] || exit "$code"
cd /
rm -rf -- "$WORK"
exit "$code"
