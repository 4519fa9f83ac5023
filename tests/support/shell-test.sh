#!/usr/bin/env bash
# Runs one end-to-end test in an empty directory, which stays for inspection when the test fails.
set -euo pipefail
script=$1
shift
: "${WORK:?is set by ctest}"
rm -rf -- "$WORK"
mkdir -p -- "$WORK"
cd -- "$WORK"
bash "$script" "$@"
cd /
rm -rf -- "$WORK"
