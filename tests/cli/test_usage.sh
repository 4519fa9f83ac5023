#!/usr/bin/env bash
# ctest: NP 3
# What does not depend on a subcommand: help and version on stdout once, mistakes on stderr once with exit code 2.
set -euo pipefail
: "${RLSEDIT:?}" "${MPIRUN:?}"
read -ra mpirun <<<"$MPIRUN"

die() {
    echo "usage: $*" >&2
    cat out err >&2
    exit 1
}

# expect CODE FILE TEXT RANKS ARGUMENT...: the exit code, and TEXT exactly once in FILE (out or err).
expect() {
    local code=$1 file=$2 text=$3 ranks=$4 got=0
    shift 4
    if [ "$ranks" = alone ]; then
        timeout 60 "$RLSEDIT" "$@" >out 2>err || got=$?
    else
        timeout 60 "${mpirun[@]}" -n "$ranks" "$RLSEDIT" "$@" >out 2>err || got=$?
    fi
    [ "$got" = "$code" ] || die "rlsedit $* on $ranks ranks: exit code $got, expected $code"
    [ "$(grep -cF -- "$text" "$file")" = 1 ] || die "rlsedit $* on $ranks ranks: not once \"$text\" in std$file"
    if [ "$code" = 0 ]; then
        [ ! -s err ] || die "rlsedit $*: something on stderr"
    else
        [ ! -s out ] || die "rlsedit $*: something on stdout"
    fi
}

for ranks in alone 1 3; do
    expect 0 out "rlsedit " "$ranks" --version
    expect 0 out "usage: rlsedit [option...] COMMAND" "$ranks" --help
    expect 0 out "usage: rlsedit [option...] COMMAND" "$ranks" help
    expect 0 out "usage: rlsedit edit" "$ranks" help edit
    expect 0 out "  clamp_norm_factor:" "$ranks" help config
    expect 2 err "rlsedit: error: no command is given" "$ranks"
    expect 2 err "rlsedit: error: unknown command edti; did you mean edit?" "$ranks" edti
    expect 2 err "rlsedit: error: unknown command nothing (see" "$ranks" help nothing
    expect 2 err "rlsedit: error: unknown option --versoin; did you mean --version?" "$ranks" --versoin
    expect 2 err "rlsedit: error: help: one argument too many: b" "$ranks" help a b
done
for command in edit eval inspect ask score; do
    expect 0 out "usage: rlsedit $command" alone "$command" --help
    expect 0 out "example:" 3 help "$command"
    expect 2 err "rlsedit: error: $command: unknown option --no-such-option" 3 "$command" --no-such-option
done
expect 2 err "rlsedit: noticed at src/cli/" 3 -v help a b

# A standard output that cannot be written is not a success.
if [ -w /dev/full ]; then
    code=0
    "$RLSEDIT" --help >/dev/full 2>err || code=$?
    : >out
    [ "$code" = 5 ] || die "a full standard output: exit code $code, expected 5"
fi
echo "usage: ok"
