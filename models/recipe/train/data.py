"""Encoded documents and their packing into batches of a fixed number of tokens.

A document is a tree laid out in a line: its trunk, then branches that each continue the trunk, or
a branch before them, after `prefix` of its tokens. encode.py writes the files; Corpus reads them;
Packer draws batches. All documents begin with the same system text: a packed batch holds it once.
"""
import dataclasses

import numpy as np
import torch

BLOCK = 32  # rows of scratch that attention reserves at a time, per branch


@dataclasses.dataclass
class Batch:
    """A packed batch. Token axes have the full batch size; tokens from `used` on are padding."""

    ids: torch.Tensor  # int32
    pos: torch.Tensor  # int32
    branches: torch.Tensor  # int32 [n][5]: start, end, prefix, place, parent (its number in the document)
    first_branch: torch.Tensor  # int32 [docs + 1]
    padded: torch.Tensor  # int32 [docs]: scratch rows a document needs
    source: torch.Tensor  # int64: the token after which a target is predicted
    target: torch.Tensor  # int32
    weight: torch.Tensor  # float; 0 beyond `targets`
    targets: int
    used: int
    docs: list  # numbers of the documents, -1 for a copy exercise
    starts: list  # where each begins

    def document_spans(self):
        """(start, end) of each document."""
        return list(zip(self.starts, self.starts[1:] + [self.used]))

    def to(self, device):
        moved = {f.name: getattr(self, f.name).to(device) for f in dataclasses.fields(self) if isinstance(getattr(self, f.name), torch.Tensor)}
        return dataclasses.replace(self, **moved)


@dataclasses.dataclass
class Document:
    """One tree. branches [n][4]: start, end, prefix, parent; tokens count from the document's first,
    the prefix from the parent's. pos: each token's position in its sequence, where not as counted."""

    ids: np.ndarray
    wanted: np.ndarray  # 1 where the token is a target
    branches: np.ndarray
    pos: np.ndarray = None

    def previous(self):
        """For each token the one before it in its sequence; -1 for the first."""
        prev = np.arange(-1, len(self.ids) - 1)
        for start, _, prefix, parent in self.branches[1:]:
            prev[start] = self.branches[parent][0] + prefix - 1
        return prev

    def positions(self, cut=0, gap=0):
        """Each token's position in its sequence; those past the trunk's token `cut` move by gap."""
        if self.pos is not None:
            return self.pos
        pos = np.arange(len(self.ids), dtype=np.int32)
        for start, end, prefix, parent in self.branches[1:]:
            pos[start:end] = pos[self.branches[parent][0] + prefix - 1] + 1 + np.arange(end - start)
        return np.where(pos >= cut, pos + gap, pos) if gap else pos


def join(docs, gaps, root):
    """One document of many whose first `root` tokens are the same: these become its trunk, and the
    rest of each document a branch of it. gaps: (cut, gap) of each document, with no cut before root."""
    first = docs[0]
    ids, wanted, pos = [first.ids[:root]], [first.wanted[:root]], [np.arange(root, dtype=np.int32)]
    branches, at = [(0, root, 0, 0)], root
    for d, gap in zip(docs, gaps):
        trunk, move = len(branches), at - root
        ids.append(d.ids[root:])
        wanted.append(d.wanted[root:])
        pos.append(d.positions(*gap)[root:])
        branches.append((at, int(d.branches[0][1]) + move, root, 0))
        for start, end, prefix, _ in d.branches[1:].tolist():
            branches.append((start + move, end + move, prefix - root, trunk) if prefix > root else (start + move, end + move, root, 0))
        at += len(d.ids) - root
    return Document(np.concatenate(ids), np.concatenate(wanted), np.array(branches), np.concatenate(pos))


class Corpus:
    """An .npz file of encoded documents."""

    def __init__(self, path):
        z = np.load(path)
        self.ids, self.wanted = z["ids"].astype(np.int32), z["wanted"]
        self.start, self.first = z["start"], z["first_branch"]
        self.branches, self.segments = z["branches"], z["segments"]
        self.kinds = z["kinds"]
        self.root = self._shared()

    def _shared(self):
        """How many tokens all documents have in common before any of them branches or is learned."""
        whole = self.branches[self.first[:-1]]
        forks = np.delete(self.branches[:, 2], self.first[:-1])
        most = int(min([(whole[:, 1] - whole[:, 0]).min() - 1, *forks.tolist()]))
        first = self.ids[: most]
        for a in self.start[:-1]:
            same = (self.ids[a:a + most] == first[:most]) & (self.wanted[a:a + most] == 0)
            most = most if same.all() else int(np.argmin(same))
        return most

    def __len__(self):
        return len(self.start) - 1

    def __getitem__(self, i):
        a, b = self.start[i], self.start[i + 1]
        branches = self.branches[self.first[i]:self.first[i + 1]] - np.array([a, a, 0])
        return Document(self.ids[a:b], self.wanted[a:b], np.pad(branches, ((0, 0), (0, 1))))


def copy_exercise(rng, ids):
    """Random tokens of which a stretch comes again: teaches copying before words mean anything."""
    n = int(rng.integers(6, 24))
    x, noise = rng.integers(0, ids, n), rng.integers(0, ids, int(rng.integers(0, 12)))
    again = x[int(rng.integers(0, n - 4)):]
    text = np.concatenate([x, noise, again, again[: int(rng.integers(2, len(again)))]]).astype(np.int32)
    wanted = (np.arange(len(text)) > n + len(noise)).astype(np.uint8)
    return Document(text, wanted, np.array([[0, len(text), 0, 0]]))


def pack(docs, numbers, size, gaps=None):
    """Lays documents out in a batch of `size` tokens; gaps: (cut, gap) for each document."""
    ids, pos = np.zeros(size, np.int32), np.zeros(size, np.int32)
    branches, first, padded, source, target, starts, at = [], [0], [], [], [], [], 0
    for i, d in enumerate(docs):
        n, place = len(d.ids), 0
        ids[at:at + n], pos[at:at + n] = d.ids, d.positions(*(gaps[i] if gaps else (0, 0)))
        for start, end, prefix, parent in d.branches:
            branches.append((at + start, at + end, prefix, place, parent))
            place += -(-(end - start) // BLOCK) * BLOCK
        prev = d.previous()
        hit = np.nonzero((d.wanted != 0) & (prev >= 0))[0]
        source.append(prev[hit] + at)
        target.append(d.ids[hit])
        starts.append(at)
        first.append(len(branches))
        padded.append(place)
        at += n
    source, target = np.concatenate(source), np.concatenate(target)
    n = len(source)
    fill = -n % 512 if n else 512  # equal sizes come back often, which keeps oneDNN's cache warm
    weight = np.concatenate([np.full(n, 1 / max(n, 1), np.float32), np.zeros(fill, np.float32)])
    source, target = np.concatenate([source, np.zeros(fill, np.int64)]), np.concatenate([target, np.zeros(fill, np.int32)])
    t = lambda x, dt: torch.from_numpy(np.ascontiguousarray(x, dt))
    return Batch(t(ids, np.int32), t(pos, np.int32), t(branches, np.int32), t(first, np.int32), t(padded, np.int32),
                 t(source, np.int64), t(target, np.int32), t(weight, np.float32), n, at, list(numbers), starts)


class Packer:
    """Draws batches: documents in shuffled order, each fitted into the room that is left.

    Documents that do not fit wait for the next batch; those larger than a batch are left out. With probability gap_share a document's
    positions jump by up to max_gap at one point of its trunk, so that distances longer than the
    documents are seen too (shifting a whole document would change nothing: rotary attention only
    knows distances). Not for concurrent use.
    """

    def __init__(self, corpus, size, seed, gap_share=0.25, max_gap=1000, copy_ids=256):
        self.corpus, self.size, self.rng = corpus, size, np.random.default_rng(seed)
        self.gap_share, self.max_gap, self.copy_ids = gap_share, max_gap, copy_ids
        self.fit = np.flatnonzero(np.diff(corpus.start) <= size)
        if not len(self.fit):
            raise SystemExit(f"no document fits into a batch of {size} tokens")
        self.order, self.next, self.waiting, self.epoch = [], 0, [], -1

    def _draw(self):
        if self.next >= len(self.order):
            self.order, self.next, self.epoch = self.rng.permutation(len(self.fit)), 0, self.epoch + 1
        self.next += 1
        return int(self.fit[self.order[self.next - 1]])

    def batch(self, copy_share=0.0):
        shared, alone, numbers, room, misses = [], [], [], self.size, 0
        queue, self.waiting = self.waiting, []
        while misses < 24 and room > 64:
            if self.rng.random() < copy_share:
                number, doc = -1, copy_exercise(self.rng, self.copy_ids)
            else:
                number = queue.pop(0) if queue else self._draw()
                doc = self.corpus[number]
            root = self.corpus.root if number >= 0 else 0
            if len(doc.ids) - (root if shared else 0) > room:
                misses += 1
                if number >= 0:
                    self.waiting.append(number)
                continue
            if number >= 0:
                room -= len(doc.ids) - (root if shared else 0)
                shared.append(doc)
            else:
                room -= len(doc.ids)
                alone.append(doc)
            numbers.append(number)
        self.waiting += queue
        if self.corpus.root and shared:
            alone.insert(0, join(shared, [self._gap(d) for d in shared], self.corpus.root))
            return pack(alone, numbers, self.size)
        return pack(shared + alone, numbers, self.size, [self._gap(d) for d in shared] + [(0, 0)] * len(alone))

    def _gap(self, doc):
        if self.rng.random() >= self.gap_share:
            return 0, 0
        trunk = int(doc.branches[0][1])
        return int(self.rng.integers(max(self.corpus.root, 1), trunk)), int(self.rng.integers(1, self.max_gap + 1))

    def state(self):
        return dict(rng=self.rng.bit_generator.state, order=self.order, next=self.next, waiting=self.waiting, epoch=self.epoch)

    def restore(self, s):
        if len(s["order"]) != len(self.fit):
            raise SystemExit(f"the checkpoint is of {len(s['order'])} documents, not {len(self.fit)}")
        self.rng.bit_generator.state = s["rng"]
        self.order, self.next, self.waiting, self.epoch = s["order"], s["next"], s["waiting"], s["epoch"]


def in_order(corpus, size):
    """Batches of all documents of a corpus once, in order, without gaps or exercises."""
    docs, numbers, room = [], [], size
    for i in range(len(corpus)):
        d = corpus[i]
        if len(d.ids) > room:
            yield pack(docs, numbers, size)
            docs, numbers, room = [], [], size
        docs.append(d)
        numbers.append(i)
        room -= len(d.ids)
    if docs:
        yield pack(docs, numbers, size)
