"""Trains the model on an encoded corpus, for a time or a number of tokens, whichever ends first.

    train.py --data work/train.npz --out work/model.pt --minutes 60
    train.py --data work/train.npz --out work/model.pt --minutes 60 --resume

Each thread owns a working copy of the weights and half (a third, ...) of every batch. A checkpoint
holds masters, optimiser, data order and the time spent, so --resume continues the same schedule.
The same seed gives the same batches; a schedule by time makes the last steps depend on speed,
--tokens alone does not. Peek at progress with tail -f; the last line says what was written.
"""
import argparse
import concurrent.futures as futures
import math
import os
import time

import torch

import data
import kernels
import model as m
import optim
import plain


def options():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = a.add_argument
    add("--data", required=True)
    add("--out", required=True, help="checkpoint, rewritten while training")
    add("--vocab", type=int, required=True)
    add("--width", type=int, default=256)
    add("--layers", type=int, default=6)
    add("--hidden", type=int, default=768)
    add("--minutes", type=float, default=math.inf)
    add("--tokens", type=float, default=math.inf, help="document tokens, padding not counted")
    add("--batch", type=int, default=8192, help="tokens a step, over all threads")
    add("--threads", type=int, default=2)
    add("--muon-rate", type=float, default=0.02)
    add("--adam-rate", type=float, default=3e-3)
    add("--warmup", type=int, default=30, help="steps to the full rate")
    add("--decay", type=float, default=0.7, help="last share of the schedule, falling to 0")
    add("--copy-steps", type=int, default=60, help="first steps, on copy exercises only")
    add("--gap-share", type=float, default=0.25, help="documents with a jump in their positions")
    add("--max-gap", type=int, default=1000)
    add("--seed", type=int, default=1)
    add("--save-every", type=float, default=120, help="seconds between checkpoints")
    add("--log-every", type=int, default=20, help="steps between progress lines")
    add("--priority", type=int, default=0, help="niceness; below 0 needs the right to it")
    add("--resume", action="store_true")
    add("--init", default="", help="checkpoint whose weights to begin with, on a schedule of its own")
    o = a.parse_args()
    if math.isinf(o.minutes) and math.isinf(o.tokens):
        a.error("give --minutes or --tokens")
    return o


def prioritize(niceness):
    """Sets the process's niceness, and that of its session where the kernel groups tasks by session."""
    os.setpriority(os.PRIO_PROCESS, 0, niceness)
    try:
        with open("/proc/self/autogroup", "w") as f:
            f.write(str(niceness))
    except OSError:
        pass  # no such grouping, or a niceness set a moment ago


def backend():
    """(ops, dtype, device) for this machine: fused kernels, a GPU, or plain float."""
    if torch.cuda.is_available():
        return plain, torch.bfloat16, "cuda"
    if kernels.available():
        return kernels, torch.bfloat16, "cpu"
    return plain, torch.float32, "cpu"


class Trainer:
    def __init__(self, o):
        self.o = o
        self.ops, self.dtype, self.device = backend()
        self.threads = 1 if self.device == "cuda" else o.threads
        torch.set_num_threads(1 if self.device == "cuda" or self.ops is kernels else max(1, (os.cpu_count() or 1) // self.threads))
        self.shape = m.Shape(o.vocab, o.width, o.layers, o.hidden)
        self.corpus = data.Corpus(o.data)
        self.packers = [data.Packer(self.corpus, o.batch // self.threads, [o.seed, i], o.gap_share, o.max_gap, min(1000, o.vocab - 8)) for i in range(self.threads)]
        self.step, self.used, self.spent = 0, 0, 0.0
        saved = torch.load(o.out, map_location="cpu", weights_only=False) if o.resume and os.path.exists(o.out) else None
        first = torch.load(o.init, map_location="cpu", weights_only=False) if o.init and not saved else None
        if first and m.Shape(**first["shape"]) != self.shape:
            raise SystemExit(f"{o.init} holds a model of another shape: {first['shape']}")
        master = (saved or first or {}).get("master") or m.init(self.shape, o.seed)
        master = {k: v.to(self.device) for k, v in master.items()}
        self.copies = [m.Model(self.shape, master, self.ops, self.dtype, self.device) for _ in range(self.threads)]
        self.optimizer = optim.Optimizer(master, self.copies, self.ops, self.dtype, o.muon_rate, o.adam_rate)
        if saved:
            self.restore(saved)
        self.pool = futures.ThreadPoolExecutor(self.threads)

    def restore(self, s):
        if m.Shape(**s["shape"]) != self.shape:
            raise SystemExit(f"{self.o.out} holds a model of another shape: {s['shape']}")
        if len(s["packers"]) != self.threads:
            raise SystemExit(f"{self.o.out} was begun with {len(s['packers'])} threads, not {self.threads}")
        for name in ("seed", "batch"):
            if s["options"][name] != getattr(self.o, name):
                raise SystemExit(f"{self.o.out} was begun with --{name} {s['options'][name]}")
        for name in ("tokens", "minutes"):
            if s["options"][name] != getattr(self.o, name):
                print(f"the schedule was for {s['options'][name]:g} {name} and is now for {getattr(self.o, name):g}", flush=True)
        self.step, self.used, self.spent = s["step"], s["used"], s["spent"]
        for name, state in s["state"].items():
            for mine, theirs in zip(self.optimizer.state[name], state):
                mine.copy_(theirs)
        for p, state in zip(self.packers, s["packers"]):
            p.restore(state)

    def save(self):
        part = self.o.out + ".part"
        torch.save(dict(shape=vars(self.shape), master={k: v.cpu() for k, v in self.optimizer.master.items()}, state=self.optimizer.state,
                        packers=[p.state() for p in self.packers], step=self.step, used=self.used, spent=self.spent,
                        options=vars(self.o)), part)
        os.replace(part, self.o.out)

    def done(self):
        return max(self.spent / (self.o.minutes * 60), self.used / self.o.tokens)

    def copy_share(self):
        """How much of a batch is copy exercises: all, then a quarter, then few; few for a model that copies already."""
        if self.o.init:
            return 0.03
        return 1.0 if self.step <= self.o.copy_steps else 0.25 if self.done() < 0.1 else 0.03

    def factor(self):
        return min(1, self.step / self.o.warmup) * max(0.0, min(1, (1 - self.done()) / self.o.decay))

    def half(self, i):
        """Forward and backward of one thread's share; (sum of losses, hits, targets, tokens)."""
        if self.device == "cpu" and self.ops is kernels:
            torch.set_num_threads(1)
        b = self.packers[i].batch(self.copy_share()).to(self.device)
        loss, losses, hit = self.copies[i].loss(b)
        loss.backward()
        n = b.targets
        return float(losses[:n].sum()), float(hit[:n].sum()), n, b.used

    def part(self, names):
        if self.device == "cpu" and self.ops is kernels:
            torch.set_num_threads(1)
        return self.optimizer.update(names, self.step, self.factor())

    def run(self):
        o, count = self.o, sum(v.numel() for v in self.optimizer.master.values())
        out = len(self.corpus) - len(self.packers[0].fit)
        if out:
            print(f"left out {out} documents that are larger than a thread's share of a batch", flush=True)
        print(f"{count / 1e6:.2f} M parameters, {len(self.corpus)} documents, {len(self.corpus.ids) / 1e6:.1f} M tokens, "
              f"{self.ops.__name__} in {self.dtype} on {self.device}, {self.threads} threads", flush=True)
        shares = self.optimizer.shares(self.threads)
        began, before = time.time(), self.spent
        saved, marked, tokens = began, began, 0
        total = [0.0] * 3
        while self.done() < 1:
            self.step += 1
            results = list(self.pool.map(self.half, range(self.threads)))
            norm = math.sqrt(sum(self.pool.map(self.part, shares)))
            now = time.time()
            self.used += sum(r[3] for r in results)
            tokens += sum(r[3] for r in results)
            self.spent = before + now - began
            total = [a + sum(r[i] for r in results) for i, a in enumerate(total)]
            if self.step % o.log_every == 0:
                left = self.spent * (1 / self.done() - 1) / 60
                print(f"step {self.step} epoch {self.packers[0].epoch} tokens {self.used / 1e6:.2f}M loss {total[0] / total[2]:.4f} "
                      f"hit {total[1] / total[2]:.4f} norm {norm:.3f} rate {self.factor():.2f} {tokens / (now - marked):.0f} tok/s "
                      f"done {self.done():.1%} left {left:.1f} min", flush=True)
                marked, tokens, total = now, 0, [0.0] * 3
            if now - saved > o.save_every:
                self.save()
                saved = now
        self.save()
        print(f"wrote {o.out}: {self.step} steps, {self.used / 1e6:.2f} M tokens, {self.spent / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    chosen = options()
    if chosen.priority:
        prioritize(chosen.priority)
    Trainer(chosen).run()
