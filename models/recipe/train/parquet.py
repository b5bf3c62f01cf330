"""Reads the Parquet files of holdfast's token rows with nothing but Python and libzstd.

    rows = parquet.read(path)    # a list of dicts

Written from the format's own documents (parquet-format: Encodings.md, parquet.thrift), so it also
shows that the files can be read by what did not write them. It knows what such files need: flat
columns, groups and lists of required elements; PLAIN, RLE and DELTA_LENGTH_BYTE_ARRAY; data pages of
both versions; no compression or zstd. Anything else is an error.
"""
import ctypes
import ctypes.util
import struct

BOOLEAN, INT32, INT64, _, FLOAT, DOUBLE, BYTES = range(7)
REQUIRED, OPTIONAL, REPEATED = range(3)


class Thrift:
    """The compact protocol: structs as dicts from field number to value."""

    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def byte(self):
        self.at += 1
        return self.data[self.at - 1]

    def varint(self):
        out = shift = 0
        while True:
            b = self.byte()
            out |= (b & 127) << shift
            if b < 128:
                return out
            shift += 7

    def zigzag(self):
        n = self.varint()
        return n >> 1 ^ -(n & 1)

    def blob(self):
        n = self.varint()
        self.at += n
        return self.data[self.at - n : self.at]

    def value(self, kind):
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return struct.unpack("b", bytes([self.byte()]))[0]
        if kind in (4, 5, 6):
            return self.zigzag()
        if kind == 7:
            self.at += 8
            return struct.unpack("<d", self.data[self.at - 8 : self.at])[0]
        if kind == 8:
            return self.blob()
        if kind in (9, 10):
            head = self.byte()
            n = head >> 4 if head >> 4 != 15 else self.varint()
            if head & 15 in (1, 2):
                return [self.byte() == 1 for _ in range(n)]
            return [self.value(head & 15) for _ in range(n)]
        if kind == 12:
            return self.struct()
        raise ValueError(f"thrift type {kind}")

    def struct(self):
        out, field = {}, 0
        while head := self.byte():
            field = field + (head >> 4) if head >> 4 else self.zigzag()
            out[field] = self.value(head & 15)
        return out


def unzstd(data, size):
    lib = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
    lib.ZSTD_decompress.restype = ctypes.c_size_t
    lib.ZSTD_decompress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    out = ctypes.create_string_buffer(max(size, 1))
    got = lib.ZSTD_decompress(out, size, bytes(data), len(data))
    if got != size:
        raise ValueError("a page cannot be decompressed")
    return out.raw[:size]


def bits(data, width, count, at=0):
    """count integers of width bits each, low bit first."""
    n = int.from_bytes(data[at : at + (width * count + 7) // 8], "little")
    mask = (1 << width) - 1
    return [n >> width * i & mask for i in range(count)]


def hybrid(data, width, count):
    """Integers in runs, repeated or packed by eights."""
    t, out = Thrift(data), []
    while len(out) < count:
        head = t.varint()
        if head & 1:
            n = head >> 1
            out += bits(data, width, 8 * n, t.at)
            t.at += width * n
        else:
            size = (width + 7) // 8
            out += [int.from_bytes(data[t.at : t.at + size], "little")] * (head >> 1)
            t.at += size
    return out[:count]


def deltas(data):
    """(integers of DELTA_BINARY_PACKED, bytes read)."""
    t = Thrift(data)
    block, minis, total, last = t.varint(), t.varint(), t.varint(), t.zigzag()
    out, per = [last], block // minis
    while len(out) < total:
        least, widths = t.zigzag(), [t.byte() for _ in range(minis)]
        for w in widths:
            if len(out) >= total:
                break
            for d in bits(data, w, per, t.at):
                last += least + d
                out.append(last)
            t.at += per * w // 8
    return out[:total], t.at


def values(data, kind, encoding, count):
    """The values of one page."""
    if encoding == 6 and kind == BYTES:
        lengths, at = deltas(data)
        out = []
        for n in lengths:
            out.append(data[at : at + n].decode())
            at += n
        return out
    if encoding == 3 and kind == BOOLEAN:
        return [v == 1 for v in hybrid(data[4:], 1, count)]
    if encoding != 0:
        raise ValueError(f"encoding {encoding} of type {kind}")
    if kind == BOOLEAN:
        return [v == 1 for v in bits(data, 1, count)]
    if kind == BYTES:
        out, at = [], 0
        for _ in range(count):
            (n,) = struct.unpack_from("<I", data, at)
            out.append(data[at + 4 : at + 4 + n].decode())
            at += 4 + n
        return out
    return list(struct.unpack_from(f"<{count}{ {INT32: 'i', INT64: 'q', FLOAT: 'f', DOUBLE: 'd'}[kind] }", data))


def page(file, at, column, codec):
    """((repetition levels, definition levels, values) of the page at a place, where the next one is)."""
    t = Thrift(file, at)
    h = t.struct()
    body, size = file[t.at : t.at + h[3]], h[2]
    kind, rep, opt = column
    undo = {0: lambda b, n: b, 6: unzstd}[codec]
    if h[1] == 0:  # version 1: levels are compressed with the values, and say how long they are
        body, d = undo(body, size), h[5]
        count, encoding, levels = d[1], d[2], []
        for width in (rep, opt):
            if not width:
                levels.append([0] * count)
                continue
            (n,) = struct.unpack_from("<I", body)
            levels.append(hybrid(body[4 : 4 + n], 1, count))
            body = body[4 + n :]
    elif h[1] == 3:  # version 2: levels come first, as they are
        d = h[8]
        count, encoding, rl, dl = d[1], d[4], d[6], d[5]
        levels = [hybrid(body[:rl], 1, count) if rep else [0] * count, hybrid(body[rl : rl + dl], 1, count) if opt else [0] * count]
        body = body[rl + dl :]
        if d.get(7, True):
            body = undo(body, size - rl - dl)
    else:
        raise ValueError(f"page of type {h[1]}")
    there = sum(levels[1]) if opt else count
    return (*levels, values(body, kind, encoding, there)), t.at + h[3]


def leaves(schema):
    """(path, (type, repeated, optional)) of every column, in order."""
    out = []

    def walk(i, path, rep, opt):
        e = schema[i]
        name, mode = e[4].decode(), e.get(3, REQUIRED)
        rep, opt = rep + (mode == REPEATED), opt + (mode != REQUIRED)
        path = path + [name] if i else path
        n = e.get(5, 0)
        if not n:
            if rep > 1 or opt > 1:
                raise ValueError(f"{path} is nested")
            out.append((path, (e[1], rep, opt)))
        i += 1
        for _ in range(n):
            i = walk(i, path, rep, opt)
        return i

    walk(0, [], 0, 0)
    return out


def column(file, meta, shape, rows):
    """The values of one column, one a row; a list where it is repeated."""
    out, at, left = [], meta[9], meta[5]
    while left > 0:
        (reps, defs, vals), at = page(file, at, shape, meta[4])
        left -= len(reps)
        given = iter(vals)
        for r, d in zip(reps, defs):
            v = next(given) if d or not shape[2] else None
            if not shape[1]:
                out.append(v)
            elif r:
                out[-1].append(v)
            else:
                out.append([v] if d else [])
    if len(out) != rows:
        raise ValueError(f"{len(out)} rows in a column, {rows} in its group")
    return out


def read(path):
    """The rows of a file, as dicts."""
    file = path.read_bytes()
    if file[:4] != b"PAR1" or file[-4:] != b"PAR1":
        raise ValueError(f"{path} is not a Parquet file")
    (n,) = struct.unpack("<I", file[-8:-4])
    meta = Thrift(file, len(file) - 8 - n).struct()
    columns = leaves(meta[2])
    rows = []
    for group in meta[4]:
        part = [{} for _ in range(group[3])]
        for (path_, shape), chunk in zip(columns, group[1]):
            names = [p for i, p in enumerate(path_) if not (shape[1] and i > 0)]
            for row, v in zip(part, column(file, chunk[3], shape, group[3])):
                for p in names[:-1]:
                    row = row.setdefault(p, {})
                row[names[-1]] = v
        rows += part
    if len(rows) != meta[3]:
        raise ValueError(f"{len(rows)} rows, the file says {meta[3]}")
    return rows
