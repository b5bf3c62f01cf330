"""Checks the building blocks and the model's gradients against plain float computations.

    check.py [--ops kernels|plain]

Three parts. Each building block alone, given the same bf16 inputs, against plain.py in float: output
and gradient must agree (cosine >= 0.9999). Then the whole model on random document trees against
an independent textbook transformer that runs every branch as a sequence of its own; there bf16
activations add up, so the bound is 0.9999 with the kernels and 0.99999 in float. Last a
model's file, written and read back, where gguf-py is at hand. Exits 1 if anything differs.
"""
import argparse
import json
import os
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F

import data
import export
import kernels
import model as m
import plain
import tokenizer
import weights


def random_tree(rng, vocab, trunk, forks):
    """A document with branches of assorted lengths, prefixes at and off block boundaries."""
    branches, n = [[0, trunk, 0, 0]], trunk
    for _ in range(forks):
        length = int(rng.integers(1, 75))
        branches.append([n, n + length, int(rng.choice([1, 31, 32, 33, trunk // 2, trunk - 1, trunk])), 0])
        n += length
    return data.Document(rng.integers(0, vocab, n).astype(np.int32), (rng.random(n) < 0.4).astype(np.uint8), np.array(branches))


def reference_logits(w, shape, ids, pos):
    """One sequence through a plain causal transformer, in float: [tokens][vocab]."""
    n, heads = len(ids), shape.heads
    angle = pos[:, None] * 10000.0 ** (-torch.arange(0, 32, 2) / 32)
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]

    def rope(t):
        a, b = t[..., 0::2], t[..., 1::2]
        return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).reshape(t.shape)

    norm = lambda x, g: x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * g
    future = torch.full((n, n), -1e30).triu(1)
    x = w["embed"][ids]
    for l in range(shape.layers):
        q, k, v = F.linear(norm(x, w[f"{l}.norm1"]), w[f"{l}.qkv"]).view(n, 3, heads, 32).unbind(1)
        p = torch.softmax(torch.einsum("ihd,jhd->hij", rope(q), rope(k)) / 32**0.5 + future, -1)
        x = x + F.linear(torch.einsum("hij,jhd->ihd", p, v).reshape(n, -1), w[f"{l}.out"])
        gate, up = F.linear(norm(x, w[f"{l}.norm2"]), w[f"{l}.gateup"]).chunk(2, -1)
        x = x + F.linear(F.silu(gate) * up, w[f"{l}.down"])
    return F.linear(norm(x, w["norm"]), w["embed"])


def reference_loss(w, shape, docs, gaps):
    """Mean loss over all targets, each branch unrolled into its own sequence."""
    total, count = 0.0, 0
    for d, gap in zip(docs, gaps):
        pos = d.positions(*gap)
        for b, (start, end, _, _) in enumerate(d.branches):
            rows, c = np.arange(start, end), b
            while c:  # from the branch up to the trunk
                _, _, prefix, c = d.branches[c]
                rows = np.concatenate([d.branches[c][0] + np.arange(prefix), rows])
            before = len(rows) - (end - start)
            wanted = np.nonzero((np.arange(len(rows)) >= max(before, 1)) & (d.wanted[rows] != 0))[0]
            if not len(wanted):
                continue
            logits = reference_logits(w, shape, torch.from_numpy(d.ids[rows]).long(), torch.from_numpy(pos[rows]).float())
            total = total + F.cross_entropy(logits[wanted - 1], torch.from_numpy(d.ids[rows][wanted]).long(), reduction="sum")
            count += len(wanted)
    return total / count


def trees(rng, vocab):
    """A batch of documents that meets every case of the attention kernel, padding included."""
    docs = [random_tree(rng, vocab, t, f) for t, f in ((37, 0), (150, 4), (1, 0), (64, 2), (333, 6))]
    docs.append(data.copy_exercise(rng, vocab))
    gaps = [(0, 0), (70, 900), (0, 0), (0, 0), (200, 31), (0, 0)]
    for root in (29, 32, 40):  # documents that share their first tokens, as one
        family = [random_tree(rng, vocab, t, f) for t, f in ((100, 3), (41, 2), (64, 0), (230, 5))]
        for d in family:
            d.ids[:root], d.wanted[:root] = family[0].ids[:root], 0
            d.branches[1:, 2] = np.maximum(d.branches[1:, 2], root)
        docs.append(data.join(family, [(0, 0), (root, 77), (0, 0), (90, 500)], root))
        gaps.append((0, 0))
    return docs, gaps, data.pack(docs, range(len(docs)), sum(len(d.ids) for d in docs) + 45, gaps)


def agreement(a, b):
    """(cosine, relative difference of the norms) of two tensors."""
    a, b = a.detach().double().flatten(), b.detach().double().flatten()
    return (a @ b / (a.norm() * b.norm() + 1e-300)).item(), abs((a.norm() / b.norm()).item() - 1)


class Report:
    """Collects comparisons and remembers whether all were good enough."""

    def __init__(self):
        self.good = True

    def add(self, name, a, b, cosine, norm):
        cos, off = agreement(a, b)
        ok = cos >= cosine and off <= norm
        self.good &= ok
        print(f"  {name:28s} cosine {cos:.7f}  norm off by {off:.3%}  {'ok' if ok else 'WRONG'}")


def check_operations(ops, dtype, report, seed):
    """Every building block alone, on bf16-representable inputs, against plain.py in float."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    batch, heads, dim, vocab = trees(rng, 512)[2], 4, 128, 512
    n, live = len(batch.ids), (torch.arange(len(batch.ids)) < batch.used)[:, None]
    bf = lambda *s: torch.randn(*s).bfloat16()
    rows = batch.target.shape[0]
    cases = {  # name: (function of ops and inputs, inputs, which of them are float)
        "embed": (lambda o, t: o.embed(t, batch.ids), [bf(vocab, dim)], ()),
        "linear": (lambda o, x, w: o.linear(x, w), [bf(2048 + 64, 160), bf(224, 160)], ()),
        "linear, odd size": (lambda o, x, w: o.linear(x, w), [bf(77, 64), bf(96, 64)], ()),
        "addnorm": (lambda o, x, d, w: o.addnorm(x, d, w), [torch.randn(n, dim), bf(n, dim), 1 + torch.rand(dim)], (0, 2)),
        "attention": (lambda o, x: o.attention(x, batch, heads) * live, [bf(n, 3 * dim) * 2], ()),
        "swiglu": (lambda o, x: o.swiglu(x), [bf(n, 2 * dim) * 2], ()),
        "cross_entropy": (lambda o, x: o.cross_entropy(x * 1, batch.target, batch.weight)[0], [bf(rows, vocab) * 3], ()),
    }
    for name, (f, inputs, floats) in cases.items():
        mine = [x.clone().to(torch.float if i in floats else dtype).requires_grad_() for i, x in enumerate(inputs)]
        ref = [x.clone().float().requires_grad_() for x in inputs]
        outs, wants = f(ops, *mine), f(plain, *ref)
        outs, wants = (outs, wants) if isinstance(outs, tuple) else ((outs,), (wants,))
        pull = [torch.ones(()) if o.dim() == 0 else bf(*o.shape) for o in outs]
        torch.autograd.backward(outs, [p.to(o.dtype) for p, o in zip(pull, outs)])
        torch.autograd.backward(wants, [p.float() for p in pull])
        for i, (a, b) in enumerate(zip(outs, wants)):
            report.add(f"{name} output {i}", a.float(), b, 0.9999, 0.002)
        for i, (a, b) in enumerate(zip(mine, ref)):
            report.add(f"{name} gradient {i}", a.grad.float(), b.grad, 0.9999, 0.002)
    p, g = torch.randn(999), torch.randn(999)
    q, s, t = p.clone(), [torch.zeros(999), torch.rand(999)], [torch.zeros(999), torch.zeros(999)]
    t[1].copy_(s[1])
    ops.adamw(p, g, s, 1e-2, 3, 0.1)
    plain.adamw(q, g, t, 1e-2, 3, 0.1)
    report.add("adamw", p, q, 0.9999999, 1e-5)


def check_model(ops, dtype, report, seed):
    """The whole model's loss and gradients against the unrolled float reference."""
    shape = m.Shape(vocab=512, width=128, layers=2, hidden=256)
    docs, gaps, batch = trees(np.random.default_rng(seed), shape.vocab)
    master = m.init(shape, seed)
    master["embed"] *= 5
    exact = dtype == torch.float32
    model = m.Model(shape, master, ops, dtype)
    loss, _, _ = model.loss(batch)
    loss.backward()
    w = {k: v.detach().float().requires_grad_() for k, v in model.w.items()}
    want = reference_loss(w, shape, docs, gaps)
    want.backward()
    print(f"  loss {loss.item():.6f}, reference {want.item():.6f}, targets {batch.targets}")
    report.good &= abs(loss.item() / want.item() - 1) < 0.002
    for k in w:
        report.add(k, model.w[k].grad.float(), w[k].grad, 0.99999 if exact else 0.9999, 0.001 if exact else 0.01)


def check_file(report, seed):
    """A file of export.py, read back by weights.py: the same weights, in half precision, and the same tokenizer."""
    try:
        gguf = export.gguf_module()
    except SystemExit as why:
        print(f"  skipped: {why}")
        return
    special = ["<|endoftext|>", "<|im_end|>"]
    tokens, merges = tokenizer.train({"holdfast": 9, "hold": 9, "  ": 9, "fäst": 9}, 288, special, least=1)
    shape = m.Shape(len(tokens) + len(special), 64, 2, 96)
    master = m.init(shape, seed)
    with tempfile.TemporaryDirectory() as folder:
        words, file = os.path.join(folder, "tokenizer.json"), os.path.join(folder, "model.gguf")
        made = dict(tokens=tokens + special, merges=[list(p) for p in merges], special=special)
        with open(words, "w", encoding="utf-8") as f:
            json.dump(made, f)
        saved = dict(shape=vars(shape), master=master)
        export.write(gguf, file, "f16", saved, tokenizer.Tokenizer(words), argparse.Namespace(context=64), "template", {})
        back = weights.File(file)
        same = back.exact and back.shape == shape and back.tokenizer() == made and back.master.keys() == master.keys()
        same = same and all(torch.equal(back.master[k], w.half().float() if w.dim() == 2 else w) for k, w in master.items())
    report.good &= same
    print(f"  {'written and read back':28s} {'ok' if same else 'WRONG'}")


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--ops", choices=("kernels", "plain"), default="kernels" if kernels.available() else "plain")
    a.add_argument("--seed", type=int, default=1)
    o = a.parse_args()
    torch.set_num_threads(1)
    ops, dtype = (kernels, torch.bfloat16) if o.ops == "kernels" else (plain, torch.float32)
    report = Report()
    print(f"{o.ops}: building blocks")
    check_operations(ops, dtype, report, o.seed)
    print(f"{o.ops}: model on unrolled branches")
    check_model(ops, dtype, report, o.seed)
    print(f"{o.ops}: a model's file")
    check_file(report, o.seed)
    print(f"{o.ops}: " + ("all good" if report.good else "WRONG"))
    sys.exit(0 if report.good else 1)


if __name__ == "__main__":
    main()
