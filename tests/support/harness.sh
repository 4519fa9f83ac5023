#!/usr/bin/env bash
# A test that cannot fail is no test: each failure of test_collective must be reported, and end every rank in time.
set -euo pipefail
program=$1
sanitized=$2
shift 2
launch=("$@")
fails() {
    local mode=$1 expected=$2 output status=0
    output=$(RLS_TEST_SECONDS=${3:-60} timeout 120 "${launch[@]}" 3 "$program" "$mode" 2>&1) || status=$?
    if [ "$status" -eq 0 ] || [ "$status" -eq 2 ] || [ "$status" -eq 124 ]; then
        printf '%s\n%s: exit status %s\n' "$output" "$mode" "$status"
        exit 1
    elif ! grep -qE -- "$expected" <<<"$output"; then
        printf '%s\n%s: output without "%s"\n' "$output" "$mode" "$expected"
        exit 1
    fi
    echo "$mode: fails as it should (exit status $status)"
}
fails true 'failed on 1 of 3 ranks, first on rank 1: world_rank\(\) != 1'
fails int 'failed on 2 of 3 ranks, first on rank 1: .*: 1 and 0'
fails nan 'failed on 1 of 3 ranks, first on rank 1: .*: nan against 1'
fails status 'first on rank 1: .*"bad input data" instead of "success"'
fails local 'rank 1 of 3: test test_local: an assert failed on this rank'
fails crash 'signal 11|Segmentation fault|SEGV'
fails hang 'rank [02] of 3: watchdog: still in test test_hang|rank 1 of 3: watchdog: still in test test_hang' 5
if [ "$sanitized" = ON ]; then
    fails leak 'Direct leak of 12345 byte'
fi
