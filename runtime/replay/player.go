package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// ErrRecord means that a run cannot be made again from its record.
var ErrRecord = errors.New("run cannot be replayed")

// Player holds a recorded run, ready to be made again.
type Player struct {
	events  []agent.Event // that a replay produces too, in order
	start   *agent.RunStart
	model   agent.ModelUsed
	specs   []agent.ToolSpec
	temp    float64
	max     int // tokens of a turn
	gens    []*gen
	calls   map[[32]byte]*call
	ids     []string // of the calls, in the order they were proposed
	answers []*agent.Answered

	anew    map[int]bool  // generations before which the run went on in another process
	past    []agent.Event // of the run that this one branched off, nil if it did not
	at      int           // step before which it did, 0 for where that run left off
	current *agent.Judged // recorded verdict on the call that is being judged
}

// gen is a recorded generation.
type gen struct {
	seq   int64
	start *agent.GenStart
	end   *agent.GenEnd
	turn  *agent.Turned // that followed, nil for forks
}

// call is a recorded call.
type call struct {
	verdict *agent.Judged
	start   *agent.CallStart
	ready   *agent.CallReady
	end     *agent.CallEnd
	nonce   string // of the data frame of its response, "" if not known
}

// Open reads the events of one run, complete from the first. piece gives the text of a
// token, control tokens spelled out; with it, the marks of withheld responses can be
// found in the recorded prompts. It may be nil.
func Open(events []agent.Event, piece func(int32) string) (*Player, error) {
	return openPast(events, nil, 0, piece)
}

// OpenBranch is Open for a run that branched off another, whose events past holds: before
// the first step that it made itself, or, if it resumed that one, where that left off. The
// replay branches off again, so that what was copied is compared too.
func OpenBranch(events, past []agent.Event, resumed bool, piece func(int32) string) (*Player, error) {
	at := 0
	if !resumed {
		for _, e := range events {
			if at = e.Step; at > 0 {
				break
			}
		}
	}
	return openPast(events, past, at, piece)
}

func openPast(events, past []agent.Event, at int, piece func(int32) string) (*Player, error) {
	p := &Player{calls: map[[32]byte]*call{}, anew: map[int]bool{}, past: past, at: at}
	r := opener{p: p, starts: map[int64]*gen{}, ends: map[int64]*call{}, piece: piece}
	for _, e := range events {
		if err := r.take(e); err != nil {
			return nil, fmt.Errorf("%w: event %d: %w", ErrRecord, e.Seq, err)
		}
	}
	if p.start == nil || len(p.specs) == 0 {
		return nil, fmt.Errorf("%w: it does not say how it began", ErrRecord)
	}
	return p, nil
}

// Model is the model that made the run.
func (p *Player) Model() agent.ModelUsed { return p.model }

// Start is how the run began.
func (p *Player) Start() agent.RunStart { return *p.start }

// Exists says of the workspace what the judge must have found when it weighed the call
// that is judged now: whether something stood where the call writes.
func (p *Player) Exists(string) bool {
	if p.current == nil {
		return true
	}
	return voted(p.current, "effect.irreversible") || p.current.Effect == agent.Irreversible
}

// Undoable says what the judge must have held of the tool of that call, of one with hosts or
// of an old record as well: only what loses something is irreversible.
func (p *Player) Undoable(agent.ToolSpec) bool { return !p.Exists("") }

func voted(v *agent.Judged, rule string) bool {
	for _, k := range v.Votes {
		if k.Rule == rule {
			return true
		}
	}
	return false
}

// opener is the work of Open.
type opener struct {
	p      *Player
	starts map[int64]*gen
	ends   map[int64]*call
	last   *call // whose response came last
	over   bool  // what follows cannot be made again
	piece  func(int32) string
}

var (
	errErased = errors.New("something it was made of was erased")
	errBranch = errors.New("it branched off another run, whose record is needed")
	frameMark = regexp.MustCompile(`^<data ([0-9a-f]{8})>\n`)
	anyMark   = regexp.MustCompile(`<data ([0-9a-f]{8})>`)
)

// take reads one event, and keeps it where a replay must produce it.
func (o *opener) take(e agent.Event) error {
	kept, err := o.read(e)
	if kept && err == nil {
		o.keep(e)
	}
	return err
}

// read takes from an event what a replay needs of it. kept is false for events that are
// about the run and not of it, and for those that were kept already, or are with another.
func (o *opener) read(e agent.Event) (kept bool, err error) {
	p := o.p
	switch b := e.Body.(type) {
	case *agent.RunStart:
		p.start = b
		if gone(b.Task) || gone(b.Data) {
			return false, errErased
		}
	case *agent.ModelUsed:
		p.model = *b
	case *agent.ToolsOffered:
		return false, o.tools(e, b)
	case *agent.GenStart:
		g := &gen{seq: e.Seq, start: b}
		o.starts[e.Seq] = g
		if b.Purpose == agent.PurposeAgent && p.max == 0 {
			p.temp, p.max = b.Temp, b.MaxTokens
		}
		return false, nil // kept with its end, which a crash may have taken
	case *agent.GenEnd:
		return false, o.genEnd(e, b)
	case *agent.Turned:
		return true, o.turned(e, b)
	case *agent.Said:
		if b.Copied && p.past == nil {
			return false, errBranch
		}
		if gone(b.Text) {
			return false, errErased
		}
		o.said(e, b)
	case *agent.Labelled:
		return b.Source == "", nil
	case *agent.Judged, *agent.Answered, *agent.CallStart, *agent.CallReady, *agent.CallEnd:
		return o.ofCall(e)
	case *agent.LimitHit, *agent.RunEnd, *agent.Failed, *agent.RunRecover:
		return o.ofEnd(e), nil
	case *agent.Scored, *agent.Redacted, *agent.Exported:
		return false, nil
	}
	return true, nil
}

// ofCall reads an event about a call, or an answer of a person.
func (o *opener) ofCall(e agent.Event) (kept bool, err error) {
	p := o.p
	switch b := e.Body.(type) {
	case *agent.Judged:
		if c := p.calls[e.Call]; c != nil {
			c.verdict = b
		}
	case *agent.Answered:
		if b.Choice == agent.ChoiceSuspend {
			return false, nil
		}
		p.answers = append(p.answers, b)
	case *agent.CallStart:
		p.call(e).start = b
	case *agent.CallReady:
		p.call(e).ready = b
	case *agent.CallEnd:
		c := p.call(e)
		c.end = b
		o.ends[e.Seq], o.last = c, c
		if gone(b.Out) {
			return false, errErased
		}
	}
	return true, nil
}

// ofEnd reads an event by which a run ends, is cut off or goes on.
func (o *opener) ofEnd(e agent.Event) (kept bool) {
	switch b := e.Body.(type) {
	case *agent.LimitHit:
		if b.Which == "time" {
			o.cut()
		}
	case *agent.RunEnd:
		if b.Status == agent.StatusStopped {
			o.cut()
		}
	case *agent.Failed:
		if b.Where == agent.Interrupted {
			o.cut()
		}
		return false
	case *agent.RunRecover:
		o.p.anew[len(o.p.gens)] = true
		o.over = o.over || len(b.Unknown) > 0 // what the call did is not known, so nor is what would follow
		return false
	}
	return true
}

// cut says that the run was cut off here. A generation that this broke off cannot be made
// again so far and no further.
func (o *opener) cut() {
	p := o.p
	if g, n := len(p.gens), len(p.events); !o.over && g > 0 && n > 1 && p.events[n-1].Ref == p.gens[g-1].seq && p.gens[g-1].end.Error != nil {
		p.gens, p.events = p.gens[:g-1], p.events[:n-2]
	}
	o.over = true
}

// keep adds an event that a replay must produce.
func (o *opener) keep(e agent.Event) {
	if !o.over {
		o.p.events = append(o.p.events, e)
	}
}

func (p *Player) call(e agent.Event) *call {
	if p.calls[e.Call] == nil {
		p.calls[e.Call] = &call{}
	}
	return p.calls[e.Call]
}

func (o *opener) tools(e agent.Event, b *agent.ToolsOffered) error {
	for _, t := range b.List {
		var s agent.ToolSpec
		if gone(t.Spec) {
			return errErased
		}
		if err := json.Unmarshal(t.Spec.Data, &s); err != nil {
			return err
		}
		o.p.specs = append(o.p.specs, s)
	}
	o.keep(e)
	return nil
}

func (o *opener) genEnd(e agent.Event, b *agent.GenEnd) error {
	g := o.starts[e.Ref]
	if g == nil {
		return errors.New("an end without a beginning")
	}
	if gone(b.Prompt) || gone(b.IDs) || gone(b.Text) {
		return errErased
	}
	g.end = b
	o.p.gens = append(o.p.gens, g)
	o.keep(agent.Event{Seq: g.seq, Step: e.Step, Body: g.start})
	o.keep(e)
	if g.start.Purpose == agent.PurposeLabel && o.last != nil && o.last.nonce == "" && o.piece != nil {
		o.last.nonce = o.markIn(b)
	}
	return nil
}

// markIn finds the mark of the response that a recorded prompt screens: the last in it.
func (o *opener) markIn(b *agent.GenEnd) string {
	var text strings.Builder
	for _, id := range ints(b.Prompt) {
		text.WriteString(o.piece(id))
	}
	all := anyMark.FindAllStringSubmatch(text.String(), -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1][1]
}

func (o *opener) turned(e agent.Event, b *agent.Turned) error {
	if gone(b.Thought) || gone(b.Calls) || gone(b.Answer) {
		return errErased
	}
	if g := o.starts[e.Ref]; g != nil {
		g.turn = b
	}
	calls, err := callsOf(b)
	for _, c := range calls {
		o.p.ids = append(o.p.ids, c.ID)
		o.p.calls[c.Digest()] = &call{}
	}
	return err
}

func callsOf(b *agent.Turned) (calls []agent.ToolCall, err error) {
	if b.Calls != nil {
		err = json.Unmarshal(b.Calls.Data, &calls)
	}
	return calls, err
}

func (o *opener) said(e agent.Event, b *agent.Said) {
	if c := o.ends[e.Ref]; c != nil && b.Role == agent.Tool {
		if m := frameMark.FindStringSubmatch(b.Text.String()); m != nil {
			c.nonce = m[1]
		}
	}
}

func gone(b *agent.Blob) bool { return b != nil && b.Data == nil }
