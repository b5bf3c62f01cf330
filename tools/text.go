package tools

import (
	"fmt"
	"unicode/utf8"

	"github.com/holdfast-run/holdfast/tools/toolbox"
)

// MaxText is the longest text of an observation, in bytes, less what ends it: the
// line for a limit and the exit status.
const MaxText = 8000

// Show returns the text of tool output as a model gets it: valid UTF-8 with
// everything that acts on a terminal or a reader's eye written as an escape, and
// no longer than about MaxText bytes. What is cut is cut from the middle, and a
// line says how much.
func Show(output string) string {
	s := toolbox.Inert(output, "\n\t")
	if len(s) <= MaxText {
		return s
	}
	head := clip(s, MaxText/2)
	start := len(s) - MaxText/2
	for !utf8.RuneStart(s[start]) {
		start++
	}
	return fmt.Sprintf("%s\n[%d bytes left out]\n%s", head, start-len(head), s[start:])
}

// clip returns at most n bytes of s, whole characters only.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
