#!/usr/bin/env bash
# Checks that a file of src/<room> includes only from its own room or one to its left:
#   base -> grid -> linalg -> {editor, store} -> {tokenizer, corpus} -> llm -> {live, eval, moments, inspect}
#        -> {run, report} -> cli
# and that BLAS, PBLAS and ScaLAPACK are called in linalg only, BLACS in grid only.
set -euo pipefail
cd -- "$1"
floor() {
    case $1 in
    base) echo 0 ;; grid) echo 1 ;; linalg) echo 2 ;; editor | store) echo 3 ;;
    tokenizer | corpus) echo 4 ;; llm) echo 5 ;; live | eval | moments | inspect) echo 6 ;; run | report) echo 7 ;;
    cli) echo 8 ;; *) echo -1 ;;
    esac
}
wrong=0
complain() {
    printf '%s\n' "$1"
    wrong=1
}
files=$(find src -name '*.[ch]' | sort)
[ -n "$files" ] || { echo "no sources under $1/src"; exit 1; }
for file in $files; do
    room=${file#src/}
    room=${room%%/*}
    here=$(floor "$room")
    [ "$here" -ge 0 ] || complain "$file: src/$room is not a room"
    while read -r included; do
        case $included in
        rlsedit/*) continue ;;
        */*) ;;
        *) complain "$file includes \"$included\": write it from src, as \"$room/$included\"" && continue ;;
        esac
        there=$(floor "${included%%/*}")
        if [ "$there" -lt 0 ]; then
            complain "$file includes \"$included\", which is in no room"
        elif [ "$there" -gt "$here" ] || { [ "$there" -eq "$here" ] && [ "${included%%/*}" != "$room" ]; }; then
            complain "$file includes \"$included\": $room may not use ${included%%/*}"
        fi
    done < <(sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"([^"]+)".*/\1/p' "$file")
    if [ "$room" != linalg ] && grep -nE '\bp?[sd](gemm|gemv|syrk|symm|symv|trsm|ger|syr|potrf|potri|potrs|trtri|axpy|gemr2d)_\b' "$file"; then
        complain "$file calls BLAS or ScaLAPACK: only linalg does"
    fi
    if [ "$room" != grid ] && [ "$room" != linalg ] && grep -nE '\bC(sys2blacs|free_blacs|blacs_)' "$file"; then
        complain "$file calls BLACS: only grid does"
    fi
done
[ "$wrong" -eq 0 ] && echo "rooms in order: $(wc -l <<<"$files") files"
exit "$wrong"
