#!/usr/bin/env bash
# For sites where jobs cannot requeue themselves: slurm/edit.sbatch as a chain of jobs, each after the one before.
set -euo pipefail

usage() {
    cat <<'END'
Usage: slurm/chain.sh LENGTH [sbatch option]... -- CONFIG MODEL EDITS RUN [option of rlsedit edit]...

Submits LENGTH jobs of slurm/edit.sbatch. Each waits for the end of the one before, whatever that was, and goes on with the run.
When the run is finished, fails, or comes no further in three jobs in a row, the jobs that still wait are cancelled.
Prints the jobs' numbers. The variables of edit.sbatch may be set in the environment. Cancelling one job makes the next go on;
cancel all by their name: scancel --name=NAME.

Example: slurm/chain.sh 12 --time=06:00:00 --nodes=2-8 -- configs/70b.yaml /models/70b edits.nc run70b
END
}
case ${1:-} in
-h | --help) usage && exit 0 ;;
esac
[[ ${1:-} =~ ^[1-9][0-9]*$ ]] || { usage >&2 && exit 2; }
length=$1
shift
options=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    options+=("$1")
    shift
done
[ $# -eq 0 ] || shift

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# By the name, a job finds those that wait for it; the number is the chain's own.
RLSEDIT_CHAIN=chain-$(date +%s)-$$
export RLSEDIT_CHAIN
before=()
for ((i = 1; i <= length; i++)); do
    if ! job=$(sbatch --parsable --no-requeue "${options[@]}" --job-name="rlsedit-$RLSEDIT_CHAIN" "${before[@]}" \
        "$here/edit.sbatch" "$@"); then
        echo "slurm/chain.sh: $((i - 1)) of $length jobs were submitted; those stay" >&2
        exit 1
    fi
    job=${job%%;*}
    echo "$job"
    before=(--dependency="afterany:$job")
done
