package dataset_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/dataset"
)

const (
	key  = "AKIAABCDEFGHIJKLMNOP"
	mail = "wim@example.org"
)

// secretRun is a run in which a tool gave away two secrets.
func secretRun() (memory, dataset.Run) {
	events := attempt(agent.ToolCall{ID: "c1", Tool: "read_file", Args: `{"path":"a"}`}, "I ask "+mail+".", "key "+key, "It is "+key+".", 1,
		func(s *script, n int) int64 {
			return s.gen(agent.PurposeAgent, 8, "call for "+mail, 0, []int32{1, int32(n)}, []int32{10}, []float32{-0.5}, []float32{-0.5}, 0)
		})
	return memory{id(1): events}, dataset.Run{ID: id(1), Thread: id(1), Task: "port", Group: "g"}
}

func TestNoSecretLeaves(t *testing.T) {
	for _, format := range dataset.Formats {
		t.Run(format, func(t *testing.T) {
			m, run := secretRun()
			red, err := dataset.NewRedactor(strings.NewReader("# more\nword port"))
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			card, _, err := dataset.Export(context.Background(), m, []dataset.Run{run}, dataset.Options{Format: format}, red, dataset.About{}, dir)
			if err != nil {
				t.Fatal(err)
			}
			if card.Redacted["aws-key"] == 0 || card.Redacted["address"] == 0 || card.Redacted["word"] == 0 {
				t.Errorf("hits %v", card.Redacted)
			}
			if format == "tokens" && card.Rows > 0 {
				t.Error("tokens of a redacted text left")
			}
			names, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range names {
				b, err := os.ReadFile(filepath.Join(dir, n.Name()))
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range []string{key, mail} {
					if strings.Contains(string(b), s) {
						t.Errorf("%s holds %s", n.Name(), s)
					}
				}
				if format == "atif" && strings.HasSuffix(n.Name(), "1.json") && strings.Contains(string(b), `"completion_token_ids":[10]`) {
					t.Error("tokens of a redacted text left")
				}
			}
		})
	}
}

// TestRedactorHidesWhatTheJudgeRead has a key in a response that was kept from the agent: the
// prompt that screened it spells the key in its tokens.
func TestRedactorHidesWhatTheJudgeRead(t *testing.T) {
	red, err := dataset.NewRedactor(nil)
	if err != nil {
		t.Fatal(err)
	}
	for out, want := range map[string]bool{"id = AKIAABCDEFGHIJKLMNOP": true, "id = 17": false} {
		agents, judges := &dataset.Gen{Purpose: agent.PurposeAgent}, &dataset.Gen{Purpose: agent.PurposeLabel}
		red.Apply(&dataset.Trajectory{Gens: []*dataset.Gen{agents, judges}, Steps: []*dataset.Step{{Calls: []*dataset.Call{
			{End: &agent.CallEnd{Out: agent.Text(out)}, Shown: "withheld"}, {}}}}})
		if agents.Hidden || judges.Hidden != want {
			t.Errorf("%q: tokens of the agent hidden %v, of the judge %v, want false, %v", out, agents.Hidden, judges.Hidden, want)
		}
	}
}

func TestRedactorRefuses(t *testing.T) {
	for name, s := range map[string]string{"NoExpression": "word", "BadExpression": "word (", "EverythingMatches": "word x*"} {
		t.Run(name, func(t *testing.T) {
			if _, err := dataset.NewRedactor(strings.NewReader(s)); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestLossesAreCounted(t *testing.T) {
	_, card := export(t, dataset.Options{Format: "trl-sft"})
	if card.Runs != 4 || card.RunsOut != 2 || card.Rows != 2 || card.Lost["the run was recorded with train false"] != 1 || len(card.Lost) != 2 {
		t.Errorf("card %+v", card)
	}
	_, card = export(t, dataset.Options{Format: "tokens"})
	if want := (dataset.Stitching{Clean: 2, Realign: 1, Fork: 1, Lost: 1}); card.Stitching != want {
		t.Errorf("stitching %+v, want %+v", card.Stitching, want)
	}
}

func TestMixedLogprobsNeedAWord(t *testing.T) {
	m, runs := fixture()
	for _, e := range m[id(1)] {
		if b, ok := e.Body.(*agent.GenEnd); ok && b.N == 2 {
			b.Sampled = floats(-0.1, -0.2)
		}
	}
	run := func(kind string) error {
		_, _, err := dataset.Export(context.Background(), m, runs, dataset.Options{Format: "tokens", Logprobs: kind}, nil, dataset.About{}, t.TempDir())
		return err
	}
	var e *dataset.Error
	if err := run(""); !errors.As(err, &e) || e.Hint == "" {
		t.Errorf("error %v", err)
	}
	for _, kind := range []string{"raw", "sampled"} {
		if err := run(kind); err != nil {
			t.Error(err)
		}
	}
}

func TestErasedRunsDoNotLeave(t *testing.T) {
	for _, format := range []string{"openai", "tokens", "trl-dpo"} {
		m, runs := fixture()
		for _, events := range m {
			for _, e := range events {
				switch b := e.Body.(type) {
				case *agent.GenEnd:
					b.IDs = &agent.Blob{}
				case *agent.Said:
					b.Text = &agent.Blob{}
				}
			}
		}
		card, left, err := dataset.Export(context.Background(), m, runs, dataset.Options{Format: format}, nil, dataset.About{}, t.TempDir())
		if err != nil || card.Rows != 0 || len(left) != 0 {
			t.Errorf("%s: %v, %d rows", format, err, card.Rows)
		}
	}
}

// TestErasedDeclarationsDoNotEndAnExport erases what the tools were declared to be, as the
// redaction of a whole run does: that run does not leave, and the others do.
func TestErasedDeclarationsDoNotEndAnExport(t *testing.T) {
	for _, format := range dataset.Formats {
		m, runs := fixture()
		for _, e := range m[runs[0].ID] {
			if b, ok := e.Body.(*agent.ToolsOffered); ok {
				for i := range b.List {
					b.List[i].Spec = &agent.Blob{}
				}
			}
		}
		card, left, err := dataset.Export(context.Background(), m, runs, dataset.Options{Format: format, Logprobs: logprobsOf(format)}, nil, dataset.About{}, t.TempDir())
		if err != nil || format != "tokens" && format != "atif" && slices.Contains(left, runs[0].ID) {
			t.Errorf("%s: %v, %v left, lost %v", format, err, left, card.Lost)
		}
	}
}

func logprobsOf(format string) string {
	if format == "tokens" {
		return dataset.LogprobsRaw
	}
	return ""
}

// TestErasedCallsDoNotComeBackAsText erases the calls of every turn and leaves the text that
// they were read from.
func TestErasedCallsDoNotComeBackAsText(t *testing.T) {
	m, runs := fixture()
	for _, events := range m {
		turns := map[int64]bool{}
		for _, e := range events {
			if b, ok := e.Body.(*agent.Turned); ok {
				b.Calls, b.Answer, b.Thought = &agent.Blob{}, nil, nil
				turns[e.Ref] = true
			}
		}
		for _, e := range events {
			if b, ok := e.Body.(*agent.GenEnd); ok && turns[e.Ref] {
				b.Text = agent.Text("SECRET in a call")
			}
		}
	}
	dir := t.TempDir()
	if _, _, err := dataset.Export(context.Background(), m, runs, dataset.Options{Format: "atif"}, nil, dataset.About{}, dir); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err != nil || strings.Contains(string(b), "SECRET") {
			t.Errorf("%s holds what was erased, %v", f, err)
		}
	}
}

// TestExportIntoAUsedFolder writes a smaller set over a larger one: what the first left must
// not stay, and nothing that is not the first's may go.
func TestExportIntoAUsedFolder(t *testing.T) {
	m, runs := fixture()
	write := func(dir string, runs []dataset.Run, o dataset.Options) error {
		_, _, err := dataset.Export(context.Background(), m, runs, o, nil, dataset.About{}, dir)
		return err
	}
	atif := dataset.Options{Format: "atif"}
	dir := t.TempDir()
	if err := write(dir, runs, atif); err != nil {
		t.Fatal(err)
	}
	if err := write(dir, runs, dataset.Options{Format: "sharegpt"}); err == nil {
		t.Error("a set of another format was written over the first")
	}
	if err := write(dir, runs[:1], atif); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.json"))
	if len(files) != 2 {
		t.Errorf("files %v, want the card and one run", files)
	}
	if _, err := dataset.Check(dir); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "more.jsonl"), []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := dataset.Check(dir); !errors.Is(err, dataset.ErrContract) {
		t.Errorf("a file that the card does not name: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, runs[0].ID+".json"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(dir, runs[1:], atif); err == nil {
		t.Error("a changed file was removed")
	}
}

func TestSplitsFollowTheTask(t *testing.T) {
	seen := map[string]int{}
	for n := range 400 {
		task := strings.Repeat("x", n+1)
		a := &dataset.Trajectory{Run: dataset.Run{ID: id(1), Task: task}}
		b := &dataset.Trajectory{Run: dataset.Run{ID: id(2), Task: task}}
		s := dataset.Splits{Train: 60, Validation: 20, Test: 20, Seed: 4}
		if s.Of(a) != s.Of(b) {
			t.Fatalf("task %d is in two splits", n)
		}
		seen[s.Of(a)]++
	}
	if seen["train"] < 200 || seen["validation"] < 50 || seen["test"] < 50 {
		t.Errorf("splits %v", seen)
	}
	if err := (dataset.Splits{Train: 50}).Validate(); err == nil {
		t.Error("half a split was accepted")
	}
}

func TestFoldRefuses(t *testing.T) {
	for name, spoil := range map[string]func([]agent.Event) []agent.Event{
		"Nothing":             func([]agent.Event) []agent.Event { return nil },
		"AGap":                func(e []agent.Event) []agent.Event { return append(e[:3:3], e[4:]...) },
		"AnEndOfNoGeneration": func(e []agent.Event) []agent.Event { e[6].Ref = 3; return e },
		"ATurnOfNoGeneration": func(e []agent.Event) []agent.Event { e[13].Ref = 3; return e },
		"AStartWithoutDecision": func(e []agent.Event) []agent.Event {
			e[18].Ref = 3
			return e
		},
		"TornTokens": func(e []agent.Event) []agent.Event {
			e[12].Body.(*agent.GenEnd).IDs = &agent.Blob{Data: []byte{1, 2, 3}}
			return e
		},
		"FewerLogprobs": func(e []agent.Event) []agent.Event {
			e[12].Body.(*agent.GenEnd).Raw = floats(-1)
			return e
		},
		"FewerFlags": func(e []agent.Event) []agent.Event {
			e[12].Body.(*agent.GenEnd).Forced = &agent.Blob{Data: []byte{}}
			return e
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, runs := fixture()
			if _, err := dataset.Fold(runs[0], spoil(m[id(1)])); err == nil {
				t.Error("folded")
			}
		})
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, o := range map[string]dataset.Options{
		"NoFormat": {}, "UnknownFormat": {Format: "yaml"}, "PairsOfTokens": {Format: "tokens", Pairs: true},
		"ParquetOfChats": {Format: "openai", Parquet: true}, "UnknownLayout": {Format: "tokens", Layout: "x"},
		"NegativeMargin": {Format: "trl-dpo", Pair: dataset.PairOptions{Margin: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			if o.Validate() == nil {
				t.Error("accepted")
			}
		})
	}
}

// TestReplacedRunsDoNotLeave makes the first attempt of a group again, by way of one that was
// cut short: it is no attempt any more.
func TestReplacedRunsDoNotLeave(t *testing.T) {
	m, runs := fixture()
	s := &script{}
	s.open("What is the port?", true)
	s.add(0, &agent.RunEnd{Status: agent.StatusStopped})
	m[id(5)] = s.events
	again := []dataset.Run{runs[0], {ID: id(5), Parent: id(1), Relation: "retry", Group: "g"}, runs[1]}
	again[2].Parent, again[2].Relation = id(5), "retry"
	of := func(list []dataset.Run) *dataset.Card {
		t.Helper()
		card, _, err := dataset.Export(t.Context(), m, list, dataset.Options{Format: "openai"}, nil, dataset.About{}, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return card
	}
	if card := of(again); card.Rows != 1 || card.Lost["another run was made in the place of this one"] != 1 {
		t.Errorf("card %+v", card)
	}
	gone := runs[0]
	gone.Replaced = true
	if card := of([]dataset.Run{gone}); card.Rows != 0 || card.Lost["another run was made in the place of this one"] != 1 {
		t.Errorf("without the run in its place, which there is: card %+v", card)
	}
	if card := of(again[:2]); card.Rows != 1 || card.Lost["another run was made in the place of this one"] != 0 {
		t.Errorf("without a run that counts in its place: card %+v", card)
	}
}
