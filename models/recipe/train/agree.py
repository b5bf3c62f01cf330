"""Writes cases on which llama.cpp must agree with the trainer, as JSON for a test to replay.

    agree.py --model model.pt --tokenizer tokenizer.json --data slots.npz --docs docs.jsonl --out agree.json

{"tokenize": [{"text", "special", "ids"}],
 "greedy": [{"id", "prompt": ids, "output": ids, "margin": how far the first choice led, per token}]}

Tokenisations are segments of real documents and random strings, unicode included. Continuations
start at learned segments and run in float on weights rounded to F16, so they belong to the F16
file; a Q8_0 file may differ where a margin is small.
"""
import argparse
import json
import random

import numpy as np
import torch
import torch.nn.functional as F

import data
import plain
import tokenizer


def random_text(rng):
    """Letters, signs and blanks, some of it beyond ASCII."""
    pools = ("abcxyz  ", "09 .,;:'\"", " \n\t{}[]<>=+$`|~^_-/\\", "éñüßøÅ ", "дяж 中文字 かな 한글 ", "→≤€…–“”·", "😀🏔 \u00a0\u2009", "अआ ा ข้อ ")
    return "".join(rng.choice(rng.choice(pools)) for _ in range(rng.randint(1, 24)))


def tokenizations(tok, docs, n, seed):
    rng, texts = random.Random(seed), []
    with open(docs, encoding="utf-8") as f:
        for line in f:
            d = json.loads(line)
            texts += [(s["t"], bool(s.get("s"))) for s in d["main"] + [s for x in d.get("forks") or [] for s in x["segs"]]]
            if len(texts) > 20 * n:
                break
    cases = rng.sample(sorted(set(texts)), min(n // 2, len(set(texts))))
    cases += [(random_text(rng), False) for _ in range(n - len(cases))]
    cases += [(f"a{t}b", s) for t in tok.special for s in (True, False)]
    return [dict(text=t, special=s, ids=tok.encode(t, s)) for t, s in cases]


class Runner:
    """The model in float, one sequence at a time, with kept keys and values."""

    def __init__(self, saved):
        self.shape = saved["shape"]
        self.w = {k: v.half().float() if v.dim() == 2 else v.float() for k, v in saved["master"].items()}
        self.kept = [None] * self.shape["layers"]
        self.n = 0

    @torch.no_grad()
    def feed(self, ids):
        """Adds tokens; returns the scores after the last one."""
        w, heads = self.w, self.shape["width"] // 32
        pos = torch.arange(self.n, self.n + len(ids))
        self.n += len(ids)
        mask = torch.arange(self.n)[None] > pos[:, None]
        x = w["embed"][torch.tensor(ids)]
        delta = torch.zeros_like(x)
        for l in range(self.shape["layers"]):
            x, y = plain.addnorm(x, delta, w[f"{l}.norm1"])
            q, k, v = F.linear(y, w[f"{l}.qkv"]).view(len(ids), 3, heads, 32).unbind(1)
            q, k = plain.rotate(q, pos), plain.rotate(k, pos)
            if self.kept[l]:
                k, v = torch.cat([self.kept[l][0], k]), torch.cat([self.kept[l][1], v])
            self.kept[l] = k, v
            s = torch.einsum("ihd,jhd->hij", q, k) / 32**0.5
            p = torch.softmax(s.masked_fill(mask, -1e30), -1)
            delta = F.linear(torch.einsum("hij,jhd->ihd", p, v).flatten(1), w[f"{l}.out"])
            x, y = plain.addnorm(x, delta, w[f"{l}.norm2"])
            delta = F.linear(plain.swiglu(F.linear(y, w[f"{l}.gateup"])), w[f"{l}.down"])
        return F.linear(plain.addnorm(x, delta, w["norm"])[1][-1], w["embed"])


def continuations(saved, tok, corpus, n, longest, seed):
    rng, out = np.random.default_rng(seed), []
    end = {tok.id["<|im_end|>"], tok.id["<|endoftext|>"]}
    for i in rng.choice(len(corpus.segments), min(n, len(corpus.segments)), replace=False):
        start, _, branch = (int(x) for x in corpus.segments[i])
        doc = int(np.searchsorted(corpus.first, branch, side="right")) - 1
        base, prefix = int(corpus.start[doc]), int(corpus.branches[branch][2])
        prompt = np.concatenate([corpus.ids[base:base + prefix], corpus.ids[int(corpus.branches[branch][0]):start]]).tolist()
        if not prompt:
            continue
        runner, output, margin = Runner(saved), [], []
        scores = runner.feed(prompt)
        while len(output) < longest:
            (a, b), (token, _) = (t.tolist() for t in scores.topk(2))
            output.append(token)
            margin.append(round(a - b, 4))
            if token in end:
                break
            scores = runner.feed([token])
        out.append(dict(id=f"{corpus.kinds[doc]}/{doc}/{start - base}", prompt=prompt, output=output, margin=margin))
    return out


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--model", required=True)
    a.add_argument("--tokenizer", required=True)
    a.add_argument("--data", required=True, help="an encoded split")
    a.add_argument("--docs", required=True, help="documents for tokenisation cases")
    a.add_argument("--tokenizations", type=int, default=2000)
    a.add_argument("--continuations", type=int, default=24)
    a.add_argument("--longest", type=int, default=96)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--out", required=True)
    o = a.parse_args()
    saved, tok = torch.load(o.model, map_location="cpu"), tokenizer.Tokenizer(o.tokenizer)
    cases = dict(tokenize=tokenizations(tok, o.docs, o.tokenizations, o.seed),
                 greedy=continuations(saved, tok, data.Corpus(o.data), o.continuations, o.longest, o.seed))
    with open(o.out, "w", encoding="utf-8") as f:
        json.dump(cases, f, ensure_ascii=False)
    print(f"{o.out}: {len(cases['tokenize'])} tokenisations, {len(cases['greedy'])} continuations, {sum(len(c['output']) for c in cases['greedy'])} tokens")


if __name__ == "__main__":
    main()
