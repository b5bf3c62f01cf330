package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"reflect"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Facts is what rules see of a call. The label of its review is not among them: written
// rules come first, and the review can only lower what they leave.
type Facts struct {
	Tool      string
	Declared  agent.Effect // of the tool
	Effect    agent.Effect // of this call
	Args      string       // one plain JSON object
	Checked   bool         // agent.ToolCall.CheckArgs has passed Args, so that it need not here
	Commands  []Command    // of the arguments that are command lines
	Sinks     []agent.Sink
	Prompt    agent.Label
	Confirmed bool
	Taint     agent.Taint
	Covered   bool     // the request authorises the tool
	Hosts     []string // that the call would be let reach
	Secrets   []string // names of those that it would be given
	Count     Count
}

// Count is what a run has done before the call.
type Count struct {
	Calls    map[string]int     `json:"calls,omitempty"`     // that ran, by tool
	BytesOut int64              `json:"bytes_out,omitempty"` // of arguments of calls that left the machine
	Totals   map[string]float64 `json:"totals,omitempty"`    // of the numeric arguments of this tool by name, this call included
}

// Command is one simple command of a shell line.
type Command struct {
	Name   string   `cel:"name"`   // "" if only the shell can tell
	Words  []string `cel:"words"`  // that follow the name; "" for one that only the shell can tell
	Plain  bool     `cel:"plain"`  // name and words are all literal
	Writes []string `cel:"writes"` // files that output is redirected to
	Reads  []string `cel:"reads"`  // files that input comes from
	Nested bool     `cel:"nested"` // inside a substitution, a function or the background
}

// sink is agent.Sink as rules see it.
type sink struct {
	Arg    string `cel:"arg"`
	Value  string `cel:"value"`
	Role   string `cel:"role"`
	Source string `cel:"source"`
	Tool   string `cel:"tool"`
}

// needs says which of the facts that cost time some rule looks at.
type needs uint8

const (
	needArgs needs = 1 << iota
	needCommands
	needCounts
	needTotals
)

// NeedsCommands reports whether some rule looks at parsed commands.
func (s *Set) NeedsCommands() bool { return s.needs&needCommands != 0 }

// NeedsTotals reports whether some rule looks at sums over earlier arguments.
func (s *Set) NeedsTotals() bool { return s.needs&needTotals != 0 }

// The words of each fact that is one of a few.
var words = map[string][]string{
	"effect":   {"unknown", "pure", "read", "sensitive_read", "write", "outward", "irreversible"},
	"declared": {"unknown", "pure", "read", "sensitive_read", "write", "outward", "irreversible"},
	"prompt":   {"unknown", "benign", "sensitive", "malicious"},
	"taint":    {"clean", "untrusted", "malicious"},
	"origin":   {"unknown", "model", "tool", "user", "operator"},
	"source":   {"unknown", "model", "tool", "user", "operator"},
	"role":     {"target", "content", "selector", "command", "path", "credential", ""},
}

// environment declares the facts and functions of conditions.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.EnableMacroCallTracking(),
		cel.CrossTypeNumericComparisons(true),
		cel.ExpressionNestingDepthLimit(64),
		cel.ParserExpressionSizeLimit(20000),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateComprehensionNestingLimit(2)),
		ext.Strings(),
		ext.NativeTypes(reflect.TypeFor[Command](), reflect.TypeFor[sink](), ext.ParseStructTags(true)),
		cel.Variable("tool", cel.StringType),
		cel.Variable("declared", cel.StringType),
		cel.Variable("effect", cel.StringType),
		cel.Variable("args", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("commands", cel.ListType(cel.ObjectType("policy.Command"))),
		cel.Variable("sinks", cel.ListType(cel.ObjectType("policy.sink"))),
		cel.Variable("origin", cel.StringType),
		cel.Variable("hosts", cel.ListType(cel.StringType)),
		cel.Variable("secrets", cel.ListType(cel.StringType)),
		cel.Variable("prompt", cel.StringType),
		cel.Variable("confirmed", cel.BoolType),
		cel.Variable("taint", cel.StringType),
		cel.Variable("covered", cel.BoolType),
		cel.Variable("calls", cel.MapType(cel.StringType, cel.IntType)),
		cel.Variable("all_calls", cel.IntType),
		cel.Variable("bytes_out", cel.IntType),
		cel.Variable("totals", cel.MapType(cel.StringType, cel.DoubleType)),
		unary("rank", cel.StringType, cel.IntType, rank),
		unary("host", cel.StringType, cel.StringType, host),
		cel.Function("under", cel.Overload("under_string_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(func(a, b ref.Val) ref.Val {
				p, okP := a.(types.String)
				dir, okD := b.(types.String)
				if !okP || !okD {
					return types.NewErr("under wants two texts")
				}
				return types.Bool(under(string(p), string(dir)))
			}))),
	)
})

func unary(name string, in, out *cel.Type, f func(string) ref.Val) cel.EnvOption {
	return cel.Function(name, cel.Overload(name+"_string", []*cel.Type{in}, out, cel.UnaryBinding(func(v ref.Val) ref.Val {
		s, ok := v.(types.String)
		if !ok {
			return types.NewErr("%s wants a text", name)
		}
		return f(string(s))
	})))
}

// rank orders effects: rank(effect) >= rank("write").
func rank(s string) ref.Val {
	var e agent.Effect
	if err := e.UnmarshalText([]byte(s)); err != nil {
		return types.NewErr("no effect %q", s)
	}
	return types.Int(e.Rank())
}

// host is what a URL or an e-mail address is sent to, in small letters, "" if s is
// neither.
func host(s string) ref.Val {
	s = strings.TrimSpace(s)
	if u, err := url.Parse(s); err == nil && u.Host != "" {
		return types.String(strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")))
	}
	if i := strings.LastIndexByte(s, '@'); i > 0 && !strings.ContainsAny(s, " /<>") {
		return types.String(strings.ToLower(strings.TrimSuffix(s[i+1:], ".")))
	}
	return types.String("")
}

// under reports whether a path, as it is written, is dir or lies below it. A path that
// climbs is under nothing.
func under(p, dir string) bool {
	if strings.Contains(p, "..") || strings.ContainsRune(p, 0) {
		return false
	}
	p, dir = path.Clean(p), path.Clean(dir)
	return p == dir || dir == "." && !path.IsAbs(p) || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// view is Facts as conditions resolve them. It is made for one call of Eval.
type view struct {
	tool, declared, effect, origin, taint, prompt        types.String
	confirmed, covered                                   types.Bool
	bytesOut, allCalls                                   types.Int
	args, commands, sinks, calls, totals, hosts, secrets ref.Val
}

// ResolveName implements cel.Activation.
func (v *view) ResolveName(name string) (any, bool) {
	switch name {
	case "tool":
		return v.tool, true
	case "declared":
		return v.declared, true
	case "effect":
		return v.effect, true
	case "args":
		return v.args, v.args != nil
	case "commands":
		return v.commands, v.commands != nil
	case "sinks":
		return v.sinks, true
	case "origin":
		return v.origin, true
	case "hosts":
		return v.hosts, true
	case "secrets":
		return v.secrets, true
	case "prompt":
		return v.prompt, true
	case "confirmed":
		return v.confirmed, true
	case "taint":
		return v.taint, true
	case "covered":
		return v.covered, true
	case "calls":
		return v.calls, v.calls != nil
	case "all_calls":
		return v.allCalls, true
	case "bytes_out":
		return v.bytesOut, true
	case "totals":
		return v.totals, v.totals != nil
	}
	return nil, false
}

// Parent implements cel.Activation.
func (v *view) Parent() cel.Activation { return nil }

// view prepares the facts that the rules of s look at.
func (s *Set) view(f Facts) (*view, error) {
	env, err := environment()
	if err != nil {
		return nil, err
	}
	if len(f.Sinks) > maxSinks || len(f.Commands) > maxCommands {
		return nil, errors.New("the call has more parts than rules can look at")
	}
	adapt := env.CELTypeAdapter().NativeToValue
	least := agent.SourceOperator
	sinks := make([]sink, len(f.Sinks))
	for i, k := range f.Sinks {
		least = min(least, k.Origin.Source)
		sinks[i] = sink{k.Arg, k.Value, string(k.Role), k.Origin.Source.String(), k.Origin.Tool}
	}
	v := &view{
		tool: types.String(f.Tool), declared: types.String(f.Declared.String()), effect: types.String(f.Effect.String()),
		origin: types.String(least.String()), taint: types.String(f.Taint.String()), prompt: types.String(f.Prompt.String()),
		confirmed: types.Bool(f.Confirmed), covered: types.Bool(f.Covered), bytesOut: types.Int(f.Count.BytesOut), sinks: adapt(sinks), hosts: adapt(f.Hosts), secrets: adapt(f.Secrets),
	}
	if s.needs&needArgs != 0 {
		args, err := decodeArgs(f.Args, f.Checked)
		if err != nil {
			return nil, err
		}
		v.args = adapt(args)
	}
	if s.needs&needCommands != 0 {
		v.commands = adapt(f.Commands)
	}
	if s.needs&needCounts != 0 {
		for _, n := range f.Count.Calls {
			v.allCalls += types.Int(n)
		}
		v.calls = adapt(f.Count.Calls)
	}
	if s.needs&needTotals != 0 {
		v.totals = adapt(f.Count.Totals)
	}
	return v, nil
}

// decodeArgs reads arguments as CEL sees them: whole numbers as int, others as double.
func decodeArgs(s string, checked bool) (map[string]any, error) {
	if !checked {
		if err := (agent.ToolCall{Args: s}).CheckArgs(); err != nil {
			return nil, err
		}
	}
	d := json.NewDecoder(bytes.NewReader([]byte(s)))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("%w: %v", agent.ErrArguments, err)
	}
	for k, v := range m {
		m[k] = plain(v)
	}
	return m, nil
}

func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, _ := v.Float64() // out of range: infinity, which compares as it should
		return f
	case map[string]any:
		for k, e := range v {
			v[k] = plain(e)
		}
	case []any:
		for i, e := range v {
			v[i] = plain(e)
		}
	}
	return v
}
