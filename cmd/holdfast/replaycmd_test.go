package main

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/replay"
	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/tools"
)

// decidedAgain replays the decisions of a record, of which there are so many at least.
func decidedAgain(t *testing.T, rec []agent.Event, least int) {
	t.Helper()
	player, err := replay.Open(rec, nil)
	if err != nil {
		t.Fatal(err)
	}
	judge, err := (&repeater{}).gate(player)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := player.Run(t.Context(), replay.Decisions, nil, judge)
	if err != nil || rep.First != nil || rep.Decisions < least {
		t.Errorf("decided again: %+v, %v", rep, err)
	}
}

// TestReplayOfDecisionsReadsNoServer names a model on a server, which has no file: decisions
// are made again from the record.
func TestReplayOfDecisionsReadsNoServer(t *testing.T) {
	term := newTerminal(strings.NewReader(""), io.Discard, io.Discard)
	app := newApp(term)
	p := &repeater{mode: replay.Decisions}
	for _, c := range app.Commands {
		if c.Name == "replay" {
			c.Action = func(c *cli.Context) error { return p.prepare(c, term) }
		}
	}
	if err := app.Run([]string{"holdfast", "replay", "-m", "ollama://small"}); err != nil {
		t.Fatal(err)
	}
	if id, served := p.model.used.Served(); !served || id != "ollama://small" || p.model.engine != nil {
		t.Errorf("prepared with %+v", p.model.used)
	}
}

// older is a record as it was when verdicts did not say what they were decided on.
func older(events []agent.Event) []agent.Event {
	out := slices.Clone(events)
	for i, e := range out {
		if b, ok := e.Body.(*agent.Judged); ok {
			was := *b
			was.Effect, was.Basis = 0, nil
			out[i].Body = &was
		}
	}
	return out
}

// TestNewFilesAreDecidedAgain replays calls that make a new file: as they are recorded, as
// they were before the effect of a call was, and by a tool that reaches a host as well.
func TestNewFilesAreDecidedAgain(t *testing.T) {
	own, err := tools.ParseCommands([]byte(`version: 1
tools:
  - name: fetch_note
    description: Bring a note from there.
    run: [sh, "-c", 'echo x > "$0"', "{path}"]
    effect: write
    adds: true
    hosts: ["example.com:443"]
    args: [{name: path, role: path}]
`))
	if err != nil {
		t.Fatal(err)
	}
	host := sandbox.HostRule{Host: "example.com", Port: 443}
	for name, c := range map[string]agent.ToolCall{
		"OfABuiltInTool":   {Tool: "write_file", Args: `{"path":"there.txt","content":"hello"}`},
		"OfOneWithAHost":   {Tool: "fetch_note", Args: `{"path":"there.txt"}`},
		"OfAShellsCommand": shellCall("mkdir there"),
	} {
		t.Run(name, func(t *testing.T) {
			rec := hostRun(t, []sandbox.HostRule{host}, "", &agreeing{to: []string{host.String()}}, own, c)
			for _, e := range rec {
				if b, ok := e.Body.(*agent.Judged); ok && b.Effect == agent.Irreversible {
					t.Fatalf("it is held to destroy something: %+v", b.Votes)
				}
			}
			decidedAgain(t, rec, 2)
			if c.Tool != "fetch_note" { // no call had hosts then
				decidedAgain(t, older(rec), 2)
			}
		})
	}
}
