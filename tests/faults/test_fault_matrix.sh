#!/usr/bin/env bash
# ctest: NP 1 TIMEOUT 300 NAME np1 LABELS np1 ARGS chain 1 error
# ctest: NP 2 TIMEOUT 300 NAME np2 LABELS np2 ARGS chain 2 error kill
# ctest: NP 2 TIMEOUT 300 NAME np4 LABELS np4 ARGS chain 4 kill
# ctest: NP 2 TIMEOUT 3600 NAME long LABELS long ARGS each 1 2 4 error kill
# Every phase of `rlsedit help faults` fails or dies, and the run is gone on with.
#
# chain RANKS ACTION...: all phases in one run, each part of which ends in the next fault.
# each RANKS... ACTION...: a run for each phase, on its first and its second occasion, on the first and on the last rank.
set -euo pipefail
# shellcheck source=tests/faults/lib.sh
. "${SOURCE:?}/tests/faults/lib.sh"

# fault PHASE ACTION RANK OCCURRENCE LAUNCH...: launches with a fault. Returns 1 when it did not come to pass.
fault() {
    local phase=$1 action=$2 rank=$3 occurrence=$4 started=$SECONDS what="$1:$2:$3:$4"
    shift 4
    RLSEDIT_FAULT=$phase:$action:$rank:$occurrence "$@"
    [ $((SECONDS - started)) -le 20 ] || die "$what: took $((SECONDS - started)) s"
    gone "$3"
    [ "$code" != 0 ] || return 1
    if [ "$action" = error ]; then
        fails 5 "injected fault at $phase" "$what"
    else
        [ "$code" -gt 85 ] || die "$what: exit code $code of a killed run"
    fi
}

# Phases in an order in which each is met, with the occurrence: 30 batches, and room for one checkpoint.
chain_settings=(--set batch=10 --set checkpoint.every_edits=40 --set checkpoint.keep=1)
chain_phases=(segment.write:3 resume.open:1 resume.replay:1 segment.digest:1 segment.manifest:1 segment.rename:1 segment.done:1
    checkpoint.begin:1 checkpoint.layer:2 checkpoint.digest:1 checkpoint.rename:1 checkpoint.manifest:1 checkpoint.done:1
    resume.load:1 prune.manifest:1 prune.files:1 export.begin:1 export.rename:1 export.done:1 summary.write:1)
# These only rank 0 comes to.
on_root() {
    case $1 in
    segment.manifest | segment.rename | checkpoint.rename | checkpoint.manifest | prune.* | export.rename | summary.write | \
        resume.open) return 0 ;;
    *) return 1 ;;
    esac
}

chain() {
    local np=$1 action=$2 run=$WORK/$2-$1 i=0 item phase rank
    for item in "${chain_phases[@]}"; do
        phase=${item%:*}
        rank=$((++i % np))
        ! on_root "$phase" || rank=0
        if [ $i = 1 ]; then
            fault "$phase" "$action" "$rank" "${item#*:}" begin "$np" "$run" "${chain_settings[@]}" ||
                die "$phase: was not met"
        else
            fault "$phase" "$action" "$rank" "${item#*:}" resume "$np" "$run" || die "$phase: was not met"
        fi
    done
    resume "$np" "$run"
    succeeds "the run after $i faults"
    judge "$run" "$WORK/reference-$np"
    undamaged "$run"
    [ "$(find "$run/checkpoints" -name 'step-*' | wc -l)" = 1 ] ||
        die "$run: checkpoints left: $(find "$run/checkpoints" -name 'step-*' | tr '\n' ' ')"
    rm -rf "$run"
    echo "np $np, $action: $i faults in a row"
}

each() {
    local np=$1 action=$2 phase rank occurrence run ranks=0 met=0
    [ "$np" = 1 ] || ranks="0 $((np - 1))"
    for phase in $phases; do
        for rank in $ranks; do
            if [ "$rank" -gt 0 ] && on_root "$phase"; then
                continue
            fi
            for occurrence in 1 2; do
                run=$WORK/$phase-$action-$np-$rank-$occurrence
                case $phase in
                resume.*) fault segment.rename kill 0 7 begin "$np" "$run" "${chain_settings[@]}" || die "segment.rename: was not met" ;;
                *) fault "$phase" "$action" "$rank" $occurrence begin "$np" "$run" "${chain_settings[@]}" && met=$((met + 1)) || code=none ;;
                esac
                case $phase in
                resume.*) fault "$phase" "$action" "$rank" $occurrence resume "$np" "$run" && met=$((met + 1)) || code=none ;;
                esac
                # What is done once in a launch has no second occasion.
                if [ "$code" = none ] && [ $occurrence = 1 ]; then
                    die "$phase on rank $rank: was not met"
                fi
                resume "$np" "$run"
                succeeds "$run"
                judge "$run" "$WORK/reference-$np"
                undamaged "$run"
                rm -rf "$run"
            done
        done
    done
    echo "np $np, $action: $met faults, each in its own run"
}

how=$1
shift
phases=$("${mpirun[@]}" -n 1 "$RLSEDIT" help faults | awk '$1 !~ /^moments/ { print $1 }') # those: tests/cli/test_moments.sh
for phase in $phases; do
    case " ${chain_phases[*]}" in *" $phase:"*) ;; *) die "$phase: is in no chain" ;; esac
done
counts=() actions=()
for word; do
    case $word in [0-9]*) counts+=("$word") ;; *) actions+=("$word") ;; esac
done
for np in "${counts[@]}"; do
    reference "$np" "reference-$np" "${chain_settings[@]}"
    for action in "${actions[@]}"; do
        "$how" "$np" "$action"
    done
done
echo "fault matrix: ok"
