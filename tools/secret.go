package tools

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/sandbox"
)

// Secret is what an operator gives to tools of their own that declare its name: a file in
// sandbox.SecretDir, for calls whose decision grants it. Its value is in no record, and is
// masked wherever a tool puts it out.
type Secret struct {
	Name  string // small letters, digits and . _ -, at most 64
	Value []byte // 8 bytes to 64 KiB
}

// ErrSecret means that a secret is malformed, or is not there. The error never holds a value.
var ErrSecret = errors.New("no such secret")

var secretName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// minSecret is how short a secret may be: what is shorter stands in texts by chance.
const minSecret = 8

// lacks is the error of a tool that declares a secret which was not given.
func (r *Registry) lacks(k Command) error {
	for _, n := range k.Secrets {
		if !slices.ContainsFunc(r.config.Secrets, func(s Secret) bool { return s.Name == n }) {
			return fmt.Errorf("%w: the tool %s needs %s", ErrSecret, clip(k.Spec.Name, 64), n)
		}
	}
	return nil
}

// entrust gives the cell of a call the secrets that its decision grants. A tool that does
// not declare one is refused.
func (r *Registry) entrust(s *sandbox.Spec, t tool, granted []string) error {
	for _, n := range granted {
		i := slices.IndexFunc(r.config.Secrets, func(x Secret) bool { return x.Name == n })
		if i < 0 || t.program == nil || !slices.Contains(t.program.Secrets, n) {
			return refused("secrets", n, "a tool that declares it, and an operator who gave it")
		}
		s.Secrets = append(s.Secrets, sandbox.Secret{Name: n, Value: r.config.Secrets[i].Value})
	}
	s.Grants.Secrets = len(granted) > 0
	return nil
}

// mask replaces secrets in what tools put out, as they are and in the usual encodings. The
// zero mask replaces nothing. It is immutable.
type mask struct {
	forms []form // longest first
}

type form struct {
	text, word string
}

func newMask(list []Secret) (mask, error) {
	var m mask
	for i, s := range list {
		switch {
		case !secretName.MatchString(s.Name):
			return m, fmt.Errorf("%w: the name %q is not small letters, digits and . _ -", ErrSecret, clip(s.Name, 64))
		case slices.ContainsFunc(list[:i], func(o Secret) bool { return o.Name == s.Name }):
			return m, fmt.Errorf("%w: %s is given twice", ErrSecret, s.Name)
		case len(squeezed(string(s.Value))) < minSecret || len(s.Value) > 64<<10:
			return m, fmt.Errorf("%w: %s is shorter than %d bytes without white space, or longer than 64 KiB", ErrSecret, s.Name, minSecret)
		}
		for _, t := range formsOf(s.Value) {
			m.forms = append(m.forms, form{t, "[secret " + s.Name + "]"})
		}
	}
	slices.SortFunc(m.forms, func(a, b form) int { return len(b.text) - len(a.text) })
	return m, nil
}

// formsOf are the texts that give a secret away: all of it, and each longer line and word of
// one that has several, as they are, in small letters (as names of hosts are), as JSON and
// HTML, percent-encoded, in hexadecimal digits, and within base64 at any place. They are
// without white space, by which programs break lines.
func formsOf(value []byte) []string {
	whole := strings.TrimSpace(string(value))
	var out []string
	for _, p := range append(partsOf(whole), whole) {
		h := hex.EncodeToString([]byte(p))
		out = append(out, p, strings.ToLower(p), html.EscapeString(p), url.QueryEscape(p), url.PathEscape(p), h, strings.ToUpper(h))
		for _, escape := range []bool{true, false} {
			q := quoted(p, escape)
			out = append(out, q, strings.ReplaceAll(q, "/", `\/`))
		}
		for shift := range 3 {
			out = append(out, within64(p, shift, base64.RawStdEncoding), within64(p, shift, base64.RawURLEncoding))
		}
	}
	for i, s := range out {
		out[i] = squeezed(s)
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Compact(out), func(s string) bool { return len(s) < minSecret })
}

const (
	minPart  = 16  // bytes of a line or word that is searched for by itself
	maxWords = 128 // of one secret
)

// partsOf are the longer lines of a secret, and its longer words: a key among settings, as
// files of credentials have it, is put out without them.
func partsOf(whole string) []string {
	var out, words []string
	add := func(to *[]string, s string) {
		if s = strings.TrimSpace(s); len(s) >= minPart && s != whole && !slices.Contains(*to, s) {
			*to = append(*to, s)
		}
	}
	text := strings.ReplaceAll(whole, `\n`, "\n") // a key within JSON
	for l := range strings.SplitSeq(text, "\n") {
		add(&out, l)
	}
	for _, between := range []string{" \t\r\n\"'`,;{}()[]<>", " \t\r\n\"'`,;{}()[]<>=:"} {
		for w := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(between, r) }) {
			add(&words, w)
		}
	}
	return append(out, words[:min(len(words), maxWords)]...)
}

// quoted is a text as it stands in JSON, with or without what is special to HTML escaped.
func quoted(s string, escape bool) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(escape)
	_ = e.Encode(s) // a text always encodes
	text := strings.TrimSuffix(b.String(), "\n")
	return text[1 : len(text)-1]
}

func blank(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

// squeezed is a text without its white space.
func squeezed(s string) string { return view(s).text }

// within64 is the part of the base64 form of p behind shift other bytes that depends on p
// alone.
func within64(p string, shift int, e *base64.Encoding) string {
	s := e.EncodeToString(append(make([]byte, shift), p...))
	begin := (shift*8 + 5) / 6
	end := (shift + len(p)) * 8 / 6
	return s[begin:end]
}

// text replaces every form of a secret, white space within it or not.
func (m mask) text(s string) string {
	if len(m.forms) == 0 {
		return s
	}
	v := view(s)
	var found []span
	for _, f := range m.forms {
		for i := 0; ; {
			k := strings.Index(v.text[i:], f.text)
			if k < 0 {
				break
			}
			found = append(found, span{v.at[i+k], v.at[i+k+len(f.text)-1] + 1, f.word})
			i += k + len(f.text)
		}
	}
	slices.SortStableFunc(found, func(a, b span) int { return a.begin - b.begin })
	var out strings.Builder
	end := 0
	for _, k := range found {
		if k.begin >= end {
			out.WriteString(s[end:k.begin])
			out.WriteString(k.word)
		}
		end = max(end, k.end)
	}
	out.WriteString(s[end:])
	return out.String()
}

// span is where a secret stands in a text.
type span struct {
	begin, end int
	word       string
}

// bare is a text without its white space, and where each byte of it stands.
type bare struct {
	text string
	at   []int
}

func view(s string) bare {
	b := make([]byte, 0, len(s))
	at := make([]int, 0, len(s))
	for i := range len(s) {
		if !blank(s[i]) {
			b, at = append(b, s[i]), append(at, i)
		}
	}
	return bare{string(b), at}
}

// result masks what a tool wrote. Where its middle was left out, a secret may have been cut
// there: what could be its beginning or its end goes too.
func (m mask) result(r *sandbox.Result) {
	if len(m.forms) == 0 {
		return
	}
	for _, c := range []*sandbox.Capture{&r.Stdout, &r.Stderr} {
		cut := c.Omitted() > 0
		whole := len(c.Tail) > 0 && !cut // one text in two pieces
		if whole {
			c.Head, c.Tail = slices.Concat(c.Head, c.Tail), nil
		}
		before := int64(len(c.Head) + len(c.Tail))
		head, tail := m.text(string(c.Head)), m.text(string(c.Tail))
		if cut {
			head, tail = m.cutEnd(head), m.cutBegin(tail)
		}
		c.Head, c.Tail = []byte(head), []byte(tail)
		c.Total += int64(len(head)+len(tail)) - before
	}
}

// minCut is how much of a secret at a cut counts as one.
const minCut = 4

// cutEnd removes the beginning of a secret that a text ends with.
func (m mask) cutEnd(s string) string {
	v := view(s)
	for _, f := range m.forms {
		for n := min(len(f.text), len(v.text)); n >= minCut; n-- {
			if strings.HasSuffix(v.text, f.text[:n]) {
				return s[:v.at[len(v.at)-n]] + f.word
			}
		}
	}
	return s
}

// cutBegin removes the end of a secret that a text begins with.
func (m mask) cutBegin(s string) string {
	v := view(s)
	for _, f := range m.forms {
		for n := min(len(f.text), len(v.text)); n >= minCut; n-- {
			if strings.HasPrefix(v.text, f.text[len(f.text)-n:]) {
				return f.word + s[v.at[n-1]+1:]
			}
		}
	}
	return s
}

// account masks the sandbox's account of a call: a secret may be a name that the tool asked
// for, or that of a file it made. A text that is no JSON any more is left out.
func (m mask) account(b *agent.Blob) {
	if len(m.forms) == 0 || b == nil {
		return
	}
	if b.Data = []byte(m.text(string(b.Data))); !json.Valid(b.Data) {
		b.Data = []byte("{}")
	}
}
