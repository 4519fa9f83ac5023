#!/usr/bin/env bash
# Installs a build into an empty directory, and compiles, links and runs a foreign program with nothing but mpicc and pkg-config.
# Arguments: build directory. Environment: SOURCE, WORK, MPIRUN (words).
set -euo pipefail
build=$1
read -ra mpirun <<<"${MPIRUN:?is set by ctest}"
cmake --install "$build" --prefix "$WORK/prefix" >/dev/null
pc=$(find "$WORK/prefix" -name rlsedit.pc)
export PKG_CONFIG_PATH=${pc%/*}${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
lib=$(pkg-config --variable=libdir rlsedit)
export LD_LIBRARY_PATH=$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
for static in '' --static; do
    # Flags are words.
    # shellcheck disable=SC2046,SC2086
    mpicc -std=c11 -Wall -Wextra -Werror "$SOURCE/tests/example/library.c" \
        $(pkg-config --cflags --libs $static rlsedit) -lm -o "$WORK/library"
    "${mpirun[@]}" -n 4 "$WORK/library"
done
"$WORK/prefix/bin/rlsedit" --version
