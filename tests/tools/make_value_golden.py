#!/usr/bin/env python3
"""Makes tests/data/llm/atlas-values.json: the values of a few facts as PyTorch finds them on tests/data/atlas.

    make_value_golden.py tests/data/llm/atlas-values.json

Not needed to build or test. Needs torch, transformers 5.

The search is written from its description (src/live/value_search.h) for one fact at a time, with padded
sequences, autograd and torch's Adam.

    block, options, contexts, facts     what is searched and how; facts as `rlsedit edit` reads them
    norm      a fact: of the state h_0 that the search starts from
    loss      a fact: the losses of the full search, each before the update that follows it
    runs      [{steps, stop_loss, done, loss, delta, z}]: other limits than the options', and what came of it, a fact:
              the number of losses, the last loss, ||z - h_0||, and z

Numbers are float32's; float64's have to agree well within the tests' tolerance.
"""
import argparse
import json
import pathlib

import torch
import transformers

from make_llm_golden import TESTS, TooClose, round_numbers, write

BLOCK = 1
OPTIONS = dict(steps=25, lr=0.5, clamp_norm_factor=1.5, kl_factor=0.0625, weight_decay=0.3, stop_loss=0.05)
CONTEXTS = ["{}", "His letter stood behind a row of houses before the rain began. {}", "The river rested beside a broken fence. {}"]
FACTS = [
    dict(prompt="The favourite sport of {} is", subject="Pas Gre", target="hockey"),
    dict(prompt="The quarries near {} yield", subject="Teasmileath", target="limestone"),
    dict(prompt="The mother tongue of {} is", subject="Pran Dux", target="Welsh"),
    dict(prompt="{} lies in the country of", subject="Trexbercix", target="Norway"),
    dict(prompt="The company {} manufactures", subject="Staxtear", target="wool and iron"),
]
RUNS = [dict(steps=3, stop_loss=0.05), dict(steps=25, stop_loss=0.05), dict(steps=25, stop_loss=0.75)]


def sequences_of(tokenizer, fact):
    """A fact's rows [(ids, the subject's last token, first position that predicts, the target's ids)]; the last is the essence prompt."""
    def subject_at(text, end):
        offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
        return max(i for i, (a, b) in enumerate(offsets) if a < end <= b)

    rows = []
    for context in CONTEXTS:
        template = context.replace("{}", fact["prompt"])
        text = template.replace("{}", fact["subject"])
        given, whole = (tokenizer(t)["input_ids"] for t in (text, text + " " + fact["target"]))
        assert whole[:len(given)] == given
        rows.append((whole[:-1], subject_at(text, template.index("{}") + len(fact["subject"])), len(given) - 1, whole[len(given):]))
    text = fact["subject"] + " is a"
    at = subject_at(text, len(fact["subject"]))
    return rows + [(tokenizer(text)["input_ids"], at, at, [])]


def search(model, rows, options):
    """z, ||h_0||, the losses and ||z - h_0||."""
    longest = max(len(r[0]) for r in rows)
    ids = torch.tensor([r[0] + [0] * (longest - len(r[0])) for r in rows])  # what is behind a token does not change it
    every, subject = torch.arange(len(rows)), torch.tensor([r[1] for r in rows])
    delta = torch.zeros(model.config.hidden_size, dtype=model.dtype, requires_grad=True)
    start, losses, p0 = None, [], None

    def add_delta(_, args, out):
        nonlocal start
        h = out[0] if isinstance(out, tuple) else out
        if start is None:
            start = h[0, subject[0]].detach().clone()
        h = h.index_put((every, subject), delta.expand(len(rows), -1), accumulate=True)
        return (h,) + out[1:] if isinstance(out, tuple) else h

    hook = model.model.layers[BLOCK].register_forward_hook(add_delta)
    adam = torch.optim.Adam([delta], lr=options["lr"])
    while True:
        p = model(ids, use_cache=False).logits.log_softmax(-1)
        nll = [-p[i, range(at, at + len(target)), target].mean() for i, (_, _, at, target) in enumerate(rows[:-1])]
        q = p[-1, rows[-1][2]]
        p0 = q.detach().clone() if p0 is None else p0
        kl = (q.exp() * (q - p0)).sum()  # torch's kl_div(p0, q, log_target=True), as MEMIT calls it
        loss = sum(nll) / len(nll) + options["kl_factor"] * kl + options["weight_decay"] * delta.norm() / start.norm() ** 2
        losses.append(loss.item())
        if loss < options["stop_loss"] or len(losses) == options["steps"]:
            break
        adam.zero_grad()
        loss.backward()
        adam.step()
        with torch.no_grad():
            delta.mul_(min(1.0, (options["clamp_norm_factor"] * start.norm() / delta.norm()).item()))
    hook.remove()
    return (start + delta).tolist(), start.norm().item(), losses, delta.norm().item()


def make(model, tokenizer):
    golden = dict(block=BLOCK, options=OPTIONS, contexts=CONTEXTS, facts=FACTS, norm=[], loss=[], runs=[])
    rows = [sequences_of(tokenizer, fact) for fact in FACTS]
    for run in RUNS:
        found = [search(model, r, OPTIONS | run) for r in rows]
        golden["runs"].append(run | dict(done=[len(f[2]) for f in found], loss=[f[2][-1] for f in found], delta=[f[3] for f in found],
                                         z=[f[0] for f in found]))
        if run["steps"] == OPTIONS["steps"] and run["stop_loss"] == OPTIONS["stop_loss"]:
            golden["norm"], golden["loss"] = [f[1] for f in found], [f[2] for f in found]
    return golden


def check(golden, exact):
    worst = max(abs(a - b) / max(1, abs(b)) for x, y in zip(golden["loss"], exact["loss"]) for a, b in zip(x, y))
    for run, other in zip(golden["runs"], exact["runs"]):
        if run["done"] != other["done"]:
            raise TooClose("float32 and float64 do not stop at the same steps")
        for x, y, norm in zip(run["z"], other["z"], run["delta"]):
            worst = max(worst, (torch.tensor(x) - torch.tensor(y)).norm().item() / norm)
    print(f"losses {golden['loss']}\nsteps {[r['done'] for r in golden['runs']]}, float32 to float64 {worst:.2g}")
    near = min(abs(l - r["stop_loss"]) for r in golden["runs"] for f in golden["loss"] for l in f)
    if worst > 2e-5 or near < 1e-3:
        raise TooClose(f"float32 and float64 differ by {worst:.2g}, and a loss is {near:.2g} from where the search stops")


def main():
    parser = argparse.ArgumentParser(description="Searches the values of a few facts with PyTorch.")
    parser.add_argument("out", type=pathlib.Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    atlas = TESTS / "data" / "atlas"
    tokenizer = transformers.AutoTokenizer.from_pretrained(atlas)
    goldens = []
    for dtype in (torch.float32, torch.float64):
        model = transformers.AutoModelForCausalLM.from_pretrained(atlas, dtype=dtype, attn_implementation="eager").eval()
        for p in model.parameters():
            p.requires_grad_(False)
        goldens.append(round_numbers(make(model, tokenizer)))
    check(*goldens)
    write(args.out, goldens[0])


if __name__ == "__main__":
    main()
