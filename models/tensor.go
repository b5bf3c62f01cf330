package models

import (
	"fmt"
	"math/bits"
)

// tensor is one entry of the tensor table.
type tensor struct {
	name   string
	kind   tensorType
	values uint64
	bytes  uint64
	offset uint64 // from the start of the data
}

// tensors reads n entries of the tensor table.
func (h *header) tensors(n uint64) []tensor {
	var list []tensor
	seen := map[string]bool{}
	for i := uint64(0); i < n && h.err == nil; i++ {
		t := h.tensor(i)
		if h.err == nil && seen[t.name] {
			h.fail("tensor %s appears twice", quote(t.name))
		}
		seen[t.name] = true
		list = append(list, t)
	}
	return list
}

// tensor reads one entry and computes its size.
func (h *header) tensor(i uint64) tensor {
	t := tensor{name: h.text(maxName, fmt.Sprintf("the name of tensor %d", i))}
	what := "tensor " + quote(t.name)
	dims := h.u32(what)
	if h.err == nil && (dims < 1 || dims > 4) {
		h.fail("%s has %d dimensions", what, dims)
	}
	shape := [4]uint64{1, 1, 1, 1}
	for d := uint32(0); d < dims && h.err == nil; d++ {
		shape[d] = h.u64(what)
	}
	kind := h.u32(what)
	t.offset = h.u64(what)
	if h.err != nil {
		return t
	}
	var ok bool
	if t.kind, ok = tensorTypes[kind]; !ok {
		h.fail("%s has the unknown type %d", what, kind)
		return t
	}
	if shape[0]%t.kind.values != 0 {
		h.fail("%s has rows of %d values, not a multiple of %d", what, shape[0], t.kind.values)
	}
	t.values, ok = product(shape[:]...)
	if ok {
		t.bytes, ok = product(t.values/t.kind.values, t.kind.bytes)
	}
	if !ok || t.values == 0 {
		h.fail("%s has an impossible shape", what)
	}
	return t
}

// product multiplies; ok is false when the result passes 1<<62.
func product(factors ...uint64) (p uint64, ok bool) {
	p = 1
	for _, f := range factors {
		hi, lo := bits.Mul64(p, f)
		if hi != 0 || lo > 1<<62 {
			return 0, false
		}
		p = lo
	}
	return p, true
}

// layout checks that the tensors fill the data one after another, each padded to
// the alignment, as llama.cpp demands, and end inside the file.
func (h *header) layout(list []tensor, start, align uint64) {
	next := uint64(0)
	for i, t := range list {
		what := "tensor " + quote(t.name)
		switch {
		case t.offset%align != 0:
			h.fail("%s does not begin at a multiple of %d", what, align)
		case t.offset < next:
			h.fail("%s overlaps %s", what, before(list, i))
		case t.offset > next:
			h.fail("there is a gap before %s", what)
		case t.bytes > uint64(h.size)-min(start+t.offset, uint64(h.size)):
			h.fail("truncated: %s ends at byte %d of a file of %d", what, start+t.offset+t.bytes, h.size)
		}
		if h.err != nil {
			return
		}
		next = pad(t.offset+t.bytes, align)
	}
}

func before(list []tensor, i int) string {
	if i == 0 {
		return "the header"
	}
	return quote(list[i-1].name)
}

// pad rounds n up to a multiple of align, a power of two.
func pad(n, align uint64) uint64 { return (n + align - 1) &^ (align - 1) }
