#!/usr/bin/env python3
"""What PyTorch takes for the work of bench_llm: prompts through a random Llama, and the way back to deltas.

    bench_llm_torch.py                              2 threads; the shape that bench_llm has
    bench_llm_torch.py --dtype float32 --json torch.jsonl

Needs torch and transformers. Prompts: embedding, blocks, and the head at every sequence's last position; sequences of
one length together, torch's own attention, nothing kept. In bfloat16 the weights and the arithmetic are what torch
makes of them: on processors with AMX that is far above float32's rate, and not float32's result. Back: the blocks
above --mark forwards, with what autograd keeps, then the gradient with respect to something added to the output of the
block below; weights have none. GEMM: W [inner, hidden] times all tokens in the same dtype. All are timed in turns, so
that a busy machine slows all alike; the fastest of --repeats counts, as in bench_llm, and the median is given too.
"""
import argparse
import json
import statistics
import time

import torch
import transformers


def seconds_of(works, repeats):
    """Seconds of each in turns, in order of time; the first turn warms up."""
    times = [[] for _ in works]
    for _ in range(repeats + 1):
        for work, seconds in zip(works, times):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
    return [sorted(seconds[1:]) for seconds in times]


def block_flops(args):
    """Of one block over all sequences: its products, and causal attention's pairs of tokens."""
    tokens, kv = args.sequences * args.length, args.hidden // args.heads * args.kv_heads
    weights = args.hidden * (2 * args.hidden + 2 * kv) + 3 * args.hidden * args.inner
    return 2.0 * tokens * weights + 2.0 * args.hidden * tokens * (args.length + 1)


def measure(args, dtype):
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        hidden_size=args.hidden, intermediate_size=args.inner, num_hidden_layers=args.blocks,
        num_attention_heads=args.heads, num_key_value_heads=args.kv_heads, vocab_size=args.vocab,
        max_position_embeddings=max(2048, args.length), use_cache=False)
    model = transformers.LlamaForCausalLM(config).to(dtype).eval().requires_grad_(False)
    blocks = model.model.layers
    tokens = torch.randint(args.vocab, (args.sequences, args.length))
    total = args.sequences * args.length

    with torch.no_grad():
        h = model.model.embed_tokens(tokens)
        rotary = model.model.rotary_emb(h, torch.arange(args.length)[None])
        for block in blocks[:args.mark]:
            h = block(h, position_embeddings=rotary)
    delta = torch.zeros_like(h, requires_grad=True)
    direction = torch.randn(h.shape).to(dtype)
    a, b = torch.randn(total, args.hidden).to(dtype), torch.randn(args.inner, args.hidden).to(dtype)
    top = None

    def prompts():
        with torch.no_grad():
            model(tokens, logits_to_keep=1)

    def forward():
        nonlocal top
        top = h + delta
        for block in blocks[args.mark:]:
            top = block(top, position_embeddings=rotary)

    prompt, above, back, gemm = seconds_of(
        [prompts, forward, lambda: torch.autograd.grad(top, delta, direction), lambda: a @ b.T], args.repeats)
    flops = block_flops(args) * args.blocks + 2.0 * args.sequences * args.vocab * args.hidden
    peak = 2.0 * total * args.inner * args.hidden / gemm[0]
    return {"bench": "llm-torch", "torch": torch.__version__, "dtype": str(dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(), "gemm_gflops": peak / 1e9, "seconds": prompt[0],
            "median_seconds": statistics.median(prompt), "tokens_per_second": total / prompt[0],
            "gflops": flops / prompt[0] / 1e9, "gemm_ratio": flops / prompt[0] / peak, "forward_above": above[0],
            "backward_above": back[0], "backward_ratio": back[0] / above[0]}


def main():
    parser = argparse.ArgumentParser(description="What PyTorch takes for the work of bench_llm.")
    for name, value in dict(threads=2, blocks=8, hidden=1024, inner=4096, heads=16, kv_heads=0, vocab=32000, sequences=16,
                            length=64, mark=-1, repeats=9).items():
        parser.add_argument("--" + name.replace("_", "-"), type=int, default=value)
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "both"], default="both")
    parser.add_argument("--json", help="also one JSON object a line")
    args = parser.parse_args()
    args.kv_heads = args.kv_heads or args.heads
    args.mark = args.blocks // 2 if args.mark < 0 else args.mark
    torch.set_num_threads(args.threads)
    for name in ("float32", "bfloat16") if args.dtype == "both" else (args.dtype,):
        result = measure(args, getattr(torch, name))
        print("{dtype:8} {threads} threads | GEMM {gemm_gflops:7.1f} Gflop/s | prompt {seconds:.4f} s (median "
              "{median_seconds:.4f}), {tokens_per_second:8.0f} tokens/s, {gflops:7.1f} Gflop/s, {gemm_ratio:.3f} of GEMM | "
              "above block {0}: forward {forward_above:.4f} s, way back {backward_above:.4f} s, ratio {backward_ratio:.3f}"
              .format(args.mark, **result), flush=True)
        if args.json:
            with open(args.json, "a", encoding="utf-8") as out:
                out.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
