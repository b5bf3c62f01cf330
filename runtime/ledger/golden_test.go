package ledger_test

import (
	"bytes"
	"compress/gzip"
	"flag"
	"io"
	"os"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

var update = flag.Bool("update", false, "write the golden file of this format anew")

const goldenDB, goldenText = "testdata/v1.db.gz", "testdata/v1.txt"

// everyKind holds one event of each kind, in an order that the rules allow.
func everyKind() []agent.Event {
	t := agent.Text
	var none [32]byte
	return []agent.Event{
		{Body: &agent.RunStart{Agent: "a", Build: "b", Task: t("tidy up"), Config: agent.JSON(map[string]int{"k": 1}), Seed: 1,
			Limits: agent.Limits{Steps: 2, Time: time.Minute}, Frames: "f", Layers: []string{"l"}, Warnings: []string{"w"}, Train: true}},
		{Body: &agent.ModelUsed{Role: "agent", GGUF: "00", Name: "m", Engine: "e", Ctx: 4096, Detail: t("d")}},
		{Body: &agent.ToolsOffered{List: []agent.ToolOffered{{Name: "shell", Digest: "11", Spec: t("s")}}}},
		{Body: &agent.Said{Role: agent.User, Text: t("please tidy up"), Origin: agent.Origin{Source: agent.SourceUser}}},
		{Body: &agent.GenStart{Purpose: agent.PurposeLabel, MaxTokens: 9, Schema: t("{}")}},
		{Ref: 5, Body: &agent.GenEnd{IDs: &agent.Blob{Media: "x-i32le", Data: []byte{1, 0, 0, 0}}, Text: t("out"), N: 1, Finish: agent.FinishEOS}},
		{Ref: 4, Body: &agent.Labelled{Channel: agent.UserPrompt, Value: agent.Benign, P: agent.LabelProbs{.5, .25, .25}, Gens: []int64{5}}},
		ask(none, 4),
		answer(none, 8, agent.ChoiceOnce),
		{Ref: 4, Body: &agent.Authorised{Tools: []string{"shell"}, From: "plan"}},
		{Ref: 4, Body: &agent.Tainted{Value: agent.TaintClean}},
		{Step: 1, Body: &agent.Turned{Parse: agent.ParseClean, Thought: t("hm"), Calls: t("[]"), Answer: t("")}},
		{Step: 1, Ref: 12, Call: callA, Body: &agent.Judged{By: "gate", Outcome: agent.Ask, Reason: t("why"),
			Votes: []agent.Vote{{Rule: "r", Outcome: agent.Ask, Reason: "x"}}}},
		ask(callA, 13),
		answer(callA, 14, agent.ChoiceOnce),
		{Step: 1, Ref: 15, Call: callA, Body: &agent.Decided{Tool: "shell", Call: t("{}"), Outcome: agent.Allow, By: "user",
			Grant: agent.Grant{Profile: agent.Standard, Write: true, Hosts: []string{"example.org"}}}},
		{Step: 1, Ref: 16, Call: callA, Body: &agent.CallStart{Plan: t("p"), PlanDigest: "22", Cell: true}},
		{Step: 1, Ref: 16, Call: callA, Body: &agent.CallReady{Attestation: t("a"), Degraded: []string{"x"}}},
		{Step: 1, Ref: 16, Call: callA, Body: &agent.CallEnd{Status: agent.CallOK, Out: t("tidy"), Sandbox: t("{}")}},
		{Step: 1, Body: &agent.RunRecover{Last: 19, Unknown: []int64{16}}},
		{Step: 1, Body: &agent.LimitHit{Which: "steps", Value: 2}},
		{Step: 1, Body: &agent.Failed{Where: "loop", Text: t("e")}},
		{Step: 1, Body: &agent.RunEnd{Status: agent.StatusLimit, Answer: t("a"), Error: t("e"), Steps: 1, Calls: 1}},
	}
}

// TestGolden reads a file that the first version of this format wrote, which every later
// version must still verify and read in the same way.
func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	f, err := os.Open(goldenDB)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	db, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	path := copyFile(t, db)
	l := open(t, path, ledger.Options{})
	rep, err := l.Verify(t.Context())
	if err != nil || !rep.OK() {
		t.Errorf("%v\n%v%v%v", err, rep, rep.Integrity, rep.Completeness)
	}
	got, err := fold(t, l)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(goldenText, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenText)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the golden file reads differently, got:\n%s", got)
	}
	started(t, l) // an old file takes new runs
}

func writeGolden(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	path := newPath(t)
	l := open(t, path, ledger.Options{Build: "golden", Host: "host",
		Clock: func() time.Time { now = now.Add(time.Millisecond); return now }})
	r := begin(t, l, ledger.RunInfo{Task: "task", Group: "group", Sample: 1})
	for _, e := range everyKind() {
		add(t, r, e)
	}
	r.Close()
	l.Close()
	db, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	z.Write(db)
	z.Close()
	if err := os.WriteFile(goldenDB, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestEveryKind keeps the golden run complete: each kind that can be recorded must be
// in it.
func TestEveryKind(t *testing.T) {
	seen := map[string]bool{}
	l := open(t, newPath(t), ledger.Options{})
	r := begin(t, l, ledger.RunInfo{})
	for _, e := range everyKind() {
		add(t, r, e)
		seen[e.Body.Kind()] = true
	}
	for _, kind := range []string{"run.start", "run.end", "run.recover", "model", "tools", "message", "gen.start", "gen.end",
		"turn", "label", "authority", "taint", "verdict", "ask", "answer", "decision", "call.start", "call.ready",
		"call.end", "limit", "error"} {
		if !seen[kind] {
			t.Errorf("no event of kind %s", kind)
		}
	}
}
