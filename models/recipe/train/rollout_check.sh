#!/usr/bin/env bash
# Rollouts end to end on the embedded model: killed half-way and resumed, the set complete,
# two shards merged into one ledger that verifies, every export held to its contract, and,
# where PyTorch is installed, one training step on the Parquet rows.
#
#     models/recipe/train/rollout_check.sh bin/holdfast [ATTEMPTS]
#
# 17 attempts at each of the 18 example tasks are 306 runs. ROWS bounds the rows of the step.
set -euo pipefail
bin=$(realpath "$1") n=${2:-17}
here=$(cd "$(dirname "$0")" && pwd)
tasks=$here/../../../examples/tasks.jsonl
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
umask 077
fail() { echo "rollout-check: $*" >&2; exit 1; }
roll() { "$bin" rollout -n "$n" --seed 5 --threads 1 --ledger "$@" "$tasks"; }
ended() { "$bin" log ls --ledger "$1" --json 2>/dev/null | grep -c '"State":"ended"' || true; }
want=$((n * $(grep -vc '^#' "$tasks")))

echo "== $want runs, killed half-way and resumed"
mkdir one
(exec "$bin" rollout -n "$n" --seed 5 --threads 1 --ledger one/l.db "$tasks" >/dev/null 2>first.log) &
pid=$!
until [ "$(ended one/l.db)" -ge $((want / 2)) ]; do
	kill -0 "$pid" 2>/dev/null || { cat first.log >&2; fail "the rollout ended by itself"; }
	sleep 1
done
kill -9 "$pid"
wait "$pid" 2>/dev/null || true
pid=
roll one/l.db -o batch 2>second.log || { cat second.log >&2; fail "the resumed rollout failed"; }
head -1 second.log
"$bin" log ls --ledger one/l.db --json --where 'group != "" && status != "stopped"' |
	grep -o '"Group":"[^"]*","Sample":[0-9]*' | sort >all.txt
[ "$(wc -l <all.txt)" = "$want" ] || fail "$(wc -l <all.txt) attempts, want $want"
[ -z "$(uniq -d all.txt)" ] || fail "there twice: $(uniq -d all.txt)"
"$bin" log verify --ledger one/l.db

echo "== two shards, merged"
each=$want n=1
mkdir s1 s2 merged
roll s1/l.db -q --shard 1/2 >/dev/null
roll s2/l.db -q --shard 2/2 >/dev/null
"$bin" log merge merged/l.db s1/l.db s2/l.db
"$bin" log verify --ledger merged/l.db
roll merged/l.db 2>third.log >/dev/null
head -1 third.log
grep -q " $((each / ${2:-17})) done before" third.log || fail "the merged ledger is not the whole rollout"

echo "== every export, read again"
for f in atif openai sharegpt trl-sft trl-dpo trl-kto trl-grpo "tokens --logprobs raw" "tokens --logprobs raw --layout prime --parquet"; do
	# shellcheck disable=SC2086 # the words of an entry are flags
	"$bin" export --ledger one/l.db --group rollout- --format $f -o "out/${f// /}" >/dev/null
	"$bin" export --check "out/${f// /}"
done
"$bin" export --check batch/parquet

if /usr/bin/python3 -c 'import torch' 2>/dev/null; then
	echo "== one training step on the Parquet rows"
	/usr/bin/python3 "$here/grpo_check.py" --most "${ROWS:-24}" batch/parquet/part-00000.parquet
else
	echo "== no training step: PyTorch is not installed for /usr/bin/python3"
fi
