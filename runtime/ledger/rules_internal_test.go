package ledger

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestRulesAgreeWithSchema offers random events to the triggers and to the rules that
// Verify uses: both must accept the same ones.
func TestRulesAgreeWithSchema(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	refused := map[string]int{}
	accepted := map[string]int{}
	for round := range 30 {
		tryRound(t, rng, round, refused, accepted)
		if t.Failed() {
			return
		}
	}
	for _, why := range []string{"run has ended", "no call named", "unasked", "answered twice", "unjudged", "overruled",
		"decided twice", "not allowed", "undecided", "not started", "already over"} {
		if refused[why] == 0 {
			t.Errorf("no event was refused as %q: the test is too weak", why)
		}
	}
	for _, kind := range []string{"answer", "decision", "call.start", "call.ready", "call.end"} {
		if accepted[kind] == 0 {
			t.Errorf("no %s was accepted: the test is too weak", kind)
		}
	}
}

func tryRound(t *testing.T, rng *rand.Rand, round int, refused, accepted map[string]int) {
	db := openMemory()
	defer db.Close()
	id, g := make([]byte, 16), make([]byte, 32)
	mustExec := func(q string, args ...any) {
		t.Helper()
		if _, err := db.Exec(q, args...); err != nil {
			t.Fatal(err)
		}
	}
	mustExec(schemaSQL)
	mustExec("INSERT INTO meta VALUES (?, 1, '', '', '', 0, ?)", id, g)
	mustExec("INSERT INTO run VALUES (?, ?, NULL, 0, 'root', '', '', '', 0, 0, ?)", id, id, g)
	var rows []*eventRow
	for i := range 50 {
		e := randomEvent(rng, rows, i == 0)
		e.run, e.prev, e.hash = id, g, make([]byte, 32)
		_, err := db.Exec("INSERT INTO event VALUES (?,?,?,?,?,?,?,?,?,?,?)", e.run, e.seq, e.kind, e.step, e.ref,
			e.call, e.at, e.mono, string(e.payload), e.prev, e.hash)
		r := newRules()
		for _, old := range rows {
			if why := r.check(old); why != "" {
				t.Fatalf("round %d: event %d was accepted before and now breaks %q", round, old.seq, why)
			}
		}
		why := r.check(e)
		if (err == nil) != (why == "") || err != nil && !strings.Contains(err.Error(), why) {
			t.Fatalf("round %d event %s: schema says %v, rules say %q\n%s", round, show(e), err, why, showAll(rows))
		}
		if err != nil {
			refused[why]++
			continue
		}
		accepted[e.kind]++
		rows = append(rows, e)
	}
}

// fits says to which kinds an event of a kind may refer.
var fits = map[string]string{"answer": "ask", "decision": "verdict answer", "call.start": "decision",
	"call.ready": "decision", "call.end": "decision", "commit": "decision"}

func randomEvent(rng *rand.Rand, rows []*eventRow, first bool) *eventRow {
	e := &eventRow{seq: int64(len(rows)) + 1, kind: "run.start", payload: []byte("{}")}
	if first {
		return e
	}
	pick := func(s ...string) string { return s[rng.IntN(len(s))] }
	e.kind = pick("verdict", "verdict", "ask", "ask", "answer", "answer", "decision", "decision", "decision",
		"call.start", "call.start", "call.start", "call.ready", "call.ready", "call.end", "message", "commit", "score")
	if rng.IntN(60) == 0 {
		e.kind = kindEnd
	}
	if n := rng.IntN(4); n > 0 {
		e.call = []byte(strings.Repeat(string(rune('a'+n)), 32))
	}
	if len(rows) > 1 {
		e.ref = int64(rng.IntN(len(rows) + 1))
		for range 20 { // most often an event of the right kind, with its call
			o := rows[rng.IntN(len(rows))]
			if strings.Contains(fits[e.kind], o.kind) {
				e.ref, e.call = o.seq, o.call
				break
			}
		}
	}
	e.payload = fmt.Appendf(nil, `{"outcome":%q,"choice":%q,"status":%q}`, pick("allow", "allow", "allow", "ask", "deny"),
		pick("once", "always", "deny", "suspend"), pick("ok", "error", "denied"))
	return e
}

func show(e *eventRow) string {
	return fmt.Sprintf("%d %s ref %d call %.1s %s", e.seq, e.kind, e.ref, e.call, e.payload)
}

func showAll(rows []*eventRow) string {
	var b strings.Builder
	for _, e := range rows {
		fmt.Fprintln(&b, show(e))
	}
	return b.String()
}

func TestFilesystems(t *testing.T) {
	for magic, want := range map[int64]string{
		0xEF53: "", 0x58465342: "", 0x9123683E: "", 0x2FC12FC1: "", 0xF2F52010: "",
		0x01021994: "tmpfs", 0x794C7630: "overlayfs",
	} {
		got, err := checkFS(magic)
		if err != nil || (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("checkFS(%#x) = %q, %v; want a warning of %q", magic, got, err, want)
		}
	}
	for name, magic := range map[string]int64{
		"NFS": 0x6969, "SMB": 0xFE534D42, "CIFS": 0xFF534D42, "9P": 0x01021997, "FUSE": 0x65735546, "AFS": 0x5346414F,
		"Lustre": 0x0BD00BD0, "zero": 0,
	} {
		if _, err := checkFS(magic); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
