package ledger

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Report is what Verify found. The three answers never stand for one another: rows can
// be genuine and yet not be all that there were.
type Report struct {
	Ledger string // identifier, 32 hex digits
	Runs   int64
	Events int64
	Blobs  int64
	Erased int64 // blobs without content, each named by a redaction
	Heads  int64
	Loose  int64 // events after the last head of their run

	Integrity    Faults // rows that are not what was recorded
	Completeness Faults // rows that were recorded and are gone
	Notes        []string

	Signed   *Anchor // the farthest checkpoint in the file that one of the given keys signed
	Anchored *Anchor // the farthest one, and of several the newest, that was kept elsewhere and that the file still bears out

	Open       []OpenRun  // runs without an end
	Unfinished []OpenCall // calls without an end in runs without an owner: what they did is not known
}

// Anchor is a checkpoint of the file's own chain whose signature holds.
type Anchor struct {
	Checkpoint
	Key   string // name and hash of the key: "ops+1a2b3c4d"
	Where string // where a copy was said to be kept when it was signed, "" for nowhere
}

// OpenRun is a run without an end.
type OpenRun struct {
	ID    string
	State State // Running, Suspended or Crashed
}

// OpenCall is a call that started and has no end.
type OpenCall struct {
	Run      string
	Decision int64 // position of the decision that allowed it
	Call     [32]byte
}

// Faults holds the first faults found and counts all of them.
type Faults struct {
	Count int64
	First []string // at most maxFaults
}

const maxFaults = 100

func (f *Faults) add(format string, args ...any) {
	f.Count++
	if len(f.First) < maxFaults {
		f.First = append(f.First, fmt.Sprintf(format, args...))
	}
}

func (f *Faults) absorb(g Faults) {
	f.Count += g.Count
	f.First = append(f.First, g.First[:min(len(g.First), maxFaults-len(f.First))]...)
}

// OK reports whether no row was found changed or missing. It says nothing about rows
// that were cut off behind the last head: see the third line of String.
func (r Report) OK() bool { return r.Integrity.Count == 0 && r.Completeness.Count == 0 }

// String gives the answers, one line each: integrity, completeness, anchored.
func (r Report) String() string {
	var b strings.Builder
	if r.Integrity.Count == 0 {
		fmt.Fprintf(&b, "integrity     ok: %s, %s, %s withheld, schema as built\n",
			count(r.Events, "event"), count(r.Blobs, "blob"), group(r.Erased))
	} else {
		fmt.Fprintf(&b, "integrity     DAMAGED: %s; first: %s\n", count(r.Integrity.Count, "fault"), r.Integrity.First[0])
	}
	if r.Completeness.Count == 0 {
		fmt.Fprintf(&b, "completeness  ok to head %s; %s after the last head of their run; %s open\n",
			group(r.Heads), count(r.Loose, "event"), count(int64(len(r.Open)), "run"))
	} else {
		fmt.Fprintf(&b, "completeness  INCOMPLETE: %s; first: %s\n", count(r.Completeness.Count, "fault"), r.Completeness.First[0])
	}
	b.WriteString("anchored      " + r.anchored() + "\n")
	for _, n := range r.Notes {
		b.WriteString("              " + n + "\n")
	}
	return b.String()
}

// anchored is the third answer.
func (r Report) anchored() string {
	if a := r.Anchored; a != nil {
		return fmt.Sprintf("to head %s of %s, signed %s, key %s", group(a.N), group(r.Heads), a.At.UTC().Format(time.RFC3339), a.Key)
	}
	if a := r.Signed; a != nil {
		where := "no copy is known"
		if a.Where != "" {
			where = "a copy was given to " + a.Where
		}
		return fmt.Sprintf("no: signed to head %s at %s, key %s; %s, but none was shown", group(a.N), a.At.UTC().Format(time.RFC3339), a.Key, where)
	}
	return "no: heads rest on this file alone, so a cut behind them cannot be excluded"
}

func count(n int64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return group(n) + " " + noun
}

// group writes n >= 0 with a comma before every three digits.
func group(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
