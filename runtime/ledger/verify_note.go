package ledger

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// VerifyOptions is what is known from outside the file. Without keys no signature is
// checked, and what is stored in the file about itself is not believed.
type VerifyOptions struct {
	Keys  []string // verifier keys in the form of package note
	Notes [][]byte // signed notes that were kept elsewhere
}

func (o VerifyOptions) verifiers() (note.Verifiers, error) {
	if len(o.Keys) == 0 {
		if len(o.Notes) > 0 {
			return nil, errors.New("notes were given, and no key to check them by")
		}
		return nil, nil
	}
	var list []note.Verifier
	for _, k := range o.Keys {
		v, err := note.NewVerifier(k)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", k, err)
		}
		list = append(list, v)
	}
	return note.VerifierList(list...), nil
}

// signed is a note whose signature holds.
type signed struct {
	Anchor
	outside bool
}

// notes checks the notes in the file and those kept elsewhere.
func (v *verifier) notes(ctx context.Context) error {
	var good []signed
	unchecked := int64(0)
	err := eachNote(ctx, v.q, func(origin []byte, n int64, text, where string) error {
		if v.keys == nil {
			unchecked++
			return nil
		}
		s, known, err := v.open([]byte(text))
		switch {
		case err != nil:
			v.rep.Integrity.add("note over %d heads: %v", n, err)
		case !known:
			unchecked++
		case s.N != n || s.Ledger != hex.EncodeToString(origin):
			v.rep.Integrity.add("note over %d heads stands where one over %d was signed", n, s.N)
		default:
			s.Where = where
			good = append(good, s)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, text := range v.outside {
		s, known, err := v.open(text)
		switch {
		case err != nil:
			v.rep.Integrity.add("outside note %d: %v", i+1, err)
		case !known:
			unchecked++
		default:
			s.outside = true
			good = append(good, s)
		}
	}
	if unchecked > 0 {
		v.rep.Notes = append(v.rep.Notes, count(unchecked, "signed note")+" not checked: the keys for them were not given")
	}
	v.compare(good)
	return nil
}

// open checks a note's signatures. known is false if none is by a given key.
func (v *verifier) open(text []byte) (s signed, known bool, err error) {
	n, err := note.Open(text, v.keys)
	if unsigned := new(note.UnverifiedNoteError); errors.As(err, &unsigned) {
		return s, false, nil
	}
	if err != nil {
		return s, false, err
	}
	c, err := parseCheckpoint(n.Text)
	if err != nil {
		return s, false, err
	}
	c.Note = text
	return signed{Anchor: Anchor{Checkpoint: c, Key: fmt.Sprintf("%s+%08x", n.Sigs[0].Name, n.Sigs[0].Hash)}}, true, nil
}

// compare holds signed checkpoints against the heads in the file.
func (v *verifier) compare(good []signed) {
	// The farthest comes last, and of those over the same heads the newest.
	slices.SortStableFunc(good, func(a, b signed) int { return cmp.Or(cmp.Compare(a.N, b.N), a.At.Compare(b.At)) })
	trees := map[string]*tree{}
	for _, s := range good {
		id, err := hex.DecodeString(s.Ledger)
		if err != nil || v.metas[string(id)] == nil {
			v.rep.Notes = append(v.rep.Notes, "a note speaks of ledger "+s.Ledger+", which is not in this file")
			continue
		}
		leaves := v.leaves[string(id)]
		t := trees[s.Ledger]
		if t == nil {
			t = &tree{}
			trees[s.Ledger] = t
		}
		when := s.At.UTC().Format(time.RFC3339)
		if int64(len(leaves)) < s.N {
			v.rep.Completeness.add("heads %d to %d are missing, which the note of %s covers", len(leaves)+1, s.N, when)
			continue
		}
		for int64(t.n) < s.N {
			t.add(leaves[t.n])
		}
		if t.root() != s.Root {
			v.rep.Integrity.add("heads 1 to %d are not those that the note of %s covers", s.N, when)
			continue
		}
		if !bytes.Equal(id, v.l.meta.ledger) {
			continue // of a ledger that was merged in: it holds, but does not cover this file
		}
		a := s.Anchor
		if v.rep.Signed = &a; s.outside {
			v.rep.Anchored = &a
		}
	}
}

// finishImports checks that what import heads name is there.
func (v *verifier) finishImports() {
	for _, h := range v.imports {
		leaves := v.leaves[string(h.subject)]
		switch {
		case v.metas[string(h.subject)] == nil:
			v.rep.Notes = append(v.rep.Notes, fmt.Sprintf("head %d goes on from ledger %x, which is not in this file", h.n, h.subject))
		case int64(len(leaves)) < h.seq:
			v.rep.Completeness.add("heads %d to %d of ledger %x are missing, which head %d names", len(leaves)+1, h.seq, h.subject, h.n)
		case h.seq > 0 && !bytes.Equal(leaves[h.seq-1], h.tip):
			v.rep.Integrity.add("head %d of ledger %x is not the one that head %d names", h.seq, h.subject, h.n)
		}
	}
}
