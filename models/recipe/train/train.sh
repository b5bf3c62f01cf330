#!/bin/sh
# Trains the reference model from document trees and writes it as GGUF.
#
#   train.sh smoke|full DOCS.jsonl WORK OUT.gguf
#
# smoke: a tiny model for two minutes, to see that every step runs. full: the real sizes.
# An interrupted full run goes on where it stopped when called again with the same WORK.
# Settings from the environment: PYTHON, VOCAB, WIDTH, LAYERS, HIDDEN, MINUTES, TOKENS, BATCH,
# THREADS, SEED, INIT (a checkpoint to begin with, at three quarters of the rate, falling from the start),
# PRIORITY (a niceness), PLAIN, TEMPLATE, META, LLAMA_CPP_SOURCE, LLAMA_QUANTIZE.
set -eu

[ $# -eq 4 ] || { sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
size=$1 docs=$2 work=$3 out=$4
here=$(cd "$(dirname "$0")" && pwd)

case $size in
smoke) vocab=512 width=64 layers=2 hidden=128 minutes=2 batch=4096 ;;
full) vocab=1536 width=256 layers=6 hidden=768 minutes=60 batch=8192 ;;
*) echo "train.sh: the size is smoke or full, not $size" >&2; exit 2 ;;
esac
VOCAB=${VOCAB:-$vocab} WIDTH=${WIDTH:-$width} LAYERS=${LAYERS:-$layers} HIDDEN=${HIDDEN:-$hidden}
MINUTES=${MINUTES:-$minutes} TOKENS=${TOKENS:-inf} BATCH=${BATCH:-$batch}
SEED=${SEED:-1} THREADS=${THREADS:-2} PRIORITY=${PRIORITY:-0}
TEMPLATE=${TEMPLATE:-$here/../template.jinja}

# The first Python that has PyTorch; one on the path may not.
if [ -z "${PYTHON:-}" ]; then
	for p in python3 /usr/bin/python3; do
		if "$p" -c 'import torch, numpy, regex' 2>/dev/null; then PYTHON=$p; break; fi
	done
fi
[ -n "${PYTHON:-}" ] || { echo "train.sh: no python3 with torch, numpy and regex found (Debian: python3-torch python3-regex python3-tqdm python3-yaml)" >&2; exit 1; }

# Freed memory stays with the process instead of being faulted in again each step, in large
# pages where the kernel has them (7% more tokens a second, medians of three interleaved pairs).
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1
export MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=68719476736
export PYTHONDONTWRITEBYTECODE=1
mkdir -p "$work"
say() { printf '\n-- %s\n' "$*"; }

say "checking the training code"
"$PYTHON" "$here/check.py" >"$work/check.log" 2>&1 || { cat "$work/check.log" >&2; exit 1; }
tail -n 1 "$work/check.log"
where=$(cd "$here" && "$PYTHON" -c 'import train; ops, _, device = train.backend(); print(ops.__name__, "on", device)' 2>>"$work/check.log")
if [ "$size-$where" = "full-plain on cpu" ] && [ -z "${PLAIN:-}" ]; then
	grep '^kernels: this' "$work/check.log" >&2 || true
	echo "train.sh: no GPU, and a processor without AMX or no C compiler for its kernels: plain PyTorch takes weeks and tens of GB; PLAIN=1 begins all the same" >&2
	exit 1
fi

say "tokenizer"
[ -s "$work/tokenizer.json" ] || "$PYTHON" "$here/tokenizer.py" --docs "$docs" --special "$here/special.json" --vocab "$VOCAB" --out "$work/tokenizer.json"
vocab=$("$PYTHON" -c 'import json, sys; print(len(json.load(open(sys.argv[1]))["tokens"]))' "$work/tokenizer.json")

say "encoding"
[ -s "$work/train.npz" ] || "$PYTHON" "$here/encode.py" --docs "$docs" --tokenizer "$work/tokenizer.json" --out "$work"

say "training: $TOKENS tokens or $MINUTES minutes, whichever ends first; progress in $work/train.log"
"$PYTHON" "$here/train.py" --data "$work/train.npz" --out "$work/model.pt" --vocab "$vocab" --width "$WIDTH" --layers "$LAYERS" \
	--hidden "$HIDDEN" --minutes "$MINUTES" --tokens "$TOKENS" --batch "$BATCH" --threads "$THREADS" --seed "$SEED" \
	--priority "$PRIORITY" --gap-share 0.1 ${INIT:+--init "$INIT" --muon-rate 0.015 --adam-rate 2.2e-3 --decay 1} --resume >>"$work/train.log" 2>&1 || { tail -n 20 "$work/train.log" >&2; exit 1; }
tail -n 1 "$work/train.log"

say "teacher-forced evaluation of the held-out splits"
held=$(find "$work" -maxdepth 1 -name '*.npz' ! -name train.npz | sort)
# shellcheck disable=SC2086
[ -z "$held" ] || "$PYTHON" "$here/evaluate.py" --model "$work/model.pt" --tokenizer "$work/tokenizer.json" --json "$work/scores.json" $held

say "export, and cases for the agreement of trainer and engine"
PYTHON=$PYTHON "$here/export.sh" "$docs" "$work" "$out"
