package main

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

// Everything of a run that is put into the page is text to the template, which escapes
// it for where it stands; classes come from our own words. The page may run no script,
// load nothing and use no style but its own, which its policy names by digest: a text
// that got through could still do nothing.
var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

type (
	page struct {
		CSP   string
		CSS   template.CSS
		Run   string
		Title string
		Facts []fact
		Steps []pageStep
	}
	fact     struct{ Name, Value string }
	pageStep struct {
		N     int
		Items []pageItem
	}
	pageItem struct {
		Seq               int64
		At, Kind, Head    string
		Badge, BadgeClass string
		Text              string
		Args              []pageArg
		Probs             []fact
		Notes             []string
		Tokens            []pageToken
		Open              bool // the tokens are shown from the beginning
		Diff              []pageToken
		More              []fact // texts to unfold
	}
	pageArg   struct{ Name, Value, Origin, Class string }
	pageToken struct{ Text, Class, Title string }
)

// showHTML writes a run as one page.
func showHTML(c *cli.Context, t *terminal, l *ledger.Ledger, id string) error {
	events, err := l.ReadAll(c.Context, id)
	if err != nil {
		return ledgerFailure(err)
	}
	piece, done := pieces(c, t, events)
	defer done()
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, newPage(id, events, piece)); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	path := c.String("html")
	if path == "-" {
		_, err := t.out.Write(b.Bytes())
		return err
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		return usage(fmt.Errorf("write page: %w", err))
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	t.printf("%s\n", inertLine(path, 300))
	return nil
}

// pieces gives the texts of tokens by the model of the run, if it is at hand; without it
// tokens are shown by their numbers.
func pieces(c *cli.Context, t *terminal, events []agent.Event) (piece func(int32) string, done func()) {
	none := func() {}
	var used *agent.ModelUsed
	for _, e := range events {
		if b, ok := e.Body.(*agent.ModelUsed); ok {
			used = b
		}
	}
	if used == nil || used.GGUF == "" {
		return nil, none
	}
	if _, served := used.Served(); served {
		return nil, none // there are no tokens to show
	}
	f, err := openModel(c.Context, c.String("model"))
	if err == nil {
		f.Close()
	}
	if err != nil || f.digest != used.GGUF {
		t.printf("tokens are shown by number: the run's model (sha256 %.16s) is not at hand; give it with -m\n", inert(used.GGUF))
		return nil, none
	}
	m, err := loadModel(c, t)
	if err != nil {
		t.printf("tokens are shown by number: %s\n", oneLine(err))
		return nil, none
	}
	return m.engine.Piece, func() { m.engine.Close() }
}

func newPage(id string, events []agent.Event, piece func(int32) string) page {
	sum := sha256.Sum256([]byte(pageCSS))
	p := page{Run: id, CSS: template.CSS(pageCSS), CSP: "default-src 'none'; style-src 'sha256-" +
		base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"}
	b := &pageBuilder{piece: piece, gens: map[int64]agent.Purpose{}, files: map[string]string{}, calls: map[int64]agent.ToolCall{},
		sinks: map[[32]byte][]agent.Sink{}}
	p.Title = "run " + id
	p.Facts = []fact{{"run", id}, {"began", events[0].At.UTC().Format(time.RFC3339)}}
	for _, e := range events {
		p.Facts = append(p.Facts, b.facts(e)...)
		it, ok := b.item(e)
		if s, isStart := e.Body.(*agent.RunStart); isStart {
			p.Title = b.text(s.Task)
			b.began = e.At
		}
		if !ok {
			continue
		}
		it.Kind, it.Badge, it.Head = inert(it.Kind), inert(it.Badge), inert(it.Head)
		it.Seq, it.At = e.Seq, fmt.Sprintf("%.2f s", e.At.Sub(b.began).Seconds())
		if n := len(p.Steps); n == 0 || p.Steps[n-1].N < e.Step {
			p.Steps = append(p.Steps, pageStep{N: e.Step})
		}
		last := &p.Steps[len(p.Steps)-1]
		last.Items = append(last.Items, it)
	}
	return p
}

// pageBuilder keeps what later events of the run refer to.
type pageBuilder struct {
	piece func(int32) string
	began time.Time
	gens  map[int64]agent.Purpose
	calls map[int64]agent.ToolCall  // by decision
	sinks map[[32]byte][]agent.Sink // by call, as its verdict has them
	files map[string]string         // what the run has read and written of them, by path
}

// text is a blob's text, made inert.
func (*pageBuilder) text(b *agent.Blob) string {
	if b != nil && b.Data == nil {
		return "[erased]"
	}
	return inert(b.String())
}

func (b *pageBuilder) facts(e agent.Event) []fact {
	switch x := e.Body.(type) {
	case *agent.RunStart:
		return []fact{{"agent", inert(x.Agent)}, {"build", inert(x.Build)}, {"seed", fmt.Sprint(x.Seed)},
			{"limits", fmt.Sprintf("%d steps, %d tokens, %s", x.Limits.Steps, x.Limits.Tokens, x.Limits.Time)},
			{"frames", inert(x.Frames)}, {"warnings", inert(strings.Join(x.Warnings, "; "))}}
	case *agent.ModelUsed:
		return []fact{{"model", inert(x.Name)}, {"model is", modelName(x)}}
	case *agent.RunEnd:
		return []fact{{"ended", fmt.Sprintf("%s after %s, %s, %s", inert(string(x.Status)), count(x.Steps, "step"), count(x.Calls, "call"), count(x.Denials, "denial"))}}
	}
	return nil
}

// args lists the members of a call's arguments, marked with where each came from.
func args(raw string, sinks []agent.Sink) []pageArg {
	var m map[string]any
	if json.Unmarshal([]byte(raw), &m) != nil {
		return []pageArg{{Name: "arguments", Value: inert(raw)}}
	}
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	sort.Strings(names)
	var out []pageArg
	for _, n := range names {
		v, ok := m[n].(string)
		if !ok {
			enc, err := json.Marshal(m[n])
			if err != nil {
				continue
			}
			v = string(enc)
		}
		a := pageArg{Name: inert(n), Value: inert(v)}
		for _, s := range sinks {
			if s.Arg == "/"+n || strings.HasPrefix(s.Arg, "/"+n+"/") {
				a.Origin, a.Class = inert("from "+theOrigin(s.Origin)), "warn"
				if s.Origin.Trusted() {
					a.Class = "good"
				}
			}
		}
		out = append(out, a)
	}
	return out
}
