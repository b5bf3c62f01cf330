package safety_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety"
	"github.com/holdfast-run/holdfast/safety/policy"
)

// values lists what each input can be, worst first where there is an order.
type values struct {
	labels   []agent.Label
	taints   []agent.Taint
	effects  []agent.Effect
	sources  []agent.Source
	outcomes []agent.Outcome
}

var declared = values{
	labels: []agent.Label{agent.Unknown, agent.Malicious, agent.Sensitive, agent.Benign},
	taints: []agent.Taint{agent.TaintMalicious, agent.TaintUntrusted, agent.TaintClean},
	effects: []agent.Effect{agent.EffectUnknown, agent.Irreversible, agent.Outward, agent.Write, agent.SensitiveRead,
		agent.Read, agent.Pure},
	sources:  []agent.Source{agent.SourceUnknown, agent.SourceModel, agent.SourceTool, agent.SourceUser, agent.SourceOperator},
	outcomes: []agent.Outcome{agent.Deny, agent.Ask, agent.Allow},
}

// undeclared adds a value outside each declared set: the table must be total.
func undeclared() values {
	v := declared
	v.labels = append(slices.Clip(v.labels), 77)
	v.taints = append(slices.Clip(v.taints), 77)
	v.effects = append(slices.Clip(v.effects), 77)
	v.sources = append(slices.Clip(v.sources), 77)
	v.outcomes = append(slices.Clip(v.outcomes), 77)
	return v
}

// every calls f with the whole cross product of inputs, less the review and hosts.
func (v values) every(f func(safety.Input)) {
	for _, prompt := range v.labels {
		for _, taint := range v.taints {
			for _, effect := range v.effects {
				for _, sinks := range v.sources {
					for _, written := range v.outcomes {
						for bits := range 32 {
							f(safety.Input{
								Prompt: prompt, Taint: taint, Effect: effect, Sinks: sinks, Written: written,
								Confirmed: bits&1 != 0, Covered: bits&2 != 0, Fresh: bits&4 != 0,
								OwnContent: bits&8 != 0, Public: bits&16 != 0, Bounded: true,
							})
						}
					}
				}
			}
		}
	}
}

func outcome(in safety.Input, review agent.Label) agent.Outcome {
	in.Review = review
	return safety.Decide(in).Outcome
}

func TestDecideZeroDenies(t *testing.T) {
	r := safety.Decide(safety.Input{})
	if r.Outcome != agent.Deny || r.Code == "" {
		t.Fatalf("zero input: %v with code %q, want a denial with a code", r.Outcome, r.Code)
	}
}

func TestDecideIsTotal(t *testing.T) {
	n := 0
	v := undeclared()
	v.every(func(in safety.Input) {
		for i := range 2 * len(v.labels) {
			n++
			in.Review, in.Bounded = v.labels[i/2], i%2 == 0
			r := safety.Decide(in)
			if r.Outcome > agent.Allow {
				t.Fatalf("%+v: outcome %d", in, r.Outcome)
			}
			if (r.Outcome == agent.Deny) != (r.Code != "") {
				t.Fatalf("%+v: outcome %v with code %q", in, r.Outcome, r.Code)
			}
			strictest := agent.Allow
			for _, v := range r.Votes {
				strictest = strictest.Stricter(v.Outcome)
			}
			if r.Outcome != strictest {
				t.Fatalf("%+v: %v, but the strictest vote is %v", in, r.Outcome, strictest)
			}
		}
	})
	t.Logf("%d inputs", n)
}

// worsenings each move one input to its worst.
var worsenings = []struct {
	name string
	edit func(*safety.Input)
}{
	{"confirmation", func(w *safety.Input) { w.Confirmed = false }},
	{"authority", func(w *safety.Input) { w.Covered = false }},
	{"freshness", func(w *safety.Input) { w.Fresh = false }},
	{"content", func(w *safety.Input) { w.OwnContent = false }},
	{"privacy", func(w *safety.Input) { w.Public = false }},
	{"hosts", func(w *safety.Input) { w.Bounded = false }},
	{"authorship", func(w *safety.Input) { w.Typed = false }},
	{"answers", func(w *safety.Input) { w.Answered = 0 }},
	{"written rule", func(w *safety.Input) { w.Written = agent.Deny }},
	{"prompt", func(w *safety.Input) { w.Prompt = agent.Malicious }},
}

// TestDecideIsMonotonic moves one input at a time towards the worse and wants no looser
// outcome.
func TestDecideIsMonotonic(t *testing.T) {
	v := declared // less what stands for its neighbour, to keep the product small
	v.sources = []agent.Source{agent.SourceUnknown, agent.SourceTool, agent.SourceUser}
	v.outcomes = []agent.Outcome{agent.Ask, agent.Allow}
	v.every(func(in safety.Input) {
		for _, review := range v.labels {
			base := outcome(in, review)
			worse := func(what string, w safety.Input, r agent.Label) {
				if got := outcome(w, r); got > base {
					t.Fatalf("worse %s loosens %v to %v:\n%+v %v\n%+v %v", what, base, got, in, review, w, r)
				}
			}
			for c := range in.Taint {
				w := in
				w.Taint = c
				worse("taint", w, review)
			}
			for _, e := range declared.effects {
				// Rule 10 makes one exception: a fresh write can be undone, a sensitive read
				// cannot.
				if e.Rank() > in.Effect.Rank() && !(e == agent.Write && in.Fresh && in.Covered) {
					w := in
					w.Effect = e
					worse("effect", w, review)
				}
			}
			for s := range in.Sinks {
				w := in
				w.Sinks = s
				worse("sinks", w, review)
			}
			for _, k := range worsenings {
				w := in
				k.edit(&w)
				if w != in {
					worse(k.name, w, review)
				}
			}
			if review == agent.Benign {
				worse("review", in, agent.Sensitive)
			}
			worse("review", in, agent.Malicious)
			worse("review", in, agent.Unknown)
		}
	})
}

// TestDecideReviewNeverLoosens wants no label of the model to allow more than the rules
// alone.
func TestDecideReviewNeverLoosens(t *testing.T) {
	v := undeclared()
	v.every(func(in safety.Input) {
		rules := agent.Allow
		in.Review = agent.Benign
		for _, v := range safety.Decide(in).Votes {
			if v.Rule != "review" {
				rules = rules.Stricter(v.Outcome)
			}
		}
		for _, review := range v.labels {
			if got := outcome(in, review); got > rules {
				t.Fatalf("%+v: review %v gives %v, the rules alone %v", in, review, got, rules)
			}
		}
	})
}

func TestDecideRows(t *testing.T) {
	base := safety.Input{
		Prompt: agent.Benign, Taint: agent.TaintClean, Effect: agent.Write, Covered: true, Sinks: agent.SourceUser,
		OwnContent: true, Public: true, Bounded: true, Written: agent.Allow, Review: agent.Benign,
	}
	for _, tt := range []struct {
		name string
		edit func(*safety.Input)
		want agent.Outcome
		code string
		rule string // must have voted for want
	}{
		{"AllowsWriteTheUserNamed", func(*safety.Input) {}, agent.Allow, "", "sinks.user"},
		{"AllowsItAfterToolResponses", func(in *safety.Input) { in.Taint = agent.TaintUntrusted }, agent.Allow, "", "sinks.user"},
		{"RefusesMaliciousRequest", func(in *safety.Input) { in.Prompt = agent.Malicious }, agent.Deny, "unsafe", "prompt.malicious"},
		{"RefusesUnlabelledRequest", func(in *safety.Input) { in.Prompt = agent.Unknown }, agent.Deny, "judge_error", "prompt.unknown"},
		{"AsksBeforeSensitiveEffect", func(in *safety.Input) { in.Prompt = agent.Sensitive }, agent.Ask, "", "prompt.unconfirmed"},
		{"AllowsConfirmedSensitiveEffect", func(in *safety.Input) { in.Prompt, in.Confirmed = agent.Sensitive, true }, agent.Allow, "", "sinks.user"},
		{"AsksOnceForConfirmedSensitiveCall", func(in *safety.Input) {
			in.Prompt, in.Confirmed, in.Review = agent.Sensitive, true, agent.Sensitive
		}, agent.Allow, "", "review"},
		{"AsksForSensitiveCallOfBenignRequest", func(in *safety.Input) { in.Review = agent.Sensitive }, agent.Ask, "", "review"},
		{"AsksForSensitiveReadOfPoisonedContext", func(in *safety.Input) {
			in.Prompt, in.Confirmed, in.Review, in.Effect, in.Taint = agent.Sensitive, true, agent.Sensitive, agent.Read, agent.TaintMalicious
		}, agent.Ask, "", "review"},
		{"AsksForConfirmedCallOutsideTheTask", func(in *safety.Input) {
			in.Prompt, in.Confirmed, in.Review, in.Covered = agent.Sensitive, true, agent.Sensitive, false
		}, agent.Ask, "", "authority.clean"},
		{"AllowsReads", func(in *safety.Input) {
			in.Effect, in.Sinks, in.Covered, in.Taint = agent.Read, agent.SourceTool, false, agent.TaintMalicious
		}, agent.Allow, "", "effect.read"},
		{"DeniesEffectsAfterReleasedInjection", func(in *safety.Input) { in.Taint = agent.TaintMalicious }, agent.Deny, "unsafe", "taint.malicious"},
		{"AsksOutsideAuthorityWhenClean", func(in *safety.Input) { in.Covered = false }, agent.Ask, "", "authority.clean"},
		{"DeniesOutsideAuthorityWhenTainted", func(in *safety.Input) {
			in.Covered, in.Taint = false, agent.TaintUntrusted
		}, agent.Deny, "not_authorised", "authority.tainted"},
		{"AsksForSinkOfTool", func(in *safety.Input) { in.Sinks = agent.SourceTool }, agent.Ask, "", "sinks.untrusted"},
		{"AsksForSinkOfModel", func(in *safety.Input) { in.Sinks = agent.SourceModel }, agent.Ask, "", "sinks.untrusted"},
		{"AllowsFreshWrite", func(in *safety.Input) { in.Sinks, in.Fresh = agent.SourceModel, true }, agent.Allow, "", "write.fresh"},
		{"AsksForFreshOutwardCall", func(in *safety.Input) {
			in.Effect, in.Sinks, in.Fresh = agent.Outward, agent.SourceModel, true
		}, agent.Ask, "", "sinks.untrusted"},
		{"AsksForIrreversible", func(in *safety.Input) { in.Effect = agent.Irreversible }, agent.Ask, "", "effect.irreversible"},
		{"AsksForUndeclaredEffect", func(in *safety.Input) { in.Effect = agent.EffectUnknown }, agent.Ask, "", "effect.irreversible"},
		{"AsksBeforeToolTextLeaves", func(in *safety.Input) {
			in.Effect, in.OwnContent = agent.Outward, false
		}, agent.Ask, "", "content.untrusted"},
		{"AsksBeforePrivateDataLeaves", func(in *safety.Input) {
			in.Effect, in.Public, in.Sinks = agent.Outward, false, agent.SourceModel
		}, agent.Ask, "", "content.private"},
		{"AsksBeforeHostsAreReached", func(in *safety.Input) {
			in.Effect, in.Bounded = agent.Outward, false
		}, agent.Ask, "", "grant.unnamed"},
		{"ObeysWrittenDenial", func(in *safety.Input) { in.Written = agent.Deny }, agent.Deny, "unsafe", "written"},
		{"ObeysMaliciousReview", func(in *safety.Input) { in.Review = agent.Malicious }, agent.Deny, "unsafe", "review"},
		{"AsksAboutWhatAPersonTypedThatTheModelCallsMalicious", func(in *safety.Input) {
			in.Typed, in.Review = true, agent.Malicious
		}, agent.Ask, "", "review"},
		{"DeniesWhatAPersonTypedWithoutReview", func(in *safety.Input) {
			in.Typed, in.Review = true, agent.Unknown
		}, agent.Deny, "judge_error", "review.missing"},
		{"DeniesWhatAPersonTypedAgainstAWrittenRule", func(in *safety.Input) {
			in.Typed, in.Written = true, agent.Deny
		}, agent.Deny, "unsafe", "written"},
		{"DeniesWithoutReview", func(in *safety.Input) { in.Review = agent.Unknown }, agent.Deny, "judge_error", "review.missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := base
			tt.edit(&in)
			r := safety.Decide(in)
			if r.Outcome != tt.want || r.Code != tt.code {
				t.Fatalf("%v with code %q, want %v with %q: %v", r.Outcome, r.Code, tt.want, tt.code, r.Votes)
			}
			for _, v := range r.Votes {
				if v.Rule == tt.rule && v.Outcome == tt.want {
					return
				}
			}
			t.Fatalf("rule %s did not vote %v: %v", tt.rule, tt.want, r.Votes)
		})
	}
}

func ExampleDecide() {
	r := safety.Decide(safety.Input{
		Prompt: agent.Benign, Taint: agent.TaintUntrusted, Effect: agent.Outward, Covered: true,
		Sinks: agent.SourceTool, OwnContent: true, Public: true, Bounded: true, Written: agent.Allow, Review: agent.Benign,
	})
	fmt.Println(r.Outcome)
	for _, v := range r.Votes {
		fmt.Println(v.Outcome, v.Rule)
	}
	// Output:
	// ask
	// ask sinks.untrusted
	// allow written
	// allow review
}

// TestAnsweredQuestions checks what a written rule can answer in advance: a question of
// the table, never a denial, a question about the request, or the review's.
func TestAnsweredQuestions(t *testing.T) {
	v := declared
	v.labels = []agent.Label{agent.Malicious, agent.Sensitive, agent.Benign}
	v.sources = []agent.Source{agent.SourceTool, agent.SourceUser}
	v.outcomes = []agent.Outcome{agent.Ask, agent.Allow}
	v.effects = []agent.Effect{agent.EffectUnknown, agent.Outward, agent.Write, agent.Read}
	n := 0
	v.every(func(in safety.Input) {
		for _, review := range []agent.Label{agent.Benign, agent.Sensitive, agent.Malicious, agent.Unknown} {
			bare := outcome(in, review)
			last := bare
			for q := policy.Questions(1); q != 0 && q <= policy.Private; q = q<<1 | 1 {
				in.Answered = q
				got := outcome(in, review)
				switch {
				case got < last:
					t.Fatalf("%+v %v: answering more tightens %v to %v", in, review, last, got)
				case bare == agent.Deny && got != agent.Deny:
					t.Fatalf("%+v %v: a denial was answered", in, review)
				case got != bare && (review != agent.Benign && !(review == agent.Sensitive && in.Confirmed) || in.Written != agent.Allow ||
					in.Prompt == agent.Sensitive && !in.Confirmed || in.Taint == agent.TaintMalicious):
					t.Fatalf("%+v %v: answering gives %v for %v", in, review, got, bare)
				}
				if last = got; got != bare {
					n++
				}
			}
			// More taint, a worse effect or a worse review never loosens, whatever is answered.
			for q := range policy.Private << 1 {
				in.Answered = q
				base := outcome(in, review)
				w := in
				if w.Taint > 0 {
					w.Taint--
				}
				if got := outcome(w, review); got > base {
					t.Fatalf("%+v: more taint loosens %v to %v", in, base, got)
				}
				if review == agent.Benign {
					for _, worse := range []agent.Label{agent.Sensitive, agent.Malicious, agent.Unknown, 77} {
						if got := outcome(in, worse); got > base {
							t.Fatalf("%+v: review %v loosens %v to %v", in, worse, base, got)
						}
					}
				}
			}
			in.Answered = 0
		}
	})
	if n == 0 {
		t.Error("no question was ever answered")
	}
}
