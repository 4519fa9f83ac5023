# For tests of what a run survives: starting, killing and resuming runs, and judging what they leave behind. To be sourced.
# shellcheck shell=bash
# shellcheck source=tests/cli/lib.sh
. "${SOURCE:?}/tests/cli/lib.sh"
cd "$WORK" || exit
# A copy: an exported model's unedited files are links to the original's, and some of these tests damage what they find.
cp -r "$SOURCE/tests/data/atlas" "$WORK/atlas"
# Checkpoints when they are due, also where a loaded disk makes them slow. A step a batch, so that a test says where a run is.
config=$WORK/atlas.yaml
{
    sed "s|\.\./tests/data|$SOURCE/tests/data|; s|dtype: float64|&\n  step: 1|" "$SOURCE/configs/atlas.yaml"
    printf 'checkpoint:\n  max_share: 0\n'
} >"$config"
model=$WORK/atlas stream=$SOURCE/tests/data/atlas-stream.nc
edits=300            # in the stream
record=$((8 + 2 * 4 * (1024 + 128))) # bytes of one edit in it, and in a segment: case_id, keys and values of two layers

# What killed launchers leave behind must not pile up in /dev/shm and /tmp.
scratch=$(mktemp -d "${TMPDIR:-/tmp}/rls.XXXXXX")
export TMPDIR=$scratch OMPI_MCA_orte_tmpdir_base=$scratch OMPI_MCA_btl_vader_backing_directory=$scratch

# Processes at work in a run directory: all; the ranks. The launcher has the same words, but not first.
at_work() { pgrep -f -- " --run $1( |\$)"; }
ranks_of() { pgrep -f -- "^$RLSEDIT edit .*--run $1( |\$)"; }
close_down() {
    local pid
    for pid in $(at_work "$WORK/[^ ]*" || true); do kill -9 "$pid" 2>/dev/null || true; done
    rm -rf -- "$scratch"
}
trap close_down EXIT

# gone RUN: every process of the run has ended, within 20 s.
gone() {
    local i
    for ((i = 0; i < 200; i++)); do
        at_work "$1" >/dev/null || return 0
        sleep 0.1
    done
    die "$1: processes are left: $(at_work "$1" | tr '\n' ' ')"
}

# A new run, or the run gone on with. RUN is absolute: it is what processes are found by.
new=("$config" --model "$model" --stream "$stream")
begin() { # RANKS RUN ARGUMENT...
    local ranks=$1 run=$2
    shift 2
    launch "$ranks" edit "${new[@]}" -q "$@" --run "$run"
}
resume() { # RANKS RUN ARGUMENT..., of which the first may be --resume=...
    local ranks=$1 run=$2 how=--resume
    shift 2
    case ${1:-} in --resume*) how=$1 && shift ;; esac
    launch "$ranks" edit -q "$how" "$@" --run "$run"
}
# start RANKS ARGUMENT...: rlsedit edit in the background; the launcher's process is $job, its output in bg.out and bg.err.
start() {
    local ranks=$1
    shift
    "${mpirun[@]}" -n "$ranks" "$RLSEDIT" edit -q "$@" >"$WORK/bg.out" 2>"$WORK/bg.err" </dev/null &
    job=$!
}
# ended: waits for it; its exit code in $code.
ended() {
    code=0
    { wait "$job" || code=$?; } 2>/dev/null # bash would tell of the kill
    cp "$WORK/bg.out" "$WORK/out"
    cp "$WORK/bg.err" "$WORK/err"
}
# batches RUN: how many it has logged. logged RUN COUNT: waits until it has so many.
batches() { if [ -e "$1/log.jsonl" ]; then wc -l <"$1/log.jsonl"; else echo 0; fi; }
logged() {
    local i
    for ((i = 0; i < 3000; i++)); do
        [ "$(batches "$1")" -lt "$2" ] || return 0
        kill -0 "$job" 2>/dev/null || break
        sleep 0.01
    done
    [ "$(batches "$1")" -lt "$2" ] || return 0
    die "$1: has not come to batch $2"
}
succeeds() { [ "$code" = 0 ] || die "$*: exit code $code"; }
# fails CODE TEXT WHAT: how the last launch ended, told once.
fails() {
    [ "$code" = "$1" ] || die "$3: exit code $code, expected $1"
    [ "$(grep -c '^rlsedit: error: ' "$WORK/err")" = 1 ] || die "$3: not one message"
    grep -F 'rlsedit: error: ' "$WORK/err" | grep -qF -- "$2" || die "$3: the message is without \"$2\""
}

# reference RANKS NAME ARGUMENT...: an uninterrupted run in $WORK/NAME, itself judged against the stream.
reference() {
    local ranks=$1 name=$2
    shift 2
    begin "$ranks" "$WORK/$name" "$@"
    succeeds "the uninterrupted run $name"
    whole "$WORK/$name"
}

# journal RUN: the records of all its segments, one after the other.
journal() {
    local segment
    for segment in "$1"/stream/segment-*.nc; do
        tail -c $(($(values "${segment%.nc}.json" edits) * record)) "$segment"
    done
}
# journaled RUN: the batches in its journal.
journaled() {
    local segment
    for segment in "$1"/stream/segment-*.json; do
        echo $((($(values "$segment" edits) + $(values "$segment" batch) - 1) / $(values "$segment" batch)))
    done | awk '{ batches += $1 } END { print batches }'
}
# whole RUN: the journal is the stream, every edit once and in its place (keys, values and case_id, to the bit); the log has a
# line a batch; and nothing half-written is left.
whole() {
    journal "$1" | cmp -s - <(tail -c $((edits * record)) "$stream") || die "$1: its journal is not the stream"
    values "$1/log.jsonl" batch | cmp -s - <(seq "$(journaled "$1")") ||
        die "$1/log.jsonl: not a line a batch: $(values "$1/log.jsonl" batch | tr '\n' ' ')"
    [ "$(values "$1/log.jsonl" edits | tail -n 1)" = "$edits" ] || die "$1/log.jsonl: does not end with $edits edits"
    [ -z "$(find "$1" -name '*.partial')" ] || die "$1: left half-written: $(find "$1" -name '*.partial' | tr '\n' ' ')"
}
# judge RUN REFERENCE: the same model and figures to the bit, and whole.
judge() {
    local name
    diff -r "$1/model" "$2/model" >"$WORK/out" || die "$1: another model than $2"
    whole "$1"
    for name in delta_norm weight_norm delta_bound objective fit_error; do
        [ "$(values "$1/summary.json" $name)" = "$(values "$2/summary.json" $name)" ] ||
            die "$1/summary.json: another $name than $2"
    done
}
undamaged() {
    [ -z "$(find "$1" -name '*.damaged*')" ] || die "$1: set aside: $(find "$1" -name '*.damaged*' | tr '\n' ' ')"
}

# flip FILE [OFFSET]: inverts one bit, by default of the byte in the middle.
flip() {
    local offset=${2:-$(($(stat -c %s "$1") / 2))} byte
    byte=$(od -A n -t u1 -j "$offset" -N 1 "$1")
    patch "$1" "$offset" "$(printf %02x $((byte ^ 4)))"
}

# close_states FILE FILE BOUND: the numbers of two layers' files: ||a - b|| <= BOUND ||b||, for C and for X.
numbers() { tail -c $((8 * 1024 * (1024 + 128))) "$1" | od --endian=big -A n -v -w8 -t f8; }
close_states() {
    paste <(numbers "$1") <(numbers "$2") | LC_ALL=C awk -v bound="$3" '
        { d[NR > 1048576] += ($1 - $2) ^ 2; b[NR > 1048576] += $2 ^ 2 }
        END {
            for (i = 0; i < 2; i++)
                printf "%s %.2e ", i ? "X" : "C", sqrt(d[i] / b[i])
            exit !(NR == 1179648 && d[0] <= bound ^ 2 * b[0] && d[1] <= bound ^ 2 * b[1])
        }' >"$WORK/apart" || die "$1 and $2 are apart by $(cat "$WORK/apart")"
}
