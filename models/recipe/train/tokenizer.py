"""Byte-level BPE whose merges never cross a letter/non-letter or a space boundary.

A word then has the same tokens in a sentence, in a JSON string and after a space, so that copying
it is copying tokens; a leading space is a token of its own and digits stay single. The pieces that
merges work on are those of llama.cpp's pre-tokenizer "deepseek-coder", applied in the same order,
so llama.cpp produces the same tokens from the exported vocabulary (agree.py dumps cases to test).

    tokenizer.py --docs docs.jsonl --special special.json --vocab 1536 --out tokenizer.json
"""
import argparse
import collections
import heapq
import json
import os
import re

import regex

SPACE = "\\t\\n\\x0b\\f\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"
# The pre-tokenizer's expressions. Each splits the pieces that the one before it left.
STEPS = [regex.compile(p) for p in (r"[\r\n]", rf"[{SPACE}]?\p{{L}}+", rf"[{SPACE}]?\p{{P}}+", r"[一-龥ࠀ-一가-퟿]+", r"\p{N}")]
# The same for ASCII text in one expression.
_PUNCT, _BLANK = r"""!"#%&'()*,\-./:;?@\[\\\]_{}""", r"\t\x0b\f "
ASCII = re.compile(
    rf"[\r\n]|[{_BLANK}]?[A-Za-z]+|[{_BLANK}]?[{_PUNCT}]+|[0-9]|(?:(?![{_BLANK}][A-Za-z{_PUNCT}])[^A-Za-z{_PUNCT}0-9\r\n])+")
# Within a piece merges stay inside letters, inside spaces, or inside everything else.
KIND = regex.compile(rf"\p{{L}}+|[{SPACE}]+|[^\p{{L}}{SPACE}]+")


def pieces(text):
    """Splits text as the pre-tokenizer does."""
    if text.isascii():
        return ASCII.findall(text)
    parts = [text]
    for step in STEPS:
        out = []
        for part in parts:
            at = 0
            for match in step.finditer(part):
                if match.start() > at:
                    out.append(part[at:match.start()])
                out.append(match.group())
                at = match.end()
            if at < len(part):
                out.append(part[at:])
        parts = out
    return parts


def _byte_letters():
    """GPT-2's printable stand-in for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {b: chr(b) for b in plain}
    for i, b in enumerate(b for b in range(256) if b not in letters):
        letters[b] = chr(256 + i)
    return letters


LETTER = _byte_letters()
BYTE = {c: b for b, c in LETTER.items()}


def to_letters(text):
    return "".join(LETTER[b] for b in text.encode("utf-8", "surrogatepass"))


class Tokenizer:
    """Encodes and decodes. Reads the JSON file that train() made; caches words."""

    def __init__(self, path):
        d = json.load(open(path, encoding="utf-8"))
        self.tokens, self.special = d["tokens"], d["special"]
        self.merges = [tuple(p) for p in d["merges"]]
        self.rank = {p: i for i, p in enumerate(self.merges)}
        self.id = {t: i for i, t in enumerate(self.tokens)}
        self.split = re.compile("(" + "|".join(map(re.escape, self.special)) + ")")
        self.words = {}

    def __len__(self):
        return len(self.tokens)

    def _word(self, piece):
        got = self.words.get(piece)
        if got is None:
            parts = list(to_letters(piece))
            while len(parts) > 1:
                ranks = [self.rank.get(p, len(self.rank)) for p in zip(parts, parts[1:])]
                best = min(ranks)
                if best == len(self.rank):
                    break
                at = ranks.index(best)
                parts[at:at + 2] = [parts[at] + parts[at + 1]]
            got = [self.id[p] for p in parts]
            if len(self.words) < 1_000_000:
                self.words[piece] = got
        return got

    def encode(self, text, special):
        """Token ids; special: whether the names of control tokens become control tokens."""
        if not special:
            return [i for p in pieces(text) for i in self._word(p)]
        out = []
        for n, part in enumerate(self.split.split(text)):
            out += [self.id[part]] if n % 2 else self.encode(part, False)
        return out

    def decode(self, ids):
        raw = b"".join(t.encode() if t in self.special else bytes(BYTE[c] for c in t) for t in (self.tokens[i] for i in ids))
        return raw.decode("utf-8", "replace")


def count(segments, special):
    """How often each stretch of one kind occurs, of those that merges could work on."""
    split = re.compile("|".join(map(re.escape, special)))
    whole = collections.Counter(segments)
    words = collections.Counter()
    for text, n in whole.items():
        for part in split.split(text):
            for piece in pieces(part):
                for stretch in KIND.findall(piece):
                    if len(stretch) > 1 or not stretch.isascii():
                        words[stretch] += n
    return words


def train(words, size, special, least=20):
    """(tokens, merges): merges the most frequent pair until the vocabulary has `size` entries,
    the control tokens included, or no pair occurs `least` times. Ties go by the pair's text."""
    entries = [(list(to_letters(w)), n) for w, n in sorted(words.items())]
    pairs, where = collections.Counter(), collections.defaultdict(set)
    for i, (parts, n) in enumerate(entries):
        for p in zip(parts, parts[1:]):
            pairs[p] += n
            where[p].add(i)
    heap = [(-n, p) for p, n in pairs.items()]
    heapq.heapify(heap)
    tokens, merges = [LETTER[b] for b in range(256)], []
    while heap and len(tokens) + len(special) < size:
        n, pair = heapq.heappop(heap)
        if pairs[pair] != -n:  # counted again since; its newer entry is in the heap too
            continue
        if -n < least:
            break
        merges.append(pair)
        tokens.append(pair[0] + pair[1])
        changed = set()
        for i in where.pop(pair):
            parts, times = entries[i]
            for p in zip(parts, parts[1:]):
                pairs[p] -= times
                changed.add(p)
            at = 0
            while at < len(parts) - 1:
                if (parts[at], parts[at + 1]) == pair:
                    parts[at:at + 2] = [pair[0] + pair[1]]
                at += 1
            for p in zip(parts, parts[1:]):
                pairs[p] += times
                where[p].add(i)
                changed.add(p)
        for p in changed:
            if pairs[p] > 0:
                heapq.heappush(heap, (-pairs[p], p))
    return tokens, merges


def segments_of(path, limit):
    """The texts of all segments of the training split's first documents."""
    seen = 0
    for line in open(path, encoding="utf-8"):
        d = json.loads(line)
        if d["split"] != "train":
            continue
        seen += 1
        if seen > limit:
            break
        for seg in d["main"] + [s for f in d.get("forks") or [] for s in f["segs"]]:
            yield seg["t"]


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--docs", required=True)
    a.add_argument("--special", required=True, help="JSON list of control tokens, <|endoftext|> and <|im_end|> among them")
    a.add_argument("--vocab", type=int, default=1536)
    a.add_argument("--limit", type=int, default=8000, help="training documents to count")
    a.add_argument("--out", required=True)
    o = a.parse_args()
    special = json.load(open(o.special, encoding="utf-8"))
    words = count(segments_of(o.docs, o.limit), special)
    if not words:
        raise SystemExit(f"{o.docs} has no documents of the split train")
    # Merges are counted over words damped by their square root, so that the template's few words,
    # which stand in every document, do not take the vocabulary from the many words of contents.
    damped = {w: max(1, round(n**0.5)) for w, n in words.items()}
    tokens, merges = train(damped, o.vocab // 32 * 32, special, least=4)
    spare = -(len(tokens) + len(special)) % 32  # a multiple of 32 for the kernels
    if spare:
        merges, tokens = merges[: len(merges) - (32 - spare)], tokens[: len(tokens) - (32 - spare)]
    with open(o.out + ".part", "w", encoding="utf-8") as f:  # whole or not there
        json.dump({"tokens": tokens + special, "merges": merges, "special": special}, f, ensure_ascii=False)
    os.replace(o.out + ".part", o.out)
    print(f"{len(words)} words counted, {len(tokens) + len(special)} tokens, {len(merges)} merges -> {o.out}")


if __name__ == "__main__":
    main()
