#!/usr/bin/env bash
# ctest: NP 3
# rlsedit inspect from end to end: text and JSON, without mpirun and with it, refusals once and with their exit code.
set -euo pipefail
: "${RLSEDIT:?}" "${MPIRUN:?}" "${SOURCE:?}"
read -ra mpirun <<<"$MPIRUN"
data=$SOURCE/tests/data

die() {
    echo "inspect: $*" >&2
    cat out err >&2
    exit 1
}

# run CODE RANKS ARGUMENT...: inspects on so many ranks, or "alone".
run() {
    local code=$1 ranks=$2 got=0 launch=()
    shift 2
    what="rlsedit inspect $* on $ranks ranks"
    [ "$ranks" = alone ] || launch=("${mpirun[@]}" -n "$ranks")
    timeout 60 "${launch[@]}" "$RLSEDIT" inspect "$@" >out 2>err || got=$?
    [ "$got" = "$code" ] || die "$what: exit code $got, expected $code"
    if [ "$code" = 0 ]; then
        [ ! -s err ] || die "$what: something on stderr"
    else
        [ ! -s out ] || [ "${output:-}" = yes ] || die "$what: something on stdout"
        [ "$(grep -c '^rlsedit: error: ' err)" = 1 ] || die "$what: not one message"
    fi
}

# says TEXT...: each in one line of the output, where runs of spaces count as one.
says() {
    local text
    for text; do
        [ "$(tr -s ' ' <out | grep -cF -- "$text")" = 1 ] || die "$what: not once \"$text\""
    done
}

# safetensors FILE HEADER: a file of a header and no data.
safetensors() {
    local length=${#2}
    # shellcheck disable=SC2059 # the format is made here
    printf "$(printf '\\x%02x\\x%02x\\0\\0\\0\\0\\0\\0' $((length % 256)) $((length / 256)))%s" '' >"$1"
    printf '%s' "$2" >>"$1"
}

for ranks in alone 1 3; do
    run 0 "$ranks" "$data/atlas"
    says ": a model of type llama ([out, in] weights)" " 3131008 parameters in 57 tensors, 6.0 MiB in 2 files" \
        " types: BF16 x 57" " model.embed_tokens.weight BF16 [2048, 128] x 1" \
        " model.layers.{0-5}.mlp.down_proj.weight BF16 [128, 1024] x 6"
    [ "$(grep -c ' x [0-9]*$' out)" = 13 ] || die "$what: not 12 patterns and a line of types"
    run 0 "$ranks" "$data/atlas-stream.nc"
    says ": a stream of 300 edits, 2.6 MiB in 1 file" " module model.layers.{}.mlp.down_proj" \
        " values target" " batch 50" " case ids yes" " 0 1024 128 float32 float32" " 1 1024 128 float32 float32"
    run 3 "$ranks" nowhere
    grep -qF "rlsedit: error: nowhere: No such file or directory; looked for a model directory" err || die "$what"
done

# Two runs of the same, text and JSON, on any number of ranks, agree.
run 0 alone --json "$data/atlas"
mv out json
run 0 3 "$data/atlas" --json
cmp out json || die "$what: other JSON than alone"
says '"kind": "model",' '"layout": "linear",' '"BF16": 57' '"name": "model.layers.5.mlp.down_proj.weight",'

# Numbers are gathered, texts and shapes are kept apart, control characters don't reach the terminal.
none='"dtype":"F16","shape":[0],"data_offsets":[0,0]'
safetensors odd.safetensors "{\"e.0.x.7\":{$none},\"e.2.x.7\":{$none},\"e.1.x.7\":{$none},\"e.4.x.9\":{$none},\
\"e.00.y\":{$none},\"e.0.y\":{$none},\"e.1.y\":{\"dtype\":\"F16\",\"shape\":[0,1],\"data_offsets\":[0,0]},\
\"z\\u001b[2J\\u0001\\\"\":{$none},\"12\":{$none},\"99999999999999999999\":{$none}}"
run 0 alone odd.safetensors
says ": a safetensors file" " 0 parameters in 10 tensors" " e.{0-2,4}.x.{7,9} F16 [0] x 4" " e.00.y F16 [0] x 1" \
    " e.0.y F16 [0] x 1" " e.1.y F16 [0, 1] x 1" ' z?[2J?" F16 [0] x 1' " 12 F16 [0] x 1" \
    " 99999999999999999999 F16 [0] x 1"
run 0 alone --json odd.safetensors
says '"name": "z\u001B[2J\u0001\"",'

# A run: what `rlsedit edit` shows at its end is what inspect shows, and an unfinished one is told.
code=0
timeout 120 "${mpirun[@]}" -n 2 "$RLSEDIT" edit "$SOURCE/configs/atlas.yaml" --model "$data/atlas" \
    --stream "$data/atlas-stream.nc" --run run1 --verify >table 2>err || code=$?
: >out
[ "$code" = 0 ] || die "rlsedit edit: exit code $code"
run 0 alone run1
cmp out table || die "$what: another table than rlsedit edit's"
says "run1: a finished run" " 300 edits in 6 batches" " 2 ranks (grid 1 x 2, blocks of 64), state in float64," \
    " layer n x m ||D|| bound ||W|| relative fit error identity stationarity" " edited model: run1/model"
[ "$(grep -cE '^ +[01] +1024 x 128( +[0-9.e+-]+){7}$' out)" = 2 ] || die "$what: no line for each layer"
run 0 3 run1 -j
says '"state": "finished",' '"model": "run1/model",' '"last_batch": {' '"summary": {'
run 0 alone run1/model
says ": a model of type llama ([out, in] weights)" " types: BF16 x 57"
mv run1/summary.json summary.json
printf '{"batch": 7, "ed' >>run1/log.jsonl
run 0 3 run1
says "run1: an unfinished run, interrupted, " " 300 edits in 6 batches so far" " layer ||D|| bound E before after" \
    " --resume goes on from the model and applies 6 batches of the journal again" " journal: 6 segments, 300 edits, 2.6 MiB"
run 0 3 run1 --verify # what a kill leaves is no damage
says " verified: every checksum holds"

# All damage is listed, and the first is the error; without --verify what is seen of it is no error.
mv summary.json run1/summary.json
output=yes
run 3 2 run1 --verify
says " run1/log.jsonl: ends within a line"
sed -i '$d' run1/log.jsonl
printf x | dd of=run1/stream/segment-000002.nc bs=1 seek=5000 conv=notrunc status=none
cp run1/model/config.json copy && mv copy run1/model/config.json # it is a link to the source's
truncate -s 100 run1/model/config.json
echo '#' >>run1/config.yaml
run 0 alone run1
says " run1/config.yaml: is damaged or edited: its checksum in run.json differs"
for ranks in alone 3; do
    run 3 "$ranks" run1 --verify
    says " run1/config.yaml: is damaged or edited: its checksum in run.json differs" \
        " run1/stream/segment-000002.nc: is damaged: the checksum of bytes 0 to " " run1/model/config.json: has 100 bytes, not "
    grep -qF "rlsedit: error: run1/config.yaml: is damaged or edited: its checksum in run.json differs (and 2 more problems)" err || die "$what"
    run 3 "$ranks" run1 --verify --json
    says '"verified": false' '"problem": "has 100 bytes, not '
done
unset output
run 2 alone --verify "$data/atlas"
grep -qF "$data/atlas: has no checksums to verify" err || die "$what"

# Damage is told once, by the file it is in.
head -c 1000000 "$data/atlas-stream.nc" >cut.nc
run 3 3 cut.nc
grep -qF "rlsedit: error: cut.nc is truncated" err || die "$what"
mkdir half && cp "$data/atlas/model.safetensors.index.json" "$data/atlas/model-00001-of-00002.safetensors" half
run 3 3 half
grep -qF "shard 'model-00002-of-00002.safetensors'" err || die "$what"
run 2 alone
grep -qF "rlsedit: error: inspect: missing argument: expected PATH" err || die "$what"
run 0 alone --help
says "usage: rlsedit inspect" "example:"
echo "inspect: ok"
