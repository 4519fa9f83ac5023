# For end-to-end tests of rlsedit: running it, reading its JSON, and writing small inputs byte by byte. To be sourced.
# shellcheck shell=bash
: "${RLSEDIT:?is set by ctest}" "${MPIRUN:?}" "${SOURCE:?}"
read -ra mpirun <<<"$MPIRUN"
# All ranks end together, in MPI_Finalize; Open MPI would still wait a second for the others when it sees the first exit code.
export OMPI_MCA_odls_base_sigkill_timeout=0

die() {
    echo "FAILED: $*" >&2
    for file in out err; do
        [ ! -s "$WORK/$file" ] || { echo "--- std$file:" && cat "$WORK/$file"; } >&2
    done
    exit 1
}

# launch RANKS ARGUMENT...: rlsedit's exit code in $code, what it says in $WORK/out and $WORK/err. RANKS alone: without mpirun.
launch() {
    local ranks=$1 start=()
    shift
    [ "$ranks" = alone ] || start=("${mpirun[@]}" -n "$ranks")
    code=0
    timeout 100 "${start[@]}" "${program[@]}" "$@" >"$WORK/out" 2>"$WORK/err" </dev/null || code=$?
    [ "$code" != 124 ] || die "rlsedit $* on $ranks ranks: still running after 100 s"
}
program=("$RLSEDIT")

# must_succeed RANKS ARGUMENT...: a launch with exit code 0.
must_succeed() {
    launch "$@"
    [ "$code" = 0 ] || die "${*:2} on $1 ranks: exit code $code"
}

# must_refuse CODE TEXT RANKS ARGUMENT...: a launch with this exit code, one message, with this text, and nothing on stdout.
must_refuse() {
    local expected=$1 text=$2 ranks=$3
    shift 3
    launch "$ranks" "$@"
    [ "$code" = "$expected" ] || die "$* on $ranks ranks: exit code $code, expected $expected"
    [ "$(grep -c '^rlsedit: error: ' "$WORK/err")" = 1 ] || die "$* on $ranks ranks: not one message"
    grep -qF -- "$text" "$WORK/err" || die "$* on $ranks ranks: no \"$text\""
    [ ! -s "$WORK/out" ] || die "$* on $ranks ranks: something on stdout"
}

# values FILE NAME: all values that a JSON file has under a name, one a line.
values() {
    grep -oE "\"$2\": *[^,}]+" "$1" | sed -E 's/^[^:]*: *//; s/^"(.*)"$/\1/'
}

# close_to A B TOLERANCE: |A - B| <= TOLERANCE |B|, for numbers.
close_to() {
    LC_ALL=C awk -v a="$1" -v b="$2" -v t="$3" 'BEGIN {
        number = "^-?[0-9.]+([eE][-+]?[0-9]+)?$"
        d = a - b; if (d < 0) d = -d
        c = b + 0; if (c < 0) c = -c
        exit !(a ~ number && b ~ number && d <= t * c)
    }'
}

# must_be_near FILE NAME TOLERANCE VALUE...: the numbers that a JSON file has under a name, in order.
must_be_near() {
    local file=$1 name=$2 tolerance=$3 there value
    shift 3
    readarray -t there < <(values "$file" "$name")
    [ "${#there[@]}" = $# ] || die "$file: $name is there ${#there[@]} times, expected $#"
    for value in "${there[@]}"; do
        close_to "$value" "$1" "$tolerance" || die "$file: $name is $value, expected $1"
        shift
    done
}

# sums PATH...: the names and checksums of all files below.
sums() {
    find "$@" -type f -exec cksum {} + | LC_ALL=C sort -k 3
}

# Bytes, written as hexadecimal digits.
bytes() {
    # shellcheck disable=SC2001 # of any two characters: no substitution of the shell's can do it
    printf '%b' "$(sed 's/../\\x&/g' <<<"$1")"
}
text_hex() {
    local i out=''
    for ((i = 0; i < ${#1}; i++)); do
        printf -v out '%s%02x' "$out" "'${1:i:1}"
    done
    echo "$out"
}
little_endian() {
    local big i out=''
    printf -v big '%016x' "$1"
    for ((i = 14; i >= 0; i -= 2)); do
        out+=${big:i:2}
    done
    echo "$out"
}

# safetensors FILE HEADER DATA_BYTES [LENGTH]: a file of zeros with this header; LENGTH is what it says its header's length is.
safetensors() {
    bytes "$(little_endian "${4:-${#2}}")" >"$1"
    printf '%s' "$2" >>"$1"
    truncate -s "$((8 + ${#2} + $3))" "$1"
}

# patch FILE OFFSET HEX: overwrites bytes in place.
patch() {
    bytes "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# Parts of a CDF-5 header (the PnetCDF format specification), in hexadecimal digits.
cdf_name() {
    local hex
    hex=$(text_hex "$1")
    printf '%016x%s' "${#1}" "$hex"
    printf '%.*s' $(((8 - ${#hex} % 8) % 8)) 00000000
}
cdf_text() { # attribute of text
    local hex
    hex=$(text_hex "$2")
    printf '%s00000002%016x%s' "$(cdf_name "$1")" "${#2}" "$hex"
    printf '%.*s' $(((8 - ${#hex} % 8) % 8)) 00000000
}

# stream FILE [NAME=VALUE...]: a stream file with made-up numbers, and case_ids 7000, 7001, ...
# Names: edits, n, m, layers, kind, format, version, module; without: variables left out; values=no: no values at all;
# zero=yes: all numbers are 0. Then $record holds the bytes of a record, and ${at[key_0]} where a variable is in the file.
declare -A at
stream() {
    local file=$1 edits=20 n=32 m=4 layers='0 1' kind=target format=rlsedit-stream version=1 without='' values=yes zero=no
    local module='model.layers.{}.mlp.down_proj' l name part
    shift
    [ $# -eq 0 ] || local "$@"
    local dims='' vars='' name_of=() dim_of=() type_of=() size_of=() dim_count=1 header i offset
    dims=$(cdf_name edit)$(printf %016x 0)
    name_of+=(case_id) dim_of+=('') type_of+=(10) size_of+=(8)
    for l in $layers; do
        dims+=$(cdf_name "n_$l")$(printf %016x "$n")$(cdf_name "m_$l")$(printf %016x "$m")
        name_of+=("key_$l") dim_of+=("$dim_count") type_of+=(5) size_of+=($((4 * n)))
        [ "$values" = no ] || { name_of+=("value_$l") dim_of+=($((dim_count + 1))) type_of+=(5) size_of+=($((4 * m))); }
        dim_count=$((dim_count + 2))
    done
    header=43444605$(printf %016x "$edits")0000000a$(printf %016x $dim_count)$dims
    header+=0000000c$(printf %016x 4)$(cdf_text format "$format")$(cdf_name version)00000004$(printf %016x%08x 1 "$version")
    header+=$(cdf_text module "$module")$(cdf_text value_kind "$kind")
    # The variables' part has the same length whatever their offsets are.
    for part in measure write; do
        offset=${#vars}
        [ "$part" = measure ] || offset=$(((${#header} + ${#vars}) / 2))
        vars='' record=0 i=0
        for i in "${!name_of[@]}"; do
            name=${name_of[i]}
            case " $without " in *" $name "*) continue ;; esac
            vars+=$(cdf_name "$name")
            if [ -z "${dim_of[i]}" ]; then
                vars+=$(printf %016x%016x 1 0)
            else
                vars+=$(printf %016x%016x%016x 2 0 "${dim_of[i]}")
            fi
            at[$name]=$((offset + record))
            vars+=00000000$(printf %016x 0)$(printf %08x%016x%016x "${type_of[i]}" "${size_of[i]}" "${at[$name]}")
            record=$((record + size_of[i]))
        done
        vars=0000000b$(printf %016x $((${#name_of[@]} - $(wc -w <<<"$without"))))$vars
    done
    bytes "$header$vars" >"$file"
    if [ "$zero" = no ]; then
        bytes "$(awk -v edits="$edits" -v floats="$(((record - 8) / 4))" 'BEGIN {
            split("3f800000 bf800000 3f000000 bf000000 3e800000 be800000 3dcccccd bd4ccccd 3f19999a bf333333", f, " ")
            seed = 1
            for (e = 0; e < edits; e++) {
                printf "%016x", 7000 + e
                for (i = 0; i < floats; i++) {
                    seed = (75 * seed + 74) % 65537
                    printf "%s", f[1 + int(seed / 8) % 10]
                }
            }
        }')" >>"$file"
    else
        truncate -s "$(((${#header} + ${#vars}) / 2 + edits * record))" "$file"
    fi
}
