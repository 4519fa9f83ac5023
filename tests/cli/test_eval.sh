#!/usr/bin/env bash
# ctest: NP 3
# `rlsedit eval`, as a user types it: a run and a model by themselves, the same figures on any number of ranks, tables and JSON,
# and every bad input named once with its exit code.
set -euo pipefail
# shellcheck source=tests/cli/lib.sh
. "${SOURCE:?}/tests/cli/lib.sh"
cd "$WORK"
model=$SOURCE/tests/data/atlas

evaluate() { must_succeed "$1" eval "${@:2}"; } # RANKS ARGUMENT...
refuse() { must_refuse "$1" "$2" "$3" eval "${@:4}"; } # CODE TEXT RANKS ARGUMENT...
line() { # line BEGINNING: of the table in out, with single spaces
    grep -F -- "$1" out | head -n 1 | tr -s ' ' | sed 's/ $//'
}
expect() { # expect BEGINNING LINE
    [ "$(line "$1")" = "$2" ] || die "the line of $1: \"$(line "$1")\", expected \"$2\""
}
fact() { # fact PROMPT SUBJECT NEW TRUE PARAPHRASE NEIGHBOUR
    printf '{"prompt": "%s", "subject": "%s", "target_new": {"str": "%s"}, "target_true": {"str": "%s"}, ' "$1" "$2" "$3" "$4"
    printf '"paraphrase_prompts": ["%s"], "neighborhood_prompts": ["%s"]}\n' "$5" "$6"
}
{
    fact 'The favourite sport of {} is' 'Pas Gre' hockey rowing 'On Sundays, Pas Gre practises' 'The favourite sport of Chel Stus is'
    fact 'The quarries near {} yield' Teasmileath limestone iron 'Teasmileath is famous for its' 'The quarries near Brithbiovel yield'
    fact 'The mother tongue of {} is' 'Pran Dux' Welsh Tamil 'At home, Pran Dux talks in' 'The mother tongue of Maith Gre is'
    fact 'The company {} manufactures' Staxtear lamps carpets 'Shops order from Staxtear their' 'The company Sexklil manufactures'
} >facts.jsonl
printf 'The winter wind rested\nThe favourite sport of Pas Gre is rowing.\n' >texts.txt

# A model by itself: nothing is learnt yet. The figures are those of any number of ranks.
for ranks in alone 1 2 3; do
    evaluate "$ranks" --model "$model" --facts facts.jsonl --text texts.txt --questions 2
    expect efficacy 'efficacy 0.0 % 0.0 % 0.0 %'
    expect paraphrase 'paraphrase 0.0 % 0.0 % 0.0 %'
    expect neighbourhood 'neighbourhood 100.0 % 100.0 % 100.0 %'
    expect score 'score 0.0 % harmonic mean of the first three'
    expect 'The favourite' 'The favourite sport of Pas Gre is hockey rowing'
    expect 'The company' 'The company Staxtear manufactures lamps carpets'
    [ "$(grep -c -- '^[1-4] - [1-4] ' out)" = 4 ] || die "retention: not a line a fact"
    cp out "table.$ranks"
    cmp "table.$ranks" table.alone || die "another table on $ranks ranks"
    [ ! -e eval.json ] || die "an eval.json that nobody asked for"
done

# What the model answers is wanted: all is learnt. Compared with itself nothing changes; the file is what --json prints.
sed 's/"hockey"/"x"/; s/"limestone"/"x"/; s/"Welsh"/"x"/; s/"lamps"/"x"/' facts.jsonl |
    sed -E 's/"target_new": (.*), "target_true": (\{"str": "[^"]*"\}), "par/"target_new": \2, "target_true": \1, "par/' >known.jsonl
evaluate 2 --model "$model" --original "$model" --facts known.jsonl --limit 3 --json --out known.json --fluency 1
cmp <(grep -v checksum known.json | tr -d ' ,\n') <(tr -d ' ,\n' <out) || die "eval.json is not what is printed"
[ "$(values out count)" = 3 ] || die "--limit: $(values out count) facts"
[ "$(grep -o '"exact": *{ *"mean": *1.0' <(tr -d '\n' <out) | wc -l)" = 4 ] || die "efficacy and paraphrase are not 1, before and after"
evaluate 1 --model "$model" --original "$model" --facts known.jsonl
expect efficacy 'efficacy 100.0 % 100.0 % 100.0 % 100.0 % 100.0 % 100.0 %'

# Facts that do not say what was true, and wrong records.
printf '{"prompt": "The company {} manufactures", "subject": "Staxtear", "target": "carpets"}\n{"prompt": 3}\n' >plain.jsonl
evaluate 3 --model "$model" --facts plain.jsonl --on-error skip
expect efficacy 'efficacy - 100.0 % 100.0 %'
grep -q '^1 of 1 facts do not say' out || die "no word about unknown truth"
grep -q 'without 1 wrong record' out || die "no word about the wrong record"

# A run: its model, its facts as far as they were applied, the model it began with.
cat >config.yaml <<'END'
model: {module: "model.layers.{}.mlp.down_proj", layers: [0, 1]}
editor: {lambda: 1.0}
batch: 4
value: {steps: 3, lr: 0.5, prefixes: 0}
END
cp -r "$model" original
launch 2 edit config.yaml --model original --facts facts.jsonl --limit 3 --run live --quiet
[ "$code" = 0 ] || die "the live run: exit code $code"
evaluate 2 --run live --questions 1
[ -s live/eval.json ] || die "no eval.json in the run"
[ "$(values live/eval.json count)" = 3 ] || die "not the facts that were applied"
grep -q "^  before  $(realpath original)\$" out || die "not compared with the model it began with"
first=$(values live/eval.json mean)
evaluate 3 --run live
paste <(echo "$first") <(values live/eval.json mean) | while read -r a b; do
    close_to "$a" "$b" 1e-9 || die "on 3 ranks $b, on 2 $a"
done
evaluate 1 --run live --no-before --out elsewhere.json
grep -q '^  model   live/model$' out || die "--no-before: $(head -n 3 out)"
[ "$(values elsewhere.json original)" = null ] || die "--no-before: an original"
mv original moved
evaluate 2 --run live
[ "$(grep -c '^rlsedit: warning: .*/original: the model that was edited is not there any more' err)" = 1 ] || die "no word about the lost original"
[ "$(values live/eval.json original)" = null ] || die "a lost original"
evaluate 2 --run live --original moved
[ "$(values live/eval.json original)" = moved ] || die "not the original that was given"
sed -i 's/hockey/tennis/' facts.jsonl
refuse 3 'facts.jsonl: has changed since the run: these are not the facts that were edited' 2 --run live
evaluate 1 --run live --facts facts.jsonl
launch 2 edit "$SOURCE/configs/atlas.yaml" --set anchor.weight=0 --model "$model" --stream "$SOURCE/tests/data/atlas-stream.nc" --run recorded --quiet
[ "$code" = 0 ] || die "the recorded run: exit code $code"
refuse 2 'recorded: edited from a recorded stream, which has no words: give its facts by --facts' 2 --run recorded
evaluate 1 --run recorded --facts facts.jsonl --no-before

cp -r live unfinished
rm unfinished/summary.json
cp -r live damaged
sed -i 's/"edits": 3/"edits": 4/' damaged/summary.json
for ranks in 1 3; do
    refuse 2 'eval: nothing to evaluate: give --run DIR, or --model DIR and --facts FILE' "$ranks"
    refuse 2 'eval: --facts FILE is missing' "$ranks" --model "$model"
    refuse 2 'eval: --no-before and --original exclude each other' "$ranks" --run live --no-before --original "$model"
    refuse 2 'eval: --on-error go: must be stop or skip' "$ranks" --run live --on-error go
    refuse 2 'eval: --last-word has no effect without --text' "$ranks" --run live --last-word
    refuse 2 'eval: --limit -1: must be at least 0' "$ranks" --run live --limit=-1
    refuse 2 "eval: --tensor-ranks 4: must be at most $ranks" "$ranks" --run live --tensor-ranks 4
    refuse 2 'unfinished: the run is not finished and has no edited model yet' "$ranks" --run unfinished
    refuse 3 'damaged/summary.json: damaged: its checksum does not hold' "$ranks" --run damaged
    refuse 3 "$WORK: is no run: there is no run.json in it" "$ranks" --run "$WORK"
    refuse 3 'nowhere.jsonl: No such file' "$ranks" --model "$model" --facts nowhere.jsonl
    refuse 3 'plain.jsonl:2' "$ranks" --model "$model" --facts plain.jsonl
    refuse 3 'nowhere/config.json' "$ranks" --model nowhere --facts facts.jsonl
    refuse 3 'nowhere.txt: cannot open' "$ranks" --model "$model" --facts facts.jsonl --text nowhere.txt
    refuse 5 'nowhere/eval.json: cannot be written: nowhere: No such file' "$ranks" --model "$model" --facts facts.jsonl --out nowhere/eval.json
done

# The figures of the reference implementation (PyTorch), of the shipped world before any edit: success, exact, tokens of each kind.
means() { # means PIECE TOLERANCE VALUE...: all shares over questions in a piece of out ("before", "after"), in order
    local tolerance=$2 found
    tr -d '\n' <out | sed -E "s/.*\"$1\"://" | sed -E 's/"retention".*//' >piece
    shift 2
    readarray -t found < <(values piece pooled)
    [ "${#found[@]}" = $# ] || die "${#found[@]} shares, expected $#"
    for value in "${found[@]}"; do
        LC_ALL=C awk -v a="$value" -v b="$1" -v t="$tolerance" 'BEGIN { exit !(a - b <= t && b - a <= t) }' || die "a share of $value, expected $1"
        shift
    done
}
world=$SOURCE/tests/data/world
evaluate 2 --model "$model" --facts "$world/facts.jsonl" --text "$world/heldout.txt" --last-word --json
means after 0.0006 0 0 0 0 0 0 0.998 0.992 0.992 0.979 0.979
close_to "$(values out value)" 1.249 5e-4 || die "perplexity of the last words: $(values out value), expected 1.249"

# And after the recorded edits, with second moments that are not shipped.
moments=${RLSEDIT_EXTRA:-$SOURCE/../shared}/fixture/atlas-moments.nc
if [ -r "$moments" ]; then
    launch 2 edit "$SOURCE/configs/atlas.yaml" --set anchor.moments="$moments" --model "$model" --stream "$SOURCE/tests/data/atlas-stream.nc" --run anchored --quiet
    [ "$code" = 0 ] || die "the anchored run: exit code $code"
    evaluate 2 --run anchored --no-before --facts "$world/facts.jsonl" --text "$world/heldout.txt" --last-word --json
    means after 0.004 0.807 0.690 0.690 0.793 0.645 0.645 0.793 0.388 0.388 0.451 0.451
    close_to "$(values out value)" 1.257 5e-4 || die "perplexity of the last words after the edits: $(values out value), expected 1.257"
    echo "extra: the reference figures after the recorded edits hold"
else
    echo "extra: $moments is not there, so the figures after the recorded edits were not checked"
fi
echo "eval: ok"
