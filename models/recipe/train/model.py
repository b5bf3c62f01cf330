"""The model: llama architecture (RMSNorm, rotary positions on interleaved pairs, heads of 32,
SwiGLU, tied embeddings), with float master weights and working copies for each thread.

Nothing here knows about data or optimisers. `ops` is kernels.py or plain.py.
"""
import dataclasses
import math

import torch


@dataclasses.dataclass(frozen=True)
class Shape:
    """The sizes of a model. width and hidden are multiples of 32; a head is 32 wide."""

    vocab: int
    width: int = 256
    layers: int = 6
    hidden: int = 768

    @property
    def heads(self):
        return self.width // 32


def init(shape, seed):
    """New master weights: a dict of float tensors."""
    g = torch.Generator().manual_seed(seed)
    w, d, deep = {}, shape.width, math.sqrt(2 * shape.layers)
    normal = lambda rows, cols, std: torch.randn(rows, cols, generator=g) * std
    w["embed"] = normal(shape.vocab, d, 0.02)
    for l in range(shape.layers):
        w[f"{l}.norm1"] = torch.ones(d)
        w[f"{l}.qkv"] = normal(3 * d, d, 0.8 * d**-0.5)
        w[f"{l}.out"] = normal(d, d, d**-0.5 / deep)
        w[f"{l}.norm2"] = torch.ones(d)
        w[f"{l}.gateup"] = normal(2 * shape.hidden, d, 0.8 * d**-0.5)
        w[f"{l}.down"] = normal(d, shape.hidden, shape.hidden**-0.5 / deep)
    w["norm"] = torch.ones(d)
    return w


def parts(name):
    """How many matrices are stacked in a weight: q, k, v in one, gate and up in another."""
    return 3 if name.endswith("qkv") else 2 if name.endswith("gateup") else 1


class Model:
    """One working copy of the weights: matrices in dtype, norms in float. One thread at a time."""

    def __init__(self, shape, master, ops, dtype=torch.bfloat16, device="cpu"):
        self.shape, self.ops, self.dtype, self.device = shape, ops, dtype, device
        self.w = {k: v.to(device, dtype if v.dim() == 2 else torch.float, copy=True).requires_grad_() for k, v in master.items()}

    def hidden(self, batch):
        """Final normalised states [tokens][width] of a packed batch (see data.Batch)."""
        w, ops = self.w, self.ops
        x = ops.embed(w["embed"], batch.ids)
        delta = torch.zeros(x.shape, dtype=self.dtype, device=x.device)
        for l in range(self.shape.layers):
            x, y = ops.addnorm(x, delta, w[f"{l}.norm1"])
            delta = ops.linear(ops.attention(ops.linear(y, w[f"{l}.qkv"]), batch, self.shape.heads), w[f"{l}.out"])
            x, y = ops.addnorm(x, delta, w[f"{l}.norm2"])
            delta = ops.linear(ops.swiglu(ops.linear(y, w[f"{l}.gateup"])), w[f"{l}.down"])
        return ops.addnorm(x, delta, w["norm"])[1]

    def logits(self, batch, rows):
        """Scores [len(rows)][vocab] after the tokens at rows."""
        return self.ops.linear(self.hidden(batch).index_select(0, rows), self.w["embed"])

    def loss(self, batch):
        """(weighted loss, each target's loss, hits) over the batch's targets."""
        return self.ops.cross_entropy(self.logits(batch, batch.source), batch.target, batch.weight)
