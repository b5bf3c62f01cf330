package models

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// The bounds of a header. llama.cpp compares each key and tensor name with all
// before it, so their numbers are kept far below what that could stall on.
const (
	maxHeader  = 256 << 20 // bytes
	maxKeys    = 1 << 14
	maxTensors = 1 << 16
	maxKeyLen  = 1 << 12
	maxName    = 63 // GGML_MAX_NAME less its NUL
	maxKept    = 1 << 20
)

// header reads the little-endian fields of a GGUF header one after another. The
// first failure sticks: later reads give zeros, and err says what was wrong.
type header struct {
	r    *bufio.Reader
	pos  int64
	size int64 // of the file
	err  error
}

func newHeader(r io.ReaderAt, size int64) *header {
	return &header{r: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 1<<16), size: size}
}

// fail records the first failure.
func (h *header) fail(format string, args ...any) {
	if h.err == nil {
		h.err = fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
	}
}

// room reports whether n more bytes can follow, as part of what is being read.
func (h *header) room(n uint64, what string) bool {
	if h.err != nil {
		return false
	}
	if n > uint64(h.size-h.pos) {
		h.fail("truncated: the file ends inside %s", what)
		return false
	}
	if n > uint64(maxHeader-h.pos) {
		h.fail("the header is longer than %d bytes", maxHeader)
		return false
	}
	return true
}

// bytes reads n bytes, which the caller has bounded.
func (h *header) bytes(n uint64, what string) []byte {
	if !h.room(n, what) {
		return make([]byte, min(n, 8))
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(h.r, b); err != nil {
		h.broken(err)
	}
	h.pos += int64(n)
	return b
}

// skip passes over n bytes.
func (h *header) skip(n uint64, what string) {
	if !h.room(n, what) {
		return
	}
	if _, err := h.r.Discard(int(n)); err != nil {
		h.broken(err)
	}
	h.pos += int64(n)
}

// broken records an error of the file itself.
func (h *header) broken(err error) {
	if h.err == nil {
		h.err = fmt.Errorf("read header: %w", err)
	}
}

func (h *header) u32(what string) uint32 { return binary.LittleEndian.Uint32(h.bytes(4, what)) }
func (h *header) u64(what string) uint64 { return binary.LittleEndian.Uint64(h.bytes(8, what)) }

// text reads a string of at most limit bytes.
func (h *header) text(limit uint64, what string) string {
	n := h.u64(what)
	if h.err != nil {
		return ""
	}
	if h.room(n, what) && n > limit {
		h.fail("%s is longer than %d bytes", what, limit)
	}
	if h.err != nil {
		return ""
	}
	return string(h.bytes(n, what))
}
