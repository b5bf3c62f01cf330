package ledger_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

func TestCallVector(t *testing.T) {
	got := agent.ToolCall{ID: "c1", Tool: "shell", Args: `{"cmd":"ls"}`}.Digest()
	const want = "7bcd30882f91df55e7b27ed9c23e721a5d613a8e6b14df897e8f0edd9a44a6f7"
	if hex.EncodeToString(got[:]) != want {
		t.Errorf("digest = %x, want %s", got, want)
	}
}

// TestStoredHashes computes every hash of a file again from the description of the
// format alone: fields are framed here, not by the code under test.
func TestStoredHashes(t *testing.T) {
	path := newPath(t)
	l := open(t, path, ledger.Options{Build: "b", Host: "h"})
	parent := started(t, l)
	r := begin(t, l, ledger.RunInfo{Parent: parent.ID(), ParentSeq: 1, Relation: ledger.Fork, Group: "g", Sample: 7})
	add(t, r, agent.Event{Body: &agent.RunStart{Task: agent.Text("x")}})
	add(t, r, verdict(callA, agent.Deny))
	add(t, r, finish())
	db := rawDB(t, path)

	rehash(t, db, "holdfast/ledger/1", "SELECT ledger, format, host, build, at_ns, genesis FROM meta", 1)
	rehash(t, db, "holdfast/run/1", `SELECT run, origin, parent, parent_seq, relation, thread, task, grp, sample,
		at_ns, genesis FROM run`, 2)
	rehash(t, db, "holdfast/event/1", `SELECT run.origin, event.run, seq, kind, step, ref, call, event.at_ns, mono_ns,
		payload AS sha, prev, hash FROM event JOIN run USING (run)`, 4)
	rehash(t, db, "holdfast/head/1", "SELECT origin, n, reason, subject, seq, tip, at_ns, prev, hash FROM head", 3)
	rehash(t, db, "holdfast/blob/1", "SELECT salt, media, data, digest FROM blob", 2)
}

// rehash frames all columns but the last, which must be their hash. A column named sha
// is hashed first.
func rehash(t *testing.T, db *sql.DB, tag, query string, want int) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	cols, _ := rows.Columns()
	n := 0
	for ; rows.Next(); n++ {
		vals := make([]any, len(cols))
		for i := range vals {
			vals[i] = new(any)
		}
		if err := rows.Scan(vals...); err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		h.Write(frame([]byte(tag)))
		for i, c := range cols[:len(cols)-1] {
			f := field(t, *vals[i].(*any))
			if c == "sha" {
				s := sha256.Sum256(f)
				f = s[:]
			}
			h.Write(frame(f))
		}
		if last := field(t, *vals[len(vals)-1].(*any)); !bytes.Equal(h.Sum(nil), last) {
			t.Errorf("%s row %d: hash %x, stored %x", tag, n, h.Sum(nil), last)
		}
	}
	if n != want {
		t.Errorf("%s: %d rows, want %d", tag, n, want)
	}
}

func frame(b []byte) []byte {
	if b == nil {
		return []byte{255, 255, 255, 255}
	}
	n := len(b)
	return append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, b...)
}

func field(t *testing.T, v any) []byte {
	t.Helper()
	switch v := v.(type) {
	case nil:
		return nil
	case []byte:
		return v
	case string:
		return []byte(v)
	case int64:
		b := make([]byte, 8)
		for i := range b {
			b[i] = byte(v >> (56 - 8*i))
		}
		return b
	}
	t.Fatalf("column of type %T", v)
	return nil
}
