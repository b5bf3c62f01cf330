package inference

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// shield keeps content from forging control tokens. Every spelling of a special token in a text that the template did
// not write, and every beginning or end of one at its edges, is replaced by a random word before the template sees the
// text. The template's output is then tokenised with special tokens on, because every special spelling left in it is
// the template's own, and each word comes back as the plain text it stands for. Content without such spellings, which
// is nearly all of it, is tokenised exactly as in one piece.
type shield struct {
	w    *vocabulary
	stem string   // random; starts every word
	held []string // what the words stand for, by number
	open bool     // no shielding: break the spellings visibly instead
}

// wordDigits is the width of the number in a word: fixed, so that no word begins another.
const wordDigits = 6

func newShield(w *vocabulary) *shield {
	var b [10]byte
	rand.Read(b[:]) // never fails
	return &shield{w: w, stem: "zq" + hex.EncodeToString(b[:]) + "z"}
}

// cover returns s with its dangerous parts replaced.
func (h *shield) cover(s string) string {
	if s == "" || h.w.longest == 0 {
		return s
	}
	if h.w.inside(s) {
		return h.word(s)
	}
	head, tail := h.w.closes(s), h.w.opens(s)
	if head+tail >= len(s) {
		return h.word(s)
	}
	var b strings.Builder
	if head > 0 {
		b.WriteString(h.word(s[:head]))
	}
	from := head
	for i := head; i < len(s)-tail; {
		n := h.w.match(s[i:])
		if n == 0 {
			i++
			continue
		}
		b.WriteString(s[from:i])
		b.WriteString(h.word(s[i : i+n]))
		i += n
		from = i
	}
	if end := len(s) - tail; from < end {
		b.WriteString(s[from:end])
		from = end
	}
	if from < len(s) {
		b.WriteString(h.word(s[from:]))
	}
	return b.String()
}

func (h *shield) word(s string) string {
	if h.open {
		return breakUp(s)
	}
	h.held = append(h.held, s)
	return fmt.Sprintf("%s%0*dz", h.stem, wordDigits, len(h.held)-1)
}

// breakUp makes a special spelling visibly something else: a space after its first character.
func breakUp(s string) string {
	for i := range s {
		if i > 0 {
			return s[:i] + " " + s[i:]
		}
	}
	return s
}

// coverJSON covers the strings of a JSON text, names of members included, and leaves every other byte as it is.
func (h *shield) coverJSON(text string) (string, error) {
	if !json.Valid([]byte(text)) {
		return "", fmt.Errorf("not a JSON text")
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		if text[i] != '"' {
			b.WriteByte(text[i])
			i++
			continue
		}
		end := i + 1
		for text[end] != '"' {
			if text[end] == '\\' {
				end++
			}
			end++
		}
		var s string
		if err := json.Unmarshal([]byte(text[i:end+1]), &s); err != nil {
			return "", err
		}
		if c := h.cover(s); c == s {
			b.WriteString(text[i : end+1])
		} else {
			q, err := quote(c)
			if err != nil {
				return "", err
			}
			b.WriteString(q)
		}
		i = end + 1
	}
	return b.String(), nil
}

// quote is a JSON string without the escapes that only HTML needs.
func quote(s string) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(s)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// segment is a part of a prompt that is tokenised by itself.
type segment struct {
	text  string
	plain bool // content: no special token may come out
}

// split cuts a rendered prompt at the words. It fails when the template changed a word.
func (h *shield) split(rendered string) ([]segment, error) {
	var out []segment
	rest := rendered
	for {
		i := strings.Index(rest, h.stem)
		if i < 0 {
			break
		}
		if i > 0 {
			out = append(out, segment{text: rest[:i]})
		}
		rest = rest[i+len(h.stem):]
		if len(rest) <= wordDigits || rest[wordDigits] != 'z' {
			return nil, fmt.Errorf("the template cut a word of the content")
		}
		n, err := strconv.Atoi(rest[:wordDigits])
		if err != nil || n >= len(h.held) {
			return nil, fmt.Errorf("the template changed a word of the content")
		}
		out = append(out, segment{h.held[n], true})
		rest = rest[wordDigits+1:]
	}
	if rest != "" {
		out = append(out, segment{text: rest})
	}
	for _, s := range out {
		if !s.plain && len(h.held) > 0 && strings.Contains(strings.ToLower(s.text), h.stem[:12]) {
			return nil, fmt.Errorf("the template changed the case of the content")
		}
	}
	return out, nil
}
