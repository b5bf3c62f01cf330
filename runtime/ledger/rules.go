package ledger

import (
	"bytes"
	"encoding/json"
	"slices"
)

// rules checks one run's events against what the schema enforces when they are
// inserted, so that rows written past the triggers are found later. It repeats
// event_rule of schema.sql; a test holds the two together.
type rules struct {
	ended bool
	calls map[[32]byte]*callState
	refs  map[int64]settled // asks, verdicts, answers and decisions by position
}

// settled is an event that later ones may refer to.
type settled struct {
	kind     string
	call     []byte
	allows   bool
	answered bool // of an ask
	used     []string
}

type callState struct {
	strict  bool // a verdict denied the call
	unsure  bool // a verdict did not allow it
	done    []string
	started int64 // position of the decision that its start refers to
}

// word holds the members of a payload that the rules look at.
type word struct {
	Outcome string `json:"outcome"`
	Choice  string `json:"choice"`
	Status  string `json:"status"`
}

func newRules() *rules {
	return &rules{calls: map[[32]byte]*callState{}, refs: map[int64]settled{}}
}

var (
	afterEnd = []string{"label", "score", "redact", "export"}
	oncePer  = []string{"decision", "call.start", "call.ready", "call.end", "commit"}
	ofCall   = []string{"decision", "call.start", "call.ready", "call.end"}
	allowing = []string{"once", "run", "always"}
)

// check returns the rule that the event breaks, "" if none, and takes note of it.
func (s *rules) check(e *eventRow) string {
	var w word
	switch e.kind {
	case "verdict", "answer", "decision", "call.start", "call.ready", "call.end", "commit", "ask":
		if json.Unmarshal(e.payload, &w) != nil {
			return "payload cannot be read"
		}
	case kindEnd:
		if s.ended {
			return "run has ended"
		}
		s.ended = true
		return ""
	default:
		if s.ended && !slices.Contains(afterEnd, e.kind) {
			return "run has ended"
		}
		return ""
	}
	broken := s.broken(e, w)
	s.note(e, w)
	return broken
}

func (s *rules) broken(e *eventRow, w word) string {
	c := s.call(e)
	to, known := s.refs[e.ref]
	same := known && bytes.Equal(to.call, e.call)
	switch {
	case s.ended:
		return "run has ended"
	case e.call == nil && slices.Contains(ofCall, e.kind):
		return "no call named"
	case e.kind == "answer" && !(same && to.kind == "ask"):
		return "unasked"
	case e.kind == "answer" && to.answered:
		return "answered twice"
	case e.kind == "decision":
		if why := decided(w, c, to, same); why != "" {
			return why
		}
	}
	decision := same && to.kind == "decision"
	switch {
	case slices.Contains(oncePer, e.kind) && slices.Contains(c.done, e.kind):
		return "decided twice"
	case e.kind == "call.start" && !(decision && to.allows):
		return "not allowed"
	case e.kind == "call.end" && !decision:
		return "undecided"
	case (c.started == 0 || c.started != e.ref) && (e.kind == "call.ready" || e.kind == "commit" || e.kind == "call.end" && w.Status == "ok"):
		return "not started"
	case (e.kind == "call.start" || e.kind == "call.ready") && slices.Contains(c.done, "call.end"):
		return "already over"
	case slices.Contains(to.used, e.kind):
		return "used"
	}
	return ""
}

func decided(w word, c *callState, to settled, same bool) string {
	if !same || to.kind != "verdict" && to.kind != "answer" {
		return "unjudged"
	}
	if w.Outcome == "" || w.Outcome == "allow" {
		switch {
		case !to.allows:
			return "unjudged"
		case c.strict, c.unsure && to.kind != "answer":
			return "overruled"
		}
	}
	return ""
}

// note keeps what later events are checked against.
func (s *rules) note(e *eventRow, w word) {
	c := s.call(e)
	c.done = append(c.done, e.kind)
	t := settled{kind: e.kind, call: bytes.Clone(e.call)}
	switch e.kind {
	case "verdict":
		t.allows = w.Outcome == "allow"
		c.unsure = c.unsure || w.Outcome != "allow"
		c.strict = c.strict || w.Outcome != "allow" && w.Outcome != "ask"
	case "answer":
		t.allows = slices.Contains(allowing, w.Choice)
	case "decision":
		t.allows = w.Outcome == "allow"
	case "call.start":
		c.started = e.ref
	}
	switch e.kind {
	case "verdict", "answer", "decision", "ask":
		s.refs[e.seq] = t
	}
	if to, ok := s.refs[e.ref]; ok && e.ref > 0 {
		to.answered = to.answered || e.kind == "answer" && w.Choice != "suspend"
		if slices.Contains(ofCall, e.kind) && e.kind != "decision" {
			to.used = append(to.used, e.kind)
		}
		s.refs[e.ref] = to
	}
}

// call returns the state of the event's call; events of no call share one that no rule
// looks at.
func (s *rules) call(e *eventRow) *callState {
	var k [32]byte
	copy(k[:], e.call)
	c := s.calls[k]
	if c == nil {
		c = &callState{}
		s.calls[k] = c
	}
	return c
}

// open lists the calls that started and have no end, by their decisions.
func (s *rules) open() map[int64][32]byte {
	out := map[int64][32]byte{}
	for k, c := range s.calls {
		if slices.Contains(c.done, "call.start") && !slices.Contains(c.done, "call.end") {
			out[c.started] = k
		}
	}
	return out
}

// asking reports whether a question has no final answer.
func (s *rules) asking() bool {
	for _, t := range s.refs {
		if t.kind == "ask" && !t.answered {
			return true
		}
	}
	return false
}
