#!/usr/bin/env bash
# ctest: NP 2 TIMEOUT 300 LABELS np2
# An extra: 20 facts into the stories260K model, where it is among the extra material. All must be learnt, and the
# perplexity of held-out text must stay within 5 %. Both texts are what the unedited model itself says, with different seeds.
set -euo pipefail
# shellcheck source=tests/cli/lib.sh
. "${SOURCE:?}/tests/cli/lib.sh"
cd "$WORK"
model=${RLSEDIT_EXTRA:-$SOURCE/../shared}/models/stories260K
if [ ! -f "$model/model.safetensors" ]; then
    echo "NOT RUN: $model is not there (RLSEDIT_EXTRA names the directory it is looked for in)"
    exit 77
fi
facts=$SOURCE/tests/data/world/stories-facts.jsonl

run() { # run ARGUMENT...: must succeed
    launch 2 "$@"
    [ "$code" = 0 ] || die "$*: exit code $code"
}
# stories SEED TIMES FILE: texts after each of some beginnings, as JSONL whose field "prompt" is the whole text.
stories() {
    for ((i = 0; i < $2; i++)); do
        printf '%s\n' 'Once upon a time' 'One day' Lily Tom 'The dog' Max 'Ben and Mia' 'Tim and Sue' 'There was a little' \
            'In a small town' 'A big cat' 'The bird' Sam 'Mom said' 'The old man' 'It was a sunny day' Jack Anna 'The boy' 'The girl'
    done >prompts.txt
    run ask --model "$model" --tokens 120 --top-k 20 --seed "$1" --file prompts.txt --json
    sed 's/","text":"//' out >"$3"
    [ "$(wc -l <"$3")" = $((20 * $2)) ] || die "$3: not a text a line"
}
# metric before|after NAME FIELD: of the original or the edited model, from eval.json; the first value of that field in NAME.
metric() {
    sed -n "/^ \"$1\": {/,/^ }/p" eval.json | sed -n "/^  \"$2\": {/,/^  }/p" | grep -m 1 -oE "\"$3\": [^,]+" | cut -d ' ' -f 2
}

stories 1 100 ordinary.jsonl
stories 1001 3 heldout.jsonl
run moments --model "$model" --layers 1,2 --text ordinary.jsonl --field prompt --out moments.nc --quiet
run edit "$SOURCE/tests/data/world/stories.yaml" --model "$model" --facts "$facts" --run run1 --quiet \
    --set anchor.moments="$WORK/moments.nc"
run eval --run run1 --text heldout.jsonl --field prompt --out eval.json --quiet
[ "$(wc -l <"$facts")" = 20 ] || die "not 20 facts"
was=$(metric before efficacy mean) is=$(metric after efficacy mean)
before=$(metric before perplexity value) after=$(metric after perplexity value)
echo "efficacy $was -> $is, perplexity of held-out text $before -> $after"
awk "BEGIN { exit !($was == 0) }" || die "some of the facts are known before the edits: efficacy $was"
awk "BEGIN { exit !($is == 1) }" || die "not all facts are learnt: efficacy $is"
awk "BEGIN { exit !($before > 1 && $after > 1 && $after <= 1.05 * $before) }" ||
    die "held-out text: perplexity $before before the edits, $after after them"
