#!/usr/bin/env bash
# ctest: NP 4 TIMEOUT 900
# Facts edited on the live model: the journal replays to the same weights without the language model, a killed or stopped run goes on to
# the same bits, other numbers of ranks come to the same edits, and bad facts are named before anything is written.
set -euo pipefail
# shellcheck source=tests/faults/lib.sh
. "${SOURCE:?}/tests/faults/lib.sh"
facts=$SOURCE/tests/data/world/facts.jsonl
edited=model/model-00001-of-00002.safetensors # holds layers 0 and 1
settings=(--set batch=5 --set value.steps=6 --set "value.contexts=$SOURCE/tests/data/world/contexts.txt")
new=("$config" --model "$model" --facts "$facts" --limit 20 "${settings[@]}")
same() { cmp "$1/$edited" "$2/$edited" || die "$3: other weights"; }

begin 2 "$WORK/whole" # quiet, but for what has to be said: six steps are too few
succeeds 'editing 20 facts'
[ "$(wc -l <"$WORK/whole/log.jsonl")" = 4 ] || die 'not a line a batch'
[ "$(grep -c '"live":{"loss":' "$WORK/whole/log.jsonl")" = 4 ] || die 'the log does not tell of the search'
for name in below_stop_loss probability; do
    [ "$(values "$WORK/whole/log.jsonl" $name | awk '$1 >= 0 && $1 <= 1' | wc -l)" = 4 ] || die "the log has no $name a batch"
    [ -n "$(values "$WORK/whole/summary.json" $name)" ] || die "the summary has no $name"
done
[ "$(values "$WORK/whole/summary.json" edits)" = 20 ] || die 'not 20 edits'

# What was learnt: the wanted answer is more probable than before, on every rank count.
launch 2 edit "$config" --model "$model" --stream "$WORK/whole/stream" --set batch=5 -q --run "$WORK/replayed"
succeeds 'replaying the journal'
same "$WORK/whole" "$WORK/replayed" 'the journal replayed without the language model'

# Other numbers of ranks, and ranks that share the model: the same up to the search's sensitivity to rounding.
norms() { values "$1/summary.json" delta_norm | tr '\n' ' '; }
read -ra expected <<<"$(norms "$WORK/whole")"
for layout in '1 1' '4 2' '3 3' '4 4'; do
    read -r np tensor <<<"$layout"
    begin "$np" "$WORK/np$np-$tensor" --tensor-ranks "$tensor"
    succeeds "on $np ranks, $tensor a copy"
    read -ra found <<<"$(norms "$WORK/np$np-$tensor")"
    for i in 0 1; do
        close_to "${found[i]}" "${expected[i]}" 1e-3 || die "$layout: ||D|| ${found[*]}, expected ${expected[*]}"
    done
done

# Killed at a phase, and stopped: the same bits in the end.
for fault in segment.rename:kill:0:2 checkpoint.digest:kill:1:1 export.begin:kill:0:1; do
    run=$WORK/killed-${fault%%:*}
    RLSEDIT_FAULT=$fault begin 2 "$run" --set checkpoint.every_edits=10
    [ "$code" != 0 ] || die "$fault: was survived"
    gone "$run"
    resume 2 "$run"
    succeeds "resuming after $fault"
    same "$WORK/whole" "$run" "killed at $fault"
    [ "$(wc -l <"$run/log.jsonl")" = 4 ] || die "$fault: not a line a batch"
done
run=$WORK/stopped
start 2 "${new[@]}" --run "$run"
logged "$run" 1
touch "$run/STOP"
ended
[ "$code" = 85 ] || die "stopped: exit code $code"
grep -qF "saved: go on with --run $run --resume" "$WORK/err" || die 'stopped: does not say how to go on'
rm "$run/STOP"

# Nothing that the result depends on may change in between.
resume 2 "$run" --set value.lr=0.25
fails 2 'value.lr: differs' 'another learning rate'
resume 2 "$run" --set batch=10
fails 2 'batch: differs' 'another batch'
head -n 300 "$facts" | sed '7s/"target_new": {"str": "[^"]*"/"target_new": {"str": "nothing"/' >"$WORK/changed.jsonl"
resume 2 "$run" --facts "$WORK/changed.jsonl"
fails 3 'the facts' 'other facts'
resume 4 "$run"
succeeds 'resuming on other ranks'
read -ra found <<<"$(norms "$run")"
for i in 0 1; do
    close_to "${found[i]}" "${expected[i]}" 1e-3 || die "stopped: ||D|| ${found[*]}, expected ${expected[*]}"
done

# A key of config.json that is not known here is refused by name, and accepted by name: also when the run is asked later.
cp -r "$model" "$WORK/noted"
sed -i 's/"model_type"/"_made_by": "x", "neftune_noise_alpha": 5, "model_type"/' "$WORK/noted/config.json"
launch 2 edit "$config" --model "$WORK/noted" --facts "$facts" --limit 2 -q --set value.steps=2 --run "$WORK/noted-run"
fails 3 '--accept-config neftune_noise_alpha' 'an unknown key of config.json'
launch 2 edit "$config" --model "$WORK/noted" --facts "$facts" --limit 2 --set value.steps=2 --run "$WORK/noted-run" \
    --accept-config neftune_noise_alpha
succeeds 'an accepted key of config.json'
grep -qF 'neftune_noise_alpha: is not used' "$WORK/err" || die 'nothing is said of the accepted key'
launch 1 eval --run "$WORK/noted-run" --no-before -q
succeeds 'evaluating a run with an accepted key'

# Bad input, before anything is written.
refused() { # CODE TEXT WHAT ARGUMENT...
    local want=$1 text=$2 what=$3
    shift 3
    launch 2 edit -q "$@" --run "$WORK/refused"
    fails "$want" "$text" "$what"
    [ ! -e "$WORK/refused" ] || die "$what: a run directory was made"
}
base=("$config" --model "$model")
refused 2 '--stream and --facts' 'both' "${base[@]}" --facts "$facts" --stream "$stream"
refused 2 '--stream or --facts' 'neither' "${base[@]}"
refused 3 'missing.jsonl' 'no such file' "${base[@]}" --facts "$WORK/missing.jsonl"
printf '{"prompt": "The capital of {} is", "subject": "Quail", "target": "Rome"}\n{"prompt": "The capital of {} is", "target": "Rome"}\n' >"$WORK/bad.jsonl"
refused 3 'bad.jsonl:2' 'a fact without subject' "${base[@]}" --facts "$WORK/bad.jsonl"
refused 2 'from the lowest layer up' 'layers out of order' "${base[@]}" --facts "$facts" --set 'model.layers=[1, 0]'
refused 2 'model.module' 'another module' "${base[@]}" --facts "$facts" --set 'model.module=model.layers.{}.mlp.up_proj'
refused 3 'model.layers.6.mlp' 'no such layer' "${base[@]}" --facts "$facts" --set 'model.layers=[6]'
refused 2 'token budget' 'a small budget' "${base[@]}" --facts "$facts" --token-budget 10
refused 2 'tensor-ranks' 'more ranks a copy than there are' "${base[@]}" --facts "$facts" --tensor-ranks 3
printf '%s' '{"prompt": "' >"$WORK/long.jsonl"
for ((i = 0; i < 300; i++)); do printf 'rain and ' >>"$WORK/long.jsonl"; done
printf '%s\n' '{} is", "subject": "Quail", "target": "Rome"}' >>"$WORK/long.jsonl"
refused 3 'line 1' 'a prompt beyond the context' "${base[@]}" --facts "$WORK/long.jsonl"
launch 2 edit "${base[@]}" --facts "$WORK/bad.jsonl" --on-error skip --set value.steps=2 -q --run "$WORK/skipped"
succeeds 'leaving a bad fact out'
[ "$(values "$WORK/skipped/summary.json" edits)" = 1 ] || die 'not the one good fact'
echo 'live: ok'
