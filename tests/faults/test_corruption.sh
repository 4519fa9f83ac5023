#!/usr/bin/env bash
# ctest: NP 2 TIMEOUT 600 LABELS np2
# One bit inverted in, half cut from, or nothing left of every kind of file of a run directory: `rlsedit inspect --verify` names
# the file; resuming falls back to what is sound, and comes to the same weights, or refuses, and changes nothing; and what was
# damaged is kept.
set -euo pipefail
# shellcheck source=tests/faults/lib.sh
. "${SOURCE:?}/tests/faults/lib.sh"
np=2
settings=(--set checkpoint.every_edits=100)
reference $np finished "${settings[@]}"
# 250 edits in five segments, checkpoints of 100 and 200.
RLSEDIT_FAULT=segment.write:error:0:6 begin $np "$WORK/stopped" "${settings[@]}"
fails 5 'injected fault' 'the interrupted run'

damage() { # HOW FILE
    case $1 in
    flipped) flip "$2" ;;
    cut) truncate -s $(($(stat -c %s "$2") / 2)) "$2" ;;
    emptied) : >"$2" ;;
    esac
}

# verified RUN FILE: inspect --verify tells of this file and of no other, with exit code 3. Without FILE: nothing is wrong.
verified() {
    launch alone inspect --verify "$1"
    if [ $# = 1 ]; then
        succeeds "inspect --verify $1"
    else
        [ "$code" = 3 ] || die "inspect --verify: exit code $code for a damaged $2"
        cat "$WORK/out" "$WORK/err" >"$WORK/said"
        grep -qF -- "$2" "$WORK/said" || die "inspect --verify: does not name $2"
    fi
}

# case_of BASE HOW FILE EXPECTED: refused, or what is set aside (a name in the run directory; none: nothing, as nothing reads it).
cases=0
case_of() {
    local base=$1 how=$2 file=$3 expected=$4 run=$WORK/run before
    rm -rf "$run"
    cp -r "$WORK/$base" "$run" # not with -l: files of the model are the original's under another name
    damage "$how" "$run/$file"
    before=$(sums "$run")
    cp "$run/$file" "$WORK/damaged"
    verified "$run" "$file"
    [ "$(sums "$run")" = "$before" ] || die "inspect --verify changed the run"
    resume $np "$run"
    if [ "$expected" = refused ]; then
        fails 3 "$file" "resuming with $file $how"
        [ "$(sums "$run" | grep -v '/\.lock$')" = "$(grep -v '/\.lock$' <<<"$before")" ] ||
            die "$file $how: a refused run was changed"
    else
        succeeds "resuming with $file $how"
        judge "$run" "$WORK/finished"
        cmp "$WORK/damaged" "$run/$expected" || die "$file $how: is not kept as $expected"
        grep -qF 'rlsedit: warning: ' "$WORK/err" || die "$file $how: nothing is said of it"
        grep -F 'rlsedit: warning: ' "$WORK/err" | grep -qF "${file%.*}" || grep -qF "${file%/*}" "$WORK/err" ||
            die "$file $how: is not named when resuming"
        verified "$run"
    fi
    cases=$((cases + 1))
}

for how in flipped cut emptied; do
    for file in config.yaml run.json; do
        case_of stopped $how $file refused
        case_of finished $how $file refused
    done
    case_of stopped $how log.jsonl log.jsonl.damaged
    for segment in 0 4; do
        for ending in nc json; do
            case_of stopped $how stream/segment-00000$segment.$ending stream/segment-00000$segment.$ending.damaged
        done
    done
    for file in layer-00.nc layer-01.nc manifest.json; do
        case_of stopped $how checkpoints/step-000000200/$file checkpoints/step-000000200.damaged/$file
    done
    case_of finished $how summary.json summary.json.damaged
    for file in model-00001-of-00002.safetensors model-00002-of-00002.safetensors config.json tokenizer.json; do
        case_of finished $how model/$file model.damaged/$file
    done
done

# Everything at once that can be fallen back from, and then nothing but the model it began with.
run=$WORK/run
rm -rf "$run"
cp -r "$WORK/stopped" "$run"
for file in checkpoints/step-000000100/layer-01.nc checkpoints/step-000000200/manifest.json stream/segment-000003.nc log.jsonl; do
    damage flipped "$run/$file"
done
resume $np "$run"
succeeds 'resuming with four damaged files'
judge "$run" "$WORK/finished"
verified "$run"

# Files beside the segments that are none are neither applied nor harmed: copies under other names, and what is no netCDF.
run=$WORK/run
rm -rf "$run"
cp -r "$WORK/stopped" "$run"
cp "$run/stream/segment-000002.nc" "$run/stream/segment-000002 (copy).nc"
echo 'not a netCDF file' >"$run/stream/segment-0000.nc"
cp "$run/stream/segment-000001.nc" "$run/stream/segment-100000000.nc"
launch alone inspect --verify "$run"
[ "$code" = 3 ] || die "inspect --verify: exit code $code with a segment that follows nothing"
resume $np "$run"
succeeds 'resuming beside stray files'
grep -qF 'no segments of this journal' "$WORK/err" || die 'stray files are not told'
cmp "$run/stream/segment-000002 (copy).nc" "$WORK/stopped/stream/segment-000002.nc"
cmp "$run/stream/segment-100000000.nc.damaged" "$WORK/stopped/stream/segment-000001.nc"
rm "$run/stream/segment-000002 (copy).nc" "$run/stream/segment-0000.nc"
judge "$run" "$WORK/finished"

# A journal of other edits, sound in itself, is refused: its cases are not the run's.
cp "$stream" "$WORK/other.nc"
patch "$WORK/other.nc" $(($(stat -c %s "$stream") - edits * record)) 0000000000abcdef # the first edit's case_id
RLSEDIT_FAULT=segment.write:error:0:6 launch $np edit "$config" --model "$model" --stream "$WORK/other.nc" -q \
    "${settings[@]}" --run "$WORK/foreign"
fails 5 'injected fault' 'the interrupted run of other edits'
rm -rf "$run"
cp -r "$WORK/stopped" "$run"
rm -r "$run/stream"
cp -r "$WORK/foreign/stream" "$run/stream"
resume $np "$run"
fails 3 'this journal is not of this run' "another run's journal"

# A step that is named is not silently another; a damaged checkpoint is skipped for an older one, and that for none.
cp -r "$WORK/stopped" "$WORK/named"
damage flipped "$WORK/named/checkpoints/step-000000200/layer-00.nc"
resume $np "$WORK/named" --resume=200
fails 3 'no sound checkpoint of step 200' 'a damaged step by its name'
resume $np "$WORK/named" --resume=100
succeeds 'an older step by its name'
judge "$WORK/named" "$WORK/finished"

# What a run that died while it was being born leaves is no obstacle; a directory of something else is.
mkdir "$WORK/unborn" "$WORK/other"
: >"$WORK/unborn/.lock"
cp "$config" "$WORK/unborn/config.yaml"
begin $np "$WORK/unborn" --resume "${settings[@]}"
succeeds 'a run in the place of one that never had a run.json'
judge "$WORK/unborn" "$WORK/finished"
cp "$config" "$WORK/other/config.yaml"
begin $np "$WORK/other" --resume "${settings[@]}"
fails 2 'exists with something in it' "a directory with somebody's config.yaml"
cmp "$config" "$WORK/other/config.yaml"
echo "corruption: ok: $cases damaged files"
