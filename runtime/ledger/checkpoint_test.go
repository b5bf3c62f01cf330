package ledger_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

// signer makes a key of the given name.
func signer(t *testing.T, name string) (note.Signer, string) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return s, vkey
}

// runs records n whole runs.
func runs(t *testing.T, l *ledger.Ledger, n int) (ids []string) {
	t.Helper()
	for i := range n {
		r := started(t, l)
		add(t, r, say(fmt.Sprint("text of run ", i)))
		add(t, r, finish())
		r.Close()
		ids = append(ids, r.ID())
	}
	return ids
}

func verifyWith(t *testing.T, l *ledger.Ledger, o ledger.VerifyOptions) ledger.Report {
	t.Helper()
	rep, err := l.VerifyWith(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func TestCheckpoint(t *testing.T) {
	path := newPath(t)
	l := open(t, path, ledger.Options{})
	by, key := signer(t, "ops")
	if _, err := l.Sign(t.Context(), by, nil); err == nil {
		t.Error("an empty ledger was signed")
	}
	runs(t, l, 3)
	var kept []byte
	c, err := l.Sign(t.Context(), by, func(n []byte) (string, error) { kept = bytes.Clone(n); return "shelf", nil })
	if err != nil || c.N != 6 {
		t.Fatalf("%+v, %v", c, err)
	}
	runs(t, l, 1)

	t.Run("WithoutKeysNothingIsBelieved", func(t *testing.T) {
		r := verifyWith(t, l, ledger.VerifyOptions{})
		if r.Signed != nil || !strings.Contains(r.String(), "1 signed note not checked") || !r.OK() {
			t.Errorf("%v", r)
		}
	})
	t.Run("AnotherKeyIsNotBelieved", func(t *testing.T) {
		_, other := signer(t, "ops")
		if r := verifyWith(t, l, ledger.VerifyOptions{Keys: []string{other}}); r.Signed != nil || !r.OK() {
			t.Errorf("%v", r)
		}
	})
	t.Run("TheFileAloneIsSignedNotAnchored", func(t *testing.T) {
		r := verifyWith(t, l, ledger.VerifyOptions{Keys: []string{key}})
		if r.Anchored != nil || r.Signed == nil || r.Signed.N != 6 || r.Signed.Where != "shelf" || !strings.Contains(r.String(), "anchored      no: signed to head 6") {
			t.Errorf("%v", r)
		}
	})
	t.Run("ACopyElsewhereAnchors", func(t *testing.T) {
		r := verifyWith(t, l, ledger.VerifyOptions{Keys: []string{key}, Notes: [][]byte{kept}})
		if r.Anchored == nil || r.Anchored.N != 6 || !strings.Contains(r.String(), "anchored      to head 6 of 8") || !r.OK() {
			t.Errorf("%v", r)
		}
	})
	t.Run("AnAlteredNoteIsReported", func(t *testing.T) {
		bad := bytes.Replace(kept, []byte("\n6\n"), []byte("\n5\n"), 1)
		if r := verifyWith(t, l, ledger.VerifyOptions{Keys: []string{key}, Notes: [][]byte{bad}}); r.OK() || r.Anchored != nil {
			t.Errorf("%v", r)
		}
	})
	t.Run("NotesWithoutKeysAreRefused", func(t *testing.T) {
		if _, err := l.VerifyWith(t.Context(), ledger.VerifyOptions{Notes: [][]byte{kept}}); err == nil {
			t.Error("no error")
		}
	})
	t.Run("AnAnchorThatFailsLeavesNoNote", func(t *testing.T) {
		_, err := l.Sign(t.Context(), by, func([]byte) (string, error) { return "", errors.New("no shelf") })
		if list, lerr := l.Checkpoints(t.Context()); err == nil || lerr != nil || len(list) != 1 {
			t.Errorf("%v; %d notes, %v", err, len(list), lerr)
		}
	})
	t.Run("TheRootIsThatOfRFC6962", func(t *testing.T) {
		var hashes [][]byte
		db := rawDB(t, path)
		rows, err := db.Query("SELECT hash FROM head WHERE n <= 6 ORDER BY n")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var h []byte
			if err := rows.Scan(&h); err != nil {
				t.Fatal(err)
			}
			hashes = append(hashes, h)
		}
		var stored []tlog.Hash
		for i, h := range hashes {
			more, err := tlog.StoredHashes(int64(i), h, tlog.HashReaderFunc(func(at []int64) (out []tlog.Hash, _ error) {
				for _, k := range at {
					out = append(out, stored[k])
				}
				return out, nil
			}))
			if err != nil {
				t.Fatal(err)
			}
			stored = append(stored, more...)
		}
		want, err := tlog.TreeHash(int64(len(hashes)), tlog.HashReaderFunc(func(at []int64) (out []tlog.Hash, _ error) {
			for _, k := range at {
				out = append(out, stored[k])
			}
			return out, nil
		}))
		if err != nil || c.Root != want {
			t.Errorf("root %v, want %v, %v", c.Root, want, err)
		}
	})
}

// TestNewestNoteAnchors gives a note that was made anew over the same heads before the one
// it was made in place of: how old the anchor is, the newer says.
func TestNewestNoteAnchors(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	l := open(t, newPath(t), ledger.Options{Clock: func() time.Time { return now }})
	by, key := signer(t, "ops")
	runs(t, l, 1)
	var notes [][]byte
	for range 2 {
		c, err := l.Sign(t.Context(), by, nil)
		if err != nil {
			t.Fatal(err)
		}
		notes = append([][]byte{c.Note}, notes...)
		now = now.Add(time.Hour)
	}
	r := verifyWith(t, l, ledger.VerifyOptions{Keys: []string{key}, Notes: notes})
	if r.Anchored == nil || r.Anchored.At.Hour() != 13 {
		t.Errorf("anchored by %+v, want the note of 13:00", r.Anchored)
	}
}

// TestAnchorShowsACut removes the newest run without a trace in the file: nothing in it
// can show that, but a note kept elsewhere does.
func TestAnchorShowsACut(t *testing.T) {
	path := newPath(t)
	l := open(t, path, ledger.Options{})
	by, key := signer(t, "ops")
	ids := runs(t, l, 3)
	c, err := l.Sign(t.Context(), by, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	id := "hex(%s) = upper('" + ids[2] + "')"
	edit(t, path, "DELETE FROM checkpoint", "DELETE FROM head WHERE "+fmt.Sprintf(id, "subject"),
		"DELETE FROM event WHERE "+fmt.Sprintf(id, "run"), "DELETE FROM run WHERE "+fmt.Sprintf(id, "run"))
	l = open(t, path, ledger.Options{ReadOnly: true})
	if r := verifyWith(t, l, ledger.VerifyOptions{}); r.Completeness.Count != 0 {
		t.Fatalf("the cut shows by itself, the test is too weak: %v", r)
	}
	r := verifyWith(t, l, ledger.VerifyOptions{Keys: []string{key}, Notes: [][]byte{c.Note}})
	if r.Completeness.Count == 0 || r.Anchored != nil || !strings.Contains(r.Completeness.First[0], "heads 5 to 6 are missing") {
		t.Errorf("%v", r)
	}
}

func TestRedact(t *testing.T) {
	path := newPath(t)
	l := open(t, path, ledger.Options{})
	const secret = "the secret \"word\" is swordfish"
	r := started(t, l)
	at := add(t, r, say(secret))
	add(t, r, agent.Event{Body: &agent.Said{Role: agent.Tool, Text: agent.JSON(map[string]string{"got": secret})}})
	keep := add(t, r, say("nothing special"))
	if _, err := l.Redact(t.Context(), r.ID(), at, "me", ""); !errors.Is(err, ledger.ErrOwned) {
		t.Errorf("redacting an owned run gave %v", err)
	}
	add(t, r, finish())
	r.Close()
	red, err := l.Redact(t.Context(), r.ID(), at, "me", "it was a secret")
	if err != nil || red.Blobs != 2 {
		t.Fatalf("%+v, %v", red, err)
	}
	ev, err := l.ReadAll(t.Context(), r.ID())
	if err != nil {
		t.Fatal(err)
	}
	if ev[at-1].Body.(*agent.Said).Text.Data != nil || ev[at].Body.(*agent.Said).Text.Data != nil {
		t.Error("the secret can still be read")
	}
	if got := ev[keep-1].Body.(*agent.Said).Text.String(); got != "nothing special" {
		t.Errorf("another text reads %q", got)
	}
	b, ok := ev[len(ev)-1].Body.(*agent.Redacted)
	if !ok || b.Who != "me" || b.Reason.String() != "it was a secret" || len(b.Digests) != 2 {
		t.Errorf("the last event is %+v", ev[len(ev)-1].Body)
	}
	if rep := verifyWith(t, l, ledger.VerifyOptions{}); !rep.OK() || rep.Erased != 2 {
		t.Errorf("%v%v%v", rep, rep.Integrity, rep.Completeness)
	}
	for _, suffix := range []string{"", "-wal"} {
		if left := contents(t, path+suffix); bytes.Contains(left, []byte("swordfish")) {
			t.Errorf("the secret is still in the file %q", suffix)
		}
	}
	if _, err := l.Redact(t.Context(), r.ID(), at, "me", ""); err == nil {
		t.Error("erasing again found something")
	}
	if red, err = l.Redact(t.Context(), r.ID(), 0, "me", ""); err != nil || red.Blobs == 0 {
		t.Errorf("erasing the whole run: %+v, %v", red, err)
	}
	if rep := verifyWith(t, l, ledger.VerifyOptions{}); !rep.OK() {
		t.Errorf("%v%v%v", rep, rep.Integrity, rep.Completeness)
	}
}

func TestMerge(t *testing.T) {
	dir := newPath(t)
	a, b := open(t, dir+"a", ledger.Options{}), open(t, dir+"b", ledger.Options{})
	all := open(t, dir+"all", ledger.Options{})
	by, key := signer(t, "shard")
	inA, inB := runs(t, a, 3), runs(t, b, 2)
	if _, err := a.Sign(t.Context(), by, nil); err != nil {
		t.Fatal(err)
	}
	own := runs(t, all, 1)
	merge := func(path string) ledger.Merged {
		t.Helper()
		m, err := all.Merge(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		rep := verifyWith(t, all, ledger.VerifyOptions{Keys: []string{key}})
		if !rep.OK() {
			t.Fatalf("after merging %s: %v%v%v", path, rep, rep.Integrity, rep.Completeness)
		}
		return m
	}
	if m := merge(dir + "a"); m.Runs != 3 || m.Ledgers != 1 {
		t.Errorf("%+v", m)
	}
	if m := merge(dir + "b"); m.Runs != 2 {
		t.Errorf("%+v", m)
	}
	if m := merge(dir + "a"); m != (ledger.Merged{}) {
		t.Errorf("merging again copied %+v", m)
	}
	list, err := all.Runs(t.Context())
	if err != nil || len(list) != 6 {
		t.Fatalf("%d runs, %v", len(list), err)
	}
	for _, id := range append(append(inA, inB...), own...) {
		if ev, err := all.ReadAll(t.Context(), id); err != nil || len(ev) != 3 {
			t.Errorf("run %s: %d events, %v", id, len(ev), err)
		}
	}

	t.Run("WhatCameSinceIsAdded", func(t *testing.T) {
		r := started(t, a)
		if m := merge(dir + "a"); m.Runs != 1 || m.Events != 1 {
			t.Errorf("%+v", m)
		}
		add(t, r, say("more"))
		add(t, r, finish())
		r.Close()
		if m := merge(dir + "a"); m.Runs != 0 || m.Events != 2 {
			t.Errorf("%+v", m)
		}
	})
	t.Run("ErasuresCarryOver", func(t *testing.T) {
		if _, err := a.Redact(t.Context(), inA[0], 0, "me", ""); err != nil {
			t.Fatal(err)
		}
		if m := merge(dir + "a"); m.Erased == 0 || m.Events != 1 {
			t.Errorf("%+v", m)
		}
	})
	t.Run("AnImportedRunGoesOnWhereItWasRecorded", func(t *testing.T) {
		if _, err := all.Redact(t.Context(), inB[0], 0, "me", ""); err == nil {
			t.Error("it could be redacted here")
		}
	})
	t.Run("WhereARunWasRecordedIsTold", func(t *testing.T) {
		sums, err := all.Runs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range sums {
			if s.Imported == slices.Contains(own, s.ID) {
				t.Errorf("run %s: imported %v", s.ID, s.Imported)
			}
		}
	})
	t.Run("NobodyElseContinuesOurRuns", func(t *testing.T) {
		ours := started(t, all)
		ours.Close()
		db := rawDB(t, dir+"all")
		_, err := db.Exec("VACUUM INTO ?", dir+"copy")
		if err = errors.Join(err, db.Close(), os.Chmod(dir+"copy", 0o600)); err != nil {
			t.Fatal(err)
		}
		r, err := open(t, dir+"copy", ledger.Options{}).Recover(t.Context(), ours.ID()) // writes an event
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		if _, err := b.Merge(t.Context(), dir+"copy"); err != nil {
			t.Fatal(err)
		}
		before, err := all.ReadAll(t.Context(), ours.ID())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := all.Merge(t.Context(), dir+"b"); !errors.Is(err, ledger.ErrConflict) || !strings.Contains(fmt.Sprint(err), "recorded in this ledger") {
			t.Errorf("%v", err)
		}
		if after, err := all.ReadAll(t.Context(), ours.ID()); err != nil || len(after) != len(before) {
			t.Errorf("%d events, %v", len(after), err)
		}
	})
	t.Run("AChangedShardIsRefused", func(t *testing.T) {
		edit(t, dir+"b", "UPDATE event SET step = 9 WHERE seq = 2")
		if _, err := all.Merge(t.Context(), dir+"b"); !errors.Is(err, ledger.ErrDamaged) {
			t.Errorf("%v", err)
		}
	})
	t.Run("ItselfIsRefused", func(t *testing.T) {
		if _, err := all.Merge(t.Context(), dir+"all"); err == nil {
			t.Error("no error")
		}
	})
	if rep := verifyWith(t, all, ledger.VerifyOptions{}); !rep.OK() {
		t.Errorf("%v%v%v", rep, rep.Integrity, rep.Completeness)
	}
}

// contents reads a file, empty if there is none.
func contents(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return b
}
