package dataset

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Redactor replaces secrets in what leaves. The zero Redactor replaces nothing; see
// [NewRedactor]. It is used by one goroutine at a time.
type Redactor struct {
	patterns []pattern
	Hits     map[string]int // by kind
}

type pattern struct {
	kind  string
	re    *regexp.Regexp
	words bool // a hit may begin with an escape, which is no part of the secret
}

// keyText is a character of a key's armour, its headers, or an escape in JSON.
const keyText = `[A-Za-z0-9+/=\s\\:,.()-]`

// builtin are the shapes of secrets that are always looked for.
var builtin = []pattern{
	// up to its end, or what may be of it where the text is cut; encrypted keys have headers
	{"private-key", regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----(?:` + keyText + `*?-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|` + keyText + `*)`), false},
	word("aws-key", `(?:AKIA|ASIA)[0-9A-Z]{16}\b`),
	word("token", `(?:gh[pousr]_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|xox[abprs]-[A-Za-z0-9-]{10,}|glpat-[A-Za-z0-9_-]{20,})`),
	word("jwt", `eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}`),
	word("address", `[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b`),
}

// escaped is how JSON spells a character that may stand before a word. A text may hold JSON,
// where a key that begins a line follows a letter.
const escaped = `\\(?:[bfnrt]|u[0-9A-Fa-f]{4})`

var leading = regexp.MustCompile("^" + escaped)

// word finds an expression where a word begins.
func word(kind, expr string) pattern {
	return pattern{kind, regexp.MustCompile("(?:" + escaped + `|\b)` + expr), true}
}

// NewRedactor reads further patterns, one a line: a kind, a space and a regular
// expression. Empty lines and lines that begin with # are skipped. A nil reader adds none.
func NewRedactor(r io.Reader) (*Redactor, error) {
	out := &Redactor{patterns: builtin, Hits: map[string]int{}}
	if r == nil {
		return out, nil
	}
	s := bufio.NewScanner(r)
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSpace(s.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		kind, expr, ok := strings.Cut(line, " ")
		if !ok || strings.ContainsAny(kind, `"\[]:`) {
			return nil, fmt.Errorf("read patterns: line %d: want a kind and an expression", n)
		}
		re, err := regexp.Compile(strings.TrimSpace(expr))
		if err != nil {
			return nil, fmt.Errorf("read patterns: line %d: %w", n, err)
		}
		if re.MatchString("") {
			return nil, fmt.Errorf("read patterns: line %d: the expression matches nothing at all", n)
		}
		out.patterns = append(out.patterns[:len(out.patterns):len(out.patterns)], pattern{kind, re, false})
	}
	return out, s.Err()
}

// Apply replaces every hit in the trajectory's texts by [redacted:KIND:N]; equal secrets
// of a run get equal numbers. What a user's own tools are declared to be is text of that user
// and is looked through as well, but for their names, which calls refer to. A generation that
// wrote or read a secret loses its tokens: an array cannot be edited. The judge reads whole
// responses, also what is then kept from the agent. An imported run gives back the document it
// came from, which is redacted too; an error means that it could not be.
func (r *Redactor) Apply(t *Trajectory) error {
	if r == nil || len(r.patterns) == 0 {
		return nil
	}
	c := cleaner{r: r, names: map[string]string{}, count: map[string]int{}}
	told := c.declarations(t.Tools) // once a secret stands in the conversation, later prompts hold it too
	for i := range t.Entries {
		m := &t.Entries[i].Message
		hit := c.clean(&m.Text)
		hit = c.clean(&m.Thought) || hit
		for j := range m.Calls {
			hit = c.arguments(&m.Calls[j].Args) || hit
		}
		told = told || hit
	}
	judged := false // a secret was in a response: whoever screened it read what the agent may never have
	for _, s := range t.Steps {
		c.clean(&s.Thought)
		c.clean(&s.Answer)
		for _, k := range s.Calls {
			c.arguments(&k.Args)
			c.clean(&k.Shown)
			judged = judged || k.End != nil && r.finds(k.End.Out.String())
		}
	}
	for _, g := range t.Gens {
		hit := c.clean(&g.Text)
		g.Hidden = hit || told || judged && g.Purpose != agent.PurposeAgent
	}
	return c.document(t)
}

// declarations redacts what tools are declared to be. It reports whether anything was found:
// every prompt begins with the tools.
func (c *cleaner) declarations(list []agent.ToolSpec) bool {
	hit := false
	for i := range list {
		hit = c.clean(&list[i].Description) || hit
		hit = c.value(&list[i].Schema) || hit
	}
	return hit
}

// finds reports whether a text holds anything to replace.
func (r *Redactor) finds(text string) bool {
	return slices.ContainsFunc(r.patterns, func(p pattern) bool { return p.re.MatchString(text) })
}

// hidden reports whether tokens of a generation of the agent may not leave.
func (t *Trajectory) hidden() bool {
	for _, g := range t.Gens {
		if g.Hidden && g.Purpose == agent.PurposeAgent {
			return true
		}
	}
	return false
}

// cleaner redacts one run.
type cleaner struct {
	r     *Redactor
	names map[string]string
	count map[string]int
}

func (c *cleaner) clean(s *string) bool { return c.replace(s, c.r.patterns) }

// replace redacts what some of the patterns find in a text.
func (c *cleaner) replace(s *string, list []pattern) bool {
	hit := false
	for _, p := range list {
		*s = p.re.ReplaceAllStringFunc(*s, func(m string) string {
			hit = true
			lead := ""
			if p.words {
				lead = leading.FindString(m)
			}
			key := p.kind + "\x00" + m[len(lead):]
			if c.names[key] == "" {
				c.count[p.kind]++
				c.names[key] = fmt.Sprintf("[redacted:%s:%d]", p.kind, c.count[p.kind])
			}
			c.r.Hits[p.kind]++
			return lead + c.names[key]
		})
	}
	return hit
}

// arguments redacts those of a call, which a model wrote and which need not be JSON.
func (c *cleaner) arguments(s *string) bool {
	if !json.Valid([]byte(*s)) {
		return c.clean(s)
	}
	raw := json.RawMessage(*s)
	hit := c.value(&raw)
	*s = string(raw)
	return hit
}

// value redacts a JSON value text by text. A user's own pattern may speak of several members,
// and is tried on the whole as well; what it leaves is kept as one text where it is no JSON
// any more.
func (c *cleaner) value(raw *json.RawMessage) bool {
	hit := c.cleanJSON(raw)
	whole := string(*raw)
	if !c.replace(&whole, c.r.patterns[len(builtin):]) {
		return hit
	}
	if *raw = json.RawMessage(whole); !json.Valid(*raw) {
		*raw = agent.JSON(map[string]string{"redacted": whole}).Data
	}
	return true
}

// cleanJSON redacts the names, texts and numbers of a JSON value, each by itself, so that it
// stays one with its members in their order. A number with a secret becomes a text.
func (c *cleaner) cleanJSON(raw *json.RawMessage) bool {
	d := json.NewDecoder(bytes.NewReader(*raw))
	d.UseNumber()
	var out []byte
	at, hit := 0, false
	for {
		token, err := d.Token()
		if err != nil { // the end: what is recorded of a tool was valid when it was declared
			break
		}
		end := int(d.InputOffset())
		piece := (*raw)[at:end]
		if text, ok := scalar(token); ok && c.clean(&text) {
			gap := len(piece) - len(bytes.TrimLeft(piece, " \t\r\n,:"))
			piece = append(bytes.Clone(piece[:gap]), agent.JSON(text).Data...)
			hit = true
		}
		out, at = append(out, piece...), end
	}
	if hit {
		*raw = append(out, (*raw)[at:]...)
	}
	return hit
}

// scalar is the text of a JSON token that may hold a secret.
func scalar(token json.Token) (string, bool) {
	switch v := token.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	}
	return "", false
}
