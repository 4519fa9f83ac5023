#!/usr/bin/env bash
# ctest: NP 2 TIMEOUT 600 LABELS np2
# Stopping in every way, and resuming: on the same and on other grids, with what may be changed and with what may not; finished and
# unborn runs; replay; one run at a time; what is pruned.
set -euo pipefail
# shellcheck source=tests/faults/lib.sh
. "${SOURCE:?}/tests/faults/lib.sh"
settings=(--set checkpoint.every_edits=100)
reference 2 reference "${settings[@]}"
small=(--set batch=3 --set checkpoint.every_edits=60)
reference 2 small "${small[@]}"

state() { sums "$1" | grep -v '/\.lock$'; }
# refused CODE TEXT RUN RANKS ARGUMENT...: resuming it that way is refused, and changes nothing.
refused() {
    local expected=$1 text=$2 run=$3 ranks=$4 before
    shift 4
    before=$(state "$run")
    resume "$ranks" "$run" "$@"
    fails "$expected" "$text" "resuming with $*"
    [ "$(state "$run")" = "$before" ] || die "resuming with $*: a refused run was changed"
}

# --- a finished run, and none
cp -r reference finished
before=$(state "$WORK/finished")
resume 2 "$WORK/finished"
succeeds 'resuming a finished run'
[ "$(state "$WORK/finished")" = "$before" ] || die 'resuming a finished run changed it'
begin 2 "$WORK/finished" --resume=never
fails 2 'exists with something in it' 'a new run in the place of a finished one'
begin 2 "$WORK/finished"
fails 2 'exists with something in it' 'a new run without --resume'
[ "$(state "$WORK/finished")" = "$before" ] || die 'a refused new run changed the finished one'
resume 2 "$WORK/none"
fails 2 'CONFIG is missing' 'resuming what is not there'
[ ! -e "$WORK/none" ] || die 'resuming what is not there made something'
resume 2 "$WORK/finished" --resume=soon
fails 2 '--resume=soon' 'resuming from no step'

# --- stopping: the exit code is 85, all that was applied is in a checkpoint, and the rest follows to the bit
run=$WORK/stopped
stopped() { # TEXT WHAT
    [ "$code" = 85 ] || die "$2: exit code $code"
    grep -qF "$1" "$WORK/err" || die "$2: does not say \"$1\""
    ! grep -q '^rlsedit: error' "$WORK/err" || die "$2: an error"
    gone "$run"
    local edits
    edits=$(values "$run/log.jsonl" edits | tail -n 1)
    [ "$edits" -lt 300 ] || die "$2: came too late"
    [ "$edits" = 0 ] || [ -e "$run/checkpoints/step-$(printf %09d "$edits")/manifest.json" ] ||
        die "$2: no checkpoint of $edits edits"
}
goes_on() { # WHAT ARGUMENT...
    local what=$1
    shift
    resume 2 "$run" "$@"
    succeeds "going on after: $what"
    judge "$run" "$WORK/small"
    undamaged "$run"
    rm -rf "$run"
    echo "stopped: $what"
}
by_signal() { # SIGNAL WHICH WHAT
    local pids
    start 2 "${new[@]}" "${small[@]}" --run "$run"
    logged "$run" 7
    mapfile -t pids < <(ranks_of "$run")
    kill "-$1" "${pids[$2]}"
    ended
    stopped "stopped by signal" "$3"
    goes_on "$3"
}
by_signal USR1 0 'SIGUSR1 to a rank'
by_signal TERM 1 'SIGTERM to another rank'

start 2 "${new[@]}" "${small[@]}" --run "$run"
logged "$run" 7
kill -USR1 "$job"
ended
stopped 'stopped by signal' 'SIGUSR1 to mpirun'
# and once more
start 2 --resume --run "$run"
logged "$run" $(($(batches "$run") + 7))
kill -USR1 "$job"
ended
stopped 'stopped by signal' 'SIGUSR1 to mpirun, twice'
goes_on 'SIGUSR1 to mpirun, twice'

# mpirun gives the ranks a second, or less: they end in good order, or as if killed.
start 2 "${new[@]}" "${small[@]}" --run "$run"
logged "$run" 7
kill -TERM "$job"
ended
[ "$code" != 0 ] || die 'SIGTERM to mpirun: exit code 0'
gone "$run"
goes_on 'SIGTERM to mpirun'

start 2 "${new[@]}" "${small[@]}" --run "$run"
logged "$run" 7
touch "$run/STOP"
ended
stopped "$run/STOP" 'the file STOP'
resume 2 "$run"
stopped "$run/STOP" 'the file STOP, still there'
rm "$run/STOP"
goes_on 'the file STOP'

parts=0
begin 2 "$run" --set batch=1 --set checkpoint.every_edits=2 --walltime 00:00:04
while [ "$code" = 85 ]; do
    parts=$((parts + 1))
    stopped 'stopped for the walltime' 'the walltime'
    [ "$parts" -lt 60 ] || die 'the walltime: no progress'
    resume 2 "$run" --set checkpoint.every_edits=20 --walltime 00:00:05
done
succeeds 'the last part of a run in pieces'
[ "$parts" -gt 0 ] || die 'the walltime: was not met'
reference 2 single --set batch=1 --set checkpoint.every_edits=1000
judge "$run" "$WORK/single"
rm -rf "$run"
echo "stopped: the walltime, $parts times"
begin 2 "$run" --walltime soon
fails 2 '--walltime soon' 'a walltime that is none'
[ ! -e "$run" ] || die 'a walltime that is none: a run was made'

# --- what may not change, and what may; 150 edits in segments of 50, one checkpoint
RLSEDIT_FAULT=segment.write:error:0:4 begin 2 "$WORK/half" "${settings[@]}"
fails 5 'injected fault' 'the interrupted run'
refused 2 'editor.lambda' "$WORK/half" 2 --set editor.lambda=2
refused 2 'editor.mu' "$WORK/half" 2 --set editor.mu=2
refused 2 'state.dtype' "$WORK/half" 2 --set state.dtype=float32
refused 2 'model.layers' "$WORK/half" 2 --set 'model.layers=[1]'
refused 2 'anchor.weight' "$WORK/half" 2 --set anchor.weight=7
refused 3 'there is no checkpoint of step 150' "$WORK/half" 2 --resume=150
cp -r "$model" changed
flip "$WORK/changed/model-00002-of-00002.safetensors"
refused 3 'the model has changed' "$WORK/half" 2 --model "$WORK/changed"
cp "$stream" changed.nc
flip "$WORK/changed.nc" 2000000
refused 3 'the stream has changed' "$WORK/half" 2 --stream "$WORK/changed.nc"
refused 3 'missing.nc' "$WORK/half" 2 --stream "$WORK/missing.nc"
echo 'refused: whatever changes the result'

# The inputs may have moved; a step may be named either way; more checkpoints may be kept.
mkdir other
cp -r "$model" "$stream" other
cp -r half moved
resume 2 "$WORK/moved" --resume=step-000000100 --model "$WORK/other/atlas" --stream "$WORK/other/atlas-stream.nc" --set checkpoint.keep=1
succeeds 'resuming with inputs that moved'
judge "$WORK/moved" "$WORK/reference"
cp -r half config
begin 2 "$WORK/config" --resume=100 "${settings[@]}"
succeeds 'resuming with the same config given again'
judge "$WORK/config" "$WORK/reference"

# Other numbers of ranks, grids and blocks: to 1e-12, in the state of a checkpoint that both write. And to and fro.
elsewhere() { # RANKS ARGUMENT...
    local ranks=$1 run=$WORK/elsewhere name i found wanted
    shift
    rm -rf "$run"
    cp -r half elsewhere
    resume "$ranks" "$run" --set checkpoint.every_edits=100 "$@"
    succeeds "resuming on $ranks ranks with $*"
    whole "$run"
    for i in 0 1; do
        close_states "$run/checkpoints/step-000000200/layer-0$i.nc" "$WORK/reference/checkpoints/step-000000200/layer-0$i.nc" 1e-12
        echo "resumed on $ranks ranks $*: layer $i is apart by $(cat "$WORK/apart")"
    done
    for name in delta_norm weight_norm; do
        mapfile -t found < <(values "$run/summary.json" $name)
        mapfile -t wanted < <(values "$WORK/reference/summary.json" $name)
        for i in 0 1; do
            close_to "${found[i]}" "${wanted[i]}" 1e-12 || die "on $ranks ranks: $name is ${found[i]}, not ${wanted[i]}"
        done
    done
}
elsewhere 1
elsewhere 4
elsewhere 3 --set 'grid.shape=[3, 1]' --set grid.block=37
elsewhere 2 --set 'grid.shape=[2, 1]' --set grid.block=16

# --- replay: the journal is a stream
launch 2 edit "$config" -q --model "$model" --stream "$WORK/reference/stream" --run "$WORK/replayed" "${settings[@]}"
succeeds 'a replay of the journal'
judge "$WORK/replayed" "$WORK/reference"
launch 2 edit "$config" -q --model "$model" --stream "$WORK/small/stream" --run "$WORK/recut" "${settings[@]}"
succeeds 'a replay of a journal in other batches'
judge "$WORK/recut" "$WORK/reference"
echo 'replayed'

# --- one at a time
RLSEDIT_FAULT=segment.write:stall:0:3 start 2 "${new[@]}" --set checkpoint.every_edits=1000 --run "$run"
logged "$run" 2
before=$(sums "$run")
resume 2 "$run"
fails 2 'another run is at work in this directory' 'a second run at once'
begin 2 "$run" --resume "${settings[@]}"
fails 2 'another run is at work in this directory' 'a second run at once, with everything given'
[ "$(sums "$run")" = "$before" ] || die 'a second run at once changed something'
mapfile -t pids < <(ranks_of "$run")
kill -9 "$job" "${pids[@]}"
ended
gone "$run"
resume 2 "$run"
succeeds 'a run after one that was killed with the lock'
judge "$run" "$WORK/reference"
rm -rf "$run"
echo 'locked'

# --- what is kept
kept() { # WHAT STEP...
    local what=$1
    shift
    [ "$(find "$run/checkpoints" -mindepth 1 -printf '%f\n' | grep -v '^layer\|^manifest' | LC_ALL=C sort | tr '\n' ' ')" = "$(printf 'step-%09d ' "$@")" ] ||
        die "$what: kept $(find "$run/checkpoints" -mindepth 1 | tr '\n' ' ')"
    rm -rf "$run"
}
begin 2 "$run" --set batch=10 --set checkpoint.every_edits=30 --set checkpoint.keep=2
kept 'keep 2' 240 270
begin 2 "$run" --set batch=10 --set checkpoint.every_edits=30 --set checkpoint.keep=1 --set checkpoint.keep_every=60
kept 'keep 1 and every 60' 60 120 180 240 270
begin 2 "$run" --set batch=10 --set checkpoint.every_edits=30 --set checkpoint.keep=2 --set checkpoint.keep_every=90
kept 'keep 2 and every 90' 90 180 240 270
begin 2 "$run" --set batch=10 --set checkpoint.every_edits=0
succeeds 'a run without checkpoints'
[ ! -e "$run/checkpoints" ] || kept 'none'
echo "resume: ok"
