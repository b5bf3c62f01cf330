//go:build linux && (amd64 || arm64)

package sandbox

import (
	"encoding/binary"
	"slices"

	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
)

// standby returns the encoded plan of a cell that is built as p says up to the point
// where p is that of one call alone, and then waits for p itself. The stage
// compares the two before it goes on.
func (p Plan) standby() []byte {
	le := binary.LittleEndian
	n, prefix := int(le.Uint32(p.bytes[12:])), int(le.Uint32(p.bytes[16:]))
	recs := p.bytes[stage.HeaderSize:][:n*stage.OpSize]
	blob := p.bytes[stage.HeaderSize+n*stage.OpSize:]
	end := uint64(1)
	for i := range prefix {
		rec := recs[i*stage.OpSize:]
		ref := le.Uint64(rec[40:])
		end = max(end, le.Uint64(rec[48:])+le.Uint64(rec[56:])+1, ref>>32+ref&0xffffffff+1)
	}
	exec := recs[(n-1)*stage.OpSize:]
	barrier := make([]byte, stage.OpSize)
	le.PutUint32(barrier, uint32(stage.Barrier))
	le.PutUint32(barrier[4:], le.Uint32(exec[4:])&(stage.FlagFD|3))
	copy(barrier[8:12], exec[8:12])
	head := slices.Clone(p.bytes[:stage.HeaderSize])
	le.PutUint32(head[12:], uint32(prefix+1))
	le.PutUint64(head[24:], end)
	return slices.Concat(head, recs[:prefix*stage.OpSize], barrier, blob[:min(end, uint64(len(blob)))])
}
