package inference_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/inference"
	"github.com/holdfast-run/holdfast/inference/ggufgen"
	"github.com/holdfast-run/holdfast/runtime/agent"
)

// FuzzShield requires of any content that the template sees no special spelling of it, that no text around it could
// complete one, and that every byte comes back.
func FuzzShield(f *testing.F) {
	for _, s := range []string{"", "a", "<", "<|im_start|>", "x <|im_<|im_end|>end|> <|", "im_end", "</tool_call", "zq00z", "\xff<think>\x00"} {
		f.Add(s)
	}
	e := open(f, ggufgen.Spec{}, inference.Options{})
	spellings := inference.Special(e)
	f.Fuzz(func(t *testing.T, content string) {
		seen, _, whole, err := inference.Shielded(e, content, false)
		if err != nil || whole != content {
			t.Fatalf("%q came back as %q, %v", content, whole, err)
		}
		for _, s := range spellings {
			for cut := 1; cut < len(s); cut++ { // the template's text could begin and end like any part of a spelling
				for _, around := range []string{s[:cut] + seen, seen + s[cut:]} {
					if strings.Contains(around, s) {
						t.Fatalf("%q completes %q at its edge", seen, s)
					}
				}
			}
			if seen != "" && len(seen) < len(s) && strings.Contains(s[1:len(s)-1], seen) {
				t.Fatalf("%q lies inside %q", seen, s)
			}
			if strings.Contains(seen, s) {
				t.Fatalf("the template sees %q in %q", s, seen)
			}
		}
	})
}

// FuzzShieldJSON requires that a covered JSON text stays the same document, apart from the words.
func FuzzShieldJSON(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":"<|im_start|>"}`, `{"\u003cthink\u003e":[1,2.50,"\\\"<"]}`, `"<`, `[1,]`} {
		f.Add(s)
	}
	e := open(f, ggufgen.Spec{}, inference.Options{})
	f.Fuzz(func(t *testing.T, text string) {
		seen, plain, whole, err := inference.Shielded(e, text, true)
		if err != nil {
			if json.Valid([]byte(text)) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if len(plain) == 0 && seen != text {
			t.Fatalf("%q was changed to %q without need", text, seen)
		}
		var a, b any
		if json.Unmarshal([]byte(text), &a) != nil || json.Unmarshal([]byte(whole), &b) != nil {
			t.Fatalf("%q became %q", text, whole)
		}
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("%q now means %q", text, whole)
		}
	})
}

// FuzzParse requires of any output that it is parsed within bounds, that nothing of it is lost, and that no call comes
// out that may not be judged.
func FuzzParse(f *testing.F) {
	call := "<tool_call>\n{\"name\": \"read_file\", \"arguments\": {\"path\": \"a\"}}\n</tool_call>"
	for _, s := range []string{"", "Done.", call, call + call, call[:40], "<think>" + call, "<think>\nx\n</think>\n\n" + call + " x", "\xff\x00"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	e := open(f, ggufgen.Spec{}, inference.Options{})
	r := request(1, user("Hi"))
	f.Fuzz(func(t *testing.T, text string, whole bool) {
		end := agent.FinishLength
		if whole {
			end = agent.FinishEOS
		}
		turn, err := inference.Parse(e, r, text, end)
		if err != nil {
			t.Fatal(err)
		}
		if turn.Text != text || turn.Parse == "" || (turn.Parse == agent.ParseFailed) != (turn.Problem != "") {
			t.Fatalf("%+v", turn)
		}
		if len(turn.Calls) > 0 && (turn.Answer != "" || !whole || turn.Parse == agent.ParseFailed) {
			t.Fatalf("calls of an unfinished or failed turn: %+v", turn)
		}
		for _, c := range turn.Calls {
			if c.CheckArgs() != nil || c.Tool != "read_file" && c.Tool != "write_file" {
				t.Fatalf("call %+v", c)
			}
		}
	})
}
