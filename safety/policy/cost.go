package policy

import (
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/checker"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

// costLimit bounds one evaluation of one condition, in CEL's units (about one for each
// operation or ten characters looked at).
const costLimit = 200_000

// workspaceBudget bounds what all conditions of the workspace's file may cost together for
// one call: whoever controls a workspace may stop work in it, and not by making a decision
// take minutes.
const workspaceBudget = 500_000

// Bounds of what conditions may walk over; a call with more is denied.
const (
	maxSinks    = 4096
	maxCommands = 1024
)

// program makes a checked condition ready to run. Where no facts can make it dearer than
// the limit, its cost is not counted while it runs, unless counted says so.
func program(env *cel.Env, checked *cel.Ast, counted bool) (cel.Program, error) {
	opts := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if est, err := env.EstimateCost(checked, sizes{}); counted || err != nil || est.Max > costLimit {
		opts = append(opts, cel.CostLimit(costLimit))
	}
	return env.Program(checked, opts...)
}

// sizes bounds the facts whose size is bounded.
type sizes struct{}

// EstimateSize implements checker.CostEstimator.
func (sizes) EstimateSize(n checker.AstNode) *checker.SizeEstimate {
	p := n.Path()
	if len(p) == 0 {
		return nil
	}
	last := p[len(p)-1]
	switch {
	case len(p) == 1 && last == "sinks":
		return &checker.SizeEstimate{Max: maxSinks}
	case len(p) == 1 && last == "commands":
		return &checker.SizeEstimate{Max: maxCommands}
	case len(p) == 1 && words[last] != nil, p[0] == "sinks" && (last == "role" || last == "source"):
		return &checker.SizeEstimate{Max: 20}
	}
	return nil
}

// EstimateCallCost implements checker.CostEstimator.
func (sizes) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}

// only lists the tools to which a condition can apply: those it names in a comparison
// that must hold for all of it to hold. nil means any tool.
func only(e ast.Expr) []string {
	if e.Kind() != ast.CallKind {
		return nil
	}
	c := e.AsCall()
	args := c.Args()
	switch c.FunctionName() {
	case "_&&_":
		a, b := only(args[0]), only(args[1])
		if a == nil || b == nil {
			return append(a, b...)
		}
		return slices.DeleteFunc(a, func(t string) bool { return !slices.Contains(b, t) })
	case "_==_":
		for i := range args {
			if s, ok := literal(args[1-i]); ok && isTool(args[i]) {
				return []string{s}
			}
		}
	case "@in":
		if isTool(args[0]) && args[1].Kind() == ast.ListKind {
			out := []string{}
			for _, x := range args[1].AsList().Elements() {
				s, ok := literal(x)
				if !ok {
					return nil
				}
				out = append(out, s)
			}
			return out
		}
	}
	return nil
}

func isTool(e ast.Expr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == "tool" }

func literal(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}
