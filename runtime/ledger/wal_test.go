package ledger_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

// TestPowerCut plays a loss of power: the write-ahead log is cut at and inside its
// frames. What was synced before the cut must be there, whole, and nothing else.
func TestPowerCut(t *testing.T) {
	path := newPath(t)
	open(t, path, ledger.Options{}).Close() // leaves the schema in the file, not in the log
	l := open(t, path, ledger.Options{})
	sizes := []int64{0} // of the log after each commit
	r := begin(t, l, ledger.RunInfo{})
	for i, e := range []agent.Event{
		{Body: &agent.RunStart{Task: agent.Text("t")}},
		verdict(callA, agent.Allow), decision(callA, 2, agent.Allow), start(callA, 3), end(callA, 3, "ok"), finish(),
	} {
		if n := add(t, r, e); n != int64(i+1) {
			t.Fatalf("event %d has position %d", i+1, n)
		}
		fi, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, fi.Size())
	}
	main, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wal, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	frame := int64(binary.BigEndian.Uint32(wal[8:])) + 24
	for at := int64(32); at <= int64(len(wal)); at += frame {
		checkCut(t, main, wal[:at], committed(sizes, at), r.ID())
		if at%3 == 0 && at+frame <= int64(len(wal)) {
			checkCut(t, main, wal[:at+frame/2], committed(sizes, at+frame/2), r.ID())
			torn := bytes.Clone(wal[:at+frame])
			clear(torn[at+frame/3:])
			checkCut(t, main, torn, committed(sizes, at+frame-1), r.ID())
		}
	}
}

// committed counts the commits that lie whole within a log of the given size.
func committed(sizes []int64, size int64) (n int) {
	for n+1 < len(sizes) && sizes[n+1] <= size {
		n++
	}
	return n
}

func checkCut(t *testing.T, main, wal []byte, want int, id string) {
	t.Helper()
	path := copyFile(t, main)
	if err := os.WriteFile(path+"-wal", wal, 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, path, ledger.Options{})
	defer l.Close()
	rep, err := l.Verify(t.Context())
	if err != nil || !rep.OK() {
		t.Fatalf("log cut at %d: %v\n%v%v%v", len(wal), err, rep, rep.Integrity, rep.Completeness)
	}
	if int(rep.Events) != want {
		t.Errorf("log cut at %d: %d events, want %d", len(wal), rep.Events, want)
	}
	if want == 0 {
		return
	}
	if ev, err := l.ReadAll(t.Context(), id); err != nil || len(ev) != want {
		t.Errorf("log cut at %d: read %d events, %v", len(wal), len(ev), err)
	}
}
