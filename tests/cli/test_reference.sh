#!/usr/bin/env bash
# ctest: NP 2 TIMEOUT 600 LABELS np2 long
# An extra: 300 facts edited live, with the second moments and hyperparameters of a reference run in PyTorch. Each metric must be within
# 2.5 points of that run's (which has a standard error of 2.3), the perplexity of the last words within 0.01, and the journal, replayed
# without the language model, must give the same weights.
set -euo pipefail
# shellcheck source=tests/cli/lib.sh
. "${SOURCE:?}/tests/cli/lib.sh"
cd "$WORK"
moments=${RLSEDIT_EXTRA:-$SOURCE/../shared}/fixture/atlas-moments.nc
if [ ! -f "$moments" ]; then
    echo "NOT RUN: $moments is not there (RLSEDIT_EXTRA names the directory it is looked for in)"
    exit 77
fi
cp -r "$SOURCE/tests/data/atlas" .
common=("$SOURCE/configs/atlas.yaml" --set "anchor.moments=$moments" --model atlas -q)

launch 2 edit "${common[@]}" --facts "$SOURCE/tests/data/world/facts.jsonl" --run run
[ "$code" = 0 ] || die "editing: exit code $code"
launch 2 eval --run run --text "$SOURCE/tests/data/world/heldout.txt" --last-word -q
[ "$code" = 0 ] || die "evaluating: exit code $code"

# metric NAME KIND MEAN: the figure after the edits, in points; same_subject is compared over all questions alike.
metric() {
    local found
    found=$(grep -oE '"after":.*' run/eval.json | tr -d ' \n' | grep -oE "\"$1\":\{.*" | grep -oE "\"$2\":\{[^}]*" | head -n 1 |
        grep -oE "\"$3\":[0-9.]+" | sed 's/.*://')
    LC_ALL=C awk -v a="$found" -v b="$4" 'BEGIN { d = 100 * (a - b); exit !(a != "" && d <= 2.5 && d >= -2.5) }' ||
        die "$1, $2: $found, the reference run has $4"
    echo "$1, $2: $found ($4)"
}
tr -d '\n' <run/eval.json >flat.json && mv flat.json run/eval.json
metric efficacy success mean 0.807
metric efficacy exact mean 0.690
metric paraphrase success mean 0.793
metric paraphrase exact mean 0.645
metric neighborhood success mean 0.793
metric neighborhood exact mean 0.388
metric same_subject exact pooled 0.451
perplexity=$(grep -oE '"after":.*' run/eval.json | tr -d ' ' | grep -oE '"perplexity":\{[^}]*' | grep -oE '"value":[0-9.]+' | sed 's/.*://')
LC_ALL=C awk -v a="$perplexity" 'BEGIN { exit !(a > 1.247 && a < 1.267) }' || die "perplexity: $perplexity, the reference run has 1.257"

launch 2 edit "${common[@]}" --stream run/stream --run replayed
[ "$code" = 0 ] || die "replaying: exit code $code"
cmp run/model/model-00001-of-00002.safetensors replayed/model/model-00001-of-00002.safetensors || die 'the journal: other weights'
