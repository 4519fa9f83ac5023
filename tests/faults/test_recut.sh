#!/usr/bin/env bash
# ctest: NP 2 TIMEOUT 600 LABELS np2
# A recorded stream of single edits in steps of several batches: killed, stopped and gone on with, also with its log cut within a
# step; to the bit. And against the same stream stepped batch by batch.
set -euo pipefail
# shellcheck source=tests/faults/lib.sh
. "${SOURCE:?}/tests/faults/lib.sh"
settings=(--set batch=1 --set state.step=0 --set checkpoint.every_edits=100)
reference 2 reference "${settings[@]}"
cd "$WORK"
run=$WORK/run
step=$(values "$WORK/reference/run.json" step)
[ "$step" = 25 ] || die "a step of $step edits, not 25"
[ "$(find reference/stream -name 'segment-*.nc' | wc -l)" = 12 ] || die 'not a segment a step'
[ "$(batches reference)" = 300 ] || die 'not a line a batch'
[ "$(values reference/summary.json batches)" = 300 ] || die 'not 300 batches in the summary'
whole_log() { # RUN: every batch has its figures, and the clock goes on
    ! grep -q '"lost"' "$1/log.jsonl" || die "$1/log.jsonl: lines are lost"
    [ "$(values "$1/log.jsonl" delta_norm | wc -l)" = 600 ] || die "$1/log.jsonl: not all figures"
}
whole_log reference
launch alone inspect --verify "$WORK/reference"
succeeds 'inspect --verify'
grep -qF '300 edits in 300 batches' "$WORK/out" || die "inspect: $(cat "$WORK/out")"

# --- batch by batch: the same but for rounding
begin 2 "$WORK/narrow" --set batch=1 --set checkpoint.every_edits=100
succeeds 'the run batch by batch'
[ "$(find narrow/stream -name 'segment-*.nc' | wc -l)" = 300 ] || die 'batch by batch: not a segment a batch'
for name in innovation_before innovation_after delta_norm delta_bound objective trace smallest_pivot; do
    paste <(values reference/log.jsonl $name) <(values narrow/log.jsonl $name) | LC_ALL=C awk -v name=$name '
        { d = $1 - $2; if (d < 0) d = -d; if (d > worst * $2) worst = d / $2 }
        END { printf "%s: apart by %.1e\n", name, worst; exit !(NR == 600 && worst <= 1e-9) }' ||
        die "the log's $name differs"
done
close_states reference/checkpoints/step-000000200/layer-00.nc narrow/checkpoints/step-000000200/layer-00.nc 1e-12
close_states reference/checkpoints/step-000000200/layer-01.nc narrow/checkpoints/step-000000200/layer-01.nc 1e-12
echo "states apart by $(cat "$WORK/apart")"

# --- killed before, while and after a step is committed, and in a checkpoint; 25, 75, ... edits are done
for fault in segment.write:kill:1:2 segment.rename:kill:0:3 segment.done:kill:1:1 checkpoint.manifest:kill:0:1 segment.done:kill:0:2; do
    RLSEDIT_FAULT=$fault begin 2 "$run" --resume "${settings[@]}"
    [ "$code" -gt 85 ] || die "$fault: exit code $code"
    gone "$run"
    [ "$(($(values "$run/log.jsonl" edits | tail -n 1) % step))" = 0 ] || die "$fault: the log ends within a step"
    launch alone inspect --verify "$run" # lines of the last step may be missing
    succeeds "inspect --verify after $fault"
done
resume 2 "$run"
succeeds 'the run after the kills'
judge "$run" reference
whole_log "$run"
undamaged "$run"

# --- killed after three steps
rm -rf "$run"
RLSEDIT_FAULT=segment.write:stall:0:4 start 2 "${new[@]}" "${settings[@]}" --run "$run"
logged "$run" 75
mapfile -t pids < <(ranks_of "$run")
kill -9 "$job" "${pids[@]}"
ended
gone "$run"

# --- killed while it logs a step: the lines that it had written stay, the others come
cp -r "$run" torn
lines=$(batches torn)
mv torn/log.jsonl log
head -n $((lines - 7)) log >torn/log.jsonl
head -c 100 <(tail -n 7 log) >>torn/log.jsonl
launch alone inspect --verify "$WORK/torn"
succeeds 'inspect --verify of a log cut within a step'
resume 2 "$WORK/torn"
succeeds 'the run with its log cut within a step'
judge torn reference
whole_log torn
head -n $((lines - 7)) log | cmp -s - <(head -n $((lines - 7)) torn/log.jsonl) || die 'lines that were there are other ones'

# --- gone on with on other ranks, in other steps and in other batches
goes_on() { # RANKS STEP ARGUMENT...: close to the reference
    local ranks=$1 wanted=$2 name i found expected
    shift 2
    rm -rf on
    cp -r "$run" on
    resume "$ranks" "$WORK/on" "$@"
    succeeds "going on with $*"
    whole on
    [ "$(values on/summary.json step)" = "$wanted" ] || die "going on with $*: a step of $(values on/summary.json step), not $wanted"
    for name in delta_norm objective fit_error; do
        mapfile -t found < <(values on/summary.json $name)
        mapfile -t expected < <(values reference/summary.json $name)
        for i in 0 1; do
            close_to "${found[i]}" "${expected[i]}" 1e-10 || die "going on with $*: $name is ${found[i]}, not ${expected[i]}"
        done
    done
    launch alone inspect --verify "$WORK/on"
    succeeds "inspect --verify after going on with $*"
}
goes_on 1 25
goes_on 3 25
goes_on 2 40 --set state.step=40
goes_on 2 1 --set state.step=1
goes_on 2 21 --set batch=7
goes_on 2 50 --set batch=50
resume 2 "$run"
judge "$run" reference

# --- the journal of a run in steps is a stream like any other
launch 2 edit "$config" -q --model "$model" --stream "$WORK/reference/stream" --run "$WORK/replayed" "${settings[@]}"
succeeds 'a replay of the journal'
judge replayed reference
echo 'recut: ok'
