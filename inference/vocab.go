package inference

import (
	"sort"
	"strings"

	"github.com/holdfast-run/holdfast/inference/internal/llama"
)

// vocabulary is a model's vocabulary held in Go. It is never changed after it was read.
type vocabulary struct {
	v       *llama.Vocab
	pieces  []string // bytes of each token, control tokens spelled out
	special []bool   // the token is more than its text: content must not produce it
	ends    []bool   // the token ends a turn

	spellings map[byte][]string // of special tokens, by first byte, longest first
	begins    map[string]bool   // proper beginnings of special spellings
	finishes  map[string]bool   // proper ends of special spellings
	interiors string            // special spellings without their first and last byte, zero bytes between them
	longest   int               // bytes of the longest special spelling
	bytes     []llama.Token     // one token for each single byte that has one
	endIDs    []llama.Token
	banned    []llama.Token // never sampled
	prefixes  bool          // tokenising a text puts a space before it
}

func readVocabulary(v *llama.Vocab) (*vocabulary, error) {
	pieces, attrs, err := v.Pieces()
	if err != nil {
		return nil, err
	}
	w := &vocabulary{v: v, pieces: pieces, special: make([]bool, len(pieces)), ends: make([]bool, len(pieces)),
		spellings: map[byte][]string{}, begins: map[string]bool{}, finishes: map[string]bool{}, banned: v.Suppressed()}
	var interiors strings.Builder
	var seen [256]bool
	for i, p := range pieces {
		id := llama.Token(i)
		w.special[i] = attrs[i]&(llama.AttrControl|llama.AttrUnknown) != 0 ||
			attrs[i]&llama.AttrUserDefined != 0 && strings.TrimSpace(p) != ""
		if v.EndsGeneration(id) {
			w.ends[i] = true
			w.endIDs = append(w.endIDs, id)
		}
		if w.special[i] && p != "" {
			w.spellings[p[0]] = append(w.spellings[p[0]], p)
			w.longest = max(w.longest, len(p))
			for k := 1; k < len(p); k++ {
				w.begins[p[:k]], w.finishes[p[k:]] = true, true
			}
			if len(p) > 2 {
				interiors.WriteString(p[1:len(p)-1] + "\x00")
			}
		}
		if len(p) == 1 && !w.special[i] && !seen[p[0]] {
			seen[p[0]] = true
			w.bytes = append(w.bytes, id)
		}
	}
	w.interiors = interiors.String()
	for _, list := range w.spellings {
		sort.Slice(list, func(i, j int) bool { return len(list[i]) > len(list[j]) })
	}
	probe, err := v.Tokenize("x", false, false)
	if err != nil {
		return nil, err
	}
	w.prefixes = strings.HasPrefix(w.text(probe), " ")
	return w, nil
}

// text joins the pieces of tokens.
func (w *vocabulary) text(ids []llama.Token) string {
	var b strings.Builder
	for _, id := range ids {
		b.WriteString(w.pieces[id])
	}
	return b.String()
}

// match returns the length of the longest special spelling at the start of s, 0 if there is none.
func (w *vocabulary) match(s string) int {
	for _, p := range w.spellings[s[0]] {
		if strings.HasPrefix(s, p) {
			return len(p)
		}
	}
	return 0
}

// opens returns the length of the longest end of s that begins a special spelling without completing it: text that
// follows could complete it.
func (w *vocabulary) opens(s string) int {
	for k := min(w.longest, len(s)); k > 0; k-- {
		if w.begins[s[len(s)-k:]] {
			return k
		}
	}
	return 0
}

// closes returns the length of the longest beginning of s that ends a special spelling: text before could begin it.
func (w *vocabulary) closes(s string) int {
	for k := min(w.longest, len(s)); k > 0; k-- {
		if w.finishes[s[:k]] {
			return k
		}
	}
	return 0
}

// inside reports whether all of s lies inside a special spelling, so that text on both sides could complete it.
func (w *vocabulary) inside(s string) bool {
	return len(s) < w.longest && strings.Contains(w.interiors, s)
}

// plain tokenises text so that no special token comes out, whatever it spells. Some tokenizers match user-defined
// tokens in every text; the text is then cut inside the spelling.
func (w *vocabulary) plain(text string) ([]llama.Token, error) {
	ids, err := w.join(text, false)
	if err != nil || !w.anySpecial(ids) {
		return ids, err
	}
	if len(text) == 1 { // a special token of one byte: its byte tokens or nothing
		for _, id := range w.bytes {
			if w.pieces[id] == text {
				return []llama.Token{id}, nil
			}
		}
		return nil, nil
	}
	cut := 1
	for cut < len(text)-1 && text[cut]&0xc0 == 0x80 {
		cut++
	}
	head, err := w.plain(text[:cut])
	if err != nil {
		return nil, err
	}
	tail, err := w.plain(text[cut:])
	return append(head, tail...), err
}

func (w *vocabulary) anySpecial(ids []llama.Token) bool {
	for _, id := range ids {
		if w.special[id] {
			return true
		}
	}
	return false
}

// join tokenises text that follows other text: without beginning tokens and without the space that some tokenizers put
// first.
func (w *vocabulary) join(text string, special bool) ([]llama.Token, error) {
	if text == "" {
		return nil, nil
	}
	if !w.prefixes {
		return w.v.Tokenize(text, false, special)
	}
	// The space goes before a line break that is then taken off again with it.
	ids, err := w.v.Tokenize("\n"+text, false, special)
	if err != nil {
		return nil, err
	}
	got := ""
	for i, id := range ids {
		if got == " \n" || got == "\n" {
			return ids[i:], nil
		}
		got += w.pieces[id]
	}
	return w.v.Tokenize(text, false, special)
}
