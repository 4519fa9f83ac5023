#!/usr/bin/env bash
# Checks every bash script with shellcheck.
set -euo pipefail
shellcheck=$1
cd -- "$2"
{ find .ci mpi-launch tests slurm -type f -print0 | xargs -0 grep -lIE '^#!.*\b(ba)?sh\b' || true; } |
    xargs -d '\n' "$shellcheck" -x -s bash
