#!/usr/bin/env bash
# ctest: NP 2 TIMEOUT 300
# tests/bench/run --quick: every benchmark runs to its end, and the JSON says what the table says. No time is judged, torch is not needed.
set -euo pipefail
: "${RLSEDIT:?is set by ctest}" "${SOURCE:?}" "${WORK:?}"
run=$SOURCE/tests/bench/run
build=$(dirname -- "$RLSEDIT")
cd "$WORK"

die() {
    echo "FAILED: $*" >&2
    cat "$WORK"/{out,err} >&2
    exit 1
}
python3 -c '' 2>/dev/null || { echo "NOT RUN: no python3" && exit 77; }

"$run" --list >out 2>err || die "--list"
for name in step recorded solve inverse comm export layer-70b moments checkpoint llm tokenizer facts; do
    grep -q "^$name " out || die "--list does not name $name"
done
! "$run" --only nothing >out 2>err || die "an unknown name was taken"
grep -q nothing err || die "the unknown name is not said"

"$run" --quick --no-torch --all --layer-70b --repeats 1 --build "$build" --out results >out 2>err || die "a benchmark did not run"
python3 - results/results.json out <<'END' || die "the JSON is not what was asked for"
import json, sys
results, table = json.load(open(sys.argv[1])), open(sys.argv[2]).read()
assert results["failures"] == {} and results["machine"]["cores"] >= 1 and results["machine"]["blas"]
steps = {(r["dtype"], r["u"], r["round"]) for r in results["records"] if r["bench"] == "step"}
assert {("float32", 1, 1), ("float64", 100, 2)} <= steps, steps
for record in results["records"]:
    if record["bench"] == "step":
        assert record["gemm_gflops"] > 0 and record["read_gbs"] > 0 and record["triad_gbs"] > 0, record
verdicts = {f["name"]: f["verdict"] for f in results["figures"]}
assert verdicts["step: float32, u = 1: faster than PyTorch A"] == "not measured", "nothing was compared, nothing can be met"
assert "met" not in verdicts.values() and "MISSED" not in verdicts.values(), "quick figures are not judged"
assert all(name in table for name in verdicts)
END
if command -v gnuplot >/dev/null; then
    [ "$(head -c 4 results/results.png | tail -c 3)" = PNG ] || die "results.png is no picture"
fi
# A benchmark that is missing is named.
mkdir -p none/tests
if "$run" --quick --no-torch --only inverse --build none --out broken >out 2>err; then
    die "a missing benchmark is no failure"
fi
grep -q 'inverse did not run: .*bench_inverse is missing' out || die "the missing benchmark is not named"
