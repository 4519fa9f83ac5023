#!/usr/bin/env bash
# ctest: NP 3
# `rlsedit ask` on the Atlas model, as a user types it: the same answers on any number of ranks, text and JSON, prompts from
# everywhere, and every bad one named once with its exit code.
set -euo pipefail
# shellcheck source=tests/cli/lib.sh
. "${SOURCE:?}/tests/cli/lib.sh"
cd "$WORK"
model=$SOURCE/tests/data/atlas

ask() { must_succeed "$1" ask --model "$model" "${@:2}"; } # RANKS ARGUMENT...
refuse() { must_refuse "$1" "$2" "$3" ask "${@:4}"; } # CODE TEXT RANKS ARGUMENT...

# What PyTorch finds most probable, up to the end of the text.
cat >prompts.txt <<'END'
The favourite sport of Pas Gre is
The quarries near Teasmileath yield
The mother tongue of Pran Dux is
The company Staxtear manufactures
Trexbercix lies in the country of
The winter wind
END
cat >expected <<'END'
The favourite sport of Pas Gre is rowing.
The quarries near Teasmileath yield iron.
The mother tongue of Pran Dux is Tamil.
The company Staxtear manufactures carpets.
Trexbercix lies in the country of Ireland.
The winter wind rested beside the stone bridge. The house of Dea Fand stands in Oslo.
END
readarray -t prompts <prompts.txt
for ranks in alone 1 2 3; do
    ask "$ranks" "${prompts[@]}"
    cmp out expected || die "other answers on $ranks ranks"
    ask "$ranks" --file prompts.txt
    cmp out expected || die "other answers to a file's prompts on $ranks ranks"
    ask "$ranks" --json "${prompts[@]}"
    cp out "json.$ranks"
    cmp "json.$ranks" json.alone || die "other JSON on $ranks ranks"
    ask "$ranks" --json --top-k 50 --temperature 2 --seed 7 "${prompts[@]}"
    cp out "sampled.$ranks"
    cmp "sampled.$ranks" sampled.alone || die "another sample on $ranks ranks"
done
[ "$(sed -n 2p json.alone)" = '{"prompt":"The quarries near Teasmileath yield","text":" iron.","tokens":[1040,46]}' ] || die "$(sed -n 2p json.alone)"
[ "$(wc -l <json.alone)" = 6 ] || die "not a line a prompt"
ask 2 --tensor-ranks 2 --file prompts.txt
cmp out expected || die "other answers of a model on two ranks"
ask 3 --tensor-ranks 3 --file prompts.txt
cmp out expected || die "other answers of a model on three ranks"

# Each prompt is continued as if it were alone; samples differ by seed.
ask 1 "${prompts[5]}" -n 3
[ "$(cat out)" = 'The winter wind rested beside the' ] || die "three tokens: $(cat out)"
ask 2 "${prompts[0]}" --file - <prompts.txt # launch gives no standard input
[ "$(cat out)" = "$(head -n 1 expected)" ] || die "a file of nothing after a prompt"
ask 1 --json --top-k 50 --temperature 2 --seed 8 "${prompts[@]}"
! cmp -s out sampled.alone || die "another seed, the same sample"

# The standard input, on one rank and through mpirun; JSON lines, CRLF, a byte order mark, text in other scripts and quotes.
"$RLSEDIT" ask -m "$model" -f - <prompts.txt >out 2>err || die "prompts through a pipe"
cmp out expected || die "other answers to the standard input"
timeout 60 "${mpirun[@]}" -n 2 "$RLSEDIT" ask -m "$model" -f - <prompts.txt >out 2>err || die "the standard input of two ranks"
cmp out expected || die "other answers to the standard input of two ranks"
printf '\xef\xbb\xbf%s\r\n\r\n%s' "${prompts[0]}" "${prompts[5]}" >crlf.txt
ask 2 --file crlf.txt
cmp out <(sed -n '1p;6p' expected) || die "other answers to a file with CRLF"
ask 3 --file json.alone --field prompt
cmp out expected || die "other answers to JSON"
ask 2 --json 'Größe "日本" \ 🙂'
grep -qF '{"prompt":"Größe \"日本\" \\ 🙂","text":"' out || die "JSON of special characters"
# What is printed as JSON is JSON, for a reader of JSON.
mv out special.jsonl
ask 1 --file special.jsonl --field prompt
grep -qF 'Größe "日本" \ 🙂' out || die "JSON that was read again"

printf 'good\n\nb\xfcd\n' >latin.txt
: >empty.txt
echo '{"prompt": 3}' >number.jsonl
printf -v long ' wind%.0s' {1..256}
for ranks in 1 3; do
    refuse 3 'prompt 1 is empty' "$ranks" -m "$model" ''
    refuse 3 'prompt 2 is empty' "$ranks" -m "$model" good ''
    refuse 3 'prompt 2: not UTF-8 at byte offset 1 (0xfc)' "$ranks" -m "$model" good $'b\xfcd'
    refuse 3 "prompt 3: 257 tokens leave no room in the model's context of 256" "$ranks" -m "$model" a b "$long"
    refuse 3 'latin.txt:3: not UTF-8 at byte offset 1 (0xfc)' "$ranks" -m "$model" --file latin.txt
    refuse 3 'empty.txt: holds no prompt' "$ranks" -m "$model" --file empty.txt
    refuse 3 'standard input: holds no prompt' "$ranks" -m "$model" --file -
    refuse 3 'nowhere.txt: cannot open: No such file' "$ranks" -m "$model" --file nowhere.txt
    refuse 3 'number.jsonl:1: has no field "text"' "$ranks" -m "$model" --file number.jsonl
    refuse 3 'number.jsonl:1: the field "prompt" is not a string' "$ranks" -m "$model" --file number.jsonl --field prompt
    refuse 3 'nowhere' "$ranks" -m nowhere good
    refuse 2 'ask: no prompt is given' "$ranks" -m "$model"
    refuse 2 'ask: --model DIR is missing' "$ranks" good
    refuse 2 'ask: --tokens 0: must be at least 1' "$ranks" -m "$model" good --tokens 0
    refuse 2 'ask: --top-k -1: must be at least 1' "$ranks" -m "$model" good --top-k=-1
    refuse 2 'ask: --temperature -2: must be above 0' "$ranks" -m "$model" good --temperature=-2
    refuse 2 'ask: --temperature has no effect' "$ranks" -m "$model" good --temperature 2
    refuse 2 'ask: --field has no effect' "$ranks" -m "$model" good --field text
    refuse 2 "ask: --tensor-ranks 4: must be at most $ranks" "$ranks" -m "$model" good --tensor-ranks 4
done
refuse 2 '2 tensor ranks do not divide the 3 ranks' 3 -m "$model" good --tensor-ranks 2

# A model that is damaged.
damage() { # makes a fresh copy, to be damaged
    rm -rf model
    cp -r "$model" model
    chmod -R u+w model
}
damage && rm model/tokenizer.json
refuse 3 'tokenizer.json' 2 -m model good
damage && sed -i 's/"llama"/"alpaca"/' model/config.json
refuse 3 'alpaca' 2 -m model good
damage && sed -i 's/"vocab_size": 2048/"vocab_size": 2047/' model/config.json
refuse 3 '204' 2 -m model good
damage && sed -i 's/"vocab_size": 2048/"vocab_size": 2046/' model/config.json
refuse 3 'vocabulary and embedding disagree' 3 -m model good
damage && sed -i 's/"num_hidden_layers": 6/"num_hidden_layers": 7/' model/config.json
refuse 3 'model.layers.6.' 3 -m model good
damage && sed -i 's/"intermediate_size": 1024/"intermediate_size": 1000/' model/config.json
refuse 3 'mlp' 2 -m model good
echo "ask: ok"
