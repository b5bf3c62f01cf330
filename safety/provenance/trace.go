// Package provenance says where values came from: it traces each argument of a call to
// the user's messages, to tool responses, or to nobody but the model, and reads the
// taint of a conversation.
//
// Tracing is by value. A value the user wrote, to the byte, is the user's whatever tools
// say about it: calls are carried out as they stand, so that nothing which is folded
// before it is compared may speak for them. What an untrusted text held is found through
// every disguise that Normal takes off. A value found in nobody's text was made by the
// model and is not trusted for that.
// The system message names nothing. The package is pure: no input, no output, no
// state but a Memo, which changes no result. A Record is used by one goroutine at a
// time, everything else by any number.
package provenance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Record is a conversation prepared for tracing.
type Record struct {
	user    []*text  // messages of the user
	wrote   []string // values that the user put into calls of the model's
	vouched []*text  // responses of tools whose output the operator trusts
	foreign []*text  // every other response, and messages of unknown origin

	calls map[string]proposed // of the model, by their IDs
	keys  map[string][]string // what selectors has found, by call

	args    map[string]any // of the call that was decoded last
	argsRaw string
}

// text is one message; its normal form is made when it is first needed.
type text struct {
	raw    string
	form   string
	done   bool
	wide   bool // its normal form also has what its codes stand for
	memo   *Memo
	origin agent.Origin
}

func (t *text) normal() string {
	if !t.done {
		if t.form, t.done = t.memo.normal(t.raw), true; t.wide {
			t.form += t.memo.coded(t.raw)
		}
	}
	return t.form
}

// index is the index of the normal form.
func (t *text) index() *index { return t.memo.index(t.raw, t.normal()) }

// Read sorts the messages of a conversation by who wrote them. A message in the user's
// role counts as the user's only if its origin says so. memo may be nil.
func Read(c agent.Conversation, memo *Memo) *Record {
	r := &Record{calls: map[string]proposed{}}
	var before []agent.ToolCall // of the model's last turn, and what a person made of them
	for _, m := range c.Messages {
		for _, call := range m.Calls {
			if m.Origin.Source == agent.SourceUser {
				r.edits(before, call)
			}
			r.calls[call.ID] = proposed{call, specOf(c, call.Tool)}
		}
		switch {
		case m.Role == agent.Assistant && m.Origin.Source == agent.SourceUser:
			before = append(before[:len(before):len(before)], m.Calls...)
		case m.Role == agent.Assistant:
			before = m.Calls
		}
		t := &text{raw: m.Text, memo: memo, origin: m.Origin}
		switch {
		case own(m):
		case m.Role == agent.User && m.Origin.Source == agent.SourceUser:
			r.user = append(r.user, t)
		case m.Role == agent.User && m.Origin.Source == agent.SourceOperator: // a frame
		case m.Role == agent.Tool && specOf(c, m.Tool).Trusted:
			t.origin = agent.Origin{Source: agent.SourceOperator, CallID: m.CallID, Tool: m.Tool}
			r.vouched = append(r.vouched, t)
		case m.Role == agent.Tool:
			t.origin = agent.Origin{Source: agent.SourceTool, CallID: m.CallID, Tool: m.Tool}
			r.foreign = append(r.foreign, t)
		default:
			t.origin.Source = min(t.origin.Source, agent.SourceTool)
			r.foreign = append(r.foreign, t)
		}
	}
	slices.Reverse(r.foreign) // the latest response first
	for _, t := range r.foreign {
		t.wide = true
	}
	return r
}

// own reports whether a message was written by the operator or the model themselves, in
// their own role.
func own(m agent.Message) bool {
	return m.Role == agent.System && m.Origin.Trusted() ||
		m.Role == agent.Assistant && (m.Origin.Trusted() || m.Origin.Source == agent.SourceModel)
}

// specOf returns the declaration of a tool, the zero one, which is the worst, if it is
// not on offer.
func specOf(c agent.Conversation, tool string) agent.ToolSpec {
	for _, s := range c.Tools {
		if s.Name == tool {
			return s
		}
	}
	return agent.ToolSpec{}
}

// Taint is the taint that the messages of a conversation give it: untrusted once a
// response of a tool that is neither trusted nor pure was read, or a message in any role
// whose origin is not the operator, the user or, in its own role, the model. It never says malicious: that a person released such a text is known
// to the run alone. Messages for which fixed holds are texts of the runtime.
func Taint(c agent.Conversation, fixed func(text string) bool) agent.Taint {
	for _, m := range c.Messages {
		switch {
		case own(m) || m.Role == agent.User && m.Origin.Trusted():
		case m.Role == agent.Tool && (fixed(m.Text) || harmless(specOf(c, m.Tool))):
		default:
			return agent.TaintUntrusted
		}
	}
	return agent.TaintClean
}

func harmless(s agent.ToolSpec) bool { return s.Trusted || s.Effect == agent.Pure }

// Private reports whether a response in the conversation may hold private data: one of
// a tool whose effect is a sensitive read or is not declared.
func Private(c agent.Conversation) bool {
	for _, m := range c.Messages {
		if m.Role != agent.Tool {
			continue
		}
		if e := specOf(c, m.Tool).Effect; e == agent.SensitiveRead || e == agent.EffectUnknown {
			return true
		}
	}
	return false
}

// Sinks traces every argument that directs the effect of a call, in the order of their
// names. An argument without a declared role is one of them. Behind them stand those that
// select, where an untrusted text chose them for an effect. Of an effectful call that
// has none, made after somebody else than the user has spoken, the call itself is the
// sink, unless one of its arguments is the user's. The error is that of arguments that
// are not one plain JSON object.
func (r *Record) Sinks(call agent.ToolCall, spec agent.ToolSpec) ([]agent.Sink, error) {
	args, err := r.decoded(call)
	if err != nil {
		return nil, err
	}
	var sinks, chosen []agent.Sink
	for _, name := range slices.Sorted(maps.Keys(args)) {
		role := spec.Roles[name]
		w := walker{role: role, schema: string(spec.Schema)}
		w.walk("/"+escape(name), args[name])
		for _, l := range w.leaves {
			if role.Sink() {
				sinks = append(sinks, agent.Sink{Arg: l.at, Value: l.value, Role: role, Origin: r.origin(l, role)})
			} else if o, ok := r.chosen(l, role, spec.Effect); ok {
				chosen = append(chosen, agent.Sink{Arg: l.at, Value: l.value, Role: role, Origin: o})
			}
		}
	}
	if len(sinks) == 0 {
		sinks = r.aimless(call, spec, args)
	}
	r.once(sinks)
	return append(sinks, chosen...), nil
}

// once takes back that the user named a value where it stands in more arguments of a call
// than the user wrote it: what they named to be one thing, they did not name to be another.
func (r *Record) once(sinks []agent.Sink) {
	seen := map[string]map[string]bool{}
	for i, s := range sinks {
		arg, _, _ := strings.Cut(strings.TrimPrefix(s.Arg, "/"), "/")
		if seen[s.Value] == nil {
			seen[s.Value] = map[string]bool{}
		}
		seen[s.Value][arg] = true
		if n := len(seen[s.Value]); n > 1 && s.Origin.Source == agent.SourceUser && r.times(s.Value, n) < n {
			sinks[i].Origin = agent.Origin{Source: agent.SourceModel}
		}
	}
}

// times is how often a value stands in what the user wrote, as a whole, counted in each text
// up to enough.
func (r *Record) times(v string, enough int) int {
	n := 0
	for _, t := range r.user {
		n += timesNamed(t.raw, unquoted(v), enough)
	}
	for _, w := range r.wrote {
		if w == v {
			n++
		}
	}
	return n
}

// Least returns the least trusted source among sinks, SourceOperator if there are none.
func Least(sinks []agent.Sink) agent.Source {
	worst := agent.SourceOperator
	for _, s := range sinks {
		worst = min(worst, s.Origin.Source)
	}
	return worst
}

// Origin traces one value that has the given role. It is the user's, or that of a tool
// the operator trusts, only if one of their texts holds it to the byte: blanks around it
// and one pair of quotation marks may be missing there, of a path nothing but ./ before
// it, a slash behind it or a doubled one. A target is the user's also if it stands in a
// record that the user named; its origin then names the response with that record.
func (r *Record) Origin(value string, role agent.ArgRole) agent.Origin {
	switch role {
	case agent.RoleCommand:
		return r.command(value)
	case agent.RolePath:
		return r.path(value)
	}
	if o, ok := r.trusted(unquoted(value)); ok {
		return o
	}
	if role == agent.RoleTarget {
		if o, ok := r.recorded(value); ok {
			return o
		}
	}
	return r.foreignOrigin(bare(value))
}

// origin is Origin of a leaf. A number is the user's also where they wrote the same one
// with other digits behind its point or with commas between its thousands.
func (r *Record) origin(l leaf, role agent.ArgRole) agent.Origin {
	o := r.Origin(l.value, role)
	if l.kind == kindNumber && !o.Trusted() && slices.ContainsFunc(r.user, func(t *text) bool { return sameNumber(t.raw, l.value) }) {
		return agent.Origin{Source: agent.SourceUser}
	}
	return o
}

// path traces a path. One that climbs means what links make of it, and has no other
// spelling; one that begins or ends in a blank, or holds a control character, is a text
// cut wrongly and not what the user named.
func (r *Record) path(value string) agent.Origin {
	if strings.TrimSpace(value) != value || strings.ContainsFunc(value, unicode.IsControl) {
		return r.foreignOrigin(bare(value))
	}
	spellings := []string{value}
	if p := path.Clean(value); p != "." && !strings.Contains(p, "..") && !strings.Contains(value, "..") {
		spellings = append(spellings, p, "./"+p, p+"/")
	}
	if o, ok := r.trusted(spellings...); ok {
		return o
	}
	return r.foreignOrigin(bare(value))
}

// trusted finds one of the values, to the byte, in what the user or a trusted tool wrote.
func (r *Record) trusted(values ...string) (agent.Origin, bool) {
	if slices.ContainsFunc(values, func(v string) bool { return slices.Contains(r.wrote, v) }) {
		return agent.Origin{Source: agent.SourceUser}, true
	}
	for _, t := range r.user {
		if slices.ContainsFunc(values, func(v string) bool { return named(t.raw, v) }) {
			return agent.Origin{Source: agent.SourceUser}, true
		}
	}
	for _, t := range r.vouched {
		if slices.ContainsFunc(values, func(v string) bool { return named(t.raw, v) }) {
			return t.origin, true
		}
	}
	return agent.Origin{}, false
}

// unquoted takes blanks and one pair of quotation marks off a value.
func unquoted(s string) string {
	s = strings.Trim(s, blanks)
	if n := len(s); n >= 2 && s[0] == s[n-1] && strings.IndexByte("'\"`", s[0]) >= 0 {
		return s[1 : n-1]
	}
	return s
}

const blanks = " \t"

// foreignOrigin finds the latest untrusted text that holds v.
func (r *Record) foreignOrigin(v string) agent.Origin {
	for _, t := range r.foreign {
		if holds(t.normal(), v) {
			return t.origin
		}
	}
	return agent.Origin{Source: agent.SourceModel}
}

// holds reports whether an untrusted text holds v, both in normal form. Here a part of a
// word is enough, unless v is so short that it stands everywhere.
func holds(text, v string) bool {
	if len(v) >= 4 {
		return strings.Contains(text, v)
	}
	return named(text, v)
}

// command traces a command line. It is the user's if the user wrote all of it, or every
// word that says what it is aimed at; else the worst origin among those words.
func (r *Record) command(line string) agent.Origin {
	if o, ok := r.trusted(strings.Trim(line, blanks)); ok && o.Source == agent.SourceUser {
		return o
	}
	v := bare(line)
	c := ParseCommand(line)
	if !c.Reads() { // a tool that spelled out what to run chose it, whoever named its words
		if o := r.foreignOrigin(v); o.Source != agent.SourceModel {
			return o
		}
	}
	if c.Opaque {
		return r.pieces(v)
	}
	worst := agent.Origin{Source: agent.SourceUser}
	for _, w := range c.Words {
		if w.idle() {
			continue
		}
		o := r.Origin(w.Text, agent.RolePath)
		if o.Source < worst.Source && worst.Source != agent.SourceTool || o.Source == agent.SourceTool {
			worst = o
		}
	}
	return worst
}

// pieces traces a command that could not be split: to a tool if one of its longer words
// stands in a response, else to the model.
func (r *Record) pieces(v string) agent.Origin {
	for _, w := range strings.FieldsFunc(v, func(c rune) bool { return strings.ContainsRune(" ;|&<>()'$", c) }) {
		if o := r.Origin(w, agent.RoleTarget); len(w) >= 4 && o.Source <= agent.SourceTool && o.Source != agent.SourceModel {
			return o
		}
	}
	return agent.Origin{Source: agent.SourceModel}
}

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
