package ggufgen

import (
	"fmt"
	"sort"
	"strings"
)

// Token types, numbered as in GGUF.
const (
	tokenNormal      = 1
	tokenUnknown     = 2
	tokenControl     = 3
	tokenUserDefined = 4
	tokenByte        = 6
)

// Control and user-defined tokens of every generated vocabulary.
var (
	ControlTokens     = []string{"<|endoftext|>", "<|im_start|>", "<|im_end|>"}
	UserDefinedTokens = []string{"<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"}
)

// sample is what the merges are learnt from.
const sample = `The agent reads the file and writes the report. It calls a tool with arguments and waits for the answer.
{"name": "read_file", "arguments": {"path": "notes.txt"}} {"label": "benign"} {"label": "sensitive"} {"label": "malicious"}
You are a helpful assistant. The user asks a question, the assistant answers it. List the names of all the files here.
system user assistant tool function parameters type object string properties required description content result error
`

type vocabulary struct {
	tokens []string
	types  []int32
	merges []string
	scores []float32 // SentencePiece only
}

// buildSentencePiece makes a vocabulary in the manner of SentencePiece: spaces as U+2581, one put before every text,
// bytes as a fallback, pieces joined by score.
func buildSentencePiece(size int) vocabulary {
	var v vocabulary
	add := func(t string, kind int32, score float32) {
		v.tokens, v.types, v.scores = append(v.tokens, t), append(v.types, kind), append(v.scores, score)
	}
	add("<unk>", tokenUnknown, 0)
	add("<s>", tokenControl, 0)
	add("</s>", tokenControl, 0)
	for b := range 256 {
		add(fmt.Sprintf("<0x%02X>", b), tokenByte, 0)
	}
	for i, m := range learnMerges(sample, 300) {
		if t := strings.ReplaceAll(m[0]+m[1], byteRune(' '), "\u2581"); !strings.ContainsFunc(t, func(r rune) bool { return r > 0x7f && r != 0x2581 }) {
			add(t, tokenNormal, float32(-i))
		}
	}
	add("\u2581", tokenNormal, -1000)
	for c := '!'; c <= '~'; c++ {
		add(string(c), tokenNormal, float32(-1000-c))
	}
	v.addSpecial(size, add)
	return v
}

// addSpecial adds the control and user-defined tokens, and fills up to size.
func (v *vocabulary) addSpecial(size int, add func(string, int32, float32)) {
	for _, t := range ControlTokens {
		add(t, tokenControl, 0)
	}
	for _, t := range UserDefinedTokens {
		add(t, tokenUserDefined, 0)
	}
	for i := len(v.tokens); i < size; i++ {
		add(fmt.Sprintf("<extra_%d>", i), tokenNormal, -1e6)
	}
}

// buildVocabulary makes a byte-level BPE vocabulary in GPT-2's spelling with at most size tokens, padded to exactly
// size with tokens that no text produces.
func buildVocabulary(size int) vocabulary {
	var v vocabulary
	add := func(t string, kind int32) { v.tokens, v.types = append(v.tokens, t), append(v.types, kind) }
	for b := range 256 {
		add(byteRune(byte(b)), tokenNormal)
	}
	for _, m := range learnMerges(sample, 300) {
		v.merges = append(v.merges, m[0]+" "+m[1])
		add(m[0]+m[1], tokenNormal)
	}
	v.addSpecial(size, func(t string, kind int32, _ float32) { add(t, kind) })
	return v
}

func (v vocabulary) index(token string) uint32 {
	for i, t := range v.tokens {
		if t == token {
			return uint32(i)
		}
	}
	panic("internal error: no token " + token)
}

// byteRune is GPT-2's printable spelling of a byte: itself where it prints, else a letter from U+0100 on.
func byteRune(b byte) string {
	n := rune(0x100)
	for c := range 256 {
		prints := c >= '!' && c <= '~' || c >= 0xa1 && c <= 0xac || c >= 0xae
		if c == int(b) {
			if prints {
				return string(rune(c))
			}
			return string(n)
		}
		if !prints {
			n++
		}
	}
	panic("unreachable")
}

// learnMerges is byte pair encoding over the words of text, most frequent pair first, ties by spelling.
func learnMerges(text string, n int) [][2]string {
	var words [][]string
	for _, w := range strings.SplitAfter(text, " ") {
		var parts []string
		for _, b := range []byte(strings.TrimSpace(w)) {
			parts = append(parts, byteRune(b))
		}
		if len(parts) > 0 && isLetter(parts[0]) {
			words = append(words, append([]string{byteRune(' ')}, parts...))
		}
	}
	var merges [][2]string
	for len(merges) < n {
		counts := map[[2]string]int{}
		for _, w := range words {
			for i := 1; i < len(w); i++ {
				counts[[2]string{w[i-1], w[i]}]++
			}
		}
		pairs := make([][2]string, 0, len(counts))
		for p := range counts {
			pairs = append(pairs, p)
		}
		sort.Slice(pairs, func(i, j int) bool {
			if counts[pairs[i]] != counts[pairs[j]] {
				return counts[pairs[i]] > counts[pairs[j]]
			}
			return pairs[i][0]+pairs[i][1] < pairs[j][0]+pairs[j][1]
		})
		if len(pairs) == 0 {
			break
		}
		best, seen := pairs[0], false
		for _, m := range merges {
			seen = seen || m[0]+m[1] == best[0]+best[1]
		}
		if !seen {
			merges = append(merges, best)
		}
		for i, w := range words {
			words[i] = join(w, best)
		}
	}
	return merges
}

func join(w []string, p [2]string) []string {
	out := w[:0:0]
	for i := 0; i < len(w); i++ {
		if i+1 < len(w) && w[i] == p[0] && w[i+1] == p[1] {
			out = append(out, p[0]+p[1])
			i++
			continue
		}
		out = append(out, w[i])
	}
	return out
}

func isLetter(s string) bool { return s >= "A" && s <= "Z" || s >= "a" && s <= "z" }
