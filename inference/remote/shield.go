package remote

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// marks are the control tokens and call marks of common chat templates.
var marks = regexp.MustCompile(`<\|[^<>|\s]{1,64}\|>` +
	`|<｜[^<>\s]{1,64}｜>` +
	`|\[/?[A-Z_]{3,24}\]` +
	`|\[\|[^\[\]|\s]{1,64}\|\]` + // EXAONE
	`|\]~!?b[\]\[]|\[e~\[` + // MiniMax
	`|\[[gs]MASK\]` + // GLM
	`|<extra_id_[0-9]{1,3}>` + // Nemotron
	`|</?seed:[a-z_:]{1,40}>` + // Seed-OSS
	`|<</?SYS>>` +
	`|</?(?:s|bos|eos|pad|unk|start_of_turn|end_of_turn|start_of_image|end_of_image|tool_calls?|tool_responses?|tool_results?|function_calls?|think|thinking|tools` +
	`|role|sop|eop|eoh|eoa|end_of_utterance)>`)

// shield breaks up, visibly, what a server would read as control tokens in a content.
type shield struct {
	known *strings.Replacer // of the model's vocabulary, nil where it is not known
	list  []string
}

// maxSpecials bounds what a server may call control tokens.
const maxSpecials = 1 << 14

// newShield takes the spellings of a vocabulary's control tokens.
func newShield(specials []string) *shield {
	h := &shield{}
	for _, s := range specials {
		if utf8.RuneCountInString(s) > 2 && len(s) <= 256 && strings.TrimSpace(s) != "" {
			h.list = append(h.list, s)
		}
	}
	sort.Slice(h.list, func(i, j int) bool { return len(h.list[i]) > len(h.list[j]) })
	var pairs []string
	for _, s := range h.list {
		pairs = append(pairs, s, breakUp(s))
	}
	if len(pairs) > 0 {
		h.known = strings.NewReplacer(pairs...)
	}
	return h
}

// breakUp puts a space after the first character.
func breakUp(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return s[:n] + " " + s[n:]
}

// cover returns a content without spellings of control tokens. Breaking one may leave
// another where they overlap, so it is done until nothing is left.
func (h *shield) cover(s string) string {
	for range maxRounds {
		before := s
		if h.known != nil {
			s = h.known.Replace(s)
		}
		if s = marks.ReplaceAllStringFunc(s, breakUp); s == before {
			return s
		}
	}
	return strings.NewReplacer("<", "(", ">", ")", "[", "(", "]", ")").Replace(s) // made to resist: no mark in brackets survives
}

// maxRounds is more than overlapping spellings need.
const maxRounds = 8

// coverJSON covers the strings of a JSON text, names of members included.
func (h *shield) coverJSON(src []byte) (json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("not a JSON text: %w", err)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(h.coverValue(v)); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

func (h *shield) coverValue(v any) any {
	switch v := v.(type) {
	case string:
		return h.cover(v)
	case []any:
		for i := range v {
			v[i] = h.coverValue(v[i])
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[h.cover(k)] = h.coverValue(x)
		}
		return out
	}
	return v
}

// clip makes a server's words fit for an error: one line, short, nothing that moves a
// cursor.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s[:min(len(s), 4096)], "?"))
	if r := []rune(s); len(r) > 300 {
		s = string(r[:300]) + "..."
	}
	return strings.TrimSpace(s)
}
