package safety_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety"
)

// BenchmarkRules measures a decision without its review after 50 steps whose responses
// hold about 2 KB each. The target is a p99 below one millisecond.
func BenchmarkRules(b *testing.B) {
	c := asked("Read every note in notes and write a summary to summary.md")
	for i := range 50 {
		line := fmt.Sprintf("note %d: The quick brown fox of %d jumps over the lazy dog, see http://example.org/%d.\n", i, i, i)
		c = read(c, fmt.Sprintf("notes/%d.md", i), strings.Repeat(line, 25))
	}
	g := newGate(b, safety.Options{})
	for _, bb := range []struct{ name, tool, args string }{
		{"UsersPath", "write_file", `{"path":"summary.md","content":"a summary"}`},
		{"UntracedPath", "write_file", `{"path":"nowhere.md","content":"a summary"}`},
		{"Command", "run_command", `{"command":"sort nowhere.md | tail -n 3 > sorted.md"}`},
		{"Outward", "send_mail", fmt.Sprintf(`{"to":"nobody@example.net","body":%q}`, strings.Repeat("some words of my own on it ", 80))},
	} {
		b.Run(bb.name, func(b *testing.B) {
			conv, p := propose(c, bb.tool, bb.args, bb.tool)
			p.Taint = agent.TaintUntrusted
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				g.Rules(conv, p)
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}
