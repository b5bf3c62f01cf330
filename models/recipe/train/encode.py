"""Turns document trees (JSON lines) into arrays, one .npz file for each split.

    encode.py --docs docs.jsonl --tokenizer tokenizer.json --out work/

A line is {"id","kind","split","main":[segment],"forks":[{"at","segs":[segment]}]} with segment
{"t": text, "s": 1 if control tokens are recognised in it, "y": 1 if it is to be learned}. A fork
continues the first `at` segments of main. Each segment is tokenised on its own.
Arrays: ids, wanted (1 on tokens to learn), start [docs+1], branches [n][start, end, prefix],
first_branch [docs+1], segments [n][start, end, branch] (learned ones only), kinds, names.
"""
import argparse
import collections
import json
import multiprocessing
import os
import pathlib

import numpy as np

import tokenizer

_shared = {}


def encode_document(line):
    """(split, kind, id, ids, wanted, branches, segments) of one line, indices from 0."""
    d, encode = json.loads(line), _shared["encode"]
    ids, wanted, branches, segments, ends = [], [], [], [], [0]

    def add(seg, branch):
        got = encode(seg["t"], bool(seg.get("s")))
        if seg.get("y") and got:
            segments.append((len(ids), len(ids) + len(got), branch))
        ids.extend(got)
        wanted.extend([1 if seg.get("y") else 0] * len(got))

    for seg in d["main"]:
        add(seg, 0)
        ends.append(len(ids))
    branches.append((0, len(ids), 0))
    for fork in d.get("forks") or []:
        begin = len(ids)
        if not 0 < fork["at"] < len(ends):
            raise ValueError(f"{d['id']}: a fork at segment {fork['at']} of {len(ends) - 1}")
        for seg in fork["segs"]:
            add(seg, len(branches))
        if len(ids) > begin:
            branches.append((begin, len(ids), ends[fork["at"]]))
    return d["split"], d["kind"], d["id"], ids, wanted, branches, segments


class Cached:
    """The tokenizer behind a cache of whole segments: templates come again and again."""

    def __init__(self, path):
        self.tokenizer, self.seen = tokenizer.Tokenizer(path), {}

    def __call__(self, text, special):
        key = (text, special)
        got = self.seen.get(key)
        if got is None:
            got = self.tokenizer.encode(text, special)
            if len(self.seen) < 300_000:
                self.seen[key] = got
        return got


def _start(path):
    _shared["encode"] = Cached(path)


class Split:
    """Collects the documents of one split."""

    def __init__(self):
        self.ids, self.wanted, self.branches, self.segments = [], [], [], []
        self.start, self.first, self.kinds, self.names = [0], [0], [], []

    def add(self, kind, name, ids, wanted, branches, segments):
        at, before = self.start[-1], self.first[-1]
        self.ids.append(np.array(ids, np.uint16))
        self.wanted.append(np.array(wanted, np.uint8))
        self.branches += [(a + at, b + at, prefix) for a, b, prefix in branches]
        self.segments += [(a + at, b + at, n + before) for a, b, n in segments]
        self.start.append(at + len(ids))
        self.first.append(len(self.branches))
        self.kinds.append(kind)
        self.names.append(name)

    def save(self, path):
        part = f"{path}.part"
        with open(part, "wb") as f:  # whole or not there: train.sh goes on with what is there
            np.savez(f, ids=np.concatenate(self.ids), wanted=np.concatenate(self.wanted), start=np.array(self.start),
                     branches=np.array(self.branches, np.int64).reshape(-1, 3), first_branch=np.array(self.first),
                     segments=np.array(self.segments, np.int64).reshape(-1, 3), kinds=np.array(self.kinds), names=np.array(self.names))
        os.replace(part, path)

    def summary(self):
        lengths = np.diff(self.start)
        ids, branches = self.start[-1], np.array(self.branches)
        longest = int((branches[:, 1] - branches[:, 0] + branches[:, 2]).max())
        unrolled = int((branches[:, 1] - branches[:, 0] + branches[:, 2]).sum())
        learned = sum(int(w.sum()) for w in self.wanted)
        return (f"{len(lengths)} documents, {ids / 1e6:.2f} M tokens ({learned / ids:.0%} learned), a document {lengths.mean():.0f} on average "
                f"and {lengths.max()} at most, longest sequence {longest}, unrolled {unrolled / ids:.1f} times as many tokens")


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--docs", required=True, nargs="+")
    a.add_argument("--tokenizer", required=True)
    a.add_argument("--out", required=True, help="folder")
    a.add_argument("--longest", type=int, default=2048, help="longest sequence; documents with a longer one are left out")
    a.add_argument("--largest", type=int, default=4096, help="largest document, branches included")
    a.add_argument("--processes", type=int, default=os.cpu_count())
    o = a.parse_args()
    splits, dropped = collections.defaultdict(Split), 0
    with multiprocessing.Pool(o.processes, _start, (o.tokenizer,)) as pool:
        lines = (line for path in o.docs for line in open(path, encoding="utf-8") if line.strip())
        for split, kind, name, ids, wanted, branches, segments in pool.imap(encode_document, lines, 64):
            if len(ids) > o.largest or max(b - a + p for a, b, p in branches) > o.longest:
                dropped += 1
                continue
            splits[split].add(kind, name, ids, wanted, branches, segments)
    if not splits:
        raise SystemExit("no documents")
    out = pathlib.Path(o.out)
    out.mkdir(parents=True, exist_ok=True)
    for name, s in sorted(splits.items()):
        s.save(out / f"{name}.npz")
        print(f"{name}: {s.summary()}")
    if dropped:
        print(f"left out {dropped} documents as too long")


if __name__ == "__main__":
    main()
