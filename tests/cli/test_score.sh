#!/usr/bin/env bash
# ctest: NP 3
# `rlsedit score` on the Atlas model, as a user types it: the figures of the reference implementation on any number of ranks,
# text and JSON, and every bad input named once with its exit code.
set -euo pipefail
# shellcheck source=tests/cli/lib.sh
. "${SOURCE:?}/tests/cli/lib.sh"
cd "$WORK"
model=$SOURCE/tests/data/atlas

score() { must_succeed "$1" score --model "$model" "${@:2}"; } # RANKS ARGUMENT...
refuse() { must_refuse "$1" "$2" "$3" score --model "$model" "${@:4}"; } # CODE TEXT RANKS ARGUMENT...
near() { must_be_near out "$@"; } # NAME TOLERANCE VALUE...: what the JSON in out has under a name

# Figures of PyTorch, float32. exp(nll / tokens) is the perplexity.
cat >texts.txt <<'END'
The favourite sport of Pas Gre is
The quarries near Teasmileath yield

The mother tongue of Pran Dux is
Trexbercix lies in the country of
The winter wind
END
for ranks in alone 1 2 3; do
    score "$ranks" --text texts.txt --json
    near line 0 1 2 4 5 6
    near tokens 0 7 9 7 11 3 37
    near nll 2e-5 10.308824 10.741985 10.213787 10.747456 4.493755 46.505807
    near perplexity 2e-5 4.360947 3.298784 4.302139 2.656585 4.472370 3.514558
    [ "$(values out texts | tail -n 1)" = 5 ] || die "not 5 texts"
    score "$ranks" --text texts.txt
    cp out "text.$ranks"
    [ "$(head -n 1 out | tr -s ' ')" = ' line tokens nll perplexity' ] || die "the table's head: $(head -n 1 out)"
    [ "$(wc -l <out)" = 7 ] || die "not a line a text, a head and a total"
    [[ $(tail -n 1 out) == '5 texts, 37 tokens, nll 46.5058'*', perplexity 3.51456' ]] || die "the total: $(tail -n 1 out)"
    score "$ranks" --text texts.txt --total
    cmp out <(tail -n 1 "text.$ranks") || die "--total: another total"
done
score 2 --text texts.txt --json --tensor-ranks 2
near nll 2e-5 10.308824 10.741985 10.213787 10.747456 4.493755 46.505807
score 3 --text texts.txt --json --total --samples 2
[ "$(tr -s ' \n' ' ' <out | cut -c 1-40)" = '{"total": {"texts": 2, "tokens": 16, "nl' ] || die "--total of two"
near nll 2e-5 21.050809

# What is printed as JSON is JSON, for a reader of JSON: the message is about a field of it.
score 1 --text texts.txt --json
{ echo '[' && cat out && echo ']'; } >score.json
refuse 3 'score.json:2: has no field "nothing"' 1 --text score.json --field nothing

# The same texts as JSON lines, as an array, with CRLF, and through a pipe.
sed '/^$/d; s/.*/{"id": 1, "prompt": "&"}/' texts.txt >texts.jsonl
{ echo '[' && sed '$!s/$/,/' texts.jsonl && echo ']'; } >texts.json
sed 's/$/\r/' texts.txt >crlf.txt
for file in texts.jsonl texts.json crlf.txt; do
    field=(--field prompt)
    [ "$file" != crlf.txt ] || field=()
    score 2 --text $file ${field[@]+"${field[@]}"} --json
    near nll 2e-5 10.308824 10.741985 10.213787 10.747456 4.493755 46.505807
done
timeout 60 "${mpirun[@]}" -n 2 "$RLSEDIT" score -m "$model" -t - --json <texts.txt >out 2>err || die "texts through a pipe"
near nll 2e-5 10.308824 10.741985 10.213787 10.747456 4.493755 46.505807

# Nothing to predict is no error, and no number.
score 2 --text texts.txt --max-length 1 --json --total
[ "$(tr -s ' \n' ' ' <out)" = '{"total": {"texts": 5, "tokens": 0, "nll": 0, "perplexity": null}} ' ] || die "a text of <s> alone"

{ echo short && printf ' wind%.0s' {1..300} && echo; } >long.txt
printf 'good\n\nb\xfcd\n' >latin.txt
printf '{"text": "good"}\n{"text": "bad"\n' >broken.jsonl
: >empty.txt
for ranks in 1 3; do
    refuse 3 "long.txt:2: 301 tokens, beyond the model's context of 256: give --max-length 256" "$ranks" --text long.txt
    refuse 2 "--max-length 300 is beyond the model's context of 256" "$ranks" --text long.txt --max-length 300
    refuse 3 'latin.txt:3: not UTF-8 at byte offset 1 (0xfc)' "$ranks" --text latin.txt
    refuse 3 'broken.jsonl:2: not JSON' "$ranks" --text broken.jsonl
    refuse 3 'texts.jsonl:1: has no field "text"' "$ranks" --text texts.jsonl
    refuse 3 'texts.txt:1: not JSON' "$ranks" --text texts.txt --field text
    refuse 3 'empty.txt: holds no text' "$ranks" --text empty.txt
    refuse 3 'standard input: holds no text' "$ranks" --text -
    refuse 3 'nowhere.txt: cannot open: No such file' "$ranks" --text nowhere.txt
    refuse 3 ': is a directory' "$ranks" --text .
    refuse 2 'score: --text FILE is missing' "$ranks"
    refuse 2 'score: --samples -1: must be at least 0' "$ranks" --text texts.txt --samples=-1
    refuse 2 'score: one argument too many: texts.txt' "$ranks" texts.txt
    refuse 2 "score: --tensor-ranks 4: must be at most $ranks" "$ranks" --text texts.txt --tensor-ranks 4
done
# What has nothing to save ends at once when it is asked to.
for ((i = 0; i < 3000; i++)); do cat texts.txt; done >many.txt
"$RLSEDIT" score --model "$SOURCE/tests/data/atlas" --text many.txt >out 2>err &
job=$!
sleep 1
kill -TERM $job
code=0
{ wait $job || code=$?; } 2>/dev/null
[ "$code" = 143 ] || die "SIGTERM: exit code $code"

score 3 --text long.txt --max-length 256 --json
near tokens 0 3 255 258
echo "score: ok"
