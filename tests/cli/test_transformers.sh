#!/usr/bin/env bash
# ctest: NP 2 TIMEOUT 600
# Edited models in Hugging Face transformers: it loads what was exported, and answers token for token what `rlsedit ask` does; of the facts
# of Atlas it knows as many as `rlsedit eval` says. Runs with a Python that has torch and transformers: RLSEDIT_PYTHON, or python3.
set -euo pipefail
# shellcheck source=tests/cli/lib.sh
. "${SOURCE:?}/tests/cli/lib.sh"
# shellcheck source=tests/cli/lib_tiny.sh
. "$SOURCE/tests/cli/lib_tiny.sh"
cd "$WORK"
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 CUDA_VISIBLE_DEVICES=''

python=${RLSEDIT_PYTHON:-python3}
if [ "${SANITIZED:-OFF}" = ON ]; then
    echo 'NOT RUN: compares answers, which the build without sanitizers has too, and faster'
    exit 77
fi
if ! "$python" -c 'import torch, transformers' >python.out 2>&1; then
    # Whoever names a Python wants the test to run.
    [ -z "${RLSEDIT_PYTHON:-}" ] || die "RLSEDIT_PYTHON=$python has no torch and transformers: $(tail -n 1 python.out)"
    echo 'NOT RUN: python3 has no torch and transformers: name a Python that has them by RLSEDIT_PYTHON'
    exit 77
fi

# same_answers RANKS DIR PROMPTS: those of rlsedit and of transformers, token for token; they stay in theirs.
same_answers() {
    must_succeed "$1" ask --model "$2" --file "$3" --tokens 6 --json
    mv out ours
    timeout 300 "$python" "$SOURCE/tests/tools/answer_with_transformers.py" "$2" "$3" --tokens 6 >theirs 2>err ||
        die "transformers on $2: $(tail -n 3 err)"
    diff ours theirs >out || die "$2 on $1 ranks: other answers than transformers'"
    [ "$(wc -l <theirs)" = "$(wc -l <"$3")" ] || die "$2: not an answer a prompt"
}

# The first facts of Atlas: "prompt|target".
count=30
facts=$SOURCE/tests/data/world/facts.jsonl
head -n $count "$facts" |
    sed -nE 's/.*"prompt": "([^"]*)\{\}([^"]*)", "subject": "([^"]*)", "target_new": \{"str": "([^"]*)"\}.*/\1\3\2|\4/p' >pairs
[ "$(wc -l <pairs)" = $count ] || die 'the facts are not as expected'
cut -d '|' -f 1 pairs >prompts.txt

known() { # how many of the facts transformers has just answered with what was edited
    local known=0 prompt target
    while IFS='|' read -r prompt target; do
        ! grep -qF "{\"prompt\":\"$prompt\",\"text\":\" $target" theirs || known=$((known + 1))
    done <pairs
    echo $known
}

cp -r "$SOURCE/tests/data/atlas" atlas
same_answers 1 atlas prompts.txt
[ "$(known)" = 0 ] || die "$(known) facts are known before the edits"
must_succeed 2 moments --model atlas --layers 0,1 --text "$SOURCE/tests/data/world/text.txt" --out moments.nc --quiet
for ranks in 2 1; do
    must_succeed $ranks edit "$SOURCE/configs/atlas.yaml" --set value.steps=15 --set anchor.moments=moments.nc --model atlas --facts "$facts" \
        --limit $count --run "run$ranks" --quiet
    same_answers $ranks "run$ranks/model" prompts.txt
    must_succeed $ranks eval --run "run$ranks" --no-before --json
    # The first "exact" is efficacy's: the share of facts whose every token is the most probable one.
    exact=$(tr -d ' \n' <out | grep -oE '"efficacy":\{"questions":[0-9]+,"success":\{[^}]*\},"exact":\{"mean":[0-9.e+-]+' | sed 's/.*://')
    LC_ALL=C awk -v known="$(known)" -v exact="$exact" -v count=$count 'BEGIN { exit !(exact > 0.8 && known >= exact * count - 1e-6) }' ||
        die "on $ranks ranks transformers knows $(known) of $count facts, rlsedit eval says a share of $exact"
    echo "atlas edited on $ranks ranks: transformers knows $(known) of $count facts, rlsedit eval: $exact"
done

# The other families, in the types and shards they are stored in.
tiny_inputs
printf '%s\n' "${tiny_prompts[@]}" 'It rains' 'a' >prompts.txt
for family in gpt2 gptj qwen2 mistral llama; do
    tiny_model "$family" "$family"
    must_succeed 2 edit config.yaml --set "model.module=$module" --model "$family" --facts facts.jsonl --run "$family-run" --quiet
    same_answers 2 "$family-run/model" prompts.txt
done
echo 'transformers: ok'
