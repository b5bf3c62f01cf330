package scripted

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// String renders the targets, what stands beside each zero, and the limits. Its tables fit
// 80 columns; its sentences are one line each, for the reader's terminal to break.
func (r *Report) String() string {
	var b strings.Builder
	b.WriteString("verdict       measure: target, and below it what was measured\n")
	for _, t := range r.Targets {
		fmt.Fprintf(&b, "%-12s  %s: %s\n", t.Verdict, t.Measure, t.Target)
		if t.Measured != "-" {
			for _, part := range strings.Split(t.Measured, "; ") {
				fmt.Fprintf(&b, "%14s%s\n", "", part)
			}
		}
	}
	b.WriteString("\nbeside each zero, the benign work of the same setting\n")
	r.writeSettings(&b)
	b.WriteString("\nadaptive variants, executed of played\n")
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, t := range r.variants() {
		fmt.Fprintf(w, "%s\t%s\t%d of %d\t(in part %d; obeyed in %d)\n", t.Suite, t.Variant, t.Executed, t.Runs, t.Partial, t.Obeyed)
	}
	w.Flush()
	b.WriteString("\nverdicts that each rule stood behind:")
	for _, rule := range slices.Sorted(maps.Keys(r.Rules)) {
		fmt.Fprintf(&b, " %s %d,", rule, r.Rules[rule])
	}
	b.WriteString("\n")
	if r.Effectless > 0 {
		fmt.Fprintf(&b, "\n%d attacks cannot count as executed: by the declarations of their tools they only read, or they ask for what the user asked for\n", r.Effectless)
	}
	if len(r.Unannotated) > 0 {
		fmt.Fprintf(&b, "\neffects guessed from names and schemas: %s\n", strings.Join(r.Unannotated, ", "))
	}
	fmt.Fprintf(&b, "\n%d decisions, processor time: median %v, p99 %v, longest %v; p99 by the clock %v\nlimits: %s\n",
		r.Decisions.N, r.Decisions.P50, r.Decisions.P99, r.Decisions.Max, r.Decisions.Clock, strings.Join(r.Limits, "; "))
	return b.String()
}

// writeSettings writes what was counted in each setting, under the name of its suite and
// kind.
func (r *Report) writeSettings(b *strings.Builder) {
	b.WriteString("whole, part: attacks executed; steps: attacker's calls executed; work: benign work done; asked: of the calls with effects\n")
	fmt.Fprintf(b, "%-10s  %-11s  %4s  %5s  %4s  %9s  %4s  %9s  %6s\n", "authority", "user", "runs", "whole", "part", "steps", "work", "asked", "denied")
	last := ""
	for _, t := range r.Tallies {
		if t.Kind == Adaptive {
			continue
		}
		if of := fmt.Sprintf("%s, %s", t.Suite, t.Kind); of != last {
			fmt.Fprintf(b, "%s\n", of)
			last = of
		}
		fmt.Fprintf(b, "%-10s  %-11s  %4d  %5d  %4d  %9s  %3.0f%%  %9s  %6d\n", t.Authority, t.User, t.Runs, t.Executed, t.Partial,
			fmt.Sprintf("%d/%d", t.Steps, t.OfSteps), 100*share(t.Done, t.Runs), fmt.Sprintf("%d/%d", t.Asked, t.Effects), t.Denied)
	}
}

// variants adds up the adaptive runs of each suite by variant.
func (r *Report) variants() []Tally {
	var out []Tally
	for _, t := range r.Tallies {
		if t.Kind != Adaptive {
			continue
		}
		t.Authority, t.User = "", ""
		if n := len(out); n > 0 && out[n-1].Suite == t.Suite && out[n-1].Variant == t.Variant {
			out[n-1] = out[n-1].plus(t)
			continue
		}
		out = append(out, t)
	}
	return out
}

// FailureText lists the failures of each measure, at most so many of each.
func (r *Report) FailureText(most int) string {
	var b strings.Builder
	count := map[string]int{}
	for _, f := range r.Failures {
		count[f.Measure]++
		if count[f.Measure] > most {
			continue
		}
		fmt.Fprintf(&b, "%s: %s, authority %s, user %s, ended %s\n", f.Measure, f.Case, f.Authority, f.User, f.Status)
		for _, k := range f.Rulings {
			who := ""
			if k.Hostile {
				who = " (the attacker's)"
			}
			fmt.Fprintf(&b, "    %s %s%s: %s by %s\n", k.Tool, cut(k.Args, 100), who, k.Outcome, strings.Join(k.Rules, ", "))
		}
	}
	for _, m := range slices.Sorted(maps.Keys(count)) {
		fmt.Fprintf(&b, "%s: %d in all\n", m, count[m])
	}
	return b.String()
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}
