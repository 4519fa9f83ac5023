#!/usr/bin/env python3
"""Makes tests/data/llm: tiny random models of each family and what PyTorch computes with them.

    make_llm_golden.py tests/data/llm                      all of it
    make_llm_golden.py tests/data/llm --only gpt2 atlas    some

Not needed to build or test. Needs torch, transformers 5, safetensors.

<name>/ is a Hugging Face model directory without a tokenizer; <name>/golden.json, and atlas-golden.json for
tests/data/atlas:

    sequences   lists of token ids
    logits      [{sequence, at, values}]: after token `at` of the sequence; with `index`: of these elements only
    nll         a sequence: -log p of each token but the first
    keys        [{block, sequence, at, values}]: the input of the down projection
    outputs     the same of the block's output
    greedy      a sequence: the `new` tokens that follow greedily
    gradient    edits [{sequence, at, delta, gradient}], added to the output of `block`; the gradient is that of
                loss = sum weight x value over terms [{sequence, at, weight, value, target}]: -log p(target),
                or without a target KL(p || p without the edits)

Numbers are float32's, from the weights as they are in the file. A model whose float64 results are not well within
the tests' tolerance of them, or that nearly ties in a greedy choice, is drawn again.
"""
import argparse
import json
import pathlib
import shutil

import torch
import transformers
from safetensors.torch import load_file, save_file

TESTS = pathlib.Path(__file__).resolve().parent.parent
LLAMA3 = dict(rope_type="llama3", rope_theta=50.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=3.0,
              original_max_position_embeddings=24)
ALL = dict(bos_token_id=1, eos_token_id=2)

# name: (configuration, dtype of the file, then how the directory is written)
MODELS = {
    # Llama 3.1's way to name things; wavelengths fall in all three ranges of its rope scaling
    "llama": (transformers.LlamaConfig(
        hidden_size=32, intermediate_size=44, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, vocab_size=97,
        max_position_embeddings=96, rope_parameters=LLAMA3, tie_word_embeddings=True, rms_norm_eps=1e-5, **ALL), torch.bfloat16,
        dict(old_config=True)),
    "llama-bias": (transformers.LlamaConfig(
        hidden_size=27, intermediate_size=37, num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=1, head_dim=8, vocab_size=101,
        max_position_embeddings=80, rope_parameters=dict(rope_type="linear", factor=2.5, rope_theta=500.0), tie_word_embeddings=False,
        attention_bias=True, mlp_bias=True, rms_norm_eps=1e-6, **ALL), torch.float32, dict(old_config=True)),
    "mistral": (transformers.MistralConfig(
        hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=3, head_dim=8, vocab_size=103,
        max_position_embeddings=72, sliding_window=6, rope_parameters=dict(rope_type="default", rope_theta=10000.0),
        tie_word_embeddings=False, **ALL), torch.float16, {}),
    "qwen2": (transformers.Qwen2Config(
        hidden_size=30, intermediate_size=44, num_hidden_layers=3, num_attention_heads=5, num_key_value_heads=1, vocab_size=107,
        max_position_embeddings=72, rope_parameters=dict(rope_type="default", rope_theta=1000000.0), tie_word_embeddings=True, **ALL),
        torch.bfloat16, dict(shard="19KB")),
    "gpt2": (transformers.GPT2Config(
        n_embd=24, n_inner=57, n_layer=3, n_head=3, vocab_size=109, n_positions=64, activation_function="gelu_new",
        tie_word_embeddings=True, **ALL), torch.float32, {}),
    # names as in the first GPT-2 files: no prefix, and the causal masks among the tensors
    "gpt2-plain": (transformers.GPT2Config(
        n_embd=15, n_inner=None, n_layer=2, n_head=5, vocab_size=67, n_positions=36, activation_function="gelu_new",
        tie_word_embeddings=True, **ALL), torch.float32, dict(plain_names=True)),
    "gptj": (transformers.GPTJConfig(
        n_embd=24, n_inner=52, n_layer=3, n_head=3, rotary_dim=4, vocab_size=113, n_positions=64, activation_function="gelu",
        tie_word_embeddings=False, **ALL), torch.float16, {}),
}
FACTS = ["The winter wind", "The favourite sport of Pas Gre is", "The quarries near Teasmileath yield", "Trexbercix lies in the country of"]


def draw(model, seed):
    """Weights that keep hidden states of order one and make logits spread over several units; no bias is 0, no gain 1."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=random)
            if p.dim() == 1 and name.endswith("weight"):
                p.copy_(1 + 0.3 * noise)
            elif p.dim() == 1:
                p.copy_(0.3 * noise)
            elif "wpe" in name:
                p.copy_(0.5 * noise)
            elif "embed_tokens" in name or "wte" in name:
                p.copy_(0.6 * noise)
            elif "lm_head" in name:
                p.copy_(2.5 * noise / p.shape[1] ** 0.5)
            else:
                p.copy_(1.2 * noise / (sum(p.shape) / 2) ** 0.5)


def to_old_config(path):
    """config.json as transformers before 5 wrote it: rope_theta, rope_scaling and torch_dtype at the top."""
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    if rope["rope_type"] == "linear":
        rope["type"] = rope.pop("rope_type")
    config["rope_scaling"] = rope
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.43.0"
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def to_plain_names(directory, config):
    path = directory / "model.safetensors"
    tensors = {name.removeprefix("transformer."): t for name, t in load_file(path).items()}
    for block in range(config.n_layer):
        tensors[f"h.{block}.attn.bias"] = torch.ones(config.n_positions, config.n_positions).tril()[None, None]
    save_file(tensors, path, metadata={"format": "pt"})


def make_directory(directory, config, dtype, seed, old_config=False, plain_names=False, shard="1GB"):
    shutil.rmtree(directory, ignore_errors=True)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    draw(model, seed)
    model.to(dtype).save_pretrained(directory, max_shard_size=shard)
    (directory / "generation_config.json").unlink(missing_ok=True)
    if old_config:
        to_old_config(directory / "config.json")
    if plain_names:
        to_plain_names(directory, config)


def load(directory, dtype):
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        directory, dtype=dtype, attn_implementation="eager", output_loading_info=True)
    assert not report["missing_keys"] and not report["mismatched_keys"], report
    return model.eval()


def blocks_of(model):
    return model.transformer.h if hasattr(model, "transformer") else model.model.layers


def down_of(block):
    mlp = block.mlp
    return getattr(mlp, "down_proj", None) or getattr(mlp, "c_proj", None) or mlp.fc_out


class Tap:
    """Runs one sequence, noting keys and outputs of blocks; adds delta to the output of a block at a token."""

    def __init__(self, model):
        self.model, self.keys, self.outputs, self.edit = model, {}, {}, None
        for l, block in enumerate(blocks_of(model)):
            down_of(block).register_forward_pre_hook(lambda _, args, l=l: self.keys.__setitem__(l, args[0][0]))
            block.register_forward_hook(lambda _, args, out, l=l: self.hook(l, out))

    def hook(self, l, out):
        h = out[0] if isinstance(out, tuple) else out
        if self.edit and self.edit[0] == l:
            _, at, delta = self.edit
            h = torch.cat((h[:, :at], (h[:, at] + delta)[:, None], h[:, at + 1:]), 1)
        self.outputs[l] = h[0]
        return (h,) + out[1:] if isinstance(out, tuple) else h

    def logits(self, ids, edit=None):
        self.edit = edit
        return self.model(torch.tensor([ids]), use_cache=False).logits[0]


class TooClose(Exception):
    pass


@torch.no_grad()
def greedy(tap, ids, count):
    new = []
    for _ in range(count):
        top = tap.logits(ids + new)[-1].topk(2)
        if (top.values[0] - top.values[1]).item() < 1e-3:
            raise TooClose(f"tie after {len(new)} tokens: {top.values.tolist()}")
        new.append(top.indices[0].item())
    return new


def gradient(tap, sequences, plan):
    """Fills in value and gradient. Edits sit in sequences of their own, so that each is a run of its own."""
    for edit in plan["edits"]:
        s = edit["sequence"]
        delta = torch.tensor(edit["delta"], dtype=tap.model.dtype, requires_grad=True)
        with torch.no_grad():
            before = tap.logits(sequences[s]).log_softmax(-1)
        after = tap.logits(sequences[s], (plan["block"], edit["at"], delta)).log_softmax(-1)
        loss = 0
        for term in (t for t in plan["terms"] if t["sequence"] == s):
            p, p0 = after[term["at"]], before[term["at"]]
            value = -p[term["target"]] if "target" in term else (p.exp() * (p - p0)).sum()
            term["value"] = value.item()
            loss = loss + term["weight"] * value
        loss.backward()
        edit["gradient"] = delta.grad.tolist()
    plan["loss"] = sum(t["weight"] * t["value"] for t in plan["terms"])


def pick(values, index):
    return {"values": values.tolist()} if index is None else {"index": index, "values": values[index].tolist()}


def measure(model, golden, sparse):
    """Fills in what is asked for. sparse: of long vectors only the largest logits, and every 29th element of keys."""
    tap, sequences = Tap(model), golden["sequences"]
    with torch.no_grad():
        golden["nll"] = []
        for s, ids in enumerate(sequences):
            logits = tap.logits(ids)
            p = logits.log_softmax(-1)
            golden["nll"].append([-p[i, ids[i + 1]].item() for i in range(len(ids) - 1)])
            for entry in (e for e in golden["logits"] if e["sequence"] == s):
                index = entry.get("index") or (sorted(logits[entry["at"]].topk(16).indices.tolist()) if sparse else None)
                entry.update(pick(logits[entry["at"]], index))
            for kind, noted in (("keys", tap.keys), ("outputs", tap.outputs)):
                for entry in (e for e in golden[kind] if e["sequence"] == s):
                    x = noted[entry["block"]][entry["at"]]
                    entry.update(pick(x, list(range(0, len(x), 29)) if sparse else None))
        golden["greedy"] = [greedy(tap, ids, golden["new"]) for ids in sequences]
    gradient(tap, sequences, golden["gradient"])


def largest_difference(a, b):
    """Largest difference of two goldens of one plan, by vector, relative to the vector's largest number."""
    if isinstance(a, dict):
        return max((largest_difference(a[k], b[k]) for k in a), default=0.0)
    if isinstance(a, list) and a and isinstance(a[0], float):
        return max(abs(x - y) for x, y in zip(a, b)) / max(map(abs, a))
    if isinstance(a, list):
        return max((largest_difference(x, y) for x, y in zip(a, b)), default=0.0)
    return abs(a - b) / max(abs(a), 1e-3) if isinstance(a, float) else 0.0


def plan_of(sequences, hidden, vocab, blocks, new, seed):
    """What to measure: everything that is chosen, nothing that is computed. """
    random = torch.Generator().manual_seed(seed)
    one, two = len(sequences) - 2, len(sequences) - 1
    end = [len(s) - 1 for s in sequences]
    at = [end[one] // 3, end[two] // 2]
    token = lambda: int(torch.randint(vocab, (1,), generator=random))
    delta = lambda: torch.randn(hidden, generator=random).tolist()
    terms = [dict(sequence=one, at=i, weight=w, target=token()) for i, w in ((end[one], 1.0), (at[0], 0.5), (end[one] - 1, -0.25), (0, 2.0))]
    terms += [dict(sequence=two, at=i, weight=w, target=token()) for i, w in ((end[two], 0.75), (end[two] - 2, 1.25), (at[1] + 1, 0.5))]
    terms += [dict(sequence=s, at=i, weight=0.0625) for s, i in ((one, at[0]), (two, at[1]))]
    where = sorted({(s, i) for s in range(len(sequences)) for i in (end[s], end[s] // 2 + 1 if s == two else end[s])})
    return dict(sequences=sequences, new=new, logits=[dict(sequence=s, at=i) for s, i in where + [(two, 0)]],
                keys=[dict(block=b, sequence=s, at=i) for b, s, i in ((0, 0, 0), (blocks - 1, two, end[two]), (1, two, end[two] // 2))],
                outputs=[dict(block=b, sequence=s, at=i) for b, s, i in ((0, two, end[two]), (blocks - 1, one, 2), (1, 0, 0))],
                gradient=dict(block=0, edits=[dict(sequence=s, at=i, delta=delta()) for s, i in ((one, at[0]), (two, at[1]))], terms=terms))


def round_numbers(x):
    if isinstance(x, float):
        return float(f"{x:.8g}")
    if isinstance(x, dict):
        return {k: round_numbers(v) for k, v in x.items()}
    return [round_numbers(v) for v in x] if isinstance(x, list) else x


def write(path, golden):
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(round_numbers(v), separators=(',', ':'))}" for k, v in golden.items())
    path.write_text("{\n" + lines + "\n}\n")


def make_golden(directory, sequences, new, seed, sparse=False):
    """The golden of a model directory. Raises TooClose when float32 is not enough to tell."""
    results = []
    for dtype in (torch.float32, torch.float64):
        model = load(directory, dtype)
        config = model.config
        golden = round_numbers(plan_of(sequences, config.hidden_size, config.vocab_size, config.num_hidden_layers, new, seed))
        measure(model, golden, sparse)
        results.append(golden)
    difference = largest_difference(*results)
    if difference > 1e-5 or results[0]["greedy"] != results[1]["greedy"]:
        raise TooClose(f"float32 and float64 differ by {difference:.2g}")
    golden = results[0]
    logits = [v for e in golden["logits"] for v in e["values"]]
    norms = [torch.tensor(e["gradient"]).norm().item() for e in golden["gradient"]["edits"]]
    kl = [t["value"] for t in golden["gradient"]["terms"] if "target" not in t]
    print(f"{directory.name}: logits {min(logits):.3g} .. {max(logits):.3g}, |gradient| {norms}, KL {kl}, float32 to float64 {difference:.2g}")
    return golden


def make_tiny(out, name, seed):
    config, dtype, how = MODELS[name]
    for seed in range(seed, seed + 200):
        make_directory(out / name, config, dtype, seed, **how)
        random = torch.Generator().manual_seed(seed)
        sequences = [torch.randint(3, config.vocab_size, (n,), generator=random).tolist() for n in (1, 9, 23)]
        new = min(32, config.max_position_embeddings - 24)
        try:
            return write(out / name / "golden.json", make_golden(out / name, sequences, new, seed))
        except TooClose as reason:
            print(f"{name}: not seed {seed}: {reason}")
    raise SystemExit(f"{name}: no seed will do")


def make_atlas(out, seed):
    atlas = TESTS / "data" / "atlas"
    tokenizer = transformers.AutoTokenizer.from_pretrained(atlas)
    sequences = [tokenizer(text)["input_ids"] for text in FACTS]
    write(out / "atlas-golden.json", make_golden(atlas, sequences, 32, seed, sparse=True))


def main():
    names = list(MODELS) + ["atlas"]
    parser = argparse.ArgumentParser(description="Makes tiny random models and what PyTorch computes with them.")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    for name in args.only:
        if name == "atlas":
            make_atlas(args.out, args.seed)
        else:
            make_tiny(args.out, name, args.seed)


if __name__ == "__main__":
    main()
