package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

func logTailCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name: "tail", Usage: "follow a run while another process carries it out", ArgsUsage: "[RUN]",
		Description: "Shows what is there and then each event as it is committed, until the run ends, is suspended or\n" +
			"loses its process. The newest run if none is named.\n\nExample:\n  holdfast log tail",
		CustomHelpTemplate: helpWithExits(exitDone, exitUsage, exitLedger, exitInterrupted),
		Flags:              []cli.Flag{ledgerFlag(), jsonFlag()},
		Action:             func(c *cli.Context) error { return logTail(c, t) },
	}
}

// tailEvery is how often a followed run is looked at.
const tailEvery = 200 * time.Millisecond

func logTail(c *cli.Context, t *terminal) error {
	l, id, err := readRun(c)
	if err != nil {
		return err
	}
	defer l.Close()
	show := eventPrinter(c, t, id)
	tick := time.NewTicker(tailEvery)
	defer tick.Stop()
	for after := int64(0); ; {
		s, err := l.Run(c.Context, id) // before its events, so that none are missed at its end
		if err != nil {
			return ledgerFailure(err)
		}
		for e, err := range l.EventsAfter(c.Context, id, after) {
			if err != nil {
				return ledgerFailure(err)
			}
			if err := show(e); err != nil {
				return err
			}
			after = e.Seq
		}
		if s.State != ledger.Running {
			if s.State != ledger.Ended {
				t.printf("the run is %s\n", s.State)
			}
			return nil
		}
		select {
		case <-c.Context.Done():
			return c.Context.Err()
		case <-tick.C:
		}
	}
}

// eventPrinter prints events as log show does.
func eventPrinter(c *cli.Context, t *terminal, id string) func(agent.Event) error {
	if c.Bool("json") {
		return func(e agent.Event) error {
			line, err := jsonEvent(id, e)
			if err == nil {
				_, err = fmt.Fprintf(t.out, "%s\n", line)
			}
			return err
		}
	}
	out := foldedFor(t)
	tl := newTimeline(&terminal{out: out, err: out, color: t.color && isTTY(t.out.w)})
	return func(e agent.Event) error { tl.print(e); return t.out.err }
}

func logGrepCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name: "grep", Usage: "find a text in all runs", ArgsUsage: "PATTERN",
		Description: "PATTERN is a regular expression (RE2). Each hit is printed as RUN/SEQ, kind and the line; RUN/SEQ is\n" +
			"what `holdfast log redact` takes. Token arrays are not searched: they spell what texts say.\n\n" +
			"Examples:\n  holdfast log grep 'relay\\.conf'\n  holdfast log grep -i --kind decision outward",
		CustomHelpTemplate: helpWithExits(exitDone, exitUsage, exitLedger),
		Flags: []cli.Flag{ledgerFlag(),
			&cli.StringFlag{Name: "kind", Usage: "only events of this `KIND`"},
			&cli.BoolFlag{Name: "ignore-case", Aliases: []string{"i"}}},
		Action: func(c *cli.Context) error { return logGrep(c, t) },
	}
}

func logGrep(c *cli.Context, t *terminal) error {
	if c.NArg() != 1 {
		return usage(errors.New("give one pattern; flags go before it"))
	}
	pattern := c.Args().First()
	if c.Bool("ignore-case") {
		pattern = "(?i)" + pattern
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return usage(err)
	}
	l, err := readLedger(c)
	if err != nil {
		return err
	}
	defer l.Close()
	runs, err := l.Runs(c.Context)
	if err != nil {
		return ledgerFailure(err)
	}
	for _, r := range runs {
		for e, err := range l.Events(c.Context, r.ID) {
			if err != nil {
				return ledgerFailure(err)
			}
			if k := c.String("kind"); k != "" && k != e.Body.Kind() {
				continue
			}
			if err := grepEvent(t, re, r.ID, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// grepEvent prints the first line of each text of an event that fits.
func grepEvent(t *terminal, re *regexp.Regexp, run string, e agent.Event) error {
	for _, s := range eventTexts(e) {
		at := re.FindStringIndex(s)
		if at == nil {
			continue
		}
		from := max(0, at[0]-60)
		for from > 0 && s[from]&0xC0 == 0x80 { // not within a character
			from--
		}
		if _, err := fmt.Fprintf(t.out, "%s/%d  %s  %s\n", run, e.Seq, e.Body.Kind(), inertLine(s[from:], lineWidth)); err != nil {
			return err
		}
	}
	return nil
}

// eventTexts lists the texts of an event, its payload included, without token arrays.
func eventTexts(e agent.Event) []string {
	enc, err := expand(e.Body)
	var doc any
	if err != nil || json.Unmarshal(enc, &doc) != nil {
		return nil
	}
	return agent.Strings(doc)
}
