package ledger_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

// fill writes two ended runs and an open one, the first longer than one mark.
func fill(t testing.TB, l *ledger.Ledger, long int) (ids []string) {
	t.Helper()
	for i := range 3 {
		r := started(t, l)
		ids = append(ids, r.ID())
		add(t, r, verdict(callA, agent.Allow))
		add(t, r, decision(callA, 2, agent.Allow))
		add(t, r, start(callA, 3))
		add(t, r, end(callA, 3, "ok"))
		for n := range 5 {
			add(t, r, say(fmt.Sprintf("text %d of run %d", n, i)))
		}
		if i == 0 {
			for n := range long {
				add(t, r, say(fmt.Sprint("more ", n)))
			}
		}
		if i < 2 {
			add(t, r, finish())
		}
		r.Close()
	}
	return ids
}

// edit changes the file as a person with a SQLite shell would: the triggers are put
// aside and built again afterwards.
func edit(t testing.TB, path string, stmts ...string) {
	t.Helper()
	db := rawDB(t, path)
	defer db.Close()
	exec := func(s string) {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	var names, sqls []string
	rows, err := db.Query("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var n, s string
		if err := rows.Scan(&n, &s); err != nil {
			t.Fatal(err)
		}
		names, sqls = append(names, n), append(sqls, s)
	}
	rows.Close()
	for _, n := range names {
		exec("DROP TRIGGER " + n)
	}
	for _, s := range stmts {
		exec(s)
	}
	for _, s := range sqls {
		exec(s)
	}
}

func TestVerifyReports(t *testing.T) {
	const first = "(SELECT min(run) FROM run)" // the long ended run
	const open1 = "(SELECT max(run) FROM run)" // the open run
	template := memoryPath(t)
	made := open(t, template, ledger.Options{})
	ids := fill(t, made, 300)
	made.Close()
	whole, err := os.ReadFile(template)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		stmts      []string
		integrity  string // part of the first fault, "" for none
		completion string
		unreadable bool // reading the runs must fail as well
	}{
		"Nothing":          {nil, "", "", false},
		"EditedPayload":    {[]string{`UPDATE event SET payload = replace(payload, 'allow', 'Allow') WHERE seq = 2 AND run = ` + first}, "event 2 does not have its hash", "", true},
		"EditedTime":       {[]string{"UPDATE event SET at_ns = at_ns + 1 WHERE seq = 7 AND run = " + first}, "event 7 does not have its hash", "", true},
		"EditedMeta":       {[]string{"UPDATE meta SET host = 'elsewhere'"}, "meta of ledger", "", false},
		"EditedRun":        {[]string{"UPDATE run SET task = 'other' WHERE run = " + first}, "does not have its hash", "", true},
		"EditedBlob":       {[]string{"UPDATE blob SET data = CAST('text 9 of run 9' AS BLOB) WHERE CAST(data AS TEXT) = 'text 3 of run 0'"}, "does not have its hash", "", true},
		"EditedMedia":      {[]string{"UPDATE blob SET media = 'application/json' WHERE id = 3"}, "does not have its hash", "", true},
		"EditedSize":       {[]string{"UPDATE blob SET size = size + 1 WHERE id = 3"}, "does not have its hash", "", false},
		"EditedHead":       {[]string{"UPDATE head SET at_ns = 0 WHERE n = 2"}, "head 2 does not have its hash", "", false},
		"ErasedBlob":       {[]string{"UPDATE blob SET data = NULL, salt = NULL WHERE id = 4"}, "erased without a redaction", "", false},
		"RemovedBlob":      {[]string{"DELETE FROM blob WHERE id = 4"}, "", "names the missing blob", true},
		"RemovedEvent":     {[]string{"DELETE FROM event WHERE seq = 6 AND run = " + first}, "", "events 6 to 6 are missing", true},
		"CutEndedRun":      {[]string{"DELETE FROM event WHERE kind = 'run.end' AND run = " + first}, "", "ends at event 310, but head", false},
		"CutBelowMark":     {[]string{"DELETE FROM event WHERE seq > 200 AND run = " + first}, "", "names event 256", false},
		"RemovedRun":       {[]string{"DELETE FROM event WHERE run = " + open1, "DELETE FROM run WHERE run = " + open1}, "", "ends at event 0, but head", false},
		"RemovedAllEvents": {[]string{"DELETE FROM event WHERE run = " + open1}, "", "ends at event 0, but head", false},
		"RemovedRunRow":    {[]string{"DELETE FROM run WHERE run = " + open1}, "does not have its hash", "has heads or events and no row", false},
		"RemovedHead":      {[]string{"DELETE FROM head WHERE n = 2"}, "", "heads 2 to 2 are missing", false},
		"RemovedOpenHead":  {[]string{"DELETE FROM head WHERE n = (SELECT max(n) FROM head)"}, "", "has no head", false},
		"RemovedAllHeads":  {[]string{"DELETE FROM head"}, "", "has no head", false},
		"SwappedEvents":    {[]string{"UPDATE event SET seq = CASE seq WHEN 7 THEN -8 ELSE -7 END WHERE seq IN (7, 8) AND run = " + first, "UPDATE event SET seq = -seq WHERE seq < 0"}, "does not have its hash", "", true},
		"ExtraTrigger":     {[]string{"CREATE TRIGGER x AFTER INSERT ON run BEGIN SELECT 1; END"}, "trigger x does not belong here", "", false},
		"ExtraTable":       {[]string{"CREATE TABLE extra (a)"}, "table extra does not belong here", "", false},
		"MissingIndex":     {[]string{"DROP INDEX event_kind"}, "index event_kind is missing", "", false},
		"OtherVersion":     {[]string{"PRAGMA user_version = 9"}, "version 9", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			path := copyFile(t, whole)
			stmts := c.stmts
			if name == "SwappedEvents" { // CHECK constraints are no obstacle to an editor either
				stmts = append([]string{"PRAGMA ignore_check_constraints = ON"}, stmts...)
			}
			edit(t, path, stmts...)
			l, err := ledger.Open(t.Context(), path, ledger.Options{ReadOnly: true})
			if name == "EditedMeta" {
				if !errors.Is(err, ledger.ErrDamaged) {
					t.Fatalf("Open gave %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			rep, err := l.Verify(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			has(t, "integrity", rep.Integrity, c.integrity)
			has(t, "completeness", rep.Completeness, c.completion)
			if want := c.integrity == "" && c.completion == ""; rep.OK() != want {
				t.Errorf("OK = %v\n%v", rep.OK(), rep)
			}
			var rerr error
			for _, id := range ids {
				if _, err := l.ReadAll(t.Context(), id); err != nil && !errors.Is(err, ledger.ErrNotFound) {
					rerr = err
				}
			}
			if c.unreadable && !errors.Is(rerr, ledger.ErrDamaged) {
				t.Errorf("reading gave %v, want damage", rerr)
			}
			if lines := strings.Count(rep.String(), "\n"); lines != 3 {
				t.Errorf("the report has %d lines", lines)
			}
		})
	}
}

func copyFile(t *testing.T, data []byte) string {
	t.Helper()
	path := memoryPath(t)
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestVerifyReportsTriggers takes the schema's guards away or weakens them.
func TestVerifyReportsTriggers(t *testing.T) {
	path := newPath(t)
	l := open(t, path, ledger.Options{})
	started(t, l)
	db := rawDB(t, path)
	for _, c := range []struct{ stmt, want string }{
		{"DROP TRIGGER event_upd", "trigger event_upd is missing"},
		{"CREATE TRIGGER event_upd BEFORE UPDATE ON event BEGIN SELECT 1; END", "trigger event_upd is not as built"},
		{"DROP VIEW open_call", "view open_call is missing"},
	} {
		if _, err := db.Exec(c.stmt); err != nil {
			t.Fatal(err)
		}
		rep, err := l.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		has(t, "integrity", rep.Integrity, c.want)
	}
}

func has(t *testing.T, name string, f ledger.Faults, want string) {
	t.Helper()
	if want == "" {
		if f.Count != 0 && name == "integrity" { // a hole also shows as broken links
			t.Errorf("%s faults: %q", name, f.First)
		}
		return
	}
	for _, s := range f.First {
		if strings.Contains(s, want) {
			return
		}
	}
	t.Errorf("%s faults are %q, want one with %q", name, f.First, want)
}

// TestVerifyFindsForgedEffect appends a start without a decision, with correct hashes,
// while the triggers are away.
func TestVerifyFindsForgedEffect(t *testing.T) {
	path := newPath(t)
	l := open(t, path, ledger.Options{})
	r := started(t, l)
	add(t, r, verdict(callA, agent.Deny))
	add(t, r, decision(callA, 2, agent.Deny))
	db := rawDB(t, path)
	var rule string
	if err := db.QueryRow("SELECT sql FROM sqlite_schema WHERE name = 'event_rule'").Scan(&rule); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("DROP TRIGGER event_rule"); err != nil {
		t.Fatal(err)
	}
	add(t, r, start(callA, 3))
	if _, err := db.Exec(rule); err != nil {
		t.Fatal(err)
	}
	rep, err := l.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	has(t, "integrity", rep.Integrity, "event 4 breaks a rule: not allowed")
	if rep.Integrity.Count != 1 || rep.Completeness.Count != 0 {
		t.Errorf("faults: %q, %q", rep.Integrity.First, rep.Completeness.First)
	}
	r.Close()
	if _, err := l.Recover(t.Context(), r.ID()); !errors.Is(err, ledger.ErrDamaged) {
		t.Errorf("Recover gave %v", err)
	}
}

// TestFlippedBits changes single bits of a file: each change must be reported, or leave
// all that can be read as it was.
func TestFlippedBits(t *testing.T) {
	path := newPath(t)
	l := open(t, path, ledger.Options{})
	fill(t, l, 0)
	want, err := fold(t, l)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 100
	if testing.Short() {
		n = 40
	}
	rng := rand.New(rand.NewPCG(7, 7))
	reported := 0
	for i := range n {
		at := rng.IntN(len(whole))
		if i < n/5 {
			at = rng.IntN(100) // the file's header
		}
		bad := append([]byte(nil), whole...)
		bad[at] ^= 1 << rng.IntN(8)
		if damageSeen(t, copyFile(t, bad), want) {
			reported++
		} else if t.Failed() {
			t.Fatalf("flip at byte %d of %d", at, len(whole))
		}
	}
	if reported < n/3 {
		t.Errorf("only %d of %d flips were reported: the test is too weak", reported, n)
	}
	t.Logf("%d of %d flips reported, the others changed nothing", reported, n)
}

// damageSeen reports whether the file is found damaged, and fails the test if it is not
// although it reads differently.
func damageSeen(t *testing.T, path, want string) bool {
	l, err := ledger.Open(t.Context(), path, ledger.Options{ReadOnly: true})
	if err != nil {
		return true
	}
	defer l.Close()
	rep, err := l.Verify(t.Context())
	if err != nil || !rep.OK() {
		return true
	}
	got, err := fold(t, l)
	if err != nil {
		t.Errorf("verified, but reading gave %v", err)
	} else if got != want {
		t.Error("verified, but reads differently")
	}
	return false
}

// fold gives all that can be read, as text.
func fold(t *testing.T, l *ledger.Ledger) (string, error) {
	runs, err := l.Runs(t.Context())
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, s := range runs {
		s.At = s.At.UTC()
		fmt.Fprintf(&b, "%+v\n", s)
		ev, err := l.ReadAll(t.Context(), s.ID)
		if err != nil {
			return "", err
		}
		for _, e := range ev {
			fmt.Fprintf(&b, "%d %d %d %x %v %v %x %s\n", e.Seq, e.Step, e.Ref, e.Call, e.At.UTC(), e.Mono, e.Hash, text(e.Body))
		}
	}
	return b.String(), nil
}

func text(b agent.Body) string {
	said := ""
	switch b := b.(type) {
	case *agent.Said:
		said = b.Text.String()
	case *agent.RunStart:
		said = b.Task.String()
	}
	j, err := json.Marshal(b)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s %s %q", b.Kind(), j, said)
}

// TestTruncatedFile cuts the file at several lengths.
func TestTruncatedFile(t *testing.T) {
	path := newPath(t)
	l := open(t, path, ledger.Options{})
	fill(t, l, 0)
	l.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []int{len(whole) / 4, len(whole) / 2, len(whole) - 4096, len(whole) - 1} {
		if !damageSeen(t, copyFile(t, whole[:part]), "") {
			t.Errorf("a file cut at %d of %d bytes was not reported", part, len(whole))
		}
	}
}
