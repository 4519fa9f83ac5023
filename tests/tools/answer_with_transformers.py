#!/usr/bin/env python3
"""What Hugging Face transformers answers to prompts with a model directory, as `rlsedit ask --json` prints it.

    answer_with_transformers.py DIR PROMPTS.txt --tokens 6

A line a prompt in PROMPTS.txt. Weights and arithmetic are float32's; each next token is the most probable one, up to the
end of the text; a prompt at a time, so that nothing is padded. Needs torch and transformers.
"""
import argparse
import json
import pathlib

import torch
import transformers


def tokenizer_of(directory):
    try:
        return transformers.AutoTokenizer.from_pretrained(directory)
    except (ValueError, OSError):  # a tokenizer.json alone, which says no class
        return transformers.PreTrainedTokenizerFast(tokenizer_file=str(directory / "tokenizer.json"))


def ends_of(model):
    """Ids that end a text: what generate() itself would stop at."""
    eos = model.generation_config.eos_token_id
    if eos is None:
        eos = model.config.eos_token_id
    return set(eos if isinstance(eos, list) else [] if eos is None else [eos])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("prompts", type=pathlib.Path)
    parser.add_argument("--tokens", type=int, default=6)
    arguments = parser.parse_args()

    tokenizer = tokenizer_of(arguments.model)
    model, loading = transformers.AutoModelForCausalLM.from_pretrained(
        arguments.model, dtype=torch.float32, output_loading_info=True)
    # A tensor that transformers does not find would be random, and one it does not know would be left out: both with a warning only.
    for kind in "missing_keys", "unexpected_keys", "mismatched_keys":
        if loading[kind]:
            raise SystemExit(f"{arguments.model}: {kind}: {sorted(loading[kind])}")
    model.eval()
    ends = ends_of(model)
    for prompt in arguments.prompts.read_text(encoding="utf-8").splitlines():
        ids = tokenizer(prompt)["input_ids"]
        new = []
        with torch.no_grad():
            while len(new) < arguments.tokens:
                token = int(model(torch.tensor([ids + new])).logits[0, -1].argmax())
                if token in ends:
                    break
                new.append(token)
        text = tokenizer.decode(new, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        print(json.dumps({"prompt": prompt, "text": text, "tokens": new}, ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    main()
