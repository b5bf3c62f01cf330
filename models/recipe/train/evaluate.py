"""Teacher-forced evaluation of a checkpoint on encoded splits.

    evaluate.py --model model.pt --tokenizer tokenizer.json --json scores.json slots.npz phrasing.npz

Every learned segment counts as right when the model's first choice is right for each of its tokens,
given the right text before it. Segments are sorted by what they hold: a fork's segment with one of
the three labels is a verdict (its label is read as the real run reads it: the best of the three at
the label's place), a trunk segment with <tool_call> is a call, any other trunk segment an answer.
Verdicts are told apart by the tag of their question, such as [screen].

This is a training-time check. A label is scored with the right reason in front of it, which makes it
easy: the exactness of the whole verdict says more, and the card's figures come from the real loop.
"""
import argparse
import collections
import concurrent.futures as futures
import json
import os
import pathlib
import re

import numpy as np
import torch

import data
import model as m
import tokenizer
import train

LABELS = ("benign", "sensitive", "malicious")
_LABEL = re.compile(r"\b(" + "|".join(LABELS) + r")\b")


def load(path, ops, dtype, device):
    """A Model from a checkpoint."""
    saved = torch.load(path, map_location="cpu", weights_only=False)
    return m.Model(m.Shape(**saved["shape"]), saved["master"], ops, dtype, device)


def previous(corpus):
    """For each token of a corpus the one before it in its sequence, -1 at a document's start."""
    prev = np.arange(-1, len(corpus.ids) - 1)
    prev[corpus.start[:-1]] = -1
    for d in range(len(corpus)):
        for start, _, prefix in corpus.branches[corpus.first[d]:corpus.first[d + 1]]:
            if prefix:
                prev[start] = corpus.start[d] + prefix - 1
    return prev


@torch.no_grad()
def predict(model, corpus, candidates, size=4096, threads=2):
    """(best [tokens], scores [tokens][candidates]) at each learned token, -1 elsewhere."""
    at = np.nonzero((corpus.wanted != 0) & (previous(corpus) >= 0))[0]
    size = max(size, int(np.diff(corpus.start).max()))
    columns = torch.tensor(candidates, device=model.device)

    @torch.no_grad()  # the setting belongs to a thread
    def one(batch):
        if model.device == "cpu":
            torch.set_num_threads(1)
        logits = model.logits(batch.to(model.device), batch.source.to(model.device))[: batch.targets]
        return logits.argmax(-1).cpu().numpy(), logits[:, columns].float().cpu().numpy()

    with futures.ThreadPoolExecutor(threads) as pool:
        results = list(pool.map(one, data.in_order(corpus, size)))
    best, scores = np.full(len(corpus.ids), -1), np.zeros((len(corpus.ids), len(candidates)), np.float32)
    best[at], scores[at] = np.concatenate([r[0] for r in results]), np.concatenate([r[1] for r in results])
    return best, scores


def label_token(tok, ids):
    """(label, index of its first token) of a verdict's tokens, or (None, 0). The label comes last:
    a reason in front of it may hold the same words."""
    found = _LABEL.findall(tok.decode(ids))
    if not found:
        return None, 0
    want = tok.encode(found[-1], False)
    for i in range(len(ids) - len(want), -1, -1):
        if list(ids[i:i + len(want)]) == want:
            return found[-1], i
    return None, 0


def question(tok, ids):
    """The review that a fork asks for, by the tag in its prompt: "[screen]"; "" without one."""
    found = re.search(r"\[(\w+)\]", tok.decode(ids))
    return found.group() if found else ""


def calibration(probabilities, right, bins=10):
    """Expected calibration error over equal-width bins of the chosen label's probability."""
    p, r = np.array(probabilities), np.array(right, float)
    where = np.minimum((p * bins).astype(int), bins - 1)
    return float(sum(abs(p[where == b].mean() - r[where == b].mean()) * (where == b).mean() for b in range(bins) if (where == b).any()))


def score(model, tok, corpus):
    """Counts by measure: {name: [right, total]}, plus the label table and calibration error."""
    candidates = [tok.encode(l, False)[0] for l in LABELS]
    best, scores = predict(model, corpus, candidates)
    counts, table = collections.defaultdict(lambda: [0, 0]), collections.Counter()
    chances, rights = [], []
    control = tok.id["<tool_call>"]
    owner = np.searchsorted(corpus.first, corpus.segments[:, 2], side="right") - 1

    def add(name, good):
        counts[name][0] += int(good)
        counts[name][1] += 1

    for (start, end, branch), doc in zip(corpus.segments, owner):
        ids, kind = corpus.ids[start:end], corpus.kinds[doc]
        exact = bool((best[start:end] == ids)[1 if start == corpus.start[doc] else 0:].all())
        if branch == corpus.first[doc]:
            what = "call" if control in ids else "answer"
            add(f"{what} exact", exact)
            add(f"{what} exact / {kind}", exact)
            continue
        label, i = label_token(tok, ids)
        asked = question(tok, corpus.ids[corpus.branches[branch][0]:start])
        add(f"verdict {asked} exact" if label else f"fork {asked} exact", exact)
        if not label:
            continue
        s = scores[start + i]
        chosen, p = LABELS[int(s.argmax())], np.exp(s - s.max())
        table[label, chosen] += 1
        chances.append(float(p.max() / p.sum()))
        rights.append(chosen == label)
        add(f"label {asked}", chosen == label)
        add(f"label {asked} / {label}", chosen == label)
        add(f"verdict {asked} exact / {label}", exact)
    return dict(counts=dict(counts), table={f"{a} as {b}": n for (a, b), n in sorted(table.items())},
                calibration=calibration(chances, rights) if chances else None)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--model", required=True)
    a.add_argument("--tokenizer", required=True)
    a.add_argument("--json", help="also write the counts here")
    a.add_argument("splits", nargs="+")
    o = a.parse_args()
    torch.set_num_threads(1 if train.backend()[0] is not train.plain else os.cpu_count())
    model, tok, results = load(o.model, *train.backend()), tokenizer.Tokenizer(o.tokenizer), {}
    for path in o.splits:
        name = pathlib.Path(path).stem
        results[name] = r = score(model, tok, data.Corpus(path))
        print(f"== {name}, teacher-forced")
        for k, (right, n) in sorted(r["counts"].items(), key=lambda x: (" / " in x[0], x[0])):
            print(f"  {k:44s} {right / n:7.2%}  {right} of {n}")
        print("  labels:", ", ".join(f"{k} {n}" for k, n in r["table"].items()))
        if r["calibration"] is not None:
            print(f"  expected calibration error of the labels {r['calibration']:.3f}")
    if o.json:
        pathlib.Path(o.json).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
