#!/usr/bin/env python3
"""Averages two checkpoints of the same shape, of which one went on from the other.

The weights between the two ends of a stage often do better than either: what the stage
overdid is taken back by half. Model soups, Wortsman et al., arXiv 2203.05482.

  average.py --first A.pt --second B.pt --share 0.7 --out C.pt

C holds (1 - share) A + share B. It can be exported and evaluated, not trained on: the
optimiser's state is left out.
"""
import argparse
import sys

import torch


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--first", required=True)
    a.add_argument("--second", required=True)
    a.add_argument("--share", type=float, required=True, help="of the second, 0 to 1")
    a.add_argument("--out", required=True)
    o = a.parse_args()
    if not 0 <= o.share <= 1:
        a.error("--share is between 0 and 1")
    first, second = (torch.load(p, map_location="cpu", weights_only=False) for p in (o.first, o.second))
    if first["shape"] != second["shape"] or first["master"].keys() != second["master"].keys():
        sys.exit("average.py: the checkpoints are not of one shape")
    master = {n: w * (1 - o.share) + second["master"][n] * o.share for n, w in first["master"].items()}
    torch.save({"shape": first["shape"], "master": master}, o.out)


if __name__ == "__main__":
    main()
