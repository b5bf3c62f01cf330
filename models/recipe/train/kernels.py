"""The kernels (attention.c, matmul.c, rows.c) as differentiable PyTorch functions.

available() says whether this machine can run them (Linux, x86-64 with AMX-BF16 and AVX-512-BF16,
a C compiler); plain.py holds the same functions in plain PyTorch. Both modules have the names
embed, linear, product, addnorm, attention, swiglu, cross_entropy and adamw, so a model takes either as its `ops`.
All functions work on CPU tensors on the calling thread and release the interpreter lock.
"""
import ctypes
import functools
import hashlib
import os
import pathlib
import subprocess
import sys

import torch

HERE = pathlib.Path(__file__).resolve().parent
SOURCES = ("attention.c", "matmul.c", "rows.c")
POSITIONS = 4096  # rows of the rotation table
BASE = 10000.0
FLAGS = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC", "-Wall", "-Wextra"]


def _cpu_has(*names):
    try:
        flags = next(l for l in open("/proc/cpuinfo") if l.startswith("flags")).split()
    except (OSError, StopIteration):
        return False
    return all(n in flags for n in names)


def build(folder=None):
    """Compiles the kernels unless that was done already; returns the library's path."""
    text = b"".join((HERE / s).read_bytes() for s in SOURCES + ("tiles.h", "vec.h")) + " ".join(FLAGS).encode()
    folder = pathlib.Path(folder or os.environ.get("RECIPE_CACHE", pathlib.Path.home() / ".cache" / "holdfast-recipe"))
    folder.mkdir(parents=True, exist_ok=True)
    lib = folder / f"kernels-{hashlib.sha256(text).hexdigest()[:16]}.so"
    if not lib.exists():
        part = lib.with_suffix(f".{os.getpid()}")
        subprocess.run([os.environ.get("CC", "cc"), *FLAGS, "-o", part, *(HERE / s for s in SOURCES), "-lm"], check=True)
        os.replace(part, lib)
    return lib


@functools.lru_cache(None)
def _library():
    lib = ctypes.CDLL(str(build()))
    if lib.kernels_init() != 0:
        raise OSError("the operating system does not grant AMX tiles")
    return lib


@functools.lru_cache(None)
def available():
    """True if the kernels compile and run here."""
    if not _cpu_has("amx_bf16", "amx_tile", "avx512_bf16", "avx512bw", "avx512dq"):
        return False
    try:
        _library()
    except (OSError, subprocess.CalledProcessError) as e:
        print(f"kernels: this processor could run them, but: {e}", file=sys.stderr)
        return False
    return True


@functools.lru_cache(None)
def _rope():
    angle = torch.arange(POSITIONS, dtype=torch.float64)[:, None] * BASE ** (-torch.arange(0, 32, 2, dtype=torch.float64) / 32)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([cos.repeat_interleave(2, 1), torch.stack([-sin, sin], -1).flatten(1)], 1).float().contiguous()


def _call(name, *args):
    """Calls a kernel: tensors go as pointers, integers as int, floats as float."""
    conv = []
    for a in args:
        if isinstance(a, torch.Tensor):
            assert a.is_contiguous() and a.device.type == "cpu", name
            conv.append(ctypes.c_void_p(a.data_ptr()))
        else:
            conv.append(ctypes.c_float(a) if isinstance(a, float) else ctypes.c_int(a) if isinstance(a, int) else a)
    getattr(_library(), name)(*conv)


class _Embed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, table, ids):
        out = torch.empty(len(ids), table.shape[1])
        _call("embedding_forward", table, ids, out, len(ids), table.shape[1])
        ctx.save_for_backward(ids)
        ctx.shape = table.shape
        return out

    @staticmethod
    def backward(ctx, grad):
        (ids,) = ctx.saved_tensors
        table = torch.zeros(ctx.shape)
        _call("embedding_backward", table, ids, grad.contiguous(), len(ids), ctx.shape[1])
        return table.bfloat16(), None


def product(a, b, transposed=False):
    """a @ b, or a @ b.T, of bf16 matrices; not differentiable."""
    cols = b.shape[0] if transposed else b.shape[1]
    if (a.shape[0] | a.shape[1] | cols) % 32:  # the kernel works on whole tiles
        return a @ (b.t() if transposed else b)
    out = torch.empty(a.shape[0], cols, dtype=torch.bfloat16)
    _call("matmul", a, b, out, a.shape[0], a.shape[1], cols, int(transposed))
    return out


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return product(x, weight, transposed=True)

    @staticmethod
    def backward(ctx, grad):
        (x, weight), grad = ctx.saved_tensors, grad.contiguous()
        if x.shape[0] % 32:
            return grad @ weight, grad.t() @ x
        dweight = torch.empty_like(weight)
        _call("matmul_gradient", grad, x, dweight, x.shape[0], *weight.shape)
        return product(grad, weight), dweight


class _AddNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, delta, weight):
        n, dim = x.shape
        total, y, inverse = torch.empty_like(x), torch.empty(n, dim, dtype=torch.bfloat16), torch.empty(n)
        _call("addnorm_forward", x, delta, weight, total, y, inverse, n, dim)
        ctx.save_for_backward(total, weight, inverse)
        return total, y

    @staticmethod
    def backward(ctx, dtotal, dy):
        total, weight, inverse = ctx.saved_tensors
        n, dim = total.shape
        dx, ddelta, dweight = torch.empty_like(total), torch.empty(n, dim, dtype=torch.bfloat16), torch.empty(dim)
        _call("addnorm_backward", total, weight, inverse, dy.contiguous(), dtotal.contiguous(), dx, ddelta, dweight, n, dim)
        return dx, ddelta, dweight


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, qkv, batch, heads):
        n = qkv.shape[0]
        out, lse = torch.empty(n, heads * 32, dtype=torch.bfloat16), torch.empty(heads, n)
        out[batch.used:] = 0
        _call("attention_forward", qkv, out, lse, _rope(), batch.pos, batch.branches, batch.first_branch, batch.padded,
              len(batch.padded), n, heads)
        ctx.save_for_backward(qkv, out, lse)
        ctx.batch, ctx.heads = batch, heads
        return out

    @staticmethod
    def backward(ctx, grad):
        qkv, out, lse = ctx.saved_tensors
        batch, dqkv = ctx.batch, torch.empty_like(qkv)
        dqkv[batch.used:] = 0
        _call("attention_backward", qkv, out, grad.contiguous(), lse, dqkv, _rope(), batch.pos, batch.branches,
              batch.first_branch, batch.padded, len(batch.padded), qkv.shape[0], ctx.heads)
        return dqkv, None, None


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gu):
        n, width = gu.shape[0], gu.shape[1] // 2
        h = torch.empty(n, width, dtype=torch.bfloat16)
        _call("swiglu_forward", gu, h, n, width)
        ctx.save_for_backward(gu)
        return h

    @staticmethod
    def backward(ctx, grad):
        (gu,) = ctx.saved_tensors
        dgu = torch.empty_like(gu)
        _call("swiglu_backward", gu, grad.contiguous(), dgu, gu.shape[0], gu.shape[1] // 2)
        return dgu


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, target, weight):
        n, vocab = logits.shape
        grad, loss, hit = logits.detach(), torch.empty(n), torch.empty(n, dtype=torch.uint8)
        _call("cross_entropy", grad, target, weight, loss, hit, n, vocab)
        ctx.save_for_backward(grad)
        ctx.mark_non_differentiable(loss, hit)
        return (loss * weight).sum(), loss, hit

    @staticmethod
    def backward(ctx, _, __, ___):
        return ctx.saved_tensors[0], None, None


def embed(table, ids):
    """Rows ids (int32) of a bf16 table, as float."""
    return _Embed.apply(table, ids)


def linear(x, weight):
    """x [tokens][inner] times the transpose of weight [outer][inner], in bf16."""
    return _Linear.apply(x, weight)


def addnorm(x, delta, weight):
    """(x + delta, RMSNorm(x + delta) * weight): float and bf16."""
    return _AddNorm.apply(x, delta, weight)


def attention(qkv, batch, heads):
    """Tree attention of a packed batch: qkv [tokens][3][heads][32] -> [tokens][heads*32]."""
    return _Attention.apply(qkv, batch, heads)


def swiglu(gu):
    """silu(gate) * up of [tokens][gate | up]."""
    return _SwiGLU.apply(gu)


def cross_entropy(logits, target, weight):
    """(weighted sum, each token's loss, 1 where the target has the top score).

    Overwrites logits, and its gradient assumes that the sum is what backward() starts from.
    """
    return _CrossEntropy.apply(logits, target, weight)


def adamw(p, g, state, rate, step, decay, beta1=0.9, beta2=0.97):
    """One AdamW step on float tensors, in place; state is two tensors like p."""
    _call("adamw", p, g.contiguous(), state[0], state[1], ctypes.c_long(p.numel()), float(rate), beta1, beta2,
          1 / (1 - beta1**step), 1 / (1 - beta2**step), float(decay))
