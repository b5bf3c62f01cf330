package policy

import (
	"fmt"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Finding is something about a rule that its author probably did not mean. The rules
// are in force all the same.
type Finding struct {
	Rule *Rule
	Msg  string
}

// String places the finding in its file.
func (f Finding) String() string {
	return (&Error{f.Rule.Source, f.Rule.Line, f.Rule.ID, f.Msg}).Error()
}

// Lint looks for rules that can never fire, that change nothing because another is at
// least as strict wherever they fire, and that allow what another asks or denies. tools
// are the names on offer, nil if they are not known: a rule for none of them is named
// too. What Lint says holds; it does not find everything.
func (s *Set) Lint(tools []string) []Finding {
	forms := make([]form, len(s.rules))
	for i, r := range s.rules {
		forms[i] = r.form()
	}
	var out []Finding
	for i, r := range s.rules {
		if r.Layer == Builtin {
			continue
		}
		if forms[i].never() {
			out = append(out, Finding{r, "can never fire: its condition contradicts itself"})
			continue
		}
		for j, other := range s.rules {
			if i == j || !forms[i].implies(forms[j]) {
				continue
			}
			if msg := overlap(r, other, j < i || !forms[j].implies(forms[i])); msg != "" {
				out = append(out, Finding{r, msg})
				break
			}
		}
		if tools == nil {
			continue
		}
		for _, t := range append(slices.Clone(r.Tools), r.only...) {
			if !slices.Contains(tools, t) {
				out = append(out, Finding{r, fmt.Sprintf("no tool on offer is called %q", t)})
				break
			}
		}
	}
	return out
}

// overlap is what is wrong with r when other fires wherever it does. first says that
// other is to be kept of two that say the same.
func overlap(r, other *Rule, first bool) string {
	at := fmt.Sprintf("%s (%s:%d)", other.Name(), other.Source, other.Line)
	switch {
	case other.Outcome == agent.Allow:
		if r.Outcome == agent.Allow && first && other.Answers.Has(r.Answers) && (Result{Hosts: other.Hosts, Secrets: other.Secrets}).Names(r.Hosts, r.Secrets) {
			return "changes nothing: " + at + " answers as much wherever it fires"
		}
		return ""
	case r.Outcome == agent.Allow:
		return fmt.Sprintf("contradicts %s, which says %s wherever it fires", at, other.Outcome)
	case other.Outcome < r.Outcome || other.Outcome == r.Outcome && first:
		return fmt.Sprintf("changes nothing: %s says %s wherever it fires", at, other.Outcome)
	}
	return ""
}

// atom is one part of a condition, taken as it stands or negated.
type atom struct {
	text string
	not  bool
	fact string // for "fact == value"
	is   string
}

// form is a condition as alternatives, each a set of atoms that must all hold. One that
// would be too long is opaque: nothing is known of it.
type form struct {
	any    [][]atom
	opaque bool
}

const maxAlternatives = 64

// form is the condition of a rule with its tools.
func (r *Rule) form() form {
	f := form{any: [][]atom{{}}}
	if r.ast != nil {
		n := normalizer{ast: r.ast}
		f.any = n.expand(r.ast.NativeRep().Expr(), false)
		f.opaque = n.tooLong
	}
	if len(r.Tools) > 0 {
		var or [][]atom
		for _, t := range r.Tools {
			or = append(or, []atom{equals("tool", t)})
		}
		f.any = product(or, f.any)
	}
	f.opaque = f.opaque || len(f.any) > maxAlternatives
	f.any = slices.DeleteFunc(f.any, contradicts)
	return f
}

func equals(fact, value string) atom {
	return atom{text: fact + " == " + value, fact: fact, is: value}
}

func (f form) never() bool { return !f.opaque && len(f.any) == 0 }

// implies reports whether g certainly holds wherever f does.
func (f form) implies(g form) bool {
	if f.opaque || g.opaque {
		return false
	}
	for _, a := range f.any {
		if !slices.ContainsFunc(g.any, func(b []atom) bool {
			return !slices.ContainsFunc(b, func(x atom) bool { return !slices.Contains(a, x) })
		}) {
			return false
		}
	}
	return true
}

// contradicts reports whether the atoms cannot all hold.
func contradicts(all []atom) bool {
	for i, a := range all {
		for _, b := range all[:i] {
			switch {
			case a.text == b.text && a.not != b.not:
				return true
			case a.fact != "" && a.fact == b.fact && !a.not && !b.not && a.is != b.is:
				return true
			}
		}
	}
	return false
}

func product(a, b [][]atom) [][]atom {
	var out [][]atom
	for _, x := range a {
		for _, y := range b {
			both := slices.Clone(x)
			for _, k := range y {
				if !slices.Contains(both, k) {
					both = append(both, k)
				}
			}
			out = append(out, both)
		}
	}
	return out
}

// normalizer turns a condition into alternatives.
type normalizer struct {
	ast     *cel.Ast
	tooLong bool
}

func (n *normalizer) expand(e ast.Expr, not bool) [][]atom {
	if e.Kind() == ast.LiteralKind {
		if b, ok := e.AsLiteral().(types.Bool); ok {
			if bool(b) != not {
				return [][]atom{{}}
			}
			return nil
		}
	}
	if e.Kind() != ast.CallKind {
		return n.single(e, not)
	}
	c := e.AsCall()
	args := c.Args()
	switch c.FunctionName() {
	case "!_":
		return n.expand(args[0], !not)
	case "_&&_", "_||_":
		a, b := n.expand(args[0], not), n.expand(args[1], not)
		if (c.FunctionName() == "_&&_") != not {
			if len(a)*len(b) > maxAlternatives {
				n.tooLong = true
				return [][]atom{{}}
			}
			return product(a, b)
		}
		return append(slices.Clone(a), b...)
	case "_==_", "_!=_":
		for i := range args {
			if s, ok := literal(args[1-i]); ok && args[i].Kind() == ast.IdentKind {
				k := equals(args[i].AsIdent(), s)
				k.not = not != (c.FunctionName() == "_!=_")
				return [][]atom{{k}}
			}
		}
	case "@in":
		return n.member(e, args[0], args[1], not)
	}
	return n.single(e, not)
}

// member is a comparison with a list of texts: one alternative each, or none of them.
func (n *normalizer) member(e, of, list ast.Expr, not bool) [][]atom {
	if of.Kind() != ast.IdentKind || list.Kind() != ast.ListKind {
		return n.single(e, not)
	}
	var or [][]atom
	none := []atom{}
	for _, x := range list.AsList().Elements() {
		s, ok := literal(x)
		if !ok {
			return n.single(e, not)
		}
		k := equals(of.AsIdent(), s)
		or = append(or, []atom{k})
		k.not = true
		none = append(none, k)
	}
	if not {
		return [][]atom{none}
	}
	return or
}

// single is a part that is taken as it stands.
func (n *normalizer) single(e ast.Expr, not bool) [][]atom {
	text, err := cel.ExprToString(e, n.ast.NativeRep().SourceInfo())
	if err != nil {
		n.tooLong = true
		return [][]atom{{}}
	}
	return [][]atom{{{text: text, not: not}}}
}
