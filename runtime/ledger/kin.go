package ledger

import (
	"encoding/json"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// kin is what belongs to an event by its calls: an argument stands in the output of the
// model, in the turn read from it, in the verdict, the question and the decision on the
// call and in the plan of its start, each time in another spelling. What the call returned
// is not among it. The zero kin is nobody.
type kin struct {
	calls map[[32]byte]bool
	gens  map[int64]bool // by the position of their start
	whole bool           // all that a turn says, not its calls alone
}

// kinOf finds the kin of an event: of a generation or a turn by all its calls, of what
// settles a call by that one.
func kinOf(events []agent.Event, seq int64) kin {
	k := kin{calls: map[[32]byte]bool{}, gens: map[int64]bool{}}
	first := events[seq-1]
	switch {
	case first.Body.Kind() == "gen.end":
		k.gens[first.Ref], k.whole = true, true
	case settles(first):
		k.calls[first.Call] = true
	}
	for _, e := range events {
		t, ok := e.Body.(*agent.Turned)
		if !ok {
			continue
		}
		calls := callsOf(t)
		if e.Seq == seq || e.Ref > 0 && k.gens[e.Ref] {
			for _, d := range calls {
				k.calls[d] = true
			}
		}
		for _, d := range calls {
			if k.calls[d] && e.Ref > 0 {
				k.gens[e.Ref] = true
			}
		}
	}
	return k
}

// speaks reports whether a blob of an event is kin.
func (k kin) speaks(e agent.Event, b *agent.Blob) bool {
	switch body := e.Body.(type) {
	case *agent.GenEnd:
		return b == body.Text && k.gens[e.Ref]
	case *agent.Turned:
		if e.Ref > 0 && k.gens[e.Ref] {
			return k.whole || b == body.Calls
		}
		for _, d := range callsOf(body) {
			if k.calls[d] {
				return b == body.Calls
			}
		}
		return false
	}
	return settles(e) && k.calls[e.Call]
}

// settles reports whether an event is about one call and spells it.
func settles(e agent.Event) bool {
	switch e.Body.(type) {
	case *agent.Judged, *agent.Asked, *agent.Answered, *agent.Decided, *agent.CallStart:
		return e.Call != [32]byte{}
	}
	return false
}

// callsOf are the digests of a turn's calls, none where they are no longer there.
func callsOf(t *agent.Turned) (out [][32]byte) {
	var calls []agent.ToolCall
	if t.Calls == nil || json.Unmarshal(t.Calls.Data, &calls) != nil {
		return nil
	}
	for _, c := range calls {
		out = append(out, c.Digest())
	}
	return out
}
