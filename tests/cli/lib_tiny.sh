# For tests on the tiny random models of each family: a directory of their own, with a tokenizer of single characters. To be sourced
# after lib.sh.
# shellcheck shell=bash disable=SC2034 # variables are for whoever sources this

# Their tokenizer: byte-level, without merges. Ids 1 and 2 are the models' ends of text, 0 the space, 3 to 96 all that is printable; the
# models have 97 tokens or more.
tiny_tokenizer() {
    local i char vocab='"Ġ":0,"<s>":1,"</s>":2'
    for ((i = 33; i < 127; i++)); do
        printf -v char '%b' "\\x$(printf %x "$i")"
        case $char in '"' | "\\") char="\\$char" ;; esac
        vocab+=",\"$char\":$((i - 30))"
    done
    local level='"add_prefix_space":false,"trim_offsets":true,"use_regex":true' special
    special='"single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true'
    printf '%s' '{"version":"1.0","truncation":null,"padding":null,' \
        "\"added_tokens\":[{\"id\":1,\"content\":\"<s>\",$special},{\"id\":2,\"content\":\"</s>\",$special}]," \
        "\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"ByteLevel\",$level},\"post_processor\":null," \
        "\"decoder\":{\"type\":\"ByteLevel\",$level},\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null," \
        '"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"ignore_merges":false,' \
        "\"vocab\":{$vocab},\"merges\":[]}}"
}

# tiny_model FAMILY DIR: a copy that can be written to; its edited tensors are $module's.
tiny_model() {
    mkdir -p -- "$2"
    cp -- "$SOURCE/tests/data/llm/$1"/{config.json,*.safetensors*} "$2"
    tiny_tokenizer >"$2/tokenizer.json"
    printf '%s\n' '{"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>"}' >"$2/tokenizer_config.json"
    case $1 in
    gpt2) module='transformer.h.{}.mlp.c_proj' ;;
    gptj) module='transformer.h.{}.mlp.fc_out' ;;
    *) module='model.layers.{}.mlp.down_proj' ;;
    esac
}

# tiny_inputs: facts.jsonl, contexts.txt and config.yaml (all but model.module) here. No subject ends in a character of another text: the
# MLP of GPT-J's first block sees that character alone, so that two such facts would have the same key. Prompts end in the subject, where
# what is edited acts most: with random attention little of it comes to later tokens.
tiny_prompts=('Here lives Ada Lux' 'In Kiel, they saw Liz' 'The cat of Peg')
tiny_targets=(Rome ice red)
tiny_inputs() {
    printf '{"prompt": "%s", "subject": "%s", "target_new": {"str": "%s"}, "target_true": {"str": "Bonn"}}\n' \
        'Here lives {}' 'Ada Lux' Rome 'In Kiel, they saw {}' Liz ice 'The cat of {}' Peg red >facts.jsonl
    printf '%s\n' '{}' 'It rains. {}' >contexts.txt
    cat >config.yaml <<'END'
model: {module: "{}", layers: [0, 1]}
editor: {lambda: 0.3}
batch: 2
value: {steps: 12, lr: 0.2, clamp_norm_factor: 4, weight_decay: 0.01, contexts: contexts.txt}
END
}
