package dataset_test

import (
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/dataset"
)

// TestNoSecretOfACallLeaves has secrets at the beginnings of lines in what a model writes into
// a file, where JSON puts a letter before them. The arguments stay JSON: the run is exported.
func TestNoSecretOfACallLeaves(t *testing.T) {
	args := `{"path":"a","content":"to\n` + mail + `\n` + key + `\u003c` + key + `"}`
	events := attempt(agent.ToolCall{ID: "c1", Tool: "read_file", Args: args}, "Write it.", `{"written": "\n`+key+`\t`+mail+`"}`, "Done.", 1,
		func(s *script, n int) int64 {
			return s.gen(agent.PurposeAgent, 8, "call "+args, 0, []int32{1, int32(n)}, []int32{10}, []float32{-0.5}, []float32{-0.5}, 0)
		})
	for _, format := range dataset.Formats {
		t.Run(format, func(t *testing.T) {
			red, err := dataset.NewRedactor(strings.NewReader("both \"path\":\"a\",\"content\""))
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			card, _, err := dataset.Export(t.Context(), memory{id(1): events}, []dataset.Run{{ID: id(1), Thread: id(1), Task: "port", Group: "g"}},
				dataset.Options{Format: format}, red, dataset.About{}, dir)
			if err != nil {
				t.Fatal(err)
			}
			if card.Redacted["both"] == 0 {
				t.Errorf("a pattern over two members found nothing: %v", card.Redacted)
			}
			noneHolds(t, dir, key, mail)
		})
	}
}

// TestRedactedArgumentsStayJSON compares arguments with what is left of them.
func TestRedactedArgumentsStayJSON(t *testing.T) {
	red, err := dataset.NewRedactor(strings.NewReader(`both "a","d":`))
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		`{"c": "to\n` + mail + `\r\n` + key + `", "n": 1}`: `{"c": "to\n[redacted:address:1]\r\n[redacted:aws-key:1]", "n": 1}`,
		`{"c":"\\n` + mail + `"}`:                          `{"c":"\\n[redacted:address:1]"}`,
		`{"c":"a\nb"}`:                                     `{"c":"a\nb"}`,
		`{"c":"a","d":4711}`:                               `{"redacted":"{\"c\":[redacted:both:1]4711}"}`, // a pattern over two members
		`{"c":"\n` + key:                                   `{"c":"\n[redacted:aws-key:1]`,                 // none that could be read
	} {
		tr := &dataset.Trajectory{Steps: []*dataset.Step{{Calls: []*dataset.Call{{ToolCall: agent.ToolCall{Tool: "x", Args: in}}}}}}
		if err := red.Apply(tr); err != nil {
			t.Fatal(err)
		}
		if got := tr.Steps[0].Calls[0].Args; got != want {
			t.Errorf("%s became\n%s, want\n%s", in, got, want)
		}
	}
}
