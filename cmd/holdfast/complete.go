package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/ledger"
)

// What can stand at the place of the cursor. Whoever presses a key waits for it and reads
// no message, so that whatever fails is an empty answer.

// offer is a word that can stand there, with what it means.
type offer struct{ word, about string }

// offerTime bounds how long a ledger is read for an offer, offerRuns how many runs of it
// are offered.
const (
	offerTime = 2 * time.Second
	offerRuns = 100
)

// place is where a command line has led to.
type place struct {
	commands []*cli.Command // that can follow
	flags    []cli.Flag
	leaf     *cli.Command // nil while a command can follow
	args     int          // arguments of the leaf so far
	given    []string     // flags so far, as their first names
	ledger   string       // the value of --ledger, "" if not given
	value    bool         // a flag waits for its value
	over     bool         // behind --, where words are another program's
}

// offersFor completes the last of the words behind the name of the program.
func offersFor(c *cli.Context, words []string) []offer {
	words, split := rejoined(words)
	if len(words) == 0 || split { // a shell puts what it is given in the place of the last part only
		return nil
	}
	at := place{commands: c.App.Commands, flags: c.App.Flags}
	before, current := words[:len(words)-1], words[len(words)-1]
	for _, w := range before {
		at.pass(w)
	}
	var all []offer
	switch {
	case at.value || at.over:
	case strings.HasPrefix(current, "-") && at.args == 0: // flags go before the text
		all = at.flagOffers()
	case at.leaf == nil:
		all = commandOffers(at.commands)
	default:
		all = at.argOffers(c, current)
	}
	return slices.DeleteFunc(all, func(o offer) bool { return !strings.HasPrefix(o.word, current) })
}

// rejoined puts together what bash takes for several words, and reports whether the last one
// is such.
func rejoined(words []string) (out []string, split bool) {
	for i, w := range words {
		seam := w != "" && strings.Trim(w, "=:@") == ""
		split = len(out) > 0 && (seam || i > 0 && split && strings.Trim(words[i-1], "=:@") == "")
		if split {
			out[len(out)-1] += w
		} else {
			out = append(out, w)
		}
	}
	return out, split
}

// pass goes on by one word.
func (p *place) pass(w string) {
	switch {
	case p.value:
		p.value = false
		if p.given[len(p.given)-1] == "ledger" {
			p.ledger = w
		}
	case w == "--":
		p.over = true
	case len(w) > 1 && w[0] == '-' && p.args == 0:
		name, value, whole := strings.Cut(strings.TrimLeft(w, "-"), "=")
		i := slices.IndexFunc(p.flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
		if i < 0 {
			return
		}
		p.given = append(p.given, p.flags[i].Names()[0])
		if d, ok := p.flags[i].(cli.DocGenerationFlag); ok && d.TakesValue() {
			p.value = true
			if whole {
				p.pass(value)
			}
		}
	case p.leaf == nil:
		i := slices.IndexFunc(p.commands, func(c *cli.Command) bool { return c.HasName(w) })
		if i < 0 {
			p.over = true
			return
		}
		next := p.commands[i]
		p.commands, p.flags, p.given = next.Subcommands, next.Flags, nil
		if len(next.Subcommands) == 0 {
			p.leaf = next
		}
	default:
		p.args++
	}
}

func commandOffers(list []*cli.Command) (out []offer) {
	for _, c := range list {
		if !c.Hidden && c.Name != "help" {
			out = append(out, offer{c.Name, c.Usage})
		}
	}
	return out
}

// flagOffers are the flags that are not given yet, or may be repeated.
func (p *place) flagOffers() (out []offer) {
	for _, f := range p.flags {
		name := f.Names()[0]
		_, list := f.(listFlag)
		if d, ok := f.(cli.DocGenerationFlag); ok && name != "help" && (list || !slices.Contains(p.given, name)) {
			out = append(out, offer{"--" + name, inertLine(strings.ReplaceAll(d.GetUsage(), "`", ""), lineWidth)})
		}
	}
	return append(out, offer{"--help", "show help"})
}

// In the usage of a command, what stands for a run, and what stands for itself.
var (
	aRun    = regexp.MustCompile(`^RUN\b`)
	literal = regexp.MustCompile(`^[a-z]+$`)
)

// argOffers are what can stand as the next argument, by the usage of the command: runs where
// it says RUN, and the words that it lists.
func (p *place) argOffers(c *cli.Context, current string) (out []offer) {
	takes := strings.Fields(p.leaf.ArgsUsage)
	at := p.args
	if n := len(takes); n > 0 && at >= n && strings.Contains(takes[n-1], "...") {
		at = n - 1
	}
	if at >= len(takes) || strings.HasPrefix(takes[0], "-") {
		return nil
	}
	for w := range strings.SplitSeq(strings.Trim(takes[at], "[]"), "|") {
		switch {
		case aRun.MatchString(w):
			out = append(out, p.runOffers(c, current)...)
		case literal.MatchString(w):
			out = append(out, offer{word: w})
		}
	}
	return out
}

// runOffers are the runs whose identifiers begin so, the newest first.
func (p *place) runOffers(c *cli.Context, current string) (out []offer) {
	if p.ledger != "" {
		if err := c.Set("ledger", unquoted(p.ledger)); err != nil {
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(c.Context, offerTime)
	defer cancel()
	c.Context = ctx
	l, err := readLedger(c)
	if err != nil {
		return nil
	}
	defer l.Close()
	runs, err := l.Runs(ctx)
	if err != nil {
		return nil
	}
	for _, s := range slices.Backward(runs) {
		if strings.HasPrefix(s.ID, current) && len(out) < offerRuns {
			out = append(out, offer{s.ID, aboutRun(s)})
		}
	}
	return out
}

func aboutRun(s ledger.Summary) string {
	state := string(s.State)
	if s.Status != "" {
		state = string(s.Status)
	}
	return s.At.Local().Format("01-02 15:04") + " " + inertLine(state, 20) + ": " + inertLine(s.Prompt, 60)
}

// unquoted is the name of a file as a shell would read it, in the common cases: a shell hands
// over what was typed.
func unquoted(name string) string {
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return strings.Trim(name, `"'`)
}
