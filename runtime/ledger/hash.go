package ledger

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Format names the layout of rows and hashes.
const Format = "holdfast-ledger/1"

// The rows that are hashed, as they are stored.
type (
	metaRow struct {
		ledger              []byte
		format, host, build string
		at                  int64
		genesis             []byte
	}
	runRow struct {
		run, origin, parent []byte // parent is nil for a root
		parentSeq           int64
		relation            string
		thread, task, group string
		sample, at          int64
		genesis             []byte
	}
	eventRow struct {
		run        []byte
		seq        int64
		kind       string
		step, ref  int64
		call       []byte // nil if the event speaks of no call
		at, mono   int64
		payload    []byte
		prev, hash []byte
	}
	headRow struct {
		origin     []byte
		n          int64
		reason     string
		subject    []byte
		seq        int64
		tip        []byte
		at         int64
		prev, hash []byte
	}
)

func be(n int64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 0, 8), uint64(n))
}

func (m *metaRow) sum() [32]byte {
	return agent.Hash("holdfast/ledger/1", m.ledger, []byte(m.format), []byte(m.host), []byte(m.build), be(m.at))
}

func (r *runRow) sum() [32]byte {
	return agent.Hash("holdfast/run/1", r.run, r.origin, r.parent, be(r.parentSeq), []byte(r.relation),
		[]byte(r.thread), []byte(r.task), []byte(r.group), be(r.sample), be(r.at))
}

// sum takes the origin from the event's run.
func (e *eventRow) sum(origin []byte) [32]byte {
	p := sha256.Sum256(e.payload)
	return agent.Hash("holdfast/event/1", origin, e.run, be(e.seq), []byte(e.kind), be(e.step), be(e.ref),
		e.call, be(e.at), be(e.mono), p[:], e.prev)
}

func (h *headRow) sum() [32]byte {
	return agent.Hash("holdfast/head/1", h.origin, be(h.n), []byte(h.reason), h.subject, be(h.seq), h.tip,
		be(h.at), h.prev)
}

func blobSum(salt []byte, media string, data []byte) [32]byte {
	if data == nil {
		data = []byte{}
	}
	return agent.Hash("holdfast/blob/1", salt, []byte(media), data)
}
