package inference

import (
	"math"
	"strings"

	"github.com/holdfast-run/holdfast/inference/internal/llama"
)

// labelReader reads the probabilities of label words where the output first contains a text. White space in the output
// that the text does not have is passed over: JSON may have it around its marks.
type labelReader struct {
	w      *vocabulary
	prefix string
	labels []string
	text   string // output so far, without white space if prefix has none
	raw    int    // bytes of output so far
	at     []int  // offset in the output of each byte of text
	probs  []float64
}

func newLabelReader(w *vocabulary, prefix string, labels []string) *labelReader {
	if prefix == "" || len(labels) == 0 {
		return nil
	}
	return &labelReader{w: w, prefix: prefix, labels: labels}
}

// observe is told of each sampled token with the logits it was drawn from. The token in which the prefix ends, or the
// first after it, is where the label begins: a token that spans the border counts with its part before the border.
func (l *labelReader) observe(id llama.Token, logits []float32, logSum float32) {
	if l == nil || l.probs != nil {
		return
	}
	piece, before := l.w.pieces[id], l.raw
	spaced := strings.ContainsAny(l.prefix, " \t\r\n")
	for i := range len(piece) {
		if spaced || !strings.ContainsRune(" \t\r\n", rune(piece[i])) {
			l.text += piece[i : i+1]
			l.at = append(l.at, before+i)
		}
	}
	l.raw += len(piece)
	i := strings.Index(l.text, l.prefix)
	if i < 0 {
		return
	}
	if border := l.at[i+len(l.prefix)-1] + 1; border < l.raw {
		l.read(piece[:max(0, border-before)], logits, logSum)
	}
}

// read sums, for each label, the probability of every token that continues lead with a beginning of the label or with
// the whole label and more, and renormalises over the labels.
func (l *labelReader) read(lead string, logits []float32, logSum float32) {
	mass, total := make([]float64, len(l.labels)), 0.0
	for id, p := range l.w.pieces {
		if l.w.special[id] || len(p) <= len(lead) || !strings.HasPrefix(p, lead) {
			continue
		}
		rest := p[len(lead):]
		for k, label := range l.labels {
			if strings.HasPrefix(label, rest) || strings.HasPrefix(rest, label) {
				m := math.Exp(float64(logits[id]) - float64(logSum))
				mass[k] += m
				total += m
			}
		}
	}
	for k := range mass {
		if total > 0 {
			mass[k] /= total
		} else {
			mass[k] = 1 / float64(len(mass)) // every label has vanished from the distribution
		}
	}
	l.probs = mass
}
