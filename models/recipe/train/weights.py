"""Reads back a GGUF file that export.py wrote: its weights, dequantised to float, and its tokenizer.

    weights.py --model reference.gguf --checkpoint first.pt --tokenizer tokenizer.json

writes what train.py --init begins with, and the tokenizer that its documents must be encoded by.
"""
import argparse
import json

import numpy as np
import torch

import export
import model as m


class File:
    """shape, master (weights in the trainer's names) and exact (whether none is quantised) of a file."""

    def __init__(self, path):
        self.gguf = export.gguf_module()
        self.reader = self.gguf.GGUFReader(path)
        plain = (self.gguf.GGMLQuantizationType.F32, self.gguf.GGMLQuantizationType.F16)
        self.exact = all(t.tensor_type in plain for t in self.reader.tensors)
        found = {t.name: torch.from_numpy(np.array(self.gguf.quants.dequantize(t.data, t.tensor_type), np.float32)) for t in self.reader.tensors}
        w = dict(embed=found["token_embd.weight"], norm=found["output_norm.weight"])
        layers = int(self.field("llama.block_count"))
        for l in range(layers):
            of = lambda *names: torch.cat([found[f"blk.{l}.{n}.weight"] for n in names])
            w[f"{l}.norm1"], w[f"{l}.norm2"] = of("attn_norm"), of("ffn_norm")
            w[f"{l}.qkv"], w[f"{l}.out"] = of("attn_q", "attn_k", "attn_v"), of("attn_output")
            w[f"{l}.gateup"], w[f"{l}.down"] = of("ffn_gate", "ffn_up"), of("ffn_down")
        vocab, width = w["embed"].shape
        self.shape, self.master = m.Shape(vocab, width, layers, w["0.down"].shape[1]), w

    def field(self, key):
        got = self.reader.get_field(key)
        if got is None:
            raise SystemExit(f"the file has no {key}: it was not written by export.py")
        return got.contents()

    def tokenizer(self):
        """What tokenizer.py writes as JSON."""
        tokens, types = self.field("tokenizer.ggml.tokens"), self.field("tokenizer.ggml.token_type")
        special = [t for t, kind in zip(tokens, types) if kind == self.gguf.TokenType.CONTROL]
        return dict(tokens=tokens, merges=[p.split(" ") for p in self.field("tokenizer.ggml.merges")], special=special)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--model", required=True)
    a.add_argument("--checkpoint", required=True)
    a.add_argument("--tokenizer", required=True)
    o = a.parse_args()
    f = File(o.model)
    torch.save(dict(shape=vars(f.shape), master=f.master), o.checkpoint)
    with open(o.tokenizer, "w", encoding="utf-8") as out:
        json.dump(f.tokenizer(), out, ensure_ascii=False)
    print(f"{o.model}: {sum(w.numel() for w in f.master.values()) / 1e6:.2f} M weights, {f.shape.vocab} tokens -> {o.checkpoint}, {o.tokenizer}")


if __name__ == "__main__":
    main()
