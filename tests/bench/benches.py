"""The benchmarks of tests/bench/run: what each runs, which figures it gives, and what they are to be."""
import collections
import pathlib
import tempfile

from harness import Unmeasured

DTYPES = ("float32", "float64")
PEERS = ("A", "B", "best")  # the variants of torch_step.py; "best" is no target, and shows what else torch could do
A_FLOAT32 = {1: 25.0, 16: 12.0, 100: 3.5, 256: 2.5}
B_FLOAT32 = {1: 5.0, 16: 2.5, 100: 1.35, 256: 1.2}
B_FLOAT64 = {1: 4.0, 16: 2.2, 100: 1.3, 256: 1.2}
FASTER = {"float32": {"A": A_FLOAT32, "B": B_FLOAT32}, "float64": {"B": B_FLOAT64}}
RECORDED = {"float32": {"A": 200.0, "B": 40.0}, "float64": {"B": 35.0}}
PEER_NAMES = {"A": "PyTorch A", "B": "PyTorch B", "best": "PyTorch's best"}
DRIFT = 0.05  # of two rounds, above which a figure says so

Bench = collections.namedtuple("Bench", "name about run when", defaults=("always", ))


def sizes(h):
    return {"n": 512, "m": 128} if h.quick else {"n": 8192, "m": 2048}


def options(values):
    """{"n": 1} as --n 1."""
    return [word for name, value in values.items() for word in (f"--{name}", value)]


def step_round(h, dtype, edits, which):
    """One round of bench_step: its lines by u."""
    extra = {"gemm": 256} if h.quick else {}
    lines = h.mpi("bench_step",
                  "--dtype",
                  dtype,
                  "--edits",
                  ",".join(map(str, edits)),
                  *options({
                      **sizes(h),
                      **extra, "repeats": h.options.repeats,
                      "delay": 128,
                      "triad": h.options.flush
                  }),
                  round=which)
    return {line["u"]: line for line in lines}


def mean(a, b):
    return 0.5 * (a + b)


def drifted(a, b):
    """What to say when two rounds differ."""
    off = abs(a - b) / mean(a, b)
    return f"rounds differ by {100 * off:.0f} %" if off > DRIFT else ""


def compare(h, dtype, ours, edits, targets):
    """Ratios to PyTorch's seconds; `ours` gives ours by u. What cannot be measured is named for each target."""
    for peer in PEERS:
        wanted = targets.get(peer, {})
        try:
            theirs, why = h.torch(peer, dtype, sizes(h), edits), ""
        except Unmeasured as reason:
            theirs, why = {}, str(reason)
        for u in edits:
            ratio = theirs[u]["seconds"] / ours[u] if u in theirs else None
            h.figure(f"{dtype}, u = {u}: faster than {PEER_NAMES[peer]}", ratio, "x", at_least=wanted.get(u), note=why)


def step(h):
    """GEMM and ours, PyTorch, GEMM and ours again: the drift of the machine shows."""
    edits = [1, 16, 100] if h.quick else [1, 16, 100, 256, 1024]
    for dtype in DTYPES:
        first = step_round(h, dtype, edits, 1)
        shared = [u for u in edits if u in B_FLOAT32]
        if h.python is not None:
            for peer in PEERS:
                try:
                    h.torch(peer, dtype, sizes(h), shared)
                except Unmeasured as why:
                    print(why)
        second = step_round(h, dtype, edits, 2)
        both = [(u, first[u], second[u]) for u in edits]
        for u, a, b in both:
            h.figure(f"{dtype}, u = {u}: a step",
                     mean(a["seconds"], b["seconds"]),
                     "s",
                     note=drifted(a["seconds"], b["seconds"]))
        compare(h, dtype, {u: mean(a["seconds"], b["seconds"]) for u, a, b in both}, shared, FASTER[dtype])
        for u, a, b in both:
            if u >= 100:
                h.figure(f"{dtype}, u = {u}: of GEMM, 3 n^2 u + 4 n m u flops",
                         mean(a["gemm_ratio"], b["gemm_ratio"]),
                         "",
                         at_least=0.92,
                         note=drifted(a["gemm_gflops"], b["gemm_gflops"]))
        a, b = first[1], second[1]
        h.figure(f"{dtype}, u = 1: of the read limit, n^2/2 + n m words",
                 mean(a["read_ratio"], b["read_ratio"]),
                 "",
                 at_least=0.8,
                 note=drifted(a["read_gbs"], b["read_gbs"]))


def recorded(h):
    """A recorded stream of single edits, cut as the library likes; else at several widths, of which the fastest counts."""
    for dtype in DTYPES:
        widths = "1,16" if h.quick else "1,64,128,250,500"
        lines = h.mpi("bench_recorded", "--dtype", dtype, *options({**sizes(h), "widths": widths}))
        best = min((line for line in lines if line["bench"] == "recorded"), key=lambda line: line["seconds_per_edit"])
        ours = best["seconds_per_edit"]
        h.figure(f"{dtype}: an edit", ours, "s", note=f"in steps of {best['width']:.0f}" if "width" in best else "")
        compare(h, dtype, {1: ours}, [1], {peer: {1: target} for peer, target in RECORDED[dtype].items()})


def solve(h):
    """What AlphaEdit does a batch, against a step of 100 edits before and after it."""
    for dtype in DTYPES:
        first = step_round(h, dtype, [100], 1)[100]["seconds"]
        try:
            theirs, why = h.torch("solve", dtype, sizes(h))[None]["seconds"], ""
        except Unmeasured as reason:
            theirs, why = None, str(reason)
        ours = mean(first, step_round(h, dtype, [100], 2)[100]["seconds"]) if theirs else first
        if theirs:
            h.figure(f"{dtype}: torch.linalg.solve", theirs, "s")
        h.figure(f"{dtype}: a step of 100 edits faster than it",
                 theirs / ours if theirs else None,
                 "x",
                 at_least=20.0,
                 note=why)


def inverse(h):
    arguments = {"n": 512, "gemm": 256, "repeats": 1} if h.quick else {"n": 8192, "repeats": min(3, h.options.repeats)}
    for line in h.mpi("bench_inverse", "--dtype", "both", *options(arguments)):
        h.figure(f"{line['dtype']}, n = {line['n']}: of GEMM, n^3 flops",
                 line["gemm_ratio"],
                 "",
                 at_least=0.75,
                 note=f"{line['seconds']:.3g} s")


def off(measured, formula):
    """By what factor, to either side."""
    return max(measured / formula, formula / measured) if measured else 1e9


def comm(h):
    """What a rank gets and sends a step, on more ranks than there are cores."""
    h.program("bench_comm")
    small = {"ranks": "1 2", "n": 256, "m": 128, "edits": 16} if h.quick else {}
    lines = {
        line["ranks"]: line
        for line in h.with_json([h.source / "tests/bench/comm", "--build", h.build, *options(small)])
    }
    for ranks, line in lines.items():
        for what, measured, formula in (("payload", "bytes_measured", "bytes_formula"), ("sent", "sent_bytes_pml",
                                                                                         "sent_bytes_formula")):
            if line[formula] > 0 and line[measured] is not None:
                h.figure(f"{ranks} ranks: {what} of a rank off the formula by",
                         off(line[measured], line[formula]),
                         "x",
                         at_most=1.1,
                         note=f"{line[measured] * 1e-6:.3g} MB, formula {line[formula] * 1e-6:.3g} MB")
    if 4 in lines and 64 in lines:
        h.figure("payload on 4 ranks over 64 (1/sqrt(P): 4)",
                 lines[4]["bytes_measured"] / lines[64]["bytes_measured"],
                 "x",
                 at_least=3.6)


def export(h):
    """Loading and exporting a model of 4 GiB with one edited shard of 1 GiB."""
    if h.quick:
        raise Unmeasured("not with --quick: it writes 4 GiB")
    with tempfile.TemporaryDirectory(dir=h.scratch) as directory:
        for line in h.mpi("bench_export", "--dir", directory):
            for part in ("load", "export", "whole"):
                h.figure(f"{part}: of the disk's sequential rate", line[f"{part}_ratio"], "", at_least=0.7)


def layer_70b(h):
    """Every stage of one layer's life, from its files to the edited model."""
    small = {"n": 512, "m": 256, "edits": 12, "batch": 4, "gemm": 256} if h.quick else {}
    script = h.source / "tests/bench/layer_70b"
    if not script.exists():
        raise Unmeasured(f"there is no {script}")
    with tempfile.TemporaryDirectory(dir=h.scratch) as directory:
        lines = h.with_json([
            script, "--build", h.build, "--ranks", h.options.np, "--dir",
            pathlib.Path(directory) / "layer", *options(small)
        ])
    for line in lines:
        name = line["stage"].strip()
        if "seconds" in line:
            h.figure(name,
                     line["seconds"],
                     "s",
                     note=f"{line['ratio']:.3f} of {line['ratio_to']}" if line.get("ratio_to") else "")
        if name == "step (median)":
            h.figure("steps of GEMM, 3 n^2 u + 4 n m u flops", line.get("ratio"), "", at_least=0.85)


def moments(h):
    h.mpi("bench_moments",
          *options({
              "n": 512,
              "keys": 64,
              "gemm": 256,
              "repeats": 1
          } if h.quick else {}),
          json_option=None)


def checkpoint(h):
    small = {"n": 2048, "m": 128, "repeats": 1, "stream": 1} if h.quick else {}  # its pieces of 8 MiB want so much
    with tempfile.TemporaryDirectory(dir=h.scratch) as directory:
        for line in h.mpi("bench_checkpoint", "--dir", directory, *options(small)):
            for part in ("write_ratio", "read_ratio", "journal_share", "checkpoint_share"):
                if part in line:
                    h.figure(part.replace("_", " "), line[part])


def llm(h):
    small = {
        "blocks": 2,
        "hidden": 64,
        "inner": 128,
        "heads": 4,
        "vocab": 256,
        "sequences": 2,
        "length": 16,
        "repeats": 1
    }
    for line in h.mpi("bench_llm", *options(small if h.quick else {})):
        name = f"{line['dtype']}, {line['data_groups']} x {line['tensor_ranks']} ranks"
        h.figure(f"{name}: prompts of GEMM", line["gemm_ratio"], note=f"{line['tokens_per_second']:.0f} tokens/s")
        h.figure(f"{name}: way back over forward", line["backward_ratio"])


def tokenizer(h):
    texts = ["README.md"] if h.quick else ["README.md", "LICENSE", "configs/README.md"]
    h.mpi("bench_tokenizer",
          h.source / "tests/data/atlas",
          *[h.source / text for text in texts],
          ranks=1,
          json_option=None)


def facts(h):
    h.mpi("bench_facts", *([100, 1] if h.quick else []), json_option=None)


ALL = (Bench("step", "a step against PyTorch, GEMM and memory",
             step), Bench("recorded", "single edits of a recorded stream",
                          recorded), Bench("solve", "a step against torch.linalg.solve",
                                           solve), Bench("inverse", "C_0 against GEMM",
                                                         inverse), Bench("comm", "bytes a rank and step", comm),
       Bench("export", "loading and exporting a model against the disk",
             export), Bench("layer-70b", "a layer of a 70B model, every stage", layer_70b, "--layer-70b"),
       Bench("moments", "accumulating second moments against GEMM", moments,
             "all"), Bench("checkpoint", "checkpoints against the disk, and their share of a stream", checkpoint,
                           "all"), Bench("llm", "prompt processing and the way back against GEMM", llm,
                                         "all"), Bench("tokenizer", "encoding and decoding", tokenizer,
                                                       "all"), Bench("facts", "reading facts", facts, "all"))
