"""Writes a checkpoint as a GGUF file for llama.cpp's llama architecture.

    export.py --model model.pt --tokenizer tokenizer.json --template ../template.jinja \\
        --meta meta.json --type q8_0 --out holdfast-mini.gguf

gguf-py comes from the pinned llama.cpp source: $LLAMA_CPP_SOURCE, else third_party/llama.cpp/src.
Q8_0 is made by llama.cpp's own llama-quantize from an F16 file where that program is found
($LLAMA_QUANTIZE, or built under third_party/llama.cpp), else by gguf-py; the last line says which.
--meta is a JSON object of further metadata: strings, integers, floats, booleans, lists of strings.
The chat template is stored byte for byte.
"""
import argparse
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import torch

import tokenizer

ROOT = pathlib.Path(__file__).resolve().parents[3]
THIRD_PARTY = ROOT / "third_party" / "llama.cpp"


def gguf_module():
    """gguf-py of the pinned source."""
    source = pathlib.Path(os.environ.get("LLAMA_CPP_SOURCE") or THIRD_PARTY / "src") / "gguf-py"
    if not source.is_dir():
        raise SystemExit(f"no gguf-py in {source}: fetch the llama.cpp source or set LLAMA_CPP_SOURCE")
    sys.path.insert(0, str(source))
    import gguf

    return gguf


def quantizer():
    """llama-quantize, or None."""
    named = os.environ.get("LLAMA_QUANTIZE")
    if named:
        return named
    built = sorted((THIRD_PARTY / "build").resolve().rglob("llama-quantize"))  # build may be a link
    return str(built[0]) if built else shutil.which("llama-quantize")


def metadata(w, gguf, shape, tok, o, template, extra):
    """Architecture, tokenizer, template and the caller's own keys."""
    w.add_context_length(o.context)
    w.add_embedding_length(shape["width"])
    w.add_block_count(shape["layers"])
    w.add_feed_forward_length(shape["hidden"])
    w.add_head_count(shape["width"] // 32)
    w.add_head_count_kv(shape["width"] // 32)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_freq_base(10000.0)
    w.add_rope_dimension_count(32)
    w.add_vocab_size(len(tok))
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("deepseek-coder")
    w.add_token_list(tok.tokens)
    w.add_token_types([gguf.TokenType.CONTROL if t in tok.special else gguf.TokenType.NORMAL for t in tok.tokens])
    w.add_token_merges([" ".join(p) for p in tok.merges])
    end = tok.id["<|endoftext|>"]
    w.add_bos_token_id(end)
    w.add_eos_token_id(tok.id["<|im_end|>"])
    w.add_pad_token_id(end)
    w.add_add_bos_token(False)
    w.add_add_eos_token(False)
    w.add_add_space_prefix(False)
    w.add_chat_template(template)
    for key, value in extra.items():
        if isinstance(value, bool):
            w.add_bool(key, value)
        elif isinstance(value, int):
            w.add_uint32(key, value)
        elif isinstance(value, float):
            w.add_float32(key, value)
        elif isinstance(value, list):
            w.add_array(key, value)
        else:
            w.add_string(key, str(value))


def tensors(master, shape):
    """(name, matrix or vector) in llama.cpp's names. The output matrix is the embedding: left out."""
    yield "token_embd.weight", master["embed"]
    yield "output_norm.weight", master["norm"]
    for l in range(shape["layers"]):
        q, k, v = master[f"{l}.qkv"].chunk(3)
        gate, up = master[f"{l}.gateup"].chunk(2)
        block = dict(attn_norm=master[f"{l}.norm1"], attn_q=q, attn_k=k, attn_v=v, attn_output=master[f"{l}.out"],
                     ffn_norm=master[f"{l}.norm2"], ffn_gate=gate, ffn_up=up, ffn_down=master[f"{l}.down"])
        for name, x in block.items():
            yield f"blk.{l}.{name}.weight", x


def write(gguf, path, kind, saved, tok, o, template, extra):
    """One GGUF file with matrices as kind (f32, f16, q8_0); norms stay float."""
    types = dict(f32=gguf.LlamaFileType.ALL_F32, f16=gguf.LlamaFileType.MOSTLY_F16, q8_0=gguf.LlamaFileType.MOSTLY_Q8_0)
    w = gguf.GGUFWriter(path, "llama")
    w.add_file_type(types[kind])
    metadata(w, gguf, saved["shape"], tok, o, template, extra)
    for name, x in tensors(saved["master"], saved["shape"]):
        x = np.ascontiguousarray(x.float().numpy())
        to = gguf.GGMLQuantizationType.F32 if x.ndim == 1 else gguf.GGMLQuantizationType[kind.upper()]
        w.add_tensor(name, x if to == gguf.GGMLQuantizationType.F32 else gguf.quants.quantize(x, to), raw_dtype=to)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--model", required=True)
    a.add_argument("--tokenizer", required=True)
    a.add_argument("--template", required=True, help="Jinja chat template")
    a.add_argument("--meta", help="JSON object with further metadata")
    a.add_argument("--type", choices=("f32", "f16", "q8_0"), default="q8_0")
    a.add_argument("--context", type=int, default=2048, help="longest sequence the model is said to take")
    a.add_argument("--out", required=True)
    o = a.parse_args()
    gguf = gguf_module()
    saved, tok = torch.load(o.model, map_location="cpu", weights_only=False), tokenizer.Tokenizer(o.tokenizer)
    template = pathlib.Path(o.template).read_text(encoding="utf-8")
    extra = json.loads(pathlib.Path(o.meta).read_text(encoding="utf-8")) if o.meta else {}
    if saved["shape"]["vocab"] != len(tok):
        raise SystemExit(f"the model has {saved['shape']['vocab']} tokens, the tokenizer {len(tok)}")
    program, part = quantizer() if o.type == "q8_0" else None, o.out + ".part"
    if program:
        write(gguf, part, "f16", saved, tok, o, template, extra)
        subprocess.run([program, part, o.out, "Q8_0"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.remove(part)
    else:
        write(gguf, part, o.type, saved, tok, o, template, extra)
        os.replace(part, o.out)
    raw = pathlib.Path(o.out).read_bytes()
    maker = "llama-quantize" if program else "gguf-py"
    print(f"{o.out}: {o.type} by {maker}, {len(raw)} bytes, sha256 {hashlib.sha256(raw).hexdigest()}")


if __name__ == "__main__":
    main()
