package policy

import (
	"errors"
	"fmt"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// compile type-checks the condition and makes it ready to run.
func (r *Rule) compile(env *cel.Env) error {
	if r.When == "" {
		return nil
	}
	fault := func(format string, a ...any) error {
		return &Error{r.Source, r.Line, r.ID, "when: " + fmt.Sprintf(format, a...)}
	}
	checked, iss := env.Compile(r.When)
	if iss.Err() != nil {
		e := iss.Errors()[0]
		return fault("%d:%d: %s", e.Location.Line(), e.Location.Column()+1, e.Message)
	}
	if !checked.OutputType().IsExactType(cel.BoolType) {
		return fault("is a %s, not a condition", checked.OutputType())
	}
	if word, of := unknownWord(checked); word != "" {
		return fault("%q is not a value of %s", word, of)
	}
	p, err := program(env, checked, r.Layer == Workspace)
	if err != nil {
		return fault("%v", err)
	}
	r.program, r.ast, r.only = p, checked, only(checked.NativeRep().Expr())
	mentioned := func(name string) bool {
		return len(ast.MatchDescendants(ast.NavigateAST(checked.NativeRep()), func(e ast.NavigableExpr) bool {
			return e.Kind() == ast.IdentKind && e.AsIdent() == name
		})) > 0
	}
	r.ordered = mentioned("taint") || mentioned("prompt")
	for name, n := range map[string]needs{"args": needArgs, "commands": needCommands, "calls": needCounts, "all_calls": needCounts, "totals": needTotals} {
		if mentioned(name) {
			r.needs |= n
		}
	}
	return nil
}

// Fired is a rule that applies to a call.
type Fired struct {
	Rule *Rule
	Err  error // why it could not be evaluated; it then denies
}

// Outcome is what the rule votes.
func (f Fired) Outcome() agent.Outcome {
	if f.Err != nil {
		return agent.Deny
	}
	return f.Rule.Outcome
}

// Vote is the rule's vote as it is recorded.
func (f Fired) Vote() agent.Vote {
	v := agent.Vote{Rule: f.Rule.Name(), Outcome: f.Outcome(), Reason: f.Rule.Reason}
	if f.Err != nil {
		v.Reason = "the rule could not be evaluated"
	}
	return v
}

// Result is what the written rules say of a call.
type Result struct {
	Outcome agent.Outcome // the strictest of the rules that ask or deny, Allow if none does
	Answers Questions     // answered in advance
	Hosts   []string      // that allowing rules name
	Secrets []string      // likewise
	Fired   []Fired       // the most trusted layer first
}

// Names reports whether the rules that fired name every host and every secret.
func (r Result) Names(hosts, secrets []string) bool {
	return WithinHosts(hosts, r.Hosts) && !slices.ContainsFunc(secrets, func(s string) bool { return !slices.Contains(r.Secrets, s) })
}

// Eval says which rules fire. It is total: facts that cannot be read deny, and so does a
// condition that errs or costs too much.
//
// A rule that mentions the taint or the label of the request is read monotonically. One
// that asks or denies fires if it would fire here or at any better taint and label; one
// that allows, only if it would fire here and at all better ones.
func (s *Set) Eval(f Facts) Result {
	v, err := s.view(f)
	if err != nil {
		r := &Rule{ID: "facts", Layer: Builtin, Reason: "the call cannot be read"}
		return Result{Fired: []Fired{{Rule: r}}}
	}
	res, better := Result{Outcome: agent.Allow}, v.better(f)
	left := uint64(workspaceBudget)
	for _, r := range s.rules {
		if len(r.Tools) > 0 && !slices.Contains(r.Tools, f.Tool) || r.only != nil && !slices.Contains(r.only, f.Tool) {
			continue
		}
		hit, err := r.fires(v, better, &left)
		if !hit && err == nil {
			continue
		}
		k := Fired{Rule: r, Err: err}
		res.Fired = append(res.Fired, k)
		res.Outcome = res.Outcome.Stricter(k.Outcome())
		if k.Outcome() == agent.Allow {
			res.Answers |= r.Answers
			res.Hosts = append(res.Hosts, r.Hosts...)
			res.Secrets = append(res.Secrets, r.Secrets...)
		}
	}
	return res
}

var errBudget = errors.New("the workspace's rules cost too much together")

// fires evaluates the condition, at every better state where that matters. left is what
// the workspace's rules may still cost.
func (r *Rule) fires(v *view, better []view, left *uint64) (bool, error) {
	if r.program == nil {
		return true, nil
	}
	if !r.ordered {
		return r.at(v, left)
	}
	all := true
	for i := range better {
		hit, err := r.at(&better[i], left)
		if err != nil {
			return false, err
		}
		if hit && r.Outcome != agent.Allow {
			return true, nil
		}
		all = all && hit
	}
	return all && r.Outcome == agent.Allow, nil
}

func (r *Rule) at(v *view, left *uint64) (hit bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error: condition: %v", p)
		}
	}()
	if r.Layer == Workspace && *left == 0 {
		return false, errBudget
	}
	out, details, err := r.program.Eval(v)
	if r.Layer == Workspace {
		spent := uint64(costLimit) // where it cannot be told, the most that one may cost
		if n := details.ActualCost(); n != nil {
			spent = *n
		}
		*left -= min(*left, spent)
	}
	if err != nil {
		return false, err
	}
	b, ok := out.(types.Bool)
	if !ok {
		return false, fmt.Errorf("condition gave a %s", out.Type().TypeName())
	}
	return bool(b), nil
}

// better lists the view as it is and at every better taint and prompt label.
func (v *view) better(f Facts) []view {
	taints, labels := cleaner(f.Taint), milder(f.Prompt)
	out := make([]view, 0, len(taints)*len(labels))
	for _, t := range taints {
		for _, l := range labels {
			w := *v
			w.taint, w.prompt = types.String(t.String()), types.String(l.String())
			out = append(out, w)
		}
	}
	return out
}

// cleaner lists a taint and all better ones.
func cleaner(t agent.Taint) []agent.Taint {
	if t > agent.TaintClean {
		t = agent.TaintMalicious
	}
	var out []agent.Taint
	for ; t <= agent.TaintClean; t++ {
		out = append(out, t)
	}
	return out
}

// milder lists a label and all better ones; an unknown one is the worst.
func milder(l agent.Label) []agent.Label {
	out := []agent.Label{l}
	switch l {
	case agent.Benign:
	case agent.Sensitive:
		out = append(out, agent.Benign)
	case agent.Malicious:
		out = append(out, agent.Sensitive, agent.Benign)
	default:
		out = append(out, agent.Malicious, agent.Sensitive, agent.Benign)
	}
	return out
}

// unknownWord finds a comparison of a fact that is one of a few words with a text that
// is none of them.
func unknownWord(a *cel.Ast) (word, of string) {
	ast.PreOrderVisit(a.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || word != "" {
			return
		}
		c := e.AsCall()
		switch c.FunctionName() {
		case "_==_", "_!=_", "@in":
		default:
			return
		}
		for i, side := range c.Args() {
			fact := factOf(side)
			if fact == "" {
				continue
			}
			for _, s := range texts(c.Args()[1-i]) {
				if !slices.Contains(words[fact], s) {
					word, of = s, fact
				}
			}
		}
	}))
	return word, of
}

// factOf is the name of the fact that an expression stands for, if it is one of a few
// words.
func factOf(e ast.Expr) string {
	name := ""
	switch e.Kind() {
	case ast.IdentKind:
		if name = e.AsIdent(); name == "source" || name == "role" {
			return ""
		}
	case ast.SelectKind:
		of := e.AsSelect().Operand()
		if name = e.AsSelect().FieldName(); name != "source" && name != "role" || of.Kind() != ast.IdentKind || of.AsIdent() == "args" {
			return ""
		}
	}
	if words[name] == nil {
		return ""
	}
	return name
}

// texts lists the literal texts of an expression: itself, or the elements of a list.
func texts(e ast.Expr) []string {
	switch e.Kind() {
	case ast.LiteralKind:
		if s, ok := e.AsLiteral().(types.String); ok {
			return []string{string(s)}
		}
	case ast.ListKind:
		var out []string
		for _, x := range e.AsList().Elements() {
			out = append(out, texts(x)...)
		}
		return out
	}
	return nil
}
