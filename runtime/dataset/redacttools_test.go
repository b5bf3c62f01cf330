package dataset_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/dataset"
)

// toldByTool is a run without a secret, but for those in what a tool of the user's own is
// declared to be.
func toldByTool(schema string) (memory, dataset.Run) {
	m, runs := fixture()
	for i := range m[id(1)] {
		if b, ok := m[id(1)][i].Body.(*agent.ToolsOffered); ok {
			mine := agent.ToolSpec{Name: "ask_ops", Description: "Asks " + mail + ".", Schema: json.RawMessage(schema), Effect: agent.Read}
			b.List = append(b.List, agent.ToolOffered{Name: mine.Name, Spec: agent.JSON(mine)})
		}
	}
	return m, runs[0]
}

func TestNoSecretOfAToolLeaves(t *testing.T) {
	schema := `{"type":"object","properties":{"z":{"type":"string","description":"as \u0041KIAABCDEFGHIJKLMNOP","default":"` + key + `"},"` +
		mail + `":{"type":"integer","const":471147114711}},"required":["z"]}`
	for _, format := range dataset.Formats {
		t.Run(format, func(t *testing.T) {
			m, run := toldByTool(schema)
			red, err := dataset.NewRedactor(strings.NewReader(`pin 4711\d{8}`))
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			card, _, err := dataset.Export(context.Background(), m, []dataset.Run{run}, dataset.Options{Format: format}, red, dataset.About{}, dir)
			if err != nil {
				t.Fatal(err)
			}
			if card.Redacted["aws-key"] != 2 || card.Redacted["address"] != 2 || card.Redacted["pin"] != 1 {
				t.Errorf("hits %v", card.Redacted)
			}
			if format == "tokens" && card.Rows > 0 {
				t.Error("tokens of a prompt that begins with a secret left")
			}
			if _, err := dataset.Check(dir); err != nil {
				t.Error(err)
			}
			noneHolds(t, dir, key, "KIAABCDEFGHIJKLMNOP", mail, "471147114711")
		})
	}
}

// TestRedactedSchemaStaysOne compares a schema with what is left of it, to the letter.
func TestRedactedSchemaStaysOne(t *testing.T) {
	red, err := dataset.NewRedactor(strings.NewReader("pin 4711.*"))
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		`{"b": {"default" : "` + key + `", "n" : [1, 4711 ,true]}, "a":null }`: `{"b": {"default" : "[redacted:aws-key:1]", "n" : [1, "[redacted:pin:1]" ,true]}, "a":null }`,
		`{"` + mail + `":"say \"4711\" now","z":1}`:                            `{"[redacted:address:1]":"say \"[redacted:pin:1]","z":1}`,
		`{"z": 1, "a": "\u00e9 < 2"}`:                                          `{"z": 1, "a": "\u00e9 < 2"}`,
		``:                                                                     ``,
	} {
		tr := &dataset.Trajectory{Tools: []agent.ToolSpec{{Name: "x", Schema: json.RawMessage(in)}}}
		red.Apply(tr)
		if got := string(tr.Tools[0].Schema); got != want {
			t.Errorf("%s became\n%s, want\n%s", in, got, want)
		}
	}
}

// TestNoSecretOfAnImportLeaves imports a document with secrets in all of its members, and
// exports it: what comes back is the document without them, and without tokens.
func TestNoSecretOfAnImportLeaves(t *testing.T) {
	doc := strings.NewReplacer(
		`"notes":"n"`, `"notes":"`+key+`"`, `{"x":1}`, `{"x":"`+mail+`"}`, `"text":"look"`, `"text":"look at `+key+`"`,
		`"path":"a.png"`, `"path":"`+mail+`.png"`, `"reasoning_content":"r"`, `"reasoning_content":"`+mail+`"`, `[1,2.50]`, `[1,471147114711,"`+key+`"]`,
		`"content":"out"`, `"content":"`+key+`"`, `"message":"sub"`, `"message":"sub `+mail+`"`, `"parameters":{}`, `"parameters":{"default":"`+key+`"}`,
	).Replace(atifDoc)
	back := exportedImport(t, doc, "pin 4711\\d{8}\nword agent|text|message")
	for _, s := range []string{key, mail, "471147114711", "prompt_token_ids", "completion_token_ids", "logprobs"} {
		if strings.Contains(back, s) {
			t.Errorf("%s left:\n%s", s, back)
		}
	}
	if !strings.Contains(back, `"text":"look at [redacted:aws-key:1]"`) || !strings.Contains(back, `"k":[1,"[redacted:pin:1]","[redacted:aws-key:1]"]`) {
		t.Errorf("what came back is\n%s", back)
	}
	if _, err := dataset.DecodeATIF([]byte(back)); err != nil {
		t.Error(err)
	}
	if both := exportedImport(t, atifDoc, `both "k":\[1,2`); !strings.Contains(both, `"arguments":{"redacted":"{[redacted:both:1].50]}"}`) {
		t.Errorf("with a pattern over a name and what stands under it, what came back is\n%s", both)
	}
	if whole := exportedImport(t, atifDoc, "word zzz"); !strings.Contains(whole, `"prompt_token_ids":[1,2,3]`) {
		t.Errorf("a document without a secret came back as\n%s", whole)
	}
}

// exportedImport is what comes out of a document that is imported and exported.
func exportedImport(t *testing.T, doc, patterns string) string {
	t.Helper()
	d, err := dataset.DecodeATIF([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	runs, err := dataset.FromATIF(d)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{}
	for _, e := range runs[0].Events {
		s.add(0, e.Body)
	}
	red, err := dataset.NewRedactor(strings.NewReader(patterns))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, _, err := dataset.Export(t.Context(), memory{id(8): s.events}, []dataset.Run{{ID: id(8)}}, dataset.Options{Format: "atif"}, red, dataset.About{}, dir); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, id(8)+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// noneHolds fails where a file of a folder holds one of the texts, or there is none.
func noneHolds(t *testing.T, dir string, texts ...string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("files of %s: %v, %v", dir, files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range texts {
			if strings.Contains(string(b), s) {
				t.Errorf("%s holds %s", file, s)
			}
		}
	}
}
