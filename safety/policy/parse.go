package policy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Bounds of one file.
const (
	maxText     = 1 << 20 // bytes
	maxPerFile  = 500     // rules
	maxDepth    = 16      // of nested values
	maxSentence = 300     // characters of a reason or a remedy
)

// document is the form of a policy file.
type document struct {
	Version     int       `yaml:"version"`
	Description string    `yaml:"description"`
	Rules       []written `yaml:"rules"`
}

// written is the form of one rule.
type written struct {
	ID      string   `yaml:"id"`
	Tools   []string `yaml:"tools"`
	When    string   `yaml:"when"`
	Outcome string   `yaml:"outcome"`
	Answers []string `yaml:"answers"`
	Hosts   []string `yaml:"hosts"`
	Secrets []string `yaml:"secrets"`
	Reason  string   `yaml:"reason"`
	Remedy  string   `yaml:"remedy"`
}

// parse reads the rules of a file, conditions not yet compiled.
func parse(src Source) ([]*Rule, error) {
	var doc document
	lines, err := decode(src.Name, src.Text, "rules", &doc)
	if err != nil {
		return nil, err
	}
	if doc.Version != 1 {
		return nil, &Error{Source: src.Name, Msg: fmt.Sprintf("version %d is not known; write version: 1", doc.Version)}
	}
	if len(doc.Rules) > maxPerFile {
		return nil, &Error{Source: src.Name, Msg: fmt.Sprintf("%d rules, at most %d", len(doc.Rules), maxPerFile)}
	}
	var rules []*Rule
	var errs []error
	for i, w := range doc.Rules {
		r, err := w.rule(src.Layer)
		if err != nil {
			errs = append(errs, &Error{src.Name, line(lines, i), w.ID, err.Error()})
			continue
		}
		r.Source, r.Line = src.Name, line(lines, i)
		rules = append(rules, r)
	}
	return rules, errors.Join(errs...)
}

var plainID = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// rule checks one rule for everything but its condition.
func (w written) rule(l Layer) (*Rule, error) {
	r := &Rule{ID: w.ID, Layer: l, Tools: w.Tools, When: strings.TrimSpace(w.When), Hosts: w.Hosts, Secrets: w.Secrets, Reason: w.Reason, Remedy: w.Remedy}
	if !plainID.MatchString(w.ID) {
		return nil, fmt.Errorf("id %q is not small letters, digits and . _ -", w.ID)
	}
	if r.When == "" && len(r.Tools) == 0 {
		return nil, errors.New(`neither tools nor when says what it concerns; write when: "true" for every call`)
	}
	if len([]rune(w.Reason)) > maxSentence || len([]rune(w.Remedy)) > maxSentence {
		return nil, fmt.Errorf("reason or remedy is longer than %d characters", maxSentence)
	}
	var err error
	if r.Answers, err = parseQuestions(w.Answers); err != nil {
		return nil, err
	}
	if err := checkHosts(w.Hosts); err != nil {
		return nil, err
	}
	switch w.Outcome {
	case "deny":
		r.Outcome = agent.Deny
	case "ask":
		r.Outcome = agent.Ask
	case "allow":
		r.Outcome = agent.Allow
	default:
		return nil, fmt.Errorf("outcome %q is not one of allow, ask, deny", w.Outcome)
	}
	switch {
	case r.Outcome == agent.Allow && (l == Workspace || l == Builtin):
		return nil, fmt.Errorf("a rule of the layer %s may only ask or deny", l)
	case r.Outcome == agent.Allow && r.Answers == 0 && len(r.Hosts)+len(r.Secrets) == 0:
		return nil, fmt.Errorf("a rule that allows must say in answers which questions it answers: %s; or name hosts or secrets", Questions(0xFF))
	case r.Outcome != agent.Allow && r.Answers != 0:
		return nil, errors.New("answers belongs to outcome allow")
	case r.Outcome != agent.Allow && len(r.Hosts)+len(r.Secrets) > 0:
		return nil, errors.New("hosts and secrets belong to outcome allow")
	case w.Reason == "":
		return nil, errors.New("no reason; it is what a person is shown")
	}
	return r, nil
}

// decode reads one YAML document into v, refusing what it does not know: other members,
// repeated ones, anchors, aliases, tags, a second document. It returns the lines where
// the entries of the list named list begin.
func decode(name, text, list string, v any) (lines []int, err error) {
	defer func() { // the reader is not ours, and the text may be anyone's
		if p := recover(); p != nil {
			err = &Error{Source: name, Msg: fmt.Sprintf("cannot be read as YAML: %v", p)}
		}
	}()
	if len(text) > maxText {
		return nil, &Error{Source: name, Msg: fmt.Sprintf("%d bytes, at most %d", len(text), maxText)}
	}
	if d := flowDepth(text); d > maxDepth {
		return nil, &Error{Source: name, Msg: fmt.Sprintf("nested deeper than %d", maxDepth)}
	}
	f, err := parser.ParseBytes([]byte(text), 0)
	if err != nil {
		return nil, yamlError(name, err)
	}
	if len(f.Docs) != 1 || f.Docs[0].Body == nil {
		return nil, &Error{Source: name, Msg: "not exactly one document"}
	}
	body := f.Docs[0].Body
	p := plainness{name: name}
	ast.Walk(&p, body)
	if p.err != nil {
		return nil, p.err
	}
	if err := yaml.NodeToValue(body, v, yaml.Strict()); err != nil {
		return nil, yamlError(name, err)
	}
	return entryLines(body, list), nil
}

// flowDepth is an upper bound of how deep brackets nest, strings included.
func flowDepth(text string) int {
	depth, most := 0, 0
	for _, c := range text {
		switch c {
		case '[', '{':
			depth++
			most = max(most, depth)
		case ']', '}':
			depth--
		}
	}
	return most
}

// plainness refuses YAML that means something other than it shows.
type plainness struct {
	name string
	err  error
}

// Visit implements ast.Visitor.
func (p *plainness) Visit(n ast.Node) ast.Visitor {
	if n == nil || p.err != nil {
		return nil
	}
	what := ""
	switch n.Type() {
	case ast.AnchorType, ast.AliasType:
		what = "anchors and aliases"
	case ast.TagType:
		what = "tags"
	case ast.MergeKeyType:
		what = "merge keys"
	}
	if what != "" {
		p.err = &Error{Source: p.name, Line: n.GetToken().Position.Line, Msg: what + " are not allowed"}
		return nil
	}
	return p
}

// entryLines finds where the entries of a list of the document begin.
func entryLines(body ast.Node, list string) []int {
	m, ok := body.(*ast.MappingNode)
	if !ok {
		return nil
	}
	for _, kv := range m.Values {
		seq, ok := kv.Value.(*ast.SequenceNode)
		if !ok || kv.Key.String() != list {
			continue
		}
		lines := make([]int, len(seq.Values))
		for i, v := range seq.Values {
			lines[i] = v.GetToken().Position.Line
			if e, ok := v.(*ast.MappingNode); ok && len(e.Values) > 0 {
				lines[i] = e.Values[0].Key.GetToken().Position.Line
			}
		}
		return lines
	}
	return nil
}

func line(lines []int, i int) int {
	if i < len(lines) {
		return lines[i]
	}
	return 0
}

// yamlError takes place and message out of an error of the reader.
func yamlError(name string, err error) error {
	var at interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if !errors.As(err, &at) {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return &Error{Source: name, Msg: first}
	}
	e := &Error{Source: name, Msg: at.GetMessage()}
	if t := at.GetToken(); t != nil && t.Position != nil {
		e.Line = t.Position.Line
	}
	return e
}
