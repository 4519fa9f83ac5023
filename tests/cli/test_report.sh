#!/usr/bin/env bash
# ctest: NP 2
# `rlsedit report`: its page for finished, unfinished, damaged and evaluated runs, and what it refuses.
set -euo pipefail
# shellcheck source=tests/cli/lib.sh
. "${SOURCE:?}/tests/cli/lib.sh"
cd "$WORK"
ln -s "$SOURCE/configs" "$SOURCE/tests" .
here=("$RLSEDIT") # as launch calls it

edit() {
    launch 2 edit configs/atlas.yaml --model tests/data/atlas --stream tests/data/atlas-stream.nc --quiet "$@"
}
# report RANKS RUN: a report that must succeed; its page is $page then.
report() {
    page=$2/report/index.html
    launch "$1" report --run "$2"
    [ "$code" = 0 ] || die "report of $2: exit code $code"
    [ "$(<"$WORK/out")" = "$page" ] || die "report of $2 does not say where the page is"
    [ -s "$page" ] || die "no page of $2"
    [ "$(find "$2/report" -type f | wc -l)" = 1 ] || die "$2/report has more than the page"
}
says() { grep -qF -- "$1" "$page" || die "$page does not say: $1"; }
pictures() { grep -o '<figure id="[a-z-]*"' "$page" | cut -d '"' -f 2 | tr '\n' ' '; }
# sound: the page stands alone, has a picture in each figure, and is XML.
sound() {
    local links # but names of what XML is about
    links=$(grep -oE 'https?://[^"]*' "$page" | sort -u | grep -vE '^http://www\.w3\.org/(1999/xhtml|1999/xlink|2000/svg)$') || true
    [ "$links" = '' ] || die "$page has links: $links"
    ! grep -qiE '<script|<link|<img|<iframe|@import|url\(|[ (]nan[ ,)]' "$page" || die "$page needs something from outside"
    [ "$(grep -c '<svg' "$page")" = "$(grep -c '<figure' "$page")" ] || die "$page: not a picture in each figure"
    [ "$(grep -c '<svg' "$page")" = "$(grep -c '</svg>' "$page")" ] || die "$page: pictures are not whole"
    [ "$(grep -oE " id=[\"'][^\"']*" "$page" | sort | uniq -d)" = '' ] || die "$page: two things have the same id"
    ! grep -qE "rgb\( *0, *0, *0\)" "$page" || die "$page has black that does not follow the style"
    ! command -v xmllint >/dev/null || xmllint --noout "$page" 2>"$WORK/err" || die "$page is no XML"
}

edit --run run1 --set batch=20
[ "$code" = 0 ] || die "edit: exit code $code"

# Without gnuplot, or with one that does not draw, nothing is written.
mkdir fake
cat >fake/gnuplot <<'END'
#!/bin/sh
[ "$1" = --version ] && echo "gnuplot 5" || echo "line 1: no such terminal" >&2
END
chmod +x fake/gnuplot
for ranks in 1 2; do
    program=(env PATH=/nowhere "$RLSEDIT")
    launch $ranks report --run run1
    [ "$code" = 2 ] || die "without gnuplot: exit code $code"
    grep -q 'install gnuplot' "$WORK/err" || die "without gnuplot: another message"
    program=(env PATH="$PWD/fake" "$RLSEDIT")
    launch $ranks report --run run1
    [ "$code" = 70 ] || die "with a gnuplot that does not draw: exit code $code"
    grep -q 'no such terminal' "$WORK/err" || die "with a gnuplot that does not draw: another message"
    [ ! -e run1/report ] || die "without pictures: something is written"
done
program=("${here[@]}")

# What is no run directory.
for run in nowhere tests/data/atlas tests/data/atlas-stream.nc; do
    launch 2 report --run $run
    [ "$code" = 3 ] || die "a report of $run: exit code $code"
    grep -q "$run" "$WORK/err" || die "a report of $run: the message does not name it"
done
launch alone report
[ "$code" = 2 ] || die "a report of nothing: exit code $code"

if ! command -v gnuplot >/dev/null; then
    echo "gnuplot is not there, so only what is refused was tested"
    exit 0
fi

# A finished run: figures are the summary's.
before=$(sums run1)
for ranks in alone 2; do
    report $ranks run1
    sound
done
[ "$(sums run1 | grep -v ' run1/report/')" = "$before" ] || die "the report changed the run"
[ "$(pictures)" = 'norms old-edits batch-fit pivots trace batch-seconds stages ' ] || die "pictures: $(pictures)"
says 'finished: 300 edits; nothing to worry about'
says '300 edits in 15 batches'
says 'Metrics before and after editing: there is no eval.json'
says 'lambda: 1.0'
says "$(values run1/run.json model)"
for name in delta_norm delta_bound weight_norm objective fit_error; do
    for value in $(values run1/summary.json $name); do
        says "<td>$(LC_ALL=C printf %.6g "$value")</td>"
    done
done
says "Fit error of all edits<b>$(LC_ALL=C printf %.3g "$(values run1/summary.json fit_error | sort -g | tail -n 1)")</b>"
says "Time<b>$(LC_ALL=C printf %.3g "$(values run1/summary.json seconds | grep '^[0-9]')") s</b>"

# Again: the old page is replaced, and what a report that died left is no obstacle.
echo old >run1/report/index.html
echo half >run1/report/index.html.partial
report 2 run1
sound
says 'finished: 300 edits'

# An unfinished run.
code=0
RLSEDIT_FAULT=segment.write:error:0:4 edit --run stopped --set batch=20
[ "$code" != 0 ] || die "a run that was to fail is finished"
report 2 stopped
sound
says 'interrupted: 60 edits'
says '--resume goes on'
[ "$(pictures)" = 'norms old-edits batch-fit pivots trace batch-seconds stages ' ] || die "unfinished: $(pictures)"

# Damage: a line of the log, a file that was set aside, names that are HTML.
cp -r run1 '<b>&"run"'
run='<b>&"run"'
sed -i '3s/"edits":60/"edits":61/' "$run/log.jsonl"
: >"$run/stream/segment-000001.nc.damaged"
report alone "$run"
sound
says '&lt;b&gt;&amp;&quot;run&quot;'
says 'log.jsonl: 1 of its lines are damaged'
says 'stream/segment-000001.nc.damaged'
says 'deserve a look'

# Evaluated: the metrics are those of eval.json.
launch 2 eval --run run1 --facts tests/data/world/facts.jsonl --limit 20 --questions 2 --quiet
[ "$code" = 0 ] || die "eval: exit code $code"
report 2 run1
sound
[ "$(pictures)" = 'metrics retention norms old-edits batch-fit pivots trace batch-seconds stages ' ] || die "pictures: $(pictures)"
for value in $(values run1/eval.json score); do
    grep -qE "Score<b>[^<]*$(LC_ALL=C awk -v x="$value" 'BEGIN { printf "%.1f", 100 * x }')" "$page" || die "no score of $value"
done
[ "$(grep -c '<td class="left">answers more probable' "$page")" -ge 3 ] || die "not all metrics are in the table"

# Nearly nothing there.
mkdir bare
touch bare/config.yaml bare/log.jsonl
report alone bare
sound
[ "$(pictures)" = '' ] || die "pictures of nothing: $(pictures)"
says 'Left out:'

# A page that cannot be written.
rm -r stopped/report
touch stopped/report
launch 2 report --run stopped
[ "$code" = 5 ] || die "a report that cannot be written: exit code $code"
echo "report: ok"
