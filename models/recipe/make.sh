#!/usr/bin/env bash
# Makes the reference model from nothing: documents, tokenizer, training, export.
#
#   make.sh full    the real model: 220 M tokens of training and then 110 M of new documents,
#                   5 to 10 hours on two cores with AMX
#   make.sh smoke   the same steps at a tiny size, in minutes; leaves the committed model alone
#
# With FROM=FILE.gguf only the second stage is made, on from a model that this recipe made, with
# its tokenizer: what a change of prompts or documents needs, in a third of the time.
#
# Work is kept in ${WORK:-~/.cache/holdfast/recipe/SIZE}; an interrupted run goes on there. DOCS
# (how many training documents), SEED, MORE (tokens of the second stage, 0 for none) and the
# settings of train/train.sh can be set. A stage ends by tokens, so that a slow machine makes the
# same model later; MINUTES bounds it. On a GPU the batches differ, and so does the model.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

size=${1:-}
case $size in
full) docs=220000 tokens=220e6 least=200 seed=1 more=${MORE:-110e6} ;;
smoke) docs=3000 seed=1 more=${MORE:-1e6} ;;
*) sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
from=${FROM:-} work=$size
first=${FIRST:-} # in the second stage of this script's own, the folder of the first
if [ -n "$from" ]; then
	[ -r "$from" ] || { echo "recipe: FROM: no file $from" >&2; exit 1; }
	[ "$size" = smoke ] || docs=200000 tokens=110e6 least=100
	# documents that it has not seen, also where it was made so itself
	seed=$((16#$(sha256sum <"$from" | cut -c1-7))) work=$size-from
fi
docs=${DOCS:-$docs}
export SEED=${SEED:-$seed}
work=${WORK:-${XDG_CACHE_HOME:-$HOME/.cache}/holdfast/recipe/$work}
mkdir -p "$work"
[ -x bin/holdfast ] || { echo "recipe: bin/holdfast is not built: run make build" >&2; exit 1; }

# Program and generator stay as they are for the hours that this takes, whatever is built beside
# it; the program measures as it is shipped, whatever settings somebody has.
cp "${first:-bin}/holdfast" "$work/.holdfast.new" && mv "$work/.holdfast.new" "$work/holdfast"
holdfast() { env -i PATH="$PATH" HOME="$work" XDG_CONFIG_HOME=/nonexistent XDG_DATA_HOME="$work/data" TERM="${TERM:-dumb}" "$work/holdfast" "$@"; }

# What the trainer needs beyond the build: Debian's PyTorch and the parts of gguf-py.
export PYTHON=${PYTHON:-/usr/bin/python3}
if ! "$PYTHON" -c 'import torch, numpy, regex, tqdm, yaml' 2>/dev/null; then
	packages="python3-torch python3-numpy python3-regex python3-tqdm python3-yaml"
	[ "$PYTHON" = /usr/bin/python3 ] || { echo "recipe: $PYTHON lacks torch, numpy, regex, tqdm or yaml" >&2; exit 1; }
	[ "$(id -u)" = 0 ] || { echo "recipe: run: sudo apt-get install $packages" >&2; exit 1; }
	echo "recipe: installing $packages" >&2
	apt-get update -qq >/dev/null
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
fi
third_party/llama.cpp/build.sh tools llama-quantize

# What was begun goes on only with the documents that it was begun with, told by the first
# of them: they hold phrases and prompts, and the digest of the prompts goes into the file.
if [ -n "$first" ]; then
	cp "$first/gen" "$work/.gen.new" && mv "$work/.gen.new" "$work/gen"
else
	go build -trimpath -buildvcs=false -o "$work/gen" ./models/recipe/gen
fi
"$work/gen" -n 2000 -split train -seed "$SEED" -o "$work/first.jsonl" >/dev/null
made="$(sha256sum <"$work/first.jsonl" | cut -c1-64) docs $docs seed $SEED${from:+ from $(sha256sum <"$from" | cut -c1-64)}"
rm "$work/first.jsonl"
if [ -s "$work/made" ] && [ "$(cat "$work/made")" != "$made" ]; then
	echo "recipe: $work was begun with another generator, DOCS, SEED or FROM: remove it, or name another folder with WORK" >&2
	exit 1
fi
if [ ! -s "$work/docs.jsonl" ]; then
	echo "recipe: writing documents"
	echo "$made" >"$work/made"
	held=$((docs / 100))
	"$work/gen" -n $held -split slots -seed $((SEED + 10)) -o "$work/slots.jsonl" >/dev/null
	"$work/gen" -n $held -split phr -seed $((SEED + 11)) -o "$work/phr.jsonl" >/dev/null
	"$work/gen" -n "$docs" -split train -seed "$SEED" -o "$work/train.jsonl" >"$work/documents.txt"
	cat "$work/slots.jsonl" "$work/phr.jsonl" "$work/train.jsonl" >"$work/docs.part"
	rm "$work/slots.jsonl" "$work/phr.jsonl" "$work/train.jsonl"
	mv "$work/docs.part" "$work/docs.jsonl"
fi

if [ -n "$from" ] && [ ! -s "$work/first.pt" ]; then
	"$PYTHON" models/recipe/train/weights.py --model "$from" --checkpoint "$work/first.part" --tokenizer "$work/tokenizer.json"
	mv "$work/first.part" "$work/first.pt"
fi
[ -z "$from" ] || export INIT=$work/first.pt

# The digest of the prompts goes into the file: this build refuses to call a model
# calibrated that was trained on other prompts.
frames=$(holdfast version --json | sed -n 's/.*"frames":"\([0-9a-f]*\)".*/\1/p')
[ ${#frames} = 64 ] || { echo "recipe: holdfast version names no prompts" >&2; exit 1; }
[ "$frames" = "$("$work/gen" -frames)" ] || { echo "recipe: bin/holdfast has other prompts than the generator: run make build" >&2; exit 1; }
metadata() { # TEMPERATURE of the labels, "" before it is known
	cat >"$work/meta.json" <<META
{"general.name": "holdfast reference",
 "general.description": "A small model trained from scratch to carry holdfast's own loop. It is not an assistant.",
 "general.license": "Apache-2.0",
 "holdfast.frames.digest": "$frames",
 "holdfast.thresholds": "refuse=0.5 ask=0.5${1:+ temp=$1}"}
META
}
export META=$work/meta.json
metadata ""
train=models/recipe/train
begun=$work/on/first.pt # by the second stage
if [ "$size" = smoke ]; then
	$train/train.sh smoke "$work/docs.jsonl" "$work" "$work/reference.gguf"
elif [ -n "$from" ] || [ ! -s "$begun" ]; then
	TOKENS=${TOKENS:-$tokens} MINUTES=${MINUTES:-inf} $train/train.sh full "$work/docs.jsonl" "$work" "$work/reference.gguf"
	# Where MINUTES ended the training early, nothing is made of it.
	trained=$(sed -n 's/^wrote .*: [0-9]* steps, \([0-9]*\)\.[0-9]* M tokens.*/\1/p' "$work/train.log" | tail -n 1)
	least=${LEAST:-$least}
	if [ "${trained:-0}" -lt "$least" ]; then
		echo "recipe: trained on ${trained:-0} M tokens, fewer than LEAST=$least: $work/reference.gguf goes no further; give it more TOKENS (MORE in the second stage) or MINUTES" >&2
		exit 1
	fi
fi
holdfast models verify "$work/reference.gguf"
if [ -z "$from" ] && [ "$more" != 0 ]; then
	echo "recipe: the second stage, on new documents"
	least=$(awk "BEGIN { m = int($more / 1e6); print m < 100 ? m : 100 }") # whoever asks for less gets it
	exec env -u INIT FIRST="$work" FROM="$work/reference.gguf" WORK="$work/on" SEED=$((SEED + 1)) TOKENS="$more" LEAST="${LEAST:-$least}" \
		models/recipe/make.sh "$size"
fi
tasks=120
[ "$size" = full ] || tasks=40

# The temperature of the labels is fitted on tasks of other seeds than those it is measured on, and
# goes into the file. Their values are new; half of them use the phrases held out from training, as
# the second split does.
echo "recipe: fitting the temperature of the labels"
mkdir -p "$work/fit/eval" # the ledger gets a folder of its own, which holdfast makes and only its owner can enter
for split in slots phr; do
	"$work/gen" -tasks -n $tasks -split $split -seed $((SEED + 20)) -o "$work/fit/eval/$split.jsonl" >/dev/null
done
holdfast eval calibrate -m "$work/reference.gguf" --recipe "$work/fit" --split slots,phr --limit $tasks --seed $((SEED + 20)) \
	--ledger "$work/fit/ledger/ledger.db" | tee "$work/calibration.txt"
temperature=$(sed -n 's/^for a model.s file: .* temp=\([0-9.]*\).*/\1/p' "$work/calibration.txt")
[ -n "$temperature" ] || { echo "recipe: no temperature in $work/calibration.txt" >&2; exit 1; }
metadata "$temperature"
$train/export.sh "$work/docs.jsonl" "$work" "$work/reference.gguf"
holdfast models verify "$work/reference.gguf"
[ "$size" = full ] || exit 0

install_file() { # FROM TO, whole or not at all; a name with a dot is not embedded
	local part
	part=$(dirname "$2")/.$(basename "$2").new
	cp "$1" "$part" && mv "$part" "$2"
}
install_file "$work/agree.json.gz" models/recipe/eval/agree.json.gz
install_file "$work/reference.gguf" models/reference/reference.gguf
echo "recipe: installed models/reference/reference.gguf and its agreement cases; run make examples, make model-eval, and write the card"
