package main

import (
	"slices"
	"strings"
	"testing"
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

// TestNoHeldPhraseCanBeDrawnInTraining compares texts, not lines: a training line with
// alternatives can give what a held-out line says.
func TestNoHeldPhraseCanBeDrawnInTraining(t *testing.T) {
	p := load(t)
	plain := func(l string) string {
		return strings.ToLower(strings.TrimRight(strings.TrimLeft(strings.TrimSpace(tidy(l)), "?!"), ".?!"))
	}
	n := 0
	for name, lines := range p {
		held := map[string]bool{}
		if len(p[name+".held"]) > 0 {
			n++
		}
		for _, l := range p[name+".held"] {
			for _, e := range every(l) {
				held[plain(e)] = true
			}
		}
		for _, l := range append(slices.Clone(lines), p[name+".direct"]...) {
			for _, e := range every(l) {
				if held[plain(e)] {
					t.Errorf("%s: %q gives the held-out %q", name, l, e)
					break
				}
			}
		}
	}
	if n < 40 {
		t.Errorf("only %d sections have held-out phrases", n)
	}
}
