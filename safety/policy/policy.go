// Package policy holds the written rules: it reads policy files, checks them, and says
// which rules fire for a call.
//
// A file is YAML, each rule a condition in CEL, typed and checked when it is loaded and
// bounded in cost when it runs. Files come in layers. What a rule may do depends on its
// layer: a rule of any layer may ask or deny; only those of the system and the user may
// answer in advance a question that the decision table would ask, and only the questions
// they name; nothing answers what another rule asks. So no layer can loosen one above it.
//
// The package decides nothing and reads no file: callers hand it texts and facts, and
// package safety lets the strictest vote stand. A condition that errs counts as a denial.
// A rule is read so that a worse taint or a worse label of the request never makes it
// milder, see [Set.Eval]. A Set is immutable and safe for concurrent use.
package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Layer says whose file a rule is of. The zero Layer is the least trusted.
type Layer uint8

// The layers, least trusted first.
const (
	Workspace Layer = iota // of the project the run works on: may only ask and deny
	User                   // of whoever runs holdfast
	System                 // of the machine
	Builtin                // of this build
)

var layerNames = [...]string{"workspace", "user", "system", "builtin"}

// String returns the layer's name in votes and in the ledger.
func (l Layer) String() string {
	if int(l) < len(layerNames) {
		return layerNames[l]
	}
	return layerNames[Workspace]
}

// MarshalText implements encoding.TextMarshaler.
func (l Layer) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. Unknown words become Workspace.
func (l *Layer) UnmarshalText(b []byte) error {
	*l = Layer(max(0, slices.Index(layerNames[:], string(b))))
	return nil
}

// Questions is a set of the table's questions that a rule answers in advance. The zero
// Questions answers none.
type Questions uint8

// The questions, by the words of a policy file.
const (
	Uncovered    Questions = 1 << iota // the request does not cover the tool
	Unnamed                            // the user did not name what the effect is aimed at
	Irreversible                       // it cannot be undone
	Borrowed                           // text that the user did not write leaves the machine after a tool response was read
	Private                            // private data goes where the user did not say
)

var questionWords = []struct {
	word string
	q    Questions
}{
	{"request-does-not-cover-tool", Uncovered},
	{"user-did-not-name-target", Unnamed},
	{"cannot-be-undone", Irreversible},
	{"tool-text-leaves", Borrowed},
	{"private-data-leaves", Private},
}

// Has reports whether q holds every question of p.
func (q Questions) Has(p Questions) bool { return q&p == p }

// String lists the questions in the words of a policy file.
func (q Questions) String() string {
	var words []string
	for _, k := range questionWords {
		if q.Has(k.q) {
			words = append(words, k.word)
		}
	}
	return strings.Join(words, ", ")
}

func parseQuestions(words []string) (Questions, error) {
	var q Questions
	for _, w := range words {
		i := slices.IndexFunc(questionWords, func(k struct {
			word string
			q    Questions
		}) bool {
			return k.word == w
		})
		if i < 0 {
			return 0, fmt.Errorf("answers: no question %q; there are %s", w, Questions(0xFF))
		}
		q |= questionWords[i].q
	}
	return q, nil
}

// Source is one policy file.
type Source struct {
	Layer Layer  `json:"layer"`
	Name  string `json:"name"` // where it was read from
	Text  string `json:"text"`
}

// Digest identifies the text: SHA-256, in hex.
func (s Source) Digest() string {
	d := sha256.Sum256([]byte(s.Text))
	return hex.EncodeToString(d[:])
}

// Rule is one written rule.
type Rule struct {
	ID      string
	Layer   Layer
	Source  string // name of its file
	Line    int
	Tools   []string // it concerns only these; empty means every tool
	When    string   // CEL, "" for always
	Outcome agent.Outcome
	Answers Questions // of an allowing rule
	Hosts   []string  // that an allowing rule names: calls that it concerns may reach them
	Secrets []string  // likewise: they may be given these, which their tool declares
	Reason  string
	Remedy  string // what a person can do about it

	program cel.Program // nil for always
	ast     *cel.Ast
	only    []string // tools outside of which the condition cannot hold, nil for none
	ordered bool     // mentions taint or the label of the request
	needs   needs
}

// Name is the rule's name in votes: layer and id.
func (r *Rule) Name() string { return r.Layer.String() + "/" + r.ID }

// Error is one fault of a policy file.
type Error struct {
	Source string
	Line   int    // 0 if unknown
	Rule   string // "" if it concerns no rule
	Msg    string
}

// Error implements error.
func (e *Error) Error() string {
	s := e.Source
	if e.Line > 0 {
		s += fmt.Sprintf(":%d", e.Line)
	}
	if e.Rule != "" {
		s += ": rule " + e.Rule
	}
	return s + ": " + e.Msg
}

// Set is every rule in force, the most trusted layer first.
type Set struct {
	rules   []*Rule
	sources []Source
	needs   needs
}

// maxRules bounds a Set, so that a decision stays well below a millisecond.
const maxRules = 1000

// Load compiles the sources together with the floor of this build. The error joins
// every fault found, each an *Error.
func Load(sources ...Source) (*Set, error) {
	all := []Source{Floor()}
	for _, s := range sources {
		if s.Layer >= Builtin {
			return nil, &Error{Source: s.Name, Msg: "only this build may be the layer " + Builtin.String()}
		}
		all = append(all, s)
	}
	return compileAll(all)
}

// recorded is the form of a Set in the ledger.
type recorded struct {
	Sources []Source `json:"sources"`
}

// Record is the Set as it is kept in the ledger: every file with its text.
func (s *Set) Record() []byte { return agent.JSON(recorded{s.sources}).Data }

// Restore compiles a recorded Set, the floor of then included.
func Restore(b []byte) (*Set, error) {
	var r recorded
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("read recorded policy: %w", err)
	}
	return compileAll(r.Sources)
}

func compileAll(sources []Source) (*Set, error) {
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("set up policy conditions: %w", err)
	}
	sources = slices.Clone(sources)
	slices.SortStableFunc(sources, func(a, b Source) int { return int(b.Layer) - int(a.Layer) })
	s := &Set{sources: sources}
	var errs []error
	seen := map[string]*Rule{}
	for _, src := range sources {
		rules, err := parse(src)
		if err != nil {
			errs = append(errs, err)
		}
		for _, r := range rules {
			if first := seen[r.Name()]; first != nil {
				errs = append(errs, &Error{src.Name, r.Line, r.ID, fmt.Sprintf("the id is taken by %s:%d", first.Source, first.Line)})
				continue
			}
			seen[r.Name()] = r
			if err := r.compile(env); err != nil {
				errs = append(errs, err)
			}
			s.rules = append(s.rules, r)
			s.needs |= r.needs
		}
	}
	if len(s.rules) > maxRules {
		errs = append(errs, &Error{Source: "policy", Msg: fmt.Sprintf("%d rules in all, at most %d", len(s.rules), maxRules)})
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return s, nil
}

// Rules returns the rules, the most trusted layer first. The caller must not change
// what they point at.
func (s *Set) Rules() []*Rule { return slices.Clone(s.rules) }

// Sources returns the files of the Set.
func (s *Set) Sources() []Source { return slices.Clone(s.sources) }

// Digest identifies the rules in force by layer and text, wherever they were read from:
// SHA-256, in hex.
func (s *Set) Digest() string {
	h := sha256.New()
	for _, src := range s.sources {
		fmt.Fprintf(h, "%s %s\n", src.Layer, src.Digest())
	}
	return hex.EncodeToString(h.Sum(nil))
}
