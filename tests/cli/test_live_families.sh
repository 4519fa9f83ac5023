#!/usr/bin/env bash
# ctest: NP 3 TIMEOUT 900 LABELS np2
# Facts edited live on a tiny model of each family, one rank to three, with copies of the model on one rank and on all: only the edited
# tensors are written, they map the journal's keys to its targets as well as the summary says (in the direction the family stores them),
# the journal replays to the same bits, every layout comes to the same edits, and the wanted answers have become more probable.
set -euo pipefail
# shellcheck source=tests/cli/lib.sh
. "${SOURCE:?}/tests/cli/lib.sh"
# shellcheck source=tests/cli/lib_tiny.sh
. "$SOURCE/tests/cli/lib_tiny.sh"
cd "$WORK"
tiny_inputs

# content FILE OFFSET BYTES.
content() { head -c $(($2 + $3)) "$1" | tail -c "$3"; }

# tensors DIR: "name file first-byte bytes" of every tensor of a model, sorted.
tensors() {
    local file length
    for file in "$1"/*.safetensors; do
        length=$(od -A n -t u8 -N 8 "$file" | tr -d ' ')
        content "$file" 8 "$length" | grep -oE '"[^"]+": *\{[^{}]*"data_offsets": *\[[0-9 ,]*\]' |
            sed -E 's/^"([^"]+)".*\[ *([0-9]+) *, *([0-9]+) *\]$/\1 \2 \3/' |
            while read -r name from to; do echo "$name $file $((8 + length + from)) $((to - from))"; done
    done | sort
}
# only_edited ORIGINAL DIR: the edited tensors are others, and nothing else is.
only_edited() {
    local name file from bytes there at length count=0 edited
    edited=" ${module/\{\}/0}.weight ${module/\{\}/1}.weight "
    tensors "$1" >before
    tensors "$2" >after
    [ "$(cut -d ' ' -f 1,4 before)" = "$(cut -d ' ' -f 1,4 after)" ] || die "$2: other tensors than $1"
    while read -r name file from bytes && read -r _ there at length <&3; do
        if cmp -s <(content "$file" "$from" "$bytes") <(content "$there" "$at" "$length"); then
            [[ $edited != *" $name "* ]] || die "$2: $name is not edited"
        else
            [[ $edited == *" $name "* ]] || die "$2: $name is another"
            count=$((count + 1))
        fi
    done <before 3<after
    [ "$count" = 2 ] || die "$2: $count tensors are edited"
}

# pairs RUN LAYER INNER HIDDEN: the keys and targets that the journal has of a layer, a number a line. A record is a case_id, and of each
# layer a key (float32) and a target (float64).
pairs() {
    local segment edits record=$((8 + 2 * (4 * $3 + 8 * $4))) at i
    for segment in "$1"/stream/segment-*.nc; do
        edits=$(values "${segment%.nc}.json" edits)
        for ((i = edits; i > 0; i--)); do
            at=$(($(stat -c %s "$segment") - i * record + 8 + $2 * (4 * $3 + 8 * $4)))
            content "$segment" "$at" $((4 * $3)) | od --endian=big -A n -v -w4 -t f4
            content "$segment" $((at + 4 * $3)) $((8 * $4)) | od --endian=big -A n -v -w8 -t f8
        done
    done
}

# misfit RUN LAYER INNER HIDDEN: sqrt(sum ||W k - v||^2 / sum ||v||^2) of the run's model, which is float32, and its journal. GPT-2's
# weights are stored [in, out].
misfit() {
    local name=${module/\{\}/$2}.weight file from bytes
    read -r _ file from bytes < <(tensors "$1/model" | grep -F "$name ")
    [ "$bytes" = $((4 * $3 * $4)) ] || die "$1: $name has $bytes bytes"
    {
        content "$file" "$from" "$bytes" | od -A n -v -w4 -t f4
        pairs "$@"
    } | LC_ALL=C awk -v n="$3" -v m="$4" -v turned="$([[ $1 = gpt2-* ]] && echo 1 || echo 0)" '
        { x[NR - 1] = $1 }
        END {
            for (key = n * m; key < NR; key += n + m)
                for (i = 0; i < m; i++) {
                    sum = 0
                    for (j = 0; j < n; j++)
                        sum += x[turned ? j * m + i : i * n + j] * x[key + j]
                    apart += (sum - x[key + n + i]) ^ 2
                    all += x[key + n + i] ^ 2
                }
            if (NR != n * m + 3 * (n + m))
                print "not three records"
            printf "%.9g\n", sqrt(apart / all)
        }'
}

# How improbable each target is behind its prompt: from the texts with it and without it.
for i in 0 1 2; do
    printf '%s\n' "${tiny_prompts[i]} ${tiny_targets[i]}" "${tiny_prompts[i]}"
done >texts.txt
nll() { # DIR RANKS
    must_succeed "$2" score --model "$1" --text texts.txt --json
    values out nll | head -n 6 | paste - - | LC_ALL=C awk '{ printf "%.9g\n", $1 - $2 }'
}

for family in gpt2 gptj qwen2 mistral llama; do
    tiny_model "$family" "$family"
    case $family in
    gpt2) sizes='57 24' ;;
    gptj) sizes='52 24' ;;
    qwen2) sizes='44 30' ;;
    mistral) sizes='40 24' ;;
    llama) sizes='44 32' ;;
    esac
    read -r inner hidden <<<"$sizes"
    sums "$family" >untouched
    nll "$family" 1 >nll.before
    expected=''
    for layout in '1 1' '2 1' '2 2' '3 1' '3 3'; do
        read -r ranks tensor <<<"$layout"
        name=$family-$ranks-$tensor
        settings=(--set "model.module=$module" -q)
        must_succeed "$ranks" edit config.yaml "${settings[@]}" --model "$family" --facts facts.jsonl --tensor-ranks "$tensor" --run "$name"
        only_edited "$family" "$name/model"
        must_succeed "$ranks" edit config.yaml "${settings[@]}" --model "$family" --stream "$name/stream" --run "$name-replayed"
        diff -r "$name/model" "$name-replayed/model" >"$WORK/out" || die "$name: the journal replays to another model"

        # In float32, what the weights do to the journal's keys.
        must_succeed "$ranks" edit config.yaml "${settings[@]}" --model "$family" --stream "$name/stream" --set export.dtype=float32 --run "$name-float32"
        readarray -t fit < <(values "$name/summary.json" fit_error)
        for layer in 0 1; do
            found=$(misfit "$name-float32" "$layer" "$inner" "$hidden")
            close_to "$found" "${fit[layer]}" 1e-4 || die "$name: fit error of layer $layer is $found, the summary says ${fit[layer]}"
            LC_ALL=C awk -v fit="$found" 'BEGIN { exit !(fit < 0.5) }' || die "$name: fit error $found"
        done

        readarray -t norms < <(values "$name/summary.json" delta_norm)
        [ -n "$expected" ] || expected="${norms[*]}"
        read -ra first <<<"$expected"
        for layer in 0 1; do
            close_to "${norms[layer]}" "${first[layer]}" 1e-3 || die "$name: ||D|| ${norms[*]}, expected $expected"
        done
        nll "$name/model" "$ranks" >nll.after
        paste nll.before nll.after | while read -r before after; do
            LC_ALL=C awk -v a="$after" -v b="$before" 'BEGIN { exit !(a < 0.95 * b) }' || die "$name: a target's NLL is $after, before $before"
        done
    done
    sums "$family" | cmp -s - untouched || die "$family: the original was written to"
    echo "$family: fit ${fit[*]}, ||D|| $expected, NLL $(tr '\n' ' ' <nll.before)-> $(tr '\n' ' ' <nll.after)"
done
echo 'live families: ok'
