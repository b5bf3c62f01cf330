package models

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// The types of metadata values: gguf_type in gguf.h.
const (
	typeU8 = iota
	typeI8
	typeU16
	typeI16
	typeU32
	typeI32
	typeF32
	typeBool
	typeString
	typeArray
	typeU64
	typeI64
	typeF64
	typeCount
)

var typeNames = [typeCount]string{"u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"}

// typeSizes holds the bytes of one value; 0 for those without a fixed size.
var typeSizes = [typeCount]uint64{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8}

// value is one metadata value. Arrays are counted and skipped, not kept.
type value struct {
	kind uint32 // of the elements, for an array
	list bool
	n    uint64 // elements of an array
	num  uint64 // integers and bool, sign-extended
	text string // the value as text; "" for an array
}

// tokensKey is the array whose elements are looked at: llama.cpp ends the process
// when two tokens are the same.
const tokensKey = "tokenizer.ggml.tokens"

// metadata reads n keys with their values.
func (h *header) metadata(n uint64) map[string]value {
	m := map[string]value{}
	for i := uint64(0); i < n && h.err == nil; i++ {
		key := h.text(maxKeyLen, fmt.Sprintf("key %d", i))
		if h.err != nil {
			break
		}
		if key == "" {
			h.fail("key %d is empty", i)
		}
		if _, ok := m[key]; ok {
			h.fail("key %s appears twice", quote(key))
		}
		m[key] = h.value(key)
	}
	return m
}

// value reads the type and value of a key.
func (h *header) value(key string) value {
	what := "the value of " + quote(key)
	v := value{kind: h.u32(what)}
	if v.kind == typeArray {
		v.list, v.kind, v.n = true, h.u32(what), h.u64(what)
	}
	switch {
	case h.err != nil:
	case v.kind >= typeCount || v.kind == typeArray:
		h.fail("%s has the unknown type %d", what, v.kind)
	case v.list:
		h.elements(key, v, what)
	case v.kind == typeString:
		v.text = h.text(maxKept, what)
	default:
		v.num, v.text = scalar(v.kind, h.bytes(typeSizes[v.kind], what))
	}
	return v
}

// elements passes over the elements of an array.
func (h *header) elements(key string, v value, what string) {
	if v.kind != typeString {
		if v.n > maxHeader {
			h.fail("truncated: the file ends inside %s", what)
			return
		}
		h.skip(v.n*typeSizes[v.kind], what)
		return
	}
	seen := map[string]bool{}
	for i := uint64(0); i < v.n && h.err == nil; i++ {
		if key != tokensKey {
			h.skip(h.u64(what), what)
			continue
		}
		t := h.text(maxKeyLen, what)
		if t == "" { // llama.cpp puts this in its place
			t = "[EMPTY_" + strconv.FormatUint(i, 10) + "]"
		}
		if seen[t] && h.err == nil {
			h.fail("token %d repeats %s", i, quote(t))
		}
		seen[t] = true
	}
}

// scalar decodes a value of fixed size.
func scalar(kind uint32, b []byte) (num uint64, text string) {
	var w [8]byte
	copy(w[:], b)
	u := binary.LittleEndian.Uint64(w[:])
	signed := func(i int64) (uint64, string) { return uint64(i), strconv.FormatInt(i, 10) }
	switch kind {
	case typeI8:
		return signed(int64(int8(u)))
	case typeI16:
		return signed(int64(int16(u)))
	case typeI32:
		return signed(int64(int32(u)))
	case typeI64:
		return signed(int64(u))
	case typeF32:
		return 0, strconv.FormatFloat(float64(math.Float32frombits(uint32(u))), 'g', -1, 32)
	case typeF64:
		return 0, strconv.FormatFloat(math.Float64frombits(u), 'g', -1, 64)
	case typeBool:
		return u, strconv.FormatBool(u != 0)
	}
	return u, strconv.FormatUint(u, 10)
}

// integer returns a value that is a non-negative integer; the zero value is none.
func (v value) integer() (uint64, bool) {
	if v.list || v.text == "" {
		return 0, false
	}
	switch v.kind {
	case typeU8, typeU16, typeU32, typeU64:
		return v.num, true
	case typeI8, typeI16, typeI32, typeI64:
		return v.num, int64(v.num) >= 0
	}
	return 0, false
}

// show writes a value for people: arrays as "[3 f32]".
func (v value) show() string {
	if v.list {
		return fmt.Sprintf("[%d %s]", v.n, typeNames[v.kind])
	}
	return v.text
}

// quote writes a name from a file so that it is safe to show.
func quote(s string) string {
	if len(s) > 80 {
		s = strings.ToValidUTF8(s[:80], "") + "..."
	}
	return strconv.QuoteToASCII(s)
}
