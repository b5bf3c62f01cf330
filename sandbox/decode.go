//go:build linux && (amd64 || arm64)

package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
)

// decodeOps reads an encoded plan back, for messages and for whoever examines
// a record. It trusts nothing about b.
func decodeOps(b []byte) ([]op, error) {
	if len(b) < stage.HeaderSize {
		return nil, errors.New("plan is shorter than its header")
	}
	le := binary.LittleEndian
	if le.Uint64(b) != stage.Magic || le.Uint32(b[8:]) != stage.Version {
		return nil, errors.New("not a plan of this version")
	}
	n, size := uint64(le.Uint32(b[12:])), le.Uint64(b[24:])
	if n > stage.MaxOps || size > stage.MaxBlob ||
		uint64(len(b)) != stage.HeaderSize+n*stage.OpSize+size {
		return nil, errors.New("plan has inconsistent sizes")
	}
	blob := b[stage.HeaderSize+n*stage.OpSize:]
	ops := make([]op, n)
	for i := range ops {
		rec := b[stage.HeaderSize+i*stage.OpSize:]
		o := &ops[i]
		flags := le.Uint32(rec[4:])
		o.code, o.phase, o.flags = stage.Code(le.Uint32(rec)), flags&3, flags&^3
		o.a, o.b = le.Uint32(rec[8:]), le.Uint32(rec[12:])
		for k := range o.x {
			o.x[k] = le.Uint64(rec[16+8*k:])
		}
		ref := le.Uint64(rec[40:])
		var err error
		if o.text, err = cut(blob, le.Uint64(rec[48:]), le.Uint64(rec[56:])); err != nil {
			return nil, fmt.Errorf("op %d: %w", i, err)
		}
		if o.ref, err = cut(blob, ref>>32, ref&0xffffffff); err != nil {
			return nil, fmt.Errorf("op %d: %w", i, err)
		}
	}
	return ops, nil
}

// cut returns n bytes of the blob at off, which a NUL must follow.
func cut(blob []byte, off, n uint64) (string, error) {
	size := uint64(len(blob))
	if off >= size || n >= size-off || blob[off+n] != 0 {
		return "", errors.New("text lies outside of the plan")
	}
	return string(blob[off : off+n]), nil
}
