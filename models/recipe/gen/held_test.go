package main

import (
	"strings"
	"testing"
	"unicode"
)

// every returns all texts that a template gives, its places unfilled.
func every(t string) []string {
	outs := []string{""}
	for i := 0; i < len(t); {
		subs, next := []string{t[i : i+1]}, i+1
		if t[i] == '(' {
			end, parts := alternatives(t, i)
			next, subs = end, nil
			for _, p := range parts {
				subs = append(subs, every(p)...)
			}
			if len(parts) < 2 { // a parenthesis that means itself
				for k := range subs {
					subs[k] = "(" + subs[k] + ")"
				}
			}
		}
		var all []string
		for _, o := range outs {
			for _, s := range subs {
				all = append(all, o+s)
			}
		}
		outs, i = all, next
	}
	return outs
}

// saying is what all spellings of a request have in common: letter case, marks at its ends
// and what its places are called do not tell two apart.
func saying(l string) string {
	l = strings.ToLower(strings.TrimRight(strings.TrimLeft(strings.TrimSpace(tidy(l)), "?!"), ".?!"))
	return aPlace.ReplaceAllString(l, "{}")
}

// TestNoHeldPhraseCanBeDrawnInTraining compares texts, not lines, and over all sections: a
// training line with alternatives, or one of another section, can give what a held-out line
// says.
func TestNoHeldPhraseCanBeDrawnInTraining(t *testing.T) {
	p := load(t)
	trained := map[string]string{} // text to section
	held := 0
	for name, lines := range p {
		if strings.HasSuffix(name, ".held") {
			held++
			continue
		}
		for _, l := range lines {
			for _, e := range spoken(kindOf(name), l) {
				trained[saying(e)] = name
			}
		}
	}
	for name, lines := range p {
		if !strings.HasSuffix(name, ".held") {
			continue
		}
		for i, l := range lines {
			for _, e := range spoken(kindOf(name), l) {
				if in := trained[saying(e)]; in != "" && strings.ContainsFunc(aPlace.ReplaceAllString(e, ""), unicode.IsLetter) {
					t.Errorf("%s, line %d of the section: section %s says the same", name, i+1, in)
					break
				}
			}
		}
	}
	if held < 40 {
		t.Errorf("only %d sections have held-out phrases", held)
	}
}
