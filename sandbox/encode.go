//go:build linux && (amd64 || arm64)

package sandbox

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
)

// op is one operation before encoding. The meaning of a, b and x is that of
// the operation; see internal/stage.
type op struct {
	code  stage.Code
	phase uint32 // 0 the started process, 1 process 1, 2 the tool
	flags uint32
	a, b  uint32
	x     [3]uint64
	text  string // NUL-terminated in the plan
	ref   string // second text; in the last x
}

// builder collects the operations of one plan.
type builder struct {
	args   []string
	env    []string
	passed []passed
	want   expectation
	ops    []op
	layer  bool     // the runner is sent a layer
	ports  []uint16 // and what listens
	noProc bool     // the plan says that it makes no proc
}

func (b *builder) add(o op) { b.ops = append(b.ops, o) }

// encode writes the flat form: header, fixed records, one blob.
func (b *builder) encode() []byte {
	blob := append(make([]byte, 0, 16<<10), 0)
	put := func(s string) (off, n uint64) {
		if s == "" {
			return 0, 0
		}
		off = uint64(len(blob))
		blob = append(append(blob, s...), 0)
		return off, uint64(len(s))
	}
	pack := func(s string) uint64 {
		off, n := put(s)
		return off<<32 | n
	}
	recs := make([]byte, 0, len(b.ops)*stage.OpSize)
	prefix := 0
	for i, o := range b.ops {
		off, n := put(o.text)
		x := [4]uint64{o.x[0], o.x[1], o.x[2], pack(o.ref)}
		if o.code == stage.Exec {
			o.b = uint32(len(b.args))
			x[0], x[1], x[2] = pack(words(b.args)), pack(words(b.env)), uint64(len(b.env))
		}
		if o.code == stage.Report {
			prefix = i + 1
		}
		le := binary.LittleEndian
		recs = le.AppendUint32(recs, uint32(o.code))
		recs = le.AppendUint32(recs, o.flags|o.phase)
		recs = le.AppendUint32(recs, o.a)
		recs = le.AppendUint32(recs, o.b)
		for _, v := range x {
			recs = le.AppendUint64(recs, v)
		}
		recs = le.AppendUint64(recs, off)
		recs = le.AppendUint64(recs, n)
	}
	return slices.Concat(b.header(prefix, len(blob)), recs, blob)
}

func (b *builder) header(prefix, blob int) []byte {
	le := binary.LittleEndian
	h := le.AppendUint64(nil, stage.Magic)
	for _, v := range []int{stage.Version, len(b.ops), prefix, len(b.passed)} {
		h = le.AppendUint32(h, uint32(v))
	}
	h = le.AppendUint64(h, uint64(blob))
	if b.noProc {
		h = le.AppendUint64(h, stage.HeaderNoProc)
	}
	return append(h, make([]byte, stage.HeaderSize-len(h))...)
}

// words joins strings, each followed by NUL.
func words(list []string) string {
	n := 0
	for _, s := range list {
		n += len(s) + 1
	}
	if n > math.MaxInt32 {
		return ""
	}
	b := make([]byte, 0, n)
	for _, s := range list {
		b = append(append(b, s...), 0)
	}
	return string(b)
}
