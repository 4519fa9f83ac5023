#!/usr/bin/env bash
# ctest: NP 2 TIMEOUT 300 LABELS np2
# The disk gets full, files get too large, the directory may not be written any more, or is gone: a clear message from rank 0, exit
# code 5, no rank left waiting, and what was committed before is still good: with the cause removed the run goes on to its end.
set -euo pipefail
# shellcheck source=tests/faults/lib.sh
. "${SOURCE:?}/tests/faults/lib.sh"
np=2
settings=(--set batch=10 --set checkpoint.every_edits=100 --set checkpoint.keep=1)
reference $np reference "${settings[@]}"

# stopped_by TEXT WHAT: the last launch, which ended with an I/O error in time.
stopped_by() {
    fails 5 "$1" "$2"
    [ $((SECONDS - started)) -le 20 ] || die "$2: took $((SECONDS - started)) s"
    gone "$run"
    launch alone inspect --verify "$run"
    succeeds "inspect --verify after: $2"
}
# ends WHAT: the cause is removed.
ends() {
    resume $np "$run"
    succeeds "resuming after: $1"
    judge "$run" "$WORK/reference"
    undamaged "$run"
    rm -rf "$run"
    echo "survived: $1"
}
checkpoints() { find "$run/checkpoints" -name 'step-*' 2>/dev/null | wc -l; }

# A file system of so many MiB. A segment has 90 KiB, a checkpoint 18 MiB, the model 6 MiB.
mounted=
unmount() {
    [ -z "$mounted" ] || umount -l "$mounted"
    mounted=
}
trap 'unmount; close_down' EXIT
mkdir "$WORK/small"
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=1m none "$WORK/small" 2>/dev/null; then
    mounted=$WORK/small
    run=$WORK/small/run
    full() { # MiB CHECKPOINTS WHAT ARGUMENT...
        local size=$1 expected=$2 what=$3
        shift 3
        mount -o "remount,size=$size" "$WORK/small"
        started=$SECONDS
        begin $np "$run" "${settings[@]}" "$@"
        stopped_by 'No space left on device' "$what"
        [ "$(checkpoints)" = "$expected" ] || die "$what: $(checkpoints) checkpoints, expected $expected"
        [ "$(find "$run" -name '*.partial' -size +0 | wc -l)" = 0 ] || echo "note: $what leaves $(find "$run" -name '*.partial')"
        mount -o remount,size=100m "$WORK/small"
        ends "$what"
    }
    full 64k 0 'a disk full in the first segments'
    full 1m 0 'a disk full in a later segment'
    full 10m 0 'a disk full in the first checkpoint'
    full 32m 1 'a disk full in the second checkpoint'
    full 24m 1 'a disk full in the export' --set checkpoint.every_edits=250
    unmount
else
    echo 'not root, or no mounts here: without a full disk'
fi

# Files of rank 0 may not get larger than so many KiB, and other ranks know nothing of it. (Not those of MPI's shared memory, which is not used therefore.)
run=$WORK/limited
limited() { # KiB CHECKPOINTS WHAT ARGUMENT...
    local size=$1 expected=$2 what=$3
    shift 3
    started=$SECONDS
    # shellcheck disable=SC2016 # that is for the inner shell
    program=(bash -c '[ "${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-0}}" != 0 ] || ulimit -f "$1"; shift && exec "$@"'
        limited "$size" "$RLSEDIT")
    OMPI_MCA_btl=self,tcp begin $np "$run" "${settings[@]}" "$@"
    program=("$RLSEDIT")
    stopped_by 'File too large' "$what"
    [ "$(checkpoints)" = "$expected" ] || die "$what: $(checkpoints) checkpoints, expected $expected"
    ends "$what"
}
limited 64 0 'a limit that no segment fits'
limited 4096 0 'a limit that no checkpoint fits'
limited 2048 0 'a limit that no model fits' --set checkpoint.every_edits=1000

# The following happens while the ranks stand still, after so many batches.
at_batch() { # COUNT COMMAND...: starts a run, stops its ranks there, does it, and lets them go on.
    local ranks
    logged "$run" "$1"
    shift
    mapfile -t ranks < <(ranks_of "$run")
    kill -STOP "${ranks[@]}"
    "$@"
    kill -CONT "${ranks[@]}"
    started=$SECONDS
    ended
}
small=(--set batch=2 --set checkpoint.every_edits=100)

run=$WORK/removed
start $np "${new[@]}" "${small[@]}" --run "$run"
at_batch 5 rm -rf "$run"
fails 5 'No such file or directory' 'a run directory that was removed'
[ $((SECONDS - started)) -le 20 ] || die "a run directory that was removed: took $((SECONDS - started)) s"
gone "$run"
[ ! -e "$run" ] || die 'a run directory that was removed is there again'
echo 'survived: a run directory that was removed'

# Permissions hold for root only as somebody else.
if [ "$(id -u)" != 0 ]; then
    as=()
elif command -v setpriv >/dev/null; then
    as=(setpriv --reuid 65534 --regid 65534 --clear-groups env "HOME=$scratch")
else
    echo 'root, and no setpriv: without permissions'
    exit 0
fi
# Where anybody can read and write.
mkdir "$scratch/run" "$scratch/tmp"
cp -r "$config" "$model" "$stream" "$scratch" && cp "$RLSEDIT" "$scratch/rlsedit"
chmod -R a+rX "$scratch"
chmod a+rwx "$scratch" "$scratch/run" "$scratch/tmp"
export TMPDIR=$scratch/tmp OMPI_MCA_orte_tmpdir_base=$scratch/tmp OMPI_MCA_btl_vader_backing_directory=$scratch/tmp
RLSEDIT=$scratch/rlsedit
program=("$RLSEDIT")
mpirun=("${as[@]}" "${mpirun[@]}")
new=("$scratch/atlas.yaml" --model "$scratch/atlas" --stream "$scratch/atlas-stream.nc")
forbid() { # WHERE WHAT
    run=$scratch/run/forbidden
    start $np "${new[@]}" "${settings[@]}" --run "$run"
    at_batch 3 chmod a-w "$run/$1"
    stopped_by 'Permission denied' "$2"
    chmod u+w "$run/$1"
    ends "$2"
}
forbid stream 'a journal that may not be written any more'
forbid . 'a run directory that may not be written any more'
run=$scratch/run/never/run
mkdir -m 555 "$scratch/run/never"
started=$SECONDS
begin $np "$run" "${settings[@]}"
fails 5 'Permission denied' 'a directory in which no run can be made'
echo "disk: ok"
