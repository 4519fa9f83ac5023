#!/usr/bin/env python3
"""What PyTorch takes for the step that bench_step times, and for the solve that takes the step's place elsewhere.

    torch_step.py --variant B --dtype float32 --edits 1,16,100,256

A     The step as research code writes it: F = C K, S = I + K^T F, Cholesky, G, C - G G^T as a new matrix,
      W + E (C_t K)^T with the new C_t. PyTorch's default allocator, the system's default OpenBLAS.
B     The same mathematics with everything in place (out=, addmm_), W += H G^T, nothing of size n^2 allocated. The
      allocator is kept warm (MALLOC_MMAP_MAX_=0, a large MALLOC_TRIM_THRESHOLD_), OpenBLAS is the OpenMP one.
best  B, and what else helps a step that still is PyTorch's full matrices: matrix-vector products and addr_ at one
      edit, huge pages (glibc 2.35's malloc.hugetlb).
solve One torch.linalg.solve of n x n with m right-hand sides, in B's environment: what AlphaEdit does a batch.

Keys and F are held by rows or by columns, whichever is faster here: B and best try both before they are timed ("way").
The script starts itself again with the environment a variant wants, and says in its figures which OpenBLAS is loaded;
all but A end with exit code 77 when that is not the OpenMP one. Meant for Debian's python3-torch. Medians of --repeats
after a warm-up; before each one --flush bytes go through the caches as they do in bench_step: a triad on three
arrays. The step is checked against normal equations in float64, at a small size, before anything is timed. One JSON
object a line.
"""
import argparse
import functools
import glob
import json
import os
import re
import statistics
import sys
import time

TRIES = 2  # repeats of a way of doing it before one is chosen
CANNOT = 77  # the exit code when what a variant wants is not here
KEPT_WARM = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 36)}
OPENMP_BLAS = "/usr/lib/*/openblas-openmp"


def cannot(why):
    print("torch_step.py: " + why, file=sys.stderr)
    sys.exit(CANNOT)


def environment(variant, threads):
    """What the variant's process is to be started with."""
    wanted = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    if variant != "A":
        places = glob.glob(OPENMP_BLAS)
        if not places:
            cannot("no OpenMP OpenBLAS at " + OPENMP_BLAS + ": install libopenblas0-openmp")
        wanted.update(KEPT_WARM, LD_LIBRARY_PATH=places[0])
    if variant == "best":
        wanted["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
    return wanted


def blas_in_use():
    """The OpenBLAS libraries this process has mapped."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return sorted(set(re.findall(r"/\S*libopenblas\S*", maps.read())))


def parse():
    parser = argparse.ArgumentParser(description="PyTorch's step and solve, to compare bench_step with.")
    parser.add_argument("--variant", choices=["A", "B", "best", "solve"], required=True)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--edits", default="1,16,100,256", help="edits a step (1,16,100,256)")
    for name, value, what in (("n", 8192, "key size"), ("m", 2048, "value size"), ("threads", 2, "threads"),
                              ("repeats", 5, "steps timed, of which the median counts"),
                              ("flush", 4 << 30, "bytes that go through the caches between steps")):
        parser.add_argument("--" + name, type=int, default=value, help=f"{what} ({value})")
    return parser.parse_args()


ARGS = parse()
ENVIRONMENT = environment(ARGS.variant, ARGS.threads)
if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
    os.execve(sys.executable, [sys.executable] + sys.argv, {**os.environ, **ENVIRONMENT})

import torch  # noqa: E402 (the environment comes first)


class StepA:
    """As research code writes it: each line makes new tensors."""

    def __init__(self, state, inv_cov, keys, values):
        self.w, self.c, self.k, self.v = state, inv_cov, keys, values

    def __call__(self):
        f = self.c @ self.k
        s = torch.eye(self.k.shape[1], dtype=f.dtype) + self.k.T @ f
        low = torch.linalg.cholesky(s)
        g = torch.linalg.solve_triangular(low, f.T, upper=False).T
        e = self.v - self.w @ self.k
        self.c = self.c - g @ g.T
        self.w = self.w + e @ (self.c @ self.k).T


class StepB:
    """In place; the only new tensors are of u columns or rows, and made once. `by_columns`: how keys and F lie in memory."""

    def __init__(self, state, inv_cov, keys, values, by_columns=False):
        lie = (lambda x: x.T.contiguous().T) if by_columns else (lambda x: x.contiguous())
        self.w, self.c, self.k, self.v = state, inv_cov, lie(keys), lie(values)
        u = keys.shape[1]
        self.eye = torch.eye(u, dtype=state.dtype)
        self.s, self.low = torch.empty_like(self.eye), torch.empty_like(self.eye)
        self.f, self.e = torch.empty_like(self.k), torch.empty_like(self.v)
        self.g, self.h = torch.empty_like(keys.T).T, torch.empty_like(values.T).T  # solve_triangular wants this order

    def __call__(self):
        torch.mm(self.c, self.k, out=self.f)
        torch.addmm(self.eye, self.k.T, self.f, out=self.s)
        torch.linalg.cholesky(self.s, out=self.low)
        torch.addmm(self.v, self.w, self.k, alpha=-1, out=self.e)
        torch.linalg.solve_triangular(self.low, self.f.T, upper=False, out=self.g.T)
        torch.linalg.solve_triangular(self.low, self.e.T, upper=False, out=self.h.T)
        self.c.addmm_(self.g, self.g.T, alpha=-1)
        self.w.addmm_(self.h, self.g.T)


class StepVector:
    """One edit: matrix-vector products and outer products in place of matrix products."""

    def __init__(self, state, inv_cov, keys, values):
        self.w, self.c, self.k, self.v = state, inv_cov, keys[:, 0].contiguous(), values[:, 0].contiguous()
        self.f, self.e = torch.empty_like(self.k), torch.empty_like(self.v)

    def __call__(self):
        torch.mv(self.c, self.k, out=self.f)
        torch.addmv(self.v, self.w, self.k, alpha=-1, out=self.e)
        scale = (1.0 + torch.dot(self.k, self.f)).rsqrt_()
        self.f.mul_(scale)
        self.e.mul_(scale)
        self.c.addr_(self.f, self.f, alpha=-1)
        self.w.addr_(self.e, self.f)


def ways(variant, edits):
    """How the variant may do its step: {name: what makes it}."""
    if variant == "A":
        return {"as written": StepA}
    found = {"by rows": StepB, "by columns": functools.partial(StepB, by_columns=True)}
    if variant == "best" and edits == 1:
        found["vectors"] = StepVector
    return found


def batch(n, m, edits, dtype):
    """Random keys of length about 1 and values, as in bench_step."""
    return torch.randn(n, edits, dtype=dtype) / n**0.5, torch.randn(m, edits, dtype=dtype)


def check(way, make, edits, dtype):
    """Two steps of other batches against the normal equations in float64."""
    n, m = 192, 64
    batches = [batch(n, m, edits, dtype) for _ in range(2)]
    start = torch.randn(m, n, dtype=dtype)
    w, c = start.clone(), torch.eye(n, dtype=dtype)
    for keys, values in batches:
        step = make(w, c, keys, values)
        step()
        w, c = step.w, step.c
    keys = torch.cat([k for k, _ in batches], 1).double()
    values = torch.cat([v for _, v in batches], 1).double()
    true_c = torch.linalg.inv(torch.eye(n, dtype=torch.float64) + keys @ keys.T)
    true_w = (start.double() + values @ keys.T) @ true_c
    bound = 1e-4 if dtype == torch.float32 else 1e-12
    for got, true, name in ((c, true_c, "C"), (w, true_w, "W")):
        error = float(torch.linalg.norm(got.double() - true) / torch.linalg.norm(true))
        assert error < bound, f"{way}, {edits} edits: {name} is off by {error:.2e} of its norm"


def check_solve(dtype):
    n, m = 192, 64
    a, b = torch.randn(n, n, dtype=dtype) + n * torch.eye(n, dtype=dtype), torch.randn(n, m, dtype=dtype)
    error = float(torch.linalg.norm(a.double() @ torch.linalg.solve(a, b).double() - b) / torch.linalg.norm(b.double()))
    assert error < (1e-4 if dtype == torch.float32 else 1e-12), f"solve is off by {error:.2e}"


def seconds_of(work, flush, repeats):
    """Of each repeat, after one that warms up."""
    seconds = []
    for _ in range(repeats + 1):
        flush()
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def caches():
    """A triad over three arrays beyond the caches, as bench_step runs it between steps."""
    count = max(ARGS.flush // 24, 1)
    a, b, c = torch.zeros(count,
                          dtype=torch.float64), torch.ones(count,
                                                           dtype=torch.float64), torch.arange(count,
                                                                                              dtype=torch.float64)
    return lambda: torch.add(b, c, alpha=1.0, out=a)


def put(blas, seconds, **more):
    print(json.dumps({
        "bench": "torch-" + ("solve" if ARGS.variant == "solve" else "step"),
        "variant": ARGS.variant,
        "dtype": ARGS.dtype,
        "n": ARGS.n,
        "m": ARGS.m,
        **more, "seconds": statistics.median(seconds),
        "seconds_min": min(seconds),
        "repeats": len(seconds),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "blas": blas,
        "environment": ENVIRONMENT
    }),
          flush=True)


def main():
    torch.manual_seed(1)
    torch.set_num_threads(ARGS.threads)
    torch.set_grad_enabled(False)
    dtype, n, m = getattr(torch, ARGS.dtype), ARGS.n, ARGS.m
    edits = [int(u) for u in ARGS.edits.split(",")]
    if ARGS.variant == "solve":
        check_solve(dtype)
    else:
        for u in edits:
            for way, make in ways(ARGS.variant, u).items():
                check(way, make, u, dtype)
    blas = blas_in_use()
    if ARGS.variant != "A" and not (blas and all("openblas-openmp" in os.path.realpath(path) for path in blas)):
        cannot(f"variant {ARGS.variant} wants the OpenMP OpenBLAS, but this torch uses " +
               (", ".join(blas) or "no OpenBLAS") + ": use Debian's python3-torch and libopenblas0-openmp")
    flush = caches()
    if ARGS.variant == "solve":
        matrix, right = torch.randn(n, n, dtype=dtype), torch.randn(n, m, dtype=dtype)
        matrix.diagonal().add_(n)
        put(blas, seconds_of(lambda: torch.linalg.solve(matrix, right), flush, ARGS.repeats))
        return
    w, c = torch.zeros(m, n, dtype=dtype), torch.eye(n, dtype=dtype)
    for u in edits:
        keys, values = batch(n, m, u, dtype)
        steps = {way: make(w, c, keys, values) for way, make in ways(ARGS.variant, u).items()}
        way = next(iter(steps))
        if len(steps) > 1:
            way = min(steps, key=lambda name: min(seconds_of(steps[name], flush, TRIES)))
        put(blas, seconds_of(steps[way], flush, ARGS.repeats), u=u, way=way)
        w, c = steps[way].w, steps[way].c


if __name__ == "__main__":
    main()
