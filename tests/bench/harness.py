"""What each benchmark of tests/bench/run works with: programs to run, their JSON lines, figures with their targets."""
import json
import os
import pathlib
import shlex
import subprocess
import tempfile

TORCH_CANNOT = 77  # torch_step.py's exit code when its variant cannot be had here


class Failed(Exception):
    """A program did not run, or not to its end."""


class Unmeasured(Exception):
    """Something that need not be there is not."""


def find_torch(options):
    """A Python that has torch, or None."""
    for python in [options.python] if options.python else ["/usr/bin/python3", "python3"]:
        try:
            done = subprocess.run([python, "-c", "import torch"],
                                  stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL,
                                  check=False)
        except OSError:
            continue
        if done.returncode == 0:
            return python
    return None


class Harness:
    """Runs programs and collects what comes of it."""

    def __init__(self, source, build, options):
        self.source, self.build, self.options = source, build, options
        self.scratch = (options.scratch or options.out).resolve()
        self.figures, self.records, self.bench, self.torch_lines = [], [], "", {}
        self.python = None if options.no_torch else find_torch(options)
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # as the launcher and torch_step.py set them
            os.environ.pop(name, None)

    @property
    def quick(self):
        return self.options.quick

    def begin(self, bench):
        self.bench = bench

    def launcher(self, ranks):
        """MPIRUN's words if it has several; else mpi-launch/run, with one thread a rank."""
        words = shlex.split(os.environ.get("MPIRUN", ""))
        return words + ["-n", str(ranks)] if len(words) > 1 else [
            str(self.source /
                "mpi-launch/run"), "-n", str(ranks), "-t", "1", "--"
        ]

    def program(self, name):
        path = self.build / "tests" / name
        if not path.exists():
            raise Failed(f"{path} is missing: build the tests (RLSEDIT_TESTS=ON)")
        return path

    def execute(self, words):
        """What the program says on stdout."""
        words = [str(word) for word in words]
        done = subprocess.run(words,
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE,
                              text=True,
                              check=False)
        if done.returncode == TORCH_CANNOT:
            raise Unmeasured(done.stderr.strip())
        if done.returncode != 0:
            raise Failed(
                f"exit code {done.returncode} of: {shlex.join(words)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.stdout

    def keep(self, lines, more):
        records = [dict(json.loads(line), under=self.bench, **more) for line in lines if line.startswith("{")]
        self.records += records
        return records

    def mpi(self, name, *arguments, ranks=None, json_option="--json", **more):
        """Runs a benchmark of the build with --json; its lines, to which `more` is added. json_option None: it writes none."""
        words = self.launcher(ranks or self.options.np) + [self.program(name), *arguments]
        if json_option is None:
            text = self.execute(words)
            print(text, end="", flush=True)
            self.records.append({"bench": self.bench, "under": self.bench, "text": text, **more})
            return text
        return self.with_json(words, json_option, more)

    def with_json(self, words, json_option="--json", more=None):
        """Runs a program that takes the name of a file for its JSON lines."""
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "lines"
            print(self.execute(list(words) + [json_option, path]), end="", flush=True)
            if not path.exists():
                raise Failed(f"no JSON came of: {shlex.join(str(word) for word in words)}")
            return self.keep(path.read_text(encoding="utf-8").splitlines(), more or {})

    def torch(self, variant, dtype, sizes, edits=None):
        """torch_step.py's lines, by u; those measured before in this run are not measured again."""
        key = lambda u: (variant, dtype, u)  # noqa: E731
        wanted = [None] if edits is None else [u for u in edits if key(u) not in self.torch_lines]
        if self.python is None:
            raise Unmeasured("--no-torch" if self.options.no_torch else "install python3-torch and libopenblas0-openmp")
        if wanted and key(None) not in self.torch_lines:
            words = [
                self.python, self.source / "tests/bench/torch_step.py", "--variant", variant, "--dtype", dtype,
                "--threads", self.options.np, "--repeats", self.options.repeats, "--flush", self.options.flush
            ]
            for name, value in sizes.items():
                words += [f"--{name}", value]
            if edits is not None:
                words += ["--edits", ",".join(str(u) for u in wanted)]
            for line in self.keep(self.execute(words).splitlines(), {}):
                self.torch_lines[key(line.get("u"))] = line
                print(f"PyTorch {variant:<5} {dtype} " + (f"u = {line['u']:>4} " if "u" in line else "") +
                      f"{line['seconds']:10.5f} s (fastest {line['seconds_min']:.5f})",
                      flush=True)
        return {u: self.torch_lines[key(u)] for u in edits or [None]}

    def figure(self, name, measured, unit="", at_least=None, at_most=None, note=""):
        """Adds a figure; its verdict, unless sizes are those of a smoke test."""
        target = at_least if at_least is not None else at_most
        wanted = "" if target is None else (">= " if at_least is not None else "<= ") + f"{target:g}"
        verdict = ""
        if target is not None:
            met = measured is not None and (measured >= target if at_least is not None else measured <= target)
            verdict = "not measured" if measured is None else "met" if met else "MISSED"
            if self.quick and measured is not None:
                verdict = "quick"
        self.figures.append({
            "bench": self.bench,
            "name": f"{self.bench}: {name}",
            "measured": measured,
            "unit": unit,
            "target": target,
            "wanted": wanted,
            "verdict": verdict,
            "note": note
        })

    def not_measured(self, name, why):
        self.figures.append({
            "bench": self.bench,
            "name": name,
            "measured": None,
            "unit": "",
            "target": None,
            "wanted": "",
            "verdict": "not measured",
            "note": why.splitlines()[-1] if why else ""
        })
