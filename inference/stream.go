package inference

import "github.com/holdfast-run/holdfast/inference/internal/llama"

// symbol is a byte of text, or a special token as what it is: its number plus specialBase. Two prompts mean the same to
// a model when their symbols are equal, whichever way their plain text is cut into tokens; text that only spells a
// special token is different from the token.
type symbol = int32

const specialBase = 256

// symbols appends the symbols that a token stands for.
func (w *vocabulary) symbols(dst []symbol, id llama.Token) []symbol {
	if w.special[id] {
		return append(dst, specialBase+id)
	}
	p := w.pieces[id]
	for i := range len(p) {
		dst = append(dst, symbol(p[i]))
	}
	return dst
}

// width is the number of symbols of a token.
func (w *vocabulary) width(id llama.Token) int {
	if w.special[id] {
		return 1
	}
	return len(w.pieces[id])
}

// stream is a prompt as tokens and as symbols.
type stream struct {
	ids  []llama.Token
	syms []symbol
	ends []int // ends[i] is the number of symbols after token i
}

func (w *vocabulary) streamOf(ids []llama.Token) stream {
	s := stream{ids: ids, ends: make([]int, len(ids))}
	for i, id := range ids {
		s.syms = w.symbols(s.syms, id)
		s.ends[i] = len(s.syms)
	}
	return s
}

// tokenize turns the segments of a prompt into tokens.
func (w *vocabulary) tokenize(segments []segment) (stream, error) {
	var ids []llama.Token
	for i, s := range segments {
		var (
			part []llama.Token
			err  error
		)
		switch {
		case s.plain:
			part, err = w.plain(s.text)
		case i == 0:
			part, err = w.v.Tokenize(s.text, true, true)
		default:
			part, err = w.join(s.text, true)
		}
		if err != nil {
			return stream{}, err
		}
		ids = append(ids, part...)
	}
	return w.streamOf(ids), nil
}

// from returns the tokens of s from symbol o on. Where a token straddles o, the rest of its plain text is tokenised
// again up to the next special token.
func (w *vocabulary) from(s stream, o int) ([]llama.Token, error) {
	i := 0
	for i < len(s.ends) && s.ends[i] <= o {
		i++
	}
	if i == len(s.ids) {
		return nil, nil
	}
	if start := s.ends[i] - w.width(s.ids[i]); start == o {
		return s.ids[i:], nil
	}
	end := i
	for end < len(s.ids) && !w.special[s.ids[end]] {
		end++
	}
	text := make([]byte, 0, 64)
	for _, c := range s.syms[o:s.ends[end-1]] {
		text = append(text, byte(c))
	}
	ids, err := w.plain(string(text))
	if err != nil {
		return nil, err
	}
	return append(ids, s.ids[end:]...), nil
}

// bytesBefore is the number of bytes of text before symbol o, special tokens spelled out.
func (w *vocabulary) bytesBefore(syms []symbol, o int) int {
	n := 0
	for _, c := range syms[:o] {
		if c >= specialBase {
			n += len(w.pieces[c-specialBase])
		} else {
			n++
		}
	}
	return n
}
