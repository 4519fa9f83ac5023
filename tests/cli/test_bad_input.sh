#!/usr/bin/env bash
# ctest: NAME model NP 3 ARGS model
# ctest: NAME stream NP 3 ARGS stream
# ctest: NAME run NP 3 TIMEOUT 400 ARGS run
# Bad input of `rlsedit edit`: one line says what is at fault, the exit code is the documented one, nothing is written or
# changed and nothing hangs; on one rank and on several.
set -euo pipefail
# shellcheck source=tests/cli/lib.sh
. "${SOURCE:?}/tests/cli/lib.sh"

dtype=F32 shape='[4,32]' first='[0,512]' second='[512,1024]'
header() {
    printf '{"__metadata__":{"format":"pt"},"model.layers.0.mlp.down_proj.weight":{"dtype":"%s","shape":%s,"data_offsets":%s},' \
        "$dtype" "$shape" "$first"
    printf '"model.layers.1.mlp.down_proj.weight":{"dtype":"F32","shape":[4,32],"data_offsets":%s}}' "$second"
}

# What every case starts from, and must succeed as it is: two layers of 4 x 32 in one file, a config, a stream.
mkdir good
mkdir good/model
safetensors good/model/model.safetensors "$(header)" 1024
echo '{"model_type": "llama"}' >good/model/config.json
stream good/stream.nc
cat >good/config.yaml <<'END'
model:
  module: "model.layers.{}.mlp.down_proj"
  layers: [0, 1]
batch: 7
grid:
  block: 8
END

# new: the case's inputs in the current directory, to be damaged.
new() {
    cd "$WORK"
    rm -rf case
    cp -r good case
    cd case
    run=run ranks=(1 3) arguments=() program=("$RLSEDIT") model=model
}
edit() {
    launch "$1" edit config.yaml --model "$model" --stream stream.nc --run "$run" ${arguments[@]+"${arguments[@]}"}
}

# refuse CODE TEXT...: the run ends with this code, and its only message has every text in it.
refuse() {
    local expected=$1 before after line text what
    shift
    before=$(find . | LC_ALL=C sort && sums .)
    for np in "${ranks[@]}"; do
        what="$1 on $np ranks"
        edit "$np"
        [ "$code" = "$expected" ] || die "$what: exit code $code, expected $expected"
        [ "$(grep -c '^rlsedit: error:' "$WORK/err")" = 1 ] || die "$what: not one line of error"
        line=$(grep '^rlsedit: error:' "$WORK/err")
        for text in "$@"; do
            [[ $line == *"$text"* ]] || die "$what: no \"$text\" in the message"
        done
        [ ! -s "$WORK/out" ] || die "$what: something on stdout"
        after=$(find . | LC_ALL=C sort && sums .)
        [ "$after" = "$before" ] || { diff <(echo "$before") <(echo "$after") >&2 || true; die "$what: a file was written or changed"; }
    done
    cases=$((cases + 1))
    echo "refused: ${line#rlsedit: error: }"
}
cases=0

weights() { # with the variables of header changed for this call
    safetensors model/model.safetensors "$(header)" "$@"
}

bad_model() {
    new && rm -r model
    refuse 3 model 'No such file'
    new && rm model/model.safetensors
    refuse 3 model 'no safetensors file'
    new && : >model/model.safetensors
    refuse 3 model.safetensors '0 bytes are too few'
    new && truncate -s -1 model/model.safetensors
    refuse 3 model.safetensors 'model.layers.1.mlp.down_proj.weight' 'truncated'
    new && truncate -s 100 model/model.safetensors
    refuse 3 model.safetensors 'header length' 'beyond the end'
    new && echo more >>model/model.safetensors
    refuse 3 model.safetensors 'appended'
    new && safetensors model/model.safetensors "$(header)" 1024 5000
    refuse 3 model.safetensors 'header length 5000 is beyond the end'
    new && patch model/model.safetensors 0 ffffffffffffff7f
    refuse 3 model.safetensors 'header length' 'limit'
    new && safetensors model/model.safetensors '{"a":' 0
    refuse 3 model.safetensors 'not valid JSON'
    new && second='[508,1020]' weights 1020
    refuse 3 model.safetensors 'model.layers.1.mlp.down_proj.weight' 'overlaps' 'model.layers.0.mlp.down_proj.weight'
    new && second='[516,1028]' weights 1028
    refuse 3 model.safetensors 'hole' 'model.layers.1.mlp.down_proj.weight'
    new && second='[1024,1536]' weights 1024
    refuse 3 model.safetensors 'model.layers.1.mlp.down_proj.weight' 'beyond'
    new && second='[-512,0]' weights 1024
    refuse 3 model.safetensors 'model.layers.1.mlp.down_proj.weight' 'not a range'
    new && second='[512,9223372036854775807]' weights 1024
    refuse 3 model.safetensors 'model.layers.1.mlp.down_proj.weight'
    new && dtype=BF16 shape='[1,1]' first='[0,2]' second='[2,514]' weights 514
    refuse 3 model.safetensors 'model.layers.1.mlp.down_proj.weight' 'misaligned'
    new && shape='[4,33]' weights 1024
    refuse 3 model.safetensors 'model.layers.0.mlp.down_proj.weight' '[4, 33] takes 528 bytes'
    new && shape='[4,1152921504606846992]' weights 1024
    refuse 3 model.safetensors 'model.layers.0.mlp.down_proj.weight' 'overflow'
    new && dtype=F33 weights 1024
    refuse 3 model.safetensors 'model.layers.0.mlp.down_proj.weight' "dtype 'F33' is unknown"
    new && safetensors model/model.safetensors "$(header | sed 's/layers.1/layers.0/')" 1024
    refuse 3 model.safetensors 'model.layers.0.mlp.down_proj.weight' 'twice'
    new && safetensors model/model.safetensors "$(header | sed 's/layers.1/layers.3/')" 1024
    refuse 3 model "no tensor 'model.layers.1.mlp.down_proj.weight'" 'did you mean'
    new && shape='[32,4]' weights 1024
    refuse 3 'model.layers.0.mlp.down_proj.weight' 'is [32, 4], expected [4, 32]'
    new && shape='[128]' weights 1024
    refuse 3 'model.layers.0.mlp.down_proj.weight' 'is [128], expected [4, 32]'
    new && dtype=I32 weights 1024
    refuse 3 'model.layers.0.mlp.down_proj.weight' 'is I32'
    new && patch model/model.safetensors $(($(stat -c %s model/model.safetensors) - 8)) 0000807f
    refuse 3 model.safetensors 'model.layers.1.mlp.down_proj.weight' 'inf at [3, 30]'
    new && echo '{' >model/config.json
    refuse 3 model/config.json
    bad_shards
}

# index TENSOR SHARD...: an index file.
index() {
    local text='{"metadata":{"total_size":512},"weight_map":{'
    while [ $# -gt 0 ]; do
        text+="\"$1\":\"$2\"${3:+,}"
        shift 2
    done
    echo "$text}}" >model/model.safetensors.index.json
}

bad_shards() {
    local zero='model.layers.0.mlp.down_proj.weight' one='model.layers.1.mlp.down_proj.weight'
    local entry='{"dtype":"F32","shape":[4,32],"data_offsets":[0,512]}'
    shards() {
        new
        rm model/model.safetensors
        safetensors model/a.safetensors "{\"$zero\":$entry}" 512
        safetensors model/b.safetensors "{\"$1\":$entry}" 512
    }
    shards $one && index $zero a.safetensors $one b.safetensors && rm model/b.safetensors
    refuse 3 model "shard 'b.safetensors'" 'model.safetensors.index.json' 'missing'
    shards $one
    refuse 3 model 'several safetensors files' 'a.safetensors' 'b.safetensors'
    shards $zero && index $zero a.safetensors $one b.safetensors
    refuse 3 model "$zero" 'in two shards' 'a.safetensors' 'b.safetensors'
    shards other && index $zero a.safetensors other b.safetensors $one b.safetensors
    refuse 3 model.safetensors.index.json "$one" 'is not in b.safetensors'
    shards $one && index $zero b.safetensors $one b.safetensors
    refuse 3 model "$zero"
    shards $one && index $zero a.safetensors $one ../model/b.safetensors
    refuse 3 model.safetensors.index.json "'../model/b.safetensors' is not a file of this directory"
    shards $one && echo '{"weight_map": []}' >model/model.safetensors.index.json
    refuse 3 model.safetensors.index.json 'weight_map'
    shards $one && echo '{"weight_map": {' >model/model.safetensors.index.json
    refuse 3 model.safetensors.index.json:2 'not valid JSON'
}

# damage VARIABLE EDIT COMPONENT HEX: overwrites one float32 of the stream.
damage() {
    patch stream.nc $((at[$1] + $2 * record + 4 * $3)) "$4"
}

bad_stream() {
    new && stream stream.nc # for its offsets
    new && rm stream.nc
    refuse 3 stream.nc 'No such file'
    new && damage value_1 13 2 7fc00000 # NaN
    refuse 3 stream.nc 'value_1 of edit 13 (case_id 7013)' 'nan at index 2'
    new && damage key_0 19 31 ff800000 # -Inf
    refuse 3 stream.nc 'key_0 of edit 19 (case_id 7019)' 'inf at index 31'
    new && damage key_1 3 0 7f800001 && damage value_0 11 0 7fc00000 # a signalling NaN, and a later one
    refuse 3 stream.nc 'key_1 of edit 3 (case_id 7003)' 'nan at index 0'
    new && stream stream.nc version=2
    refuse 3 stream.nc 'version 2' 'only version 1'
    new && stream stream.nc format=rlsedit-steam
    refuse 3 stream.nc 'rlsedit-steam'
    new && stream stream.nc kind=both
    refuse 3 stream.nc 'value_kind' 'both'
    new && stream stream.nc module='model.layers.{}.mlp.up_proj'
    refuse 3 stream.nc 'model.layers.{}.mlp.up_proj' 'model.module'
    new && stream stream.nc without='key_1 value_1'
    refuse 3 stream.nc 'key_1 is missing'
    new && stream stream.nc without=key_1
    refuse 3 stream.nc 'key_1 is missing'
    new && stream stream.nc without=value_1
    refuse 3 stream.nc 'value_1 is missing'
    new && stream stream.nc without=case_id
    refuse 3 stream.nc 'case_id is missing'
    new && stream stream.nc edits=0
    refuse 3 stream.nc 'no edits'
    new && truncate -s -1 stream.nc
    refuse 3 stream.nc
    new && truncate -s 50 stream.nc
    refuse 3 stream.nc
    new && patch stream.nc 4 00000000000fffff # more edits than there are
    refuse 3 stream.nc
    new && head -c 4000 /dev/zero >stream.nc
    refuse 3 stream.nc
    new && stream stream.nc n=24
    refuse 3 'model.layers.0.mlp.down_proj.weight' 'is [4, 32], expected [4, 24]'
    new && stream stream.nc m=5
    refuse 3 'model.layers.0.mlp.down_proj.weight' 'is [4, 32], expected [5, 32]'
    new && mv stream.nc part && mkdir stream.nc
    refuse 3 stream.nc 'no segment'
    new && mv stream.nc part && mkdir stream.nc && mv part stream.nc/a.nc && stream stream.nc/b.nc kind=residual
    refuse 3 stream.nc/a.nc stream.nc/b.nc 'value_kind'
    bad_anchor
}

bad_anchor() {
    new && arguments=(--set anchor.keys=k0.nc)
    refuse 3 k0.nc 'No such file'
    new && arguments=(--set anchor.keys=k0.nc) && stream k0.nc n=24 values=no
    refuse 3 k0.nc 'layer 0' 'keys of 24'
    new && arguments=(--set anchor.keys=k0.nc) && stream k0.nc layers=0 values=no
    refuse 3 k0.nc 'key_1 is missing'
    new && arguments=(--set anchor.keys=k0.nc) && stream k0.nc without=value_1
    refuse 3 k0.nc 'value_1 is missing' 'all or none'
    new && arguments=(--set anchor.keys=k0.nc) && stream k0.nc && patch k0.nc "${at[key_1]}" 7fc00000
    refuse 3 k0.nc 'key_1' 'nan'
    new && arguments=(--set anchor.moments=moments.nc)
    refuse 3 moments.nc 'No such file'
    new && arguments=(--set anchor.moments=stream.nc)
    refuse 3 stream.nc 'rlsedit-stream' 'rlsedit-moments'
}

bad_config() {
    new && sed -i 's/^batch:/batsch:/' config.yaml
    refuse 2 config.yaml:4 'batsch' 'batch'
    new && sed -i 's/  block: 8/  block: 8\n  shpae: [1, 1]/' config.yaml
    refuse 2 config.yaml:7 'shpae' 'shape'
    new && sed -i 's/^batch: 7/batch: seven/' config.yaml
    refuse 2 config.yaml:4 'batch' 'integer'
    new && sed -i 's/^batch: 7/batch: 0/' config.yaml
    refuse 2 config.yaml:4 'batch' '1 or more'
    new && printf 'editor:\n  lambda: "1"\n' >>config.yaml
    refuse 2 config.yaml:8 'editor.lambda' 'number'
    new && sed -i 's/layers: .*/layers: [0, 0]/' config.yaml
    refuse 2 config.yaml:3 'layer 0 is given twice'
    new && sed -i '/module:/d' config.yaml
    refuse 2 config.yaml 'model.module'
    new && printf 'batch: 8\n' >>config.yaml
    refuse 2 config.yaml:7 'batch'
    new && printf '"' >>config.yaml
    refuse 2 config.yaml
    new && rm config.yaml
    refuse 2 config.yaml 'No such file'
    new && arguments=(--set batsch=3)
    refuse 2 'batsch=3' 'batch'
    new && printf 'editor: {lambda: 0, mu: 0}\n' >>config.yaml
    refuse 2 config.yaml:7 'lambda' 'mu' 'both 0'
    new && arguments=(--set editor.lambda=0 --set editor.mu=0)
    refuse 2 'lambda' 'mu' 'both 0'
    new && arguments=(--set editor.lambda=0)
    refuse 2 'editor.lambda' 'anchor'
    new && arguments=(--set editor.lambda=0 --set anchor.keys=k0.nc --set editor.mu=0) && stream k0.nc
    refuse 2 'lambda' 'mu' 'both 0'
    new && arguments=(--set editor.lambda=0 --set anchor.moments=moments.nc --set anchor.weight=0)
    refuse 2 'editor.lambda' 'anchor'
    new && arguments=(--set 'model.layers=[99999999999]')
    refuse 2 'model.layers' '99999999999'
    new && sed -i 's/{}/0/' config.yaml
    refuse 2 config.yaml:2 'model.module' '{}'
    new && arguments=(--set 'model.layers=[0, 5]')
    refuse 3 stream.nc 'key_5 is missing' '0, 1'
    new && ranks=(3) arguments=(--set 'grid.shape=[2, 2]')
    refuse 2 'grid.shape' '2 x 2 needs 4 ranks' 'there are 3'
    new && arguments=(--set 'grid.shape=[0, 3]')
    refuse 2 'grid.shape'
    new && keys 16 && ranks=(3 6) # a row of three, two rows of three: 16 elements have 2 blocks of 8
    refuse 2 'layer 0' '2 blocks of 8' 'fewer ranks'
    new && arguments=(--no-such-option)
    refuse 2 '--no-such-option'
}

bad_run_directory() {
    new && mkdir run && echo mine >run/file
    refuse 2 run 'something in it'
    new && mkdir run && touch run/.hidden
    refuse 2 run 'something in it'
    new && echo mine >run
    refuse 2 run 'not a directory'
    new && echo mine >file && run=file/below
    refuse 5 file/below 'Not a directory'
    new && run=no/such/parent
    refuse 5 no/such/parent 'No such file'
    new && run=model/run
    refuse 2 model/run 'inside the model'
    new && run=model
    refuse 2 model 'something in it'
    new && mkdir model/empty && ln -s model/empty run
    refuse 2 run 'inside the model'
    new && run=$WORK/case/../case/model/./run model=$WORK/case/model/
    refuse 2 'inside the model'
    new && run=
    refuse 2 '--run'
    new && ln -s nowhere run
    refuse 2 run 'symbolic link to nothing'
}

# keys N [NAME=VALUE...]: layer 0 alone, with keys of N elements; the rest is for the stream.
keys() {
    local n=$1 bytes=$((16 * $1))
    shift
    safetensors model/model.safetensors \
        "$(shape="[4,$n]" first="[0,$bytes]" second="[$bytes,$((bytes + 512))]" header)" $((bytes + 512))
    sed -i 's/layers: .*/layers: [0]/' config.yaml
    stream stream.nc layers=0 n="$n" "$@"
}

singular() {
    new && arguments=(--set editor.lambda=0 --set anchor.keys=k0.nc) && stream k0.nc edits=5 values=no
    refuse 4 'layer 0' 'singular' 'smallest pivot' 'lambda = 0' 'Raise editor.lambda'
    new && arguments=(--set editor.lambda=0 --set anchor.keys=k0.nc) && stream k0.nc edits=50 values=no zero=yes
    refuse 4 'layer 0' 'singular' 'smallest pivot 0' 'Raise editor.lambda'
    new && arguments=(--set editor.lambda=1e-9 --set anchor.keys=k0.nc --set editor.mu=100 --set state.dtype=float32)
    stream k0.nc edits=9
    refuse 4 'layer 0' 'singular' 'smallest pivot' 'float64'
}

out_of_memory() {
    new && keys 400000 edits=2 zero=yes # C alone takes 1.2 TiB
    refuse 2 'the states need' 'a rank on' 'use about' 'ranks'
    new && stream stream.nc edits=200000 zero=yes && arguments=(--set batch=200000) # S takes 298 GiB on every rank
    refuse 2 'the states need' 'a rank on' 'smaller batch'
}

# The sanitizers' shadow memory takes terabytes of addresses: no limit can be set under them.
limited_memory() {
    new && keys 20000 edits=2 zero=yes # 3 GiB
    # shellcheck disable=SC2016 # expanded by the shell that is started
    program=(bash -c 'ulimit -v 2500000; exec "$0" "$@"' "$RLSEDIT") ranks=(1)
    refuse 2 'the states need 3.' 'GiB a rank on 1 ranks' 'use about' 'ranks'
    new && keys 20000 edits=2 zero=yes
    # One rank has less than the others, and speaks for all.
    # shellcheck disable=SC2016
    program=(bash -c 'if [ "${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-2}}" = 2 ]; then ulimit -v 900000; fi; exec "$0" "$@"' "$RLSEDIT")
    ranks=(3)
    refuse 2 'the states need 1.' 'GiB a rank on 3 ranks' 'use about' 'ranks'
}

# The inputs are good before they are damaged.
for np in 1 3; do
    new
    edit "$np"
    [ "$code" = 0 ] || die "good input on $np ranks: exit code $code"
    [ -e run/summary.json ] || die "good input on $np ranks: no summary.json"
done
case ${1:?model, stream or run} in
model) bad_model ;;
stream) bad_stream ;;
run)
    bad_config
    bad_run_directory
    singular
    out_of_memory
    [ "${SANITIZED:-OFF}" = ON ] || limited_memory
    ;;
esac
echo "$cases cases"
