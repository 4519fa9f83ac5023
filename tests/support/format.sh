#!/usr/bin/env bash
# Checks the format of every C file against .clang-format.
set -euo pipefail
clang_format=$1
cd -- "$2"
find include src tests -name '*.[ch]' -print0 | xargs -0 "$clang_format" --dry-run -Werror --ferror-limit=1
