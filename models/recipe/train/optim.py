"""The optimiser: Muon for the matrices, AdamW for the embedding and the norms.

Muon (K. Jordan and others, 2024): momentum whose matrix is replaced by a nearby orthogonal one,
found with five Newton-Schulz steps. Matrices that are stored stacked (q, k, v; gate, up) are
orthogonalised one by one.
"""
import torch

import model as m

MOMENTUM = 0.95


def orthogonal(g, ops, dtype):
    """A matrix with g's singular vectors and singular values near 1 (quintic Newton-Schulz)."""
    x = g.to(dtype)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.t().contiguous()
    x = x / (x.norm().float() + 1e-7).to(dtype)
    for _ in range(5):
        b = ops.product(x, x, transposed=True)
        c = ops.product(b, b).mul_(2.0315).add_(b, alpha=-4.7750)
        x = ops.product(c, x).add_(x, alpha=3.4445)
    return (x.t() if tall else x).float()


class Optimizer:
    """Owns the float masters and their state; writes each step into the working copies.

    update() for disjoint names may run in several threads at once.
    """

    def __init__(self, master, copies, ops, dtype, muon_rate, adam_rate, muon_decay=0.02, adam_decay=0.01):
        self.master, self.copies, self.ops, self.dtype = master, copies, ops, dtype
        self.muon_rate, self.adam_rate = muon_rate, adam_rate
        self.muon_decay, self.adam_decay = muon_decay, adam_decay
        self.state = {k: [torch.zeros_like(v) for _ in range(1 if self.by_muon(k) else 2)] for k, v in master.items()}

    def by_muon(self, name):
        return self.master[name].dim() == 2 and name != "embed"

    def shares(self, n):
        """The weights' names in n lists of about equal work."""
        names = sorted(self.master, key=lambda k: -self.master[k].numel())
        return [names[i::n] for i in range(n)]

    @torch.no_grad()
    def update(self, names, step, factor):
        """One step on the named weights, rates times factor; returns the squared gradient norm."""
        squares = 0.0
        for name in names:
            grad = self.copies[0].w[name].grad.float()
            for c in self.copies[1:]:
                grad = grad + c.w[name].grad
            if len(self.copies) > 1:
                grad = grad / len(self.copies)
            squares += float(grad.pow(2).sum())
            if self.by_muon(name):
                self._muon(name, grad, self.muon_rate * factor)
            else:
                decay = self.adam_decay if grad.dim() == 2 else 0.0
                self.ops.adamw(self.master[name], grad, self.state[name], self.adam_rate * factor, step, decay)
            for c in self.copies:
                c.w[name].data.copy_(self.master[name])
                c.w[name].grad = None
        return squares

    def _muon(self, name, grad, rate):
        p, (momentum,), n = self.master[name], self.state[name], m.parts(name)
        momentum.mul_(MOMENTUM).add_(grad)
        pieces = grad.add(momentum, alpha=MOMENTUM).chunk(n)
        rows, cols = pieces[0].shape
        step = torch.cat([orthogonal(x, self.ops, self.dtype) for x in pieces])
        p.mul_(1 - rate * self.muon_decay).add_(step, alpha=-rate * max(1, rows / cols) ** 0.5)
