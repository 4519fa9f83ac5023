#!/usr/bin/env bash
# ctest: NP 2
# tests/bench/layer_70b at a small size: the same stages, in the table and in its JSON, an edited model, nothing left behind.
set -euo pipefail
: "${RLSEDIT:?is set by ctest}" "${MPIRUN:?}" "${SOURCE:?}" "${WORK:?}"
die() {
    echo "FAILED: $*" >&2
    [ ! -s "$WORK/out" ] || cat "$WORK/out" >&2
    exit 1
}
python=${RLSEDIT_PYTHON:-python3}
command -v "$python" >/dev/null || { echo "NOT RUN: no $python here" && exit 77; }
bench() {
    timeout 120 "$python" "$SOURCE/tests/bench/layer_70b" --build "$(dirname "$RLSEDIT")" --gemm 256 "$@" >"$WORK/out" 2>&1
}

# Sizes that no block divides, and a last batch that is not full. It judges shape, type and fit of the exported weight itself.
mkdir tmp
TMPDIR=$WORK/tmp bench --n 1100 --m 300 --edits 50 --batch 20 --json layer.jsonl || die "layer_70b ended with $?"
[ -z "$(ls -A tmp)" ] || die "left behind: $(ls -A tmp)"
"$python" - <<'END' || die 'layer.jsonl is not complete'
import json
import math
lines = [json.loads(line) for line in open("layer.jsonl", encoding="utf-8")]
stages = {line["stage"].strip(): line for line in lines}
wanted = ["machine", "read stream", "fingerprint", "allocate", "load weights", "load moments", "C_0", "step 1", "step 2",
          "step 3", "all steps", "step (median)", "D, its bound", "journal", "checkpoint", "export", "fit", "other", "total",
          "memory", "fit-error"]
missing = [stage for stage in wanted if stage not in stages]
assert not missing, f"stages are missing: {missing}"
assert all(line["bench"] == "layer-70b" for line in lines)
assert all(math.isfinite(value) for line in lines for value in line.values() if isinstance(value, float))
for stage in ("C_0", "step 1", "step 2", "step 3", "load moments", "checkpoint", "export"):
    assert stages[stage]["seconds"] > 0.0 and stages[stage]["ratio"] > 0.0, stages[stage]
assert [stages[f"step {i}"]["edits"] for i in (1, 2, 3)] == [20, 20, 10]
parts = [line["seconds"] for line in lines if line["stage"][0] != " " and "seconds" in line
         and line["stage"] not in ("total", "step (median)")]
assert abs(sum(parts) - stages["total"]["seconds"]) < 0.02 + 0.05 * stages["total"]["seconds"], "the stages are not the total"
assert stages["memory"]["gb"] > 0.0 and 0.0 < stages["fit-error"]["value"] < 0.2
END

# Kept data are used again; a failing run is a failure, and says why.
bench --n 320 --m 64 --edits 20 --batch 10 --keep --dir kept || die "layer_70b --keep ended with $?"
[ -f kept/layer-run/model/model.safetensors ] || die 'nothing was kept'
bench --n 320 --m 64 --edits 20 --batch 10 --keep --dir kept || die "layer_70b on kept data ended with $?"
grep -q 'data: there already' out || die 'the data were made anew'
if bench --n 320 --m 64 --edits 20 --batch 10 --dir kept --set editor.mu=-1; then
    die 'a run that fails is none for layer_70b'
fi
grep -q 'editor.mu' out || die 'it does not say why'
[ -d kept ] || die 'a directory that was given is gone'
[ -z "$(ls -A kept)" ] || die "left behind in a directory that was given: $(ls -A kept)"
echo "layer_70b: ok"
