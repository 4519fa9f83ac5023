#!/usr/bin/env bash
# ctest: NP 4
# `rlsedit moments` as a user types it: over a corpus, killed, stopped and gone on with, imported, and refused.
set -euo pipefail
# shellcheck source=tests/cli/lib.sh
. "${SOURCE:?}/tests/cli/lib.sh"
cd "$WORK"
model=$SOURCE/tests/data/atlas

# moments RANKS CODE ARGUMENT...: must end with this code.
moments() {
    local ranks=$1 wanted=$2
    shift 2
    launch "$ranks" moments "$@"
    [ "$code" = "$wanted" ] || die "moments $* on $ranks ranks: exit code $code, expected $wanted"
}
# says FILE TEXT: a line of what it said.
says() { grep -qF -- "$2" "$WORK/$1" || die "$1 says no \"$2\""; }
# keys FILE: how many its layers are of.
keys() { launch 1 inspect "$1" --json && values "$WORK/out" count | tr '\n' ' '; }
nothing_left() { [ -z "$(find . -name "$1.partial*")" ] || die "$1: something partial is left"; }

for i in $(seq 1 90); do
    printf 'Line %d tells of the river and of the town beside it.\n' "$i"
done >corpus.txt
sed 's/.*/{"id": 1, "body": "&"}/' corpus.txt >corpus.jsonl

moments 2 0 --model "$model" --layers 0,1 --text corpus.txt --out whole.nc
says out 'second moments of 2 layers over 90 texts'
nothing_left whole.nc
moments 1 0 -m "$model" -l 0-1 -t corpus.jsonl --field body -o json.nc --quiet
[ ! -s "$WORK/out" ] || die "--quiet says something"
[ "$(keys json.nc)" = "$(keys whole.nc)" ] || die 'JSONL gives other keys'

# It is what edit asks for.
launch 2 edit "$SOURCE/configs/atlas.yaml" --model "$model" --stream "$SOURCE/tests/data/atlas-stream.nc" --run run \
    --set anchor.moments=whole.nc --set anchor.weight=1 --set editor.mu=1 -q
[ "$code" = 0 ] || die "edit does not take it: exit code $code"

# Killed after a save, and gone on with on another number of ranks.
slow=(--model "$model" --layers '0,1' --text corpus.txt --max-length 64 --save-minutes 0.000001 --tolerance 0)
RLSEDIT_FAULT=moments.saved:kill:0:2 launch 2 moments "${slow[@]}" --out killed.nc
[ "$code" -gt 85 ] || die "killed: exit code $code"
[ -f killed.nc.partial.json ] || die 'killed: nothing is saved'
[ ! -e killed.nc ] || die 'killed: there is a file already'
moments 3 2 --model "$model" --layers 0 --text corpus.txt --max-length 64 --out killed.nc
says err 'another layers'
moments 3 0 "${slow[@]}" --out killed.nc
says err 'going on after'
nothing_left killed.nc
[ "$(keys killed.nc)" = "$(keys whole.nc)" ] || die 'the run that was gone on with has other keys'
RLSEDIT_FAULT=moments.saved:kill:1:1 launch 2 moments "${slow[@]}" --out killed2.nc
moments 1 0 --model "$model" --layers 0 --text corpus.txt --out killed2.nc --resume never
nothing_left killed2.nc
RLSEDIT_FAULT=moments.rename:kill:0:1 launch 2 moments "${slow[@]}" --out killed3.nc
[ "$code" -gt 85 ] || die "killed before renaming: exit code $code"
[ ! -e killed3.nc ] || die 'killed before renaming: there is a file already'
moments 2 0 "${slow[@]}" --out killed3.nc
nothing_left killed3.nc

# Stopped for the walltime.
moments 2 85 "${slow[@]}" --out stopped.nc --walltime 00:01
says err 'stopped for the walltime'
moments 2 0 "${slow[@]}" --out stopped.nc

# Bad input.
moments 1 2 --model "$model" --layers 0 --text corpus.txt --out whole.nc
says err '--overwrite'
moments 1 0 --model "$model" --layers 0 --text corpus.txt --out whole.nc --overwrite --samples 40 --dtype float32
says out 'over 40 texts'
moments 1 2 --model "$model" --text corpus.txt --out x.nc
says err '--layers'
moments 1 2 --model "$model" --layers 0,,1 --text corpus.txt --out x.nc
says err '0,,1'
moments 1 2 --model "$model" --layers 6 --text corpus.txt --out x.nc
says err 'layers 0 to 5'
moments 1 2 --model "$model" --layers 0 --text corpus.txt --out x.nc --dtype float16
moments 1 2 --model "$model" --layers 0 --text corpus.txt --out x.nc --samples 0
moments 1 2 --model "$model" --layers 0 --text corpus.txt --out x.nc --tolerance -1
moments 1 2 --model "$model" --layers 0 --text corpus.txt --out x.nc --tensor-ranks 3
moments 2 3 --model "$model" --layers 0 --text corpus.jsonl --out x.nc
says err 'corpus.jsonl'
moments 2 3 --model "$model" --layers 0 --text none.txt --out x.nc
printf 'good\n\xff bad\n' >bytes.txt
moments 2 3 --model "$model" --layers 0 --text bytes.txt --out x.nc
says err 'bytes.txt:2'
[ ! -e x.nc ] || die 'a file was made of bad input'
nothing_left x.nc

# Imported: an array of zeros but for its diagonal, stored, as NumPy writes it.
little() { local hex && hex=$(little_endian "$1") && echo "${hex:0:$((2 * $2))}"; }
npy() { # descr shape -> hexadecimal digits of the header
    local text="{'descr': '$1', 'fortran_order': False, 'shape': $2, }"
    text=$(printf '%-117s' "$text")
    echo "934e554d50590100$(little 118 2)$(text_hex "$text")0a"
}
crc() { # hexadecimal digits -> the CRC-32 of the bytes, from gzip's trailer
    bytes "$1" | gzip -c | tail -c 8 | head -c 4 | od -An -tx1 | tr -d ' \n'
}
npz() { # FILE NAME=HEX...
    local file=$1 item name hex offset=0 body='' table='' count=0 common
    shift
    for item in "$@"; do
        name=$(text_hex "${item%%=*}") hex=${item#*=}
        common=140000000000 # version 20, no flags, stored
        common+=00002100$(crc "$hex")$(little $((${#hex} / 2)) 4)$(little $((${#hex} / 2)) 4)$(little $((${#name} / 2)) 2)0000
        body+=504b0304$common$name$hex
        table+=504b01021400$common$(printf '%020d' 0)$(little "$offset" 4)$name
        offset=$((${#body} / 2))
        count=$((count + 1))
    done
    bytes "$body${table}504b050600000000$(little $count 2)$(little $count 2)$(little $((${#table} / 2)) 4)$(little "$offset" 4)0000" >"$file"
}
one=0000803f zero=00000000
count=$(npy '<i8' '()')$(little 10 8)
sum=$(npy '<f4' '(2, 2)')$one$zero$zero$one
name=model.layers.4.mlp.down_proj_float32_mom2_100.npz
npz $name "mom2.count.npy=$count" "mom2.mom2.npy=$sum"
moments 2 0 --import $name -o imported.nc
launch 1 inspect imported.nc
says out 'model.layers.{}.mlp.down_proj'
cp $name stats.npz
moments 1 2 --import stats.npz -o x.nc
says err '4=stats.npz'
moments 1 2 --import 7=stats.npz -o x.nc
says err '--module'
moments 3 0 --import 7=stats.npz $name --module 'model.layers.{}.mlp.down_proj' --dtype float64 -o both.nc
[ "$(keys both.nc)" = '10 10 ' ] || die 'imported counts are wrong'
moments 1 2 --import $name 4=stats.npz -o x.nc
says err 'given twice'
npz skew.npz "mom2.count.npy=$count" "mom2.mom2.npy=$(npy '<f4' '(2, 2)')$one$one$zero$one"
moments 2 3 --import 1=skew.npz --module 'h.{}.c' -o x.nc
says err 'skew.npz: mom2.mom2 is no second moment'
npz nocount.npz "mom2.mom2.npy=$sum"
moments 2 3 --import 1=nocount.npz --module 'h.{}.c' -o x.nc
says err 'there is no mom2.count.npy'
head -c 100 $name >cut.npz
moments 2 3 --import 1=cut.npz --module 'h.{}.c' -o x.nc
[ ! -e x.nc ] || die 'a file was made of bad statistics'
nothing_left x.nc
