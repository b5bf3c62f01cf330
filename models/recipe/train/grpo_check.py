"""Trains one step on exported token rows, and holds their log-probabilities against this model.

    holdfast rollout -n 8 -o batch examples/tasks.jsonl
    /usr/bin/python3 models/recipe/train/grpo_check.py batch/parquet/part-00000.parquet

Reads rows in the layout of verl, from JSON lines or Parquet (parquet.py), and the GGUF file that
made them, dequantised to float by gguf-py. For every trained token it recomputes the
log-probability at temperature 1 over the whole vocabulary and compares it with the recorded one.
llama.cpp rounds activations to 8 bits and keys and values to 16 where this computes in float, so
the two differ a little on every token: the bounds are on the mean and on the 99th percentile.

Then it makes one step of GRPO with AdamW: the clipped surrogate on the recorded log-probabilities
and the group advantages. The step must be finite and improve the surrogate on the same rows.
Exits 1 if a bound is broken.
"""
import argparse
import hashlib
import json
import pathlib

import numpy as np
import torch

import export
import model as m
import parquet
import plain
import weights

MEAN, P99 = 0.02, 0.15  # bounds on |recomputed - recorded|, natural log


class Sequence:
    """One row as a packed batch of one document without branches (see data.Batch)."""

    def __init__(self, ids):
        n = len(ids)
        self.ids, self.pos = torch.tensor(ids), torch.arange(n)
        self.layout = torch.arange(n)[None], torch.ones(n, n).tril().bool()[None]

    def document_spans(self):
        return [(0, len(self.ids))]


def read(path):
    """The rows of a file, as dicts."""
    if path.suffix == ".parquet":
        return parquet.read(path)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def check_row(r, digest):
    """Fails where a row's arrays do not match, or another model made it."""
    n = len(r["response_ids"])
    if len(r["response_mask"]) != n or len(r["response_logprobs"]) != n:
        raise SystemExit(f"row {r['x_id']}: the arrays differ in length")
    if any(lp != 0 for lp, k in zip(r["response_logprobs"], r["response_mask"]) if not k):
        raise SystemExit(f"row {r['x_id']}: a log-probability outside the mask")
    if r["x_gguf"] != digest:
        raise SystemExit(f"row {r['x_id']} was made by the model {r['x_gguf']:.12}, not {digest:.12}")
    if r["x_logprobs"] != "raw":
        raise SystemExit("the rows hold no raw log-probabilities: export with --logprobs raw")


def logprobs(net, r):
    """(log-probabilities of the trained tokens under net, recorded ones)."""
    ids, start = r["prompt_ids"] + r["response_ids"], len(r["prompt_ids"])
    at = [start + i for i, k in enumerate(r["response_mask"]) if k]
    rows = net.logits(Sequence(ids), torch.tensor(at) - 1).float()
    new = torch.log_softmax(rows, -1).gather(1, torch.tensor(ids)[at][:, None])[:, 0]
    return new, torch.tensor(r["response_logprobs"])[torch.tensor(at) - start]


def surrogate(new, old, advantage, clip):
    """Sum of the clipped policy-gradient loss over tokens."""
    ratio = (new - old).exp()
    return -torch.min(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).sum()


def total(net, rows, clip, tokens, grad):
    """Mean loss over all trained tokens; with grad, its gradient is left in the weights."""
    loss = 0.0
    for r in rows:
        with torch.set_grad_enabled(grad):
            new, old = logprobs(net, r)
            part = surrogate(new, old, r["x_advantage"], clip) / tokens
        if grad:
            part.backward()
        loss += part.item()
    return loss


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("rows", type=pathlib.Path)
    a.add_argument("--model", default=export.ROOT / "models" / "reference" / "reference.gguf", type=pathlib.Path)
    a.add_argument("--rate", type=float, default=1e-5)
    a.add_argument("--clip", type=float, default=0.2)
    a.add_argument("--most", type=int, default=0, help="look at so many rows only; 0 is all")
    a.add_argument("--threads", type=int, default=1)
    o = a.parse_args()
    torch.set_num_threads(o.threads)
    digest = hashlib.sha256(o.model.read_bytes()).hexdigest()
    rows = [r for r in read(o.rows) if any(r["response_mask"])]
    rows = rows[:o.most] if o.most else rows
    for r in rows:
        check_row(r, digest)
    of = weights.File(str(o.model))
    net = m.Model(of.shape, of.master, plain, torch.float)

    with torch.no_grad():
        off = torch.cat([torch.sub(*logprobs(net, r)).abs() for r in rows])
    mean, p99, most = off.mean().item(), off.quantile(0.99).item(), off.max().item()
    good = mean <= MEAN and p99 <= P99
    print(f"{len(rows)} rows, {len(off)} trained tokens; |recomputed - recorded| mean {mean:.4f} (bound {MEAN}), "
          f"99% {p99:.4f} (bound {P99}), most {most:.4f}: {'ok' if good else 'WRONG'}")

    batch = [r for r in rows if r["x_advantage"]]
    if not batch:
        raise SystemExit("no row has an advantage: every group has equal rewards; give more samples or a temperature")
    tokens = sum(sum(r["response_mask"]) for r in batch)
    before = total(net, batch, o.clip, tokens, True)
    norm = sum(p.grad.pow(2).sum() for p in net.w.values()).sqrt().item()
    with torch.no_grad():
        for p in net.w.values():
            plain.adamw(p, p.grad, (torch.zeros_like(p), torch.zeros_like(p)), o.rate, 1, 0.0)
    after = total(net, batch, o.clip, tokens, False)
    better = np.isfinite(norm) and norm > 0 and after < before
    print(f"one step on {len(batch)} rows, {tokens} tokens: gradient norm {norm:.4f}, surrogate loss {before:.6f} -> {after:.6f}: "
          f"{'ok' if better else 'WRONG'}")
    raise SystemExit(0 if good and better else 1)


if __name__ == "__main__":
    main()
