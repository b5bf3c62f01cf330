package ledger

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// TestPageLimit lets the file run out of pages after each possible number of them, so
// that every insert fails once. The handle must then refuse all, and what it had
// acknowledged must be there when the file is opened again.
func TestPageLimit(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "ledger", "ledger.db")
	ops := map[string]bool{}
	for extra := range 30 {
		l, err := Open(ctx, path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var pages int64
		if err := l.w.conn.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages); err != nil {
			t.Fatal(err)
		}
		if _, err := l.w.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count=%d", pages+int64(extra))); err != nil {
			t.Fatal(err)
		}
		r, err := l.Begin(ctx, RunInfo{})
		if err != nil {
			t.Fatal(err)
		}
		var acked int64
		body := agent.Body(&agent.RunStart{Task: agent.Text("t")})
		for {
			n, err := r.Append(ctx, agent.Event{Body: body})
			if err != nil {
				ops[stage(err)] = true
				break
			}
			acked = n
			body = &agent.Said{Text: agent.Text(strings.Repeat("x", 700)), Role: agent.Role(strings.Repeat("r", 300))}
		}
		if _, err := r.Append(ctx, agent.Event{Body: body}); !errors.Is(err, ErrUnusable) {
			t.Errorf("after the failure Append gave %v", err)
		}
		if _, err := l.Begin(context.Background(), RunInfo{}); err != nil {
			t.Errorf("Begin writes nothing, but gave %v", err)
		}
		l.Close()
		reopened(t, path, r.ID(), acked)
	}
	t.Logf("failed at %v", ops)
	if len(ops) < 2 {
		t.Errorf("all failures were at %v: the test is too weak", ops)
	}
}

func stage(err error) string {
	for _, s := range []string{"insert run", "insert blob", "insert event", "insert head", "commit"} {
		if strings.Contains(err.Error(), s) {
			return s
		}
	}
	return err.Error()
}

func reopened(t *testing.T, path, run string, acked int64) {
	t.Helper()
	l, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if rep, err := l.Verify(t.Context()); err != nil || !rep.OK() {
		t.Errorf("%v\n%v%v%v", err, rep, rep.Integrity, rep.Completeness)
	}
	if acked == 0 {
		return
	}
	if ev, err := l.ReadAll(t.Context(), run); err != nil || int64(len(ev)) != acked {
		t.Errorf("%d events, %v; %d were acknowledged", len(ev), err, acked)
	}
}

// FuzzDecode: a payload that decodes must encode to something that decodes again.
func FuzzDecode(f *testing.F) {
	for _, kind := range []string{"run.start", "verdict", "decision", "gen.end", "tools", "label", "call.end", "nonsense"} {
		f.Add(kind, []byte(`{}`))
	}
	f.Add("message", []byte(`{"role":"user","text":{"blob":"`+strings.Repeat("0a", 32)+`"},"origin":{"source":"user"}}`))
	f.Add("message", []byte(`{"role":"user","text":{"blob":"zz"}}`))
	f.Add("label", []byte(`{"channel":"tool_response","value":"benign","p":[1,2,3]}`))
	f.Fuzz(func(t *testing.T, kind string, payload []byte) {
		body, err := decode(kind, payload)
		if err != nil {
			return
		}
		if body.Kind() != kind {
			t.Fatalf("%s decoded as %s", kind, body.Kind())
		}
		if err := eachBlob(body, func(*agent.Blob) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	for name, c := range map[string]struct{ kind, payload string }{
		"UnknownKind":   {"gen.delta", "{}"},
		"UnknownMember": {"limit", `{"which":"steps","value":1,"more":2}`},
		"WrongType":     {"limit", `{"which":1}`},
		"NotJSON":       {"limit", `{`},
		"BadReference":  {"message", `{"text":{"blob":"12"}}`},
		"BadChannel":    {"label", `{"channel":"other"}`},
	} {
		t.Run(name, func(t *testing.T) {
			if b, err := decode(c.kind, []byte(c.payload)); err == nil {
				t.Errorf("decoded as %+v", b)
			}
		})
	}
}
