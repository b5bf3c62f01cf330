package safety

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/frame"
	"github.com/holdfast-run/holdfast/safety/policy"
	"github.com/holdfast-run/holdfast/safety/provenance"
	"github.com/holdfast-run/holdfast/safety/review"
)

// Options are the settings of a Gate. The zero value is usable and the strictest.
type Options struct {
	Thresholds review.Thresholds // zero means review.Uncalibrated
	MaxTokens  int               // of one answer of the review, 0 means review.DefaultTokens
	Effects    review.Mode       // how calls that have effects are reviewed
	Reads      review.Mode       // how pure calls and reads are reviewed
	Policy     *policy.Set       // the written rules; nil means the floor of this build alone

	// Masked reviews an effect in a tainted context once more: the step is taken again
	// with the user's words hidden, and the same call then asks. It costs one more turn.
	Masked bool
	// Drifted reports whether a tool is declared otherwise than the user accepted; its
	// calls are denied. It must be safe for concurrent use. Nil means that none is.
	Drifted func(s agent.ToolSpec) bool

	// Exists reports whether a file of the workspace exists, by its path relative to
	// it; it must say true when it cannot tell, of links themselves and not of what they
	// lead to, and be safe for concurrent use. Nil means that no write is known to lose
	// nothing, so that every one is asked about.
	Exists func(path string) bool

	// Hosts are those that calls may ask for, each host:port as policy.CoversHost reads it.
	// Which of them a call gets, a written rule or a person says. None means that no call
	// has a network.
	Hosts []string
	// Reaches says which hosts all calls of a tool reach, and whether single calls of it may
	// reach others, that their command names. It must be safe for concurrent use. Nil means
	// that no tool reaches any.
	Reaches func(s agent.ToolSpec) (hosts []string, open bool)
	// Secrets are the names of those that all calls of a tool need, as its operator declared.
	// It must be safe for concurrent use. Nil means that no tool needs any.
	Secrets func(s agent.ToolSpec) []string

	// Adds reports whether calls of a tool change no file but those that their path
	// arguments name, so that one that names a new file loses nothing. It must be safe for
	// concurrent use. Nil means that no tool is known to: a program may write where it likes.
	Adds func(s agent.ToolSpec) bool

	// Profile is that of every call's cell. The zero value is the strictest; another one is for
	// machines that have no cells of that, where a person allowed it.
	Profile agent.Profile

	// Undoable reports whether all that calls of a tool write can be taken back by the
	// tool itself, as its manifest says. It says nothing of calls aimed at files of the
	// workspace. It must be safe for concurrent use. Nil means that no tool is known to.
	Undoable func(s agent.ToolSpec) bool
}

// Validate reports settings that mean nothing.
func (o Options) Validate() error {
	var errs []error
	for _, m := range []review.Mode{o.Effects, o.Reads} {
		if m != review.Reason && m != review.Logits {
			errs = append(errs, fmt.Errorf("review mode %d is not known", m))
		}
	}
	if o.Profile > agent.Reduced {
		errs = append(errs, fmt.Errorf("profile %d is not known", o.Profile))
	}
	return errors.Join(append(errs, review.Options{Thresholds: o.Thresholds, MaxTokens: o.MaxTokens}.Validate())...)
}

// Gate is the judge of runs. It keeps nothing between calls that would change a verdict,
// and is safe for use by several runs at once. The zero Gate denies everything.
type Gate struct {
	opts   Options
	rules  *policy.Set
	review *review.Reviewer
	memo   provenance.Memo
}

// New returns a Gate, or every fault of its settings.
func New(o Options) (*Gate, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("configure the gate: %w", err)
	}
	r, err := review.New(review.Options{Thresholds: o.Thresholds, MaxTokens: o.MaxTokens})
	if err != nil {
		return nil, fmt.Errorf("configure the gate: %w", err)
	}
	rules := o.Policy
	if rules == nil {
		if rules, err = floor(); err != nil {
			return nil, fmt.Errorf("configure the gate: %w", err)
		}
	}
	return &Gate{opts: o, rules: rules, review: r}, nil
}

var errNoGate = errors.New("the gate was not configured")

// Prompt labels the user's request, the last message of the user in c, and plans which
// effectful tools it authorises. Both see only what the operator and the user wrote:
// text of another origin may stand before or after the request, in any role, but no turn
// may. Malicious denies, sensitive asks, benign allows. What cannot be labelled or
// planned is denied with the code judge_error; a failing generator is also returned as
// the error.
func (g *Gate) Prompt(ctx context.Context, gen agent.Generator, c agent.Conversation) (agent.Assessment, error) {
	if g.review == nil {
		return agent.Assessment{Verdict: unjudged(errNoGate)}, nil
	}
	if !requested(c) {
		return agent.Assessment{Verdict: unjudged(errors.New("no request of the user to judge"))}, nil
	}
	o, err := g.review.Prompt(ctx, gen, c)
	v := ofOpinion(o, "prompt")
	if err != nil {
		return agent.Assessment{Verdict: failed(v, err)}, broken("label the request", err)
	}
	if v.Outcome == agent.Deny {
		return agent.Assessment{Verdict: v}, nil
	}
	tools, gens, err := g.review.Plan(ctx, gen, c)
	v.Gens = append(v.Gens, gens...)
	if err != nil {
		return agent.Assessment{Verdict: failed(v, err)}, broken("plan the request", err)
	}
	return agent.Assessment{Verdict: v, Authority: agent.Authority{Tools: effectful(c, tools)}}, nil
}

// requested reports whether the user said something that nothing has answered yet.
func requested(c agent.Conversation) bool {
	for _, m := range slices.Backward(c.Messages) {
		if m.Role != agent.User || m.Origin.Trusted() {
			return m.Role == agent.User
		}
	}
	return false
}

// effectful keeps the tools that do more than read: nothing else needs authority.
func effectful(c agent.Conversation, tools []string) []string {
	return slices.DeleteFunc(tools, func(n string) bool {
		for _, s := range c.Tools {
			if s.Name == n {
				return !Input{Effect: s.Effect}.effectful()
			}
		}
		return true
	})
}

// Call judges one call: written rules and provenance, then the model's review. The
// strictest stands.
func (g *Gate) Call(ctx context.Context, gen agent.Generator, c agent.Conversation, p agent.Proposal) (agent.Verdict, error) {
	if g.review == nil {
		return unjudged(errNoGate), nil
	}
	w, err := g.weigh(c, p)
	if err != nil {
		return unjudged(err), nil
	}
	mode := g.opts.Reads
	if w.in.effectful() {
		mode = g.opts.Effects
	}
	o, err := g.review.Call(ctx, gen, c, p.Call, mode)
	if err == nil {
		o, err = g.masked(ctx, gen, c, p, w.in, o)
	}
	if err != nil { // the review stays unknown, which denies
		return failed(w.settle(o), err), broken("review the call", err)
	}
	w.in.Review = o.Label
	return w.settle(o), nil
}

// masked lowers a benign opinion where the call does not depend on what the user asked.
func (g *Gate) masked(ctx context.Context, gen agent.Generator, c agent.Conversation, p agent.Proposal, in Input, o review.Opinion) (review.Opinion, error) {
	if !g.opts.Masked || o.Label != agent.Benign || !in.effectful() || in.taint() == agent.TaintClean {
		return o, nil
	}
	driven, gens, err := g.review.Masked(ctx, gen, c, p.Call, func(a, b agent.ToolCall) bool { return review.SameAim(p.Spec, a, b) })
	o.Gens = append(o.Gens, gens...)
	if err != nil {
		o.Label = agent.Unknown
		return o, err
	}
	if driven {
		o.Label, o.Reason = agent.Sensitive, "the model proposes the same call without knowing the task"
	}
	return o, nil
}

// Rules is the verdict of everything but the model: what Call would say if the review
// found the call benign. It generates nothing.
func (g *Gate) Rules(c agent.Conversation, p agent.Proposal) agent.Verdict {
	w, err := g.weigh(c, p)
	if err != nil {
		return unjudged(err)
	}
	w.in.Review = agent.Benign
	return w.settle(review.Opinion{})
}

// weighed is what is known of a call before its review.
type weighed struct {
	in      Input
	sinks   []agent.Sink
	spec    agent.ToolSpec
	written policy.Result
	count   policy.Count
	profile agent.Profile
	hosts   []string // that the call would be let reach
	secrets []string // names of those that it would be given
}

// settle turns the table's ruling into a verdict. Three things are ever granted to a call
// that is not denied: the right to change the workspace, where its tool writes there and it
// does more than read, the hosts that it asked for, and the secrets that its tool declares.
func (w weighed) settle(o review.Opinion) agent.Verdict {
	r := Decide(w.in)
	v := agent.Verdict{
		Outcome: r.Outcome, Label: o.Label, Probs: o.Probs, Reason: o.Reason,
		Votes: withWritten(r.Votes, w.written), Code: r.Code, Sinks: w.sinks, Gens: o.Gens, Effect: w.in.Effect,
		Basis: Basis{w.in, w.count, w.hosts, w.secrets}.encode(),
	}
	v.Grant.Write = r.Outcome != agent.Deny && w.spec.Effect == agent.Write && w.in.effectful()
	if r.Outcome != agent.Deny {
		v.Grant.Profile, v.Grant.Hosts, v.Grant.Secrets = w.profile, w.hosts, w.secrets
	}
	return v
}

// weigh gathers what the decision depends on, all but the review.
func (g *Gate) weigh(c agent.Conversation, p agent.Proposal) (weighed, error) {
	if p.Spec.Name != p.Call.Tool {
		return weighed{}, errors.New("the declaration is of another tool")
	}
	if g.opts.Drifted != nil && g.opts.Drifted(p.Spec) {
		return weighed{}, errors.New("the tool is declared otherwise than was accepted")
	}
	rec := provenance.Read(c, &g.memo)
	sinks, err := rec.Sinks(p.Call, p.Spec)
	if err != nil {
		return weighed{}, err
	}
	in := Input{
		Prompt: p.Prompt, Confirmed: p.Confirmed,
		Taint:   p.Taint.Worse(provenance.Taint(c, fixedText)),
		Effect:  g.effect(p.Spec, sinks, rec),
		Covered: p.Authority.Has(p.Call.Tool),
		Sinks:   provenance.Least(sinks),
		Public:  !provenance.Private(c),
		Typed:   typed(c, p.Call),
	}
	in.Fresh = in.Effect == agent.Write && fresh(sinks)
	borrows := func() (bool, error) { return rec.Says(p.Call, p.Spec) }
	w := weighed{in: in, sinks: sinks, spec: p.Spec, profile: g.opts.Profile, count: counted(c).before(p.Call, g.rules.NeedsTotals())}
	if g.opts.Secrets != nil {
		w.secrets = g.opts.Secrets(p.Spec)
	}
	wants, open := g.wants(p.Spec, in.Effect, sinks)
	if err := w.put(g, p.Call, wants, borrows); err != nil || !open {
		return w, err
	}
	if more := g.within(append(slices.Clone(wants), w.written.Hosts...)); len(more) > len(wants) { // rules name more
		w.in = in
		err = w.put(g, p.Call, more, borrows)
	}
	return w, err
}

// put puts the call to the written rules as one that reaches some hosts. borrows says
// whether it says what the user did not write.
func (w *weighed) put(g *Gate, c agent.ToolCall, hosts []string, borrows func() (bool, error)) error {
	w.hosts = hosts
	w.reach()
	if w.spec.Effect == agent.Write && len(hosts) == 0 && onFiles(w.sinks) { // whatever becomes of the workspace, nothing leaves it
		w.in.OwnContent, w.in.Public = true, true
	} else if w.in.outward() {
		b, err := borrows()
		if err != nil {
			return err
		}
		w.in.OwnContent = !b && !w.carriesFiles()
	}
	facts := factsOf(w.in, c, w.spec, w.sinks, w.count, hosts, w.secrets)
	facts.Checked = true // by the tracing of its sinks
	w.written = g.rules.Eval(facts)
	w.in.Written, w.in.Answered = w.written.Outcome, w.written.Answers
	w.in.Bounded = w.written.Names(hosts, w.secrets)
	return nil
}

// typed reports whether a call is, to the byte, one that a person put into the conversation.
func typed(c agent.Conversation, call agent.ToolCall) bool {
	return slices.ContainsFunc(c.Messages, func(m agent.Message) bool {
		return m.Role == agent.Assistant && m.Origin.Source == agent.SourceUser && slices.Contains(m.Calls, call)
	})
}

// codes are those of calls that did not run; fixedText knows the texts behind them.
var codes = [...]string{
	"user_denied", "not_authorised", "untrusted_value", "unsafe", "judge_error",
	"bad_arguments", "unknown_tool", "nobody_to_ask", "sandbox",
}

// fixedText reports whether a tool message is the runtime's own and holds nothing of a
// tool.
func fixedText(s string) bool {
	if s == frame.WithheldAll {
		return true
	}
	for _, c := range codes {
		if s == frame.Denied(c) {
			return true
		}
	}
	return false
}

// ofOpinion is the verdict where a label alone decides: on requests and on responses.
func ofOpinion(o review.Opinion, rule string) agent.Verdict {
	v := agent.Verdict{Label: o.Label, Probs: o.Probs, Reason: o.Reason, Gens: o.Gens}
	switch o.Label {
	case agent.Benign:
		v.Outcome = agent.Allow
	case agent.Sensitive:
		v.Outcome = agent.Ask
	case agent.Malicious:
		v.Code = "unsafe"
	default:
		v.Code = "judge_error"
	}
	v.Votes = []agent.Vote{{Rule: rule + "." + o.Label.String(), Outcome: v.Outcome, Reason: "the model's label"}}
	return v
}

// unjudged denies what never reached the model.
func unjudged(err error) agent.Verdict { return failed(agent.Verdict{}, err) }

// failed makes a verdict deny because judging failed. What was found before is kept.
func failed(v agent.Verdict, err error) agent.Verdict {
	v.Outcome, v.Code, v.Grant = agent.Deny, "judge_error", agent.Grant{}
	v.Votes = append(slices.Clip(v.Votes), agent.Vote{Rule: "judge.error", Reason: "the judgement failed"})
	if v.Reason == "" {
		v.Reason = err.Error()
	}
	return v
}

// broken is the error to return beside a denial: that of the generator, such as
// agent.ErrContext, by which the run may have to end. An answer that cannot be read, or a
// call that is not there, is a denial and nothing more.
func broken(doing string, err error) error {
	if errors.Is(err, review.ErrUnreadable) || errors.Is(err, review.ErrNoCall) {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
