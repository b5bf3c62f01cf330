package main

import (
	"regexp"
	"strings"
	"testing"
)

// dressed draws n requests from one template.
func dressed(t *testing.T, template string, v slots, n int) []string {
	t.Helper()
	p := load(t)
	var out []string
	for i := range n {
		mine := slots{}
		for k, x := range v {
			mine[k] = x
		}
		out = append(out, newSource(p, splitTrain, 15, uint64(i)).dress(template, mine))
	}
	return out
}

func TestDress(t *testing.T) {
	t.Run("a value at the head keeps its case", func(t *testing.T) {
		for _, r := range dressed(t, "?(the |){q} is in which file", slots{"q": "lens"}, 200) {
			if strings.Contains(r, "Lens") {
				t.Errorf("%q", r)
			}
		}
	})
	t.Run("words of ours at the head may be large", func(t *testing.T) {
		if all := strings.Join(dressed(t, "?{d} can go", slots{"d": "the folder lens"}, 200), "\n"); !strings.Contains(all, "The folder lens") {
			t.Error("none is")
		}
	})
	t.Run("no word follows an open value", func(t *testing.T) {
		for _, open := range []string{"c", "q", "k", "w"} {
			bare := regexp.MustCompile(`echo lens \w`)
			for _, r := range dressed(t, "show {"+open+"}", slots{open: "echo lens"}, 300) {
				if bare.MatchString(r) {
					t.Errorf("%s: %q", open, r)
				}
			}
		}
	})
	t.Run("words may follow a quoted value", func(t *testing.T) {
		if all := strings.Join(dressed(t, "run {c}", slots{"c": "`ls`"}, 300), "\n"); !strings.Contains(all, "`ls` please") {
			t.Error("none does")
		}
	})
	t.Run("a text to the end of the line is left as it is", func(t *testing.T) {
		for _, r := range dressed(t, "write to a.txt: {x}", slots{"x": "red"}, 200) {
			if !strings.HasSuffix(r, ": red") {
				t.Errorf("%q", r)
			}
		}
	})
	t.Run("a file is led once", func(t *testing.T) {
		for _, r := range dressed(t, "delete the (old |)file {f}", slots{"f": "my file a.txt"}, 50) {
			if strings.Contains(r, "file my") {
				t.Errorf("%q", r)
			}
		}
	})
}

func TestUpper(t *testing.T) {
	for in, want := range map[string]string{"über": "Über", "łódź": "Łódź", "東京": "東京", "red": "Red", "7up": "7up"} {
		if got := upper(in); got != want {
			t.Errorf("upper(%q) is %q", in, got)
		}
	}
}
