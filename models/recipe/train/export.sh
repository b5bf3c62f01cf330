#!/bin/sh
# Writes a trained model as GGUF, with the cases that hold the engine to the trainer.
#
#   export.sh DOCS.jsonl WORK OUT.gguf
#
# WORK is that of train.sh. Beside OUT.gguf (Q8_0) it leaves WORK/model-f16.gguf, and for each its
# cases for TestAgreement in inference/internal/llama: WORK/agree.json.gz, WORK/agree-f16.json.gz.
# Settings from the environment: PYTHON, TEMPLATE, META, LLAMA_CPP_SOURCE, LLAMA_QUANTIZE.
set -eu

[ $# -eq 3 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
docs=$1 work=$2 out=$3
here=$(cd "$(dirname "$0")" && pwd)
PYTHON=${PYTHON:-/usr/bin/python3}
TEMPLATE=${TEMPLATE:-$here/../template.jinja}
export PYTHONDONTWRITEBYTECODE=1

held=$(find "$work" -maxdepth 1 -name '*.npz' ! -name train.npz | sort)
# shellcheck disable=SC2086
first=$(printf '%s\n' $held "$work/train.npz" | head -n 1)
write() { # TYPE FILE CASES
	"$PYTHON" "$here/export.py" --model "$work/model.pt" --tokenizer "$work/tokenizer.json" --template "$TEMPLATE" ${META:+--meta "$META"} --type "$1" --out "$2"
	"$PYTHON" "$here/agree.py" --weights "$2" --tokenizer "$work/tokenizer.json" --data "$first" --docs "$docs" --out "$3"
}
write f16 "$work/model-f16.gguf" "$work/agree-f16.json.gz"
write q8_0 "$out" "$work/agree.json.gz"
