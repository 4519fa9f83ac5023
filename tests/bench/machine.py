"""What machine, libraries and sources figures were measured with."""
import ctypes
import os
import pathlib
import platform
import re
import subprocess


def said(words, **how):
    """What a command prints; empty when it cannot be run."""
    try:
        return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False,
                              **how).stdout.strip()
    except OSError:
        return ""


def field(path, pattern):
    try:
        found = re.search(pattern, pathlib.Path(path).read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1).strip() if found else ""


def blas_of(program):
    """The BLAS a program is linked to, and of OpenBLAS its own words: version, threading, kernels."""
    libraries = [os.path.realpath(path) for path in re.findall(r"=> (/\S+)", said(["ldd", str(program)]))]
    names = [
        path for path in libraries
        if re.search(r"blas|mkl|blis|atlas",
                     os.path.basename(path).lower()) and "lapack" not in os.path.basename(path)
    ]
    for path in names:
        try:
            config = ctypes.CDLL(path).openblas_get_config
        except (OSError, AttributeError):
            continue
        config.restype = ctypes.c_char_p
        return f"{config().decode().strip()} ({path})"
    return ", ".join(names) or "unknown BLAS"


def commit_of(source):
    commit = said(["git", "-C", str(source), "rev-parse", "--short=12", "HEAD"])
    changed = said(["git", "-C", str(source), "status", "--porcelain"])
    return (commit or "unknown") + (" with changes" if changed else "")


def describe(source, build, ranks):
    return {
        "cpu": field("/proc/cpuinfo", r"^model name\s*:\s*(.*)") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": float(field("/proc/meminfo", r"^MemTotal:\s*(\d+)") or 0) / 1e6,
        "system": platform.platform(),
        "compiler": field(build / "CMakeCache.txt", r"^CMAKE_C_COMPILER:\w+=(.*)"),
        "build_type": field(build / "CMakeCache.txt", r"^CMAKE_BUILD_TYPE:\w+=(.*)"),
        "blas": blas_of(build / "tests/bench_step"),
        "commit": commit_of(source),
        "ranks": ranks,
        "load": os.getloadavg()
    }
