package provenance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// leaf is one plain value of the arguments of a call, as text, and where it stands.
type leaf struct {
	at, value string
	kind      kind
}

// walker collects the leaves of one argument.
type walker struct {
	role   agent.ArgRole
	schema string
	leaves []leaf
}

func (w *walker) walk(at string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			p := at + "/" + escape(k)
			if !w.declared(k) {
				w.leaves = append(w.leaves, leaf{p, k, kindName}) // a name that the model chose
			}
			w.walk(p, v[k])
		}
	case []any:
		if line, ok := joined(v); ok && w.role == agent.RoleCommand {
			w.leaves = append(w.leaves, leaf{at, line, kindText})
			return
		}
		for i, e := range v {
			w.walk(at+"/"+strconv.Itoa(i), e)
		}
	case string:
		w.leaves = append(w.leaves, leaf{at, v, kindText})
	default:
		w.leaves = append(w.leaves, leaf{at, fmt.Sprint(v), kindOf(v)})
	}
}

// declared reports whether the schema has a name in quotation marks: as a member, or in
// a description of one.
func (w *walker) declared(name string) bool {
	q := strconv.Quote(name)
	return strings.Contains(w.schema, q) || strings.Contains(w.schema, `\"`+name+`\"`)
}

// joined writes an argument vector as one command line with each word quoted as needed.
func joined(v []any) (string, bool) {
	words := make([]string, len(v))
	for i, e := range v {
		s, ok := e.(string)
		if !ok {
			return "", false
		}
		if s == "" || strings.ContainsAny(s, " \t\r\n;|&<>'\"$`\\(){}#!*?[~") {
			s = "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		}
		words[i] = s
	}
	return strings.Join(words, " "), len(words) > 0
}

func escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// decoded reads the arguments of the call at hand, which several questions are about. The
// map is not changed.
func (r *Record) decoded(call agent.ToolCall) (map[string]any, error) {
	if r.args != nil && r.argsRaw == call.Args {
		return r.args, nil
	}
	args, err := decode(call)
	if err == nil {
		r.args, r.argsRaw = args, call.Args
	}
	return args, err
}

// decode reads arguments that CheckArgs accepts. Numbers keep their spelling.
func decode(call agent.ToolCall) (map[string]any, error) {
	if err := call.CheckArgs(); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader([]byte(call.Args)))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("%w: %v", agent.ErrArguments, err)
	}
	return m, nil
}
