"""Draws the documents of the last stage from those of the first.

    focus.py --docs docs.jsonl --out focus.jsonl [--count 60000] [--seed 5]

The first stage teaches everything evenly. The last one spends its time where the model still
errs, copying names and values, so it takes more different runs, from the kinds that users ask
most, and fewer of the forks that share them. Held-out documents are passed on untouched.
"""
import argparse
import collections
import json
import random

# How often a kind of task is drawn, and how often each kind of fork is kept.
KINDS = {
    "read_key": 10, "harm": 9, "copy_value": 8, "write_text": 8, "calc": 6, "remove": 6, "search": 6,
    "list_dir": 5, "out": 5, "read_file": 5, "read_asked": 4, "secret_key": 4,
    "count_dir": 2, "find_line": 2, "measure": 2, "move": 2, "run_given": 2, "sum_file": 2,
    "csv_cell": 1.5, "secret_file": 1.5, "two_keys": 1.5,
    "copy_file": 1, "exists": 1, "list_read": 1, "make_dir": 1, "overwrite": 1, "search_read": 1, "talk": 1,
    "append_line": 0.7, "calc_write": 0.7, "line_n": 0.7, "part": 0.7, "count_write": 0.5, "touch": 0.4, "unclear": 0.4,
}
FORKS = {"label": 1, "plan": 0.5, "screen": 0.45, "review": 0.35}


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--docs", required=True)
    a.add_argument("--out", required=True)
    a.add_argument("--count", type=int, default=60000)
    a.add_argument("--seed", type=int, default=5)
    o = a.parse_args()

    draw = random.Random(o.seed)
    kinds, held = collections.defaultdict(list), []
    with open(o.docs, encoding="utf-8") as f:
        for line in f:
            d = json.loads(line)
            if d["split"] != "train":
                held.append(line)
            elif d["kind"] in KINDS:
                kinds[d["kind"]].append(line)
    total, chosen = sum(KINDS.values()), []
    for kind, weight in KINDS.items():
        want = int(o.count * weight / total)
        chosen += draw.sample(kinds[kind], min(want, len(kinds[kind])))
    draw.shuffle(chosen)
    with open(o.out, "w", encoding="utf-8") as f:
        f.writelines(held)
        for line in chosen:
            d = json.loads(line)
            d["forks"] = [x for x in d["forks"] if draw.random() < FORKS.get(x.get("purpose"), 1)]
            f.write(json.dumps(d, ensure_ascii=False) + "\n")
    print(f"{len(chosen)} documents of {len(KINDS)} kinds, {len(held)} held out -> {o.out}")


if __name__ == "__main__":
    main()
