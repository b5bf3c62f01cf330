"""Writes cases on which llama.cpp must agree with the trainer, as JSON for a test to replay.

    agree.py --weights model-f16.gguf --tokenizer tokenizer.json --data slots.npz --docs docs.jsonl --out agree.json.gz

{"weights": SHA-256 of the file, "exact": whether it holds F16 matrices,
 "tokenize": [{"text", "special", "ids"}],
 "greedy": [{"id", "prompt": ids, "output": ids, "margin": how far the first choice led, per token}]}

Tokenisations are segments of real documents and random strings, unicode included. Continuations
start at learned segments and run in float on the weights that the GGUF file holds. llama.cpp must
give the same tokens for an F16 file; for a Q8_0 file it rounds activations to 8 bits too, so it may
choose another token where a margin is small. The test is TestAgreement in inference/internal/llama.
"""
import argparse
import gzip
import hashlib
import json
import pathlib
import random

import numpy as np
import torch
import torch.nn.functional as F

import data
import plain
import tokenizer
import weights


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

    def __init__(self, shape, master):
        self.shape, self.w = shape, master
        self.kept = [None] * shape.layers
        self.n = 0

    @torch.no_grad()
    def feed(self, ids):
        """Adds tokens; returns the scores after the last one."""
        w, heads = self.w, self.shape.heads
        pos = torch.arange(self.n, self.n + len(ids))
        self.n += len(ids)
        mask = torch.arange(self.n)[None] > pos[:, None]
        x = w["embed"][torch.tensor(ids)]
        delta = torch.zeros_like(x)
        for l in range(self.shape.layers):
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


def continuations(of, tok, corpus, n, longest, seed):
    rng, out = np.random.default_rng(seed), []
    end = {tok.id["<|im_end|>"], tok.id["<|endoftext|>"]}
    for i in rng.choice(len(corpus.segments), min(n, len(corpus.segments)), replace=False):
        start, _, branch = (int(x) for x in corpus.segments[i])
        doc = int(np.searchsorted(corpus.first, branch, side="right")) - 1
        base, prefix = int(corpus.start[doc]), int(corpus.branches[branch][2])
        prompt = np.concatenate([corpus.ids[base:base + prefix], corpus.ids[int(corpus.branches[branch][0]):start]]).tolist()
        if not prompt:
            continue
        runner, output, margin = Runner(of.shape, of.master), [], []
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
    a.add_argument("--weights", required=True, help="a GGUF file that export.py wrote, F16 or Q8_0")
    a.add_argument("--tokenizer", required=True)
    a.add_argument("--data", required=True, help="an encoded split")
    a.add_argument("--docs", required=True, help="documents for tokenisation cases")
    a.add_argument("--tokenizations", type=int, default=5000)
    a.add_argument("--continuations", type=int, default=80)
    a.add_argument("--longest", type=int, default=96)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--out", required=True)
    o = a.parse_args()
    tok = tokenizer.Tokenizer(o.tokenizer)
    of = weights.File(o.weights)
    raw = pathlib.Path(o.weights).read_bytes()
    cases = dict(weights=hashlib.sha256(raw).hexdigest(), exact=of.exact,
                 tokenize=tokenizations(tok, o.docs, o.tokenizations, o.seed),
                 greedy=continuations(of, tok, data.Corpus(o.data), o.continuations, o.longest, o.seed))
    text = json.dumps(cases, ensure_ascii=False, separators=(",", ":")).encode()
    pathlib.Path(o.out).write_bytes(gzip.compress(text, 9, mtime=0) if o.out.endswith(".gz") else text)
    print(f"{o.out}: {len(cases['tokenize'])} tokenisations, {len(cases['greedy'])} continuations, {sum(len(c['output']) for c in cases['greedy'])} tokens")


if __name__ == "__main__":
    main()
