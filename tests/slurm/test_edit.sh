#!/usr/bin/env bash
# ctest: TIMEOUT 600
# slurm/edit.sbatch and slurm/chain.sh under a real Slurm of two nodes on this host: a run in many short allocations, with a killed
# step, a signal and a drained node, must end with the weights of an uninterrupted run.
# Arguments: none. Environment: RLSEDIT, MPIRUN (words), SOURCE, WORK.
set -euo pipefail
: "${RLSEDIT:?is set by ctest}" "${MPIRUN:?}" "${SOURCE:?}" "${WORK:?}"
read -ra mpirun <<<"$MPIRUN"
export MPIRUN=${mpirun[0]} # the scripts' own options shall do
unset CONFIG MODEL EDITS RUN SLURM_JOB_ID OMPI_MCA_rmaps_base_oversubscribe
cd -- "$WORK"
shopt -s nullglob

config=$SOURCE/configs/atlas.yaml model=$SOURCE/tests/data/atlas stream=$SOURCE/tests/data/atlas-stream.nc
edited='model-00001-of-00002.safetensors' # holds layers 0 and 1
edits=300
# The nodes share this host's cores, and the place where ranks of one node meet in shared memory.
export BIND=none RANKS_PER_NODE=2 THREADS=1 RLSEDIT
export OMPI_MCA_pml=ob1 OMPI_MCA_btl=tcp,self OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_oob_tcp_if_include=lo

cluster=$(mktemp -d "/tmp/rlsedit-slurm.XXXXXX")
mkdir -- "$cluster/tmp"
export SLURM_CONF=$cluster/slurm.conf TMPDIR=$cluster/tmp # where killed MPI programs leave their session's files
deadline=$((SECONDS + 570))
clean_up() {
    "$SOURCE/tests/slurm/cluster.sh" stop "$cluster" || true
    rm -rf -- "$cluster"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

note() { echo "[$SECONDS s] $*"; }
die() {
    local file
    echo "FAILED: $*" >&2
    for file in *.log "$cluster"/slurm*.log; do
        echo "--- ${file##*/}:" && tail -n 60 "$file"
    done >&2
    [ ! -e "$SLURM_CONF" ] || squeue -o '%i %j %T %r %N %S' >&2 || true
    exit 1
}
# until_so SECONDS WHAT COMMAND...: waits for it.
until_so() {
    local what=$2 end=$((SECONDS + $1))
    [ "$end" -le "$deadline" ] || end=$deadline
    shift 2
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || die "not in time: $what"
        sleep 0.2
    done
}
# field JOB NAME: of scontrol's record.
field() { scontrol -o show job "$1" | grep -oE "(^| )$2=[^ ]*" | sed 's/^[^=]*=//'; }
over() { case $(field "$1" JobState) in COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL) true ;; *) false ;; esac; }
# in_allocation JOB K: its K-th allocation, from 0, or a later one, has begun to run.
in_allocation() {
    ! over "$1" || die "job $1 has ended: $(field "$1" JobState)"
    [ "$(field "$1" Restarts)" -ge "$2" ] && [ "$(field "$1" JobState)" = RUNNING ]
}
again_or_over() { over "$1" || in_allocation "$1" 1; }
segments() { find "$1/stream" -maxdepth 1 -name 'segment-*[0-9].nc' 2>/dev/null | wc -l; }
has_segments() { [ "$(segments "$1")" -ge "$2" ]; }
# values FILE NAME: all numbers that a JSON file has under a name.
values() { grep -oE "\"$2\": *[^,}]+" "$1" | sed -E 's/^[^:]*: *//'; }
allocations() { grep -c ' ranks on .* nodes' "$1"; }

# same RUN: the weights of the uninterrupted run, every edit once.
same() {
    local a b
    for name in delta_norm weight_norm objective; do
        paste <(values "$1/summary.json" $name) <(values whole/summary.json $name) >figures
        [ "$(wc -l <figures)" = 2 ] || die "$1: not two layers' $name"
        while read -r a b; do
            LC_ALL=C awk -v a="$a" -v b="$b" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(b > 0 && d <= 1e-12 * b) }' ||
                die "$1: $name is $a, and $b without interruption"
        done <figures
    done
    # Rounded to BF16, weights that differ by about 1e-13 differ once in about 1e5 runs; these data always give the same.
    cmp "$1/model/$edited" whole/model/$edited ||
        die "$1: $(cmp -l "$1/model/$edited" whole/model/$edited | wc -l) bytes of the model differ from the uninterrupted run's"
    [ "$(values "$1/log.jsonl" edits)" = "$(seq "$batch" "$batch" $edits)" ] || die "$1/log.jsonl: not every batch once"
    [ "$(segments "$1")" = $((edits / batch)) ] || die "$1/stream: $(segments "$1") segments"
}

# The uninterrupted run; from its time follows how long an allocation may be. A fast machine gets smaller batches.
whole() {
    batch=$1
    settings=(--set "batch=$batch" --set state.step=1 --set "checkpoint.every_edits=$batch" --set checkpoint.keep=2 --set checkpoint.max_share=0)
    local start=${EPOCHREALTIME/./}
    rm -rf whole
    timeout 120 "${mpirun[@]}" -n 4 "$RLSEDIT" edit "$config" -m "$model" -s "$stream" -r whole "${settings[@]}" -q ||
        die "the uninterrupted run"
    tenths=$(((${EPOCHREALTIME/./} - start) / 100000))
}
whole 4
[ "$tenths" -ge 100 ] || whole 2
[ "$tenths" -ge 100 ] || whole 1
note "uninterrupted, in batches of $batch: $((tenths / 10)) s"
# Beginning and ending take about 5 s; then work for a fifth of all.
seconds=$((5 + (tenths + 49) / 50))

"$SOURCE/tests/slurm/cluster.sh" start "$cluster" || die "no Slurm"
note "Slurm runs: $(sinfo -h -N -o '%N %T' | paste -sd ' ')"

# submit NODES RUN [OPTION...]: its number in $job; the job's own words in RUN.log.
submit() {
    local nodes=$1 run=$2
    shift 2
    job=$(sbatch --parsable --nodes="$nodes" --time=10 --signal=B:USR1@30 --output="$run.log" "$SOURCE/slurm/edit.sbatch" \
        "$config" "$model" "$stream" "$run" "${settings[@]}" "$@")
}

# One run on two nodes, then one.
while :; do
    WALLTIME=$seconds submit 1-2 main
    note "allocations of $seconds s"
    until_so 90 "a second allocation" again_or_over "$job"
    over "$job" || break
    # Faster than the uninterrupted run promised: other programs were at work then.
    if [ "$(field "$job" JobState)" != COMPLETED ] || [ "$seconds" -le 3 ]; then
        die "job $job: $(field "$job" JobState)"
    fi
    seconds=$((seconds - 1))
    rm -rf main main.log
done
done_before=$(segments main)
[ "$done_before" -gt 0 ] || die "the first allocation did nothing"
until_so 60 "edits in the second allocation" has_segments main $((done_before + 2))
note "killing the step of allocation 2, after $(segments main) batches"
scancel --signal=KILL "$job.0" || die "no step to kill"
until_so 60 "a third allocation" in_allocation "$job" 2
grep -q 'as when a process or a node is lost' main.log || die "the killed step was not noticed"
done_before=$(segments main)
until_so 60 "edits in the third allocation" has_segments main $((done_before + 1))
scontrol update nodename=node2 state=drain reason=test
note "node2 drains; SIGUSR1 to the batch script, after $(segments main) batches"
scancel --batch --signal=USR1 "$job"
until_so 60 "a fourth allocation" in_allocation "$job" 3
grep -q 'SIGUSR1: stopping after this batch' main.log || die "SIGUSR1 did not come through"
until_so 200 "the end of the run" over "$job"
note "ended after $(allocations main.log) allocations"
[ "$(field "$job" JobState)" = COMPLETED ] || die "job $job: $(field "$job" JobState), $(field "$job" ExitCode)"
[ "$(allocations main.log)" -ge 4 ] || die "only $(allocations main.log) allocations"
grep -q 'stopped for the walltime' main.log || die "no allocation stopped for the walltime"
grep -q '4 ranks on 2 nodes' main.log || die "no allocation had two nodes"
grep ' ranks on ' main.log | tail -n 1 | grep -q ' 2 ranks on 1 nodes' || die "the last allocation had not one node"
[ ! -e main.slurm ] || die "main.slurm is left"
same main
scontrol update nodename=node2 state=resume

# What is no reason to go on. A wrong model fails at once; a run that comes no further is given up after three allocations.
model=$WORK/nothing submit 1 wrong
wrong=$job
WALLTIME=1 submit 1 fruitless
fruitless=$job
until_so 60 "the end of the run without a model" over "$wrong"
[ "$(field "$wrong" JobState) $(field "$wrong" Restarts)" = 'FAILED 0' ] || die "the run without a model was not a failure at once"
case $(field "$wrong" ExitCode) in
2:0 | 3:0 | 5:0) ;;
*) die "the run without a model: exit code $(field "$wrong" ExitCode)" ;;
esac

# Cancelled by the user: not requeued. A chain of jobs then goes on with it, stops when it is finished, and leaves none waiting.
submit 1 chain
until_so 60 "edits of the run to be cancelled" has_segments chain 1
scancel "$job"
until_so 60 "the end of the cancelled job" over "$job"
[ "$(field "$job" JobState) $(field "$job" Restarts)" = 'CANCELLED 0' ] || die "cancelled: $(field "$job" JobState)"
done_before=$(segments chain)
note "cancelled after $done_before batches; a chain goes on"
readarray -t links < <("$SOURCE/slurm/chain.sh" 6 --nodes=1 --time=10 --signal=B:USR1@30 --output=chain-%j.log -- \
    "$config" "$model" "$stream" chain "${settings[@]}")
[ ${#links[@]} = 6 ] || die "chain.sh submitted ${#links[@]} jobs"
until_so 60 "edits of the chain's first job" has_segments chain $((done_before + 2))
scancel --batch --signal=USR1 "${links[0]}"
until_so 200 "the end of the chain" over "${links[5]}"
codes=$(for job in "${links[@]}"; do field "$job" ExitCode; done | paste -sd ' ')
note "the chain's exit codes: $codes"
[ "$codes" = '85:0 0:0 0:0 0:0 0:0 0:0' ] || die "the chain's exit codes are $codes"
[ "$(field "${links[2]}" JobState) $(field "${links[5]}" JobState)" = 'CANCELLED CANCELLED' ] ||
    die "the jobs of the chain after its end were not cancelled"
same chain

until_so 60 "the end of the fruitless run" over "$fruitless"
[ "$(field "$fruitless" JobState) $(field "$fruitless" Restarts) $(field "$fruitless" ExitCode)" = 'FAILED 2 1:0' ] ||
    die "the fruitless run: $(field "$fruitless" JobState), $(field "$fruitless" Restarts) restarts"
grep -q '3 allocations in a row came no further' fruitless.log || die "the fruitless run does not say why it ends"
note "all as it should be"
