package approval_test

import (
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety/approval"
)

func TestChange(t *testing.T) {
	const args = `{"to": "eve",  "n":1, "body":"a \"b\"", "to ":"x"}`
	for typed, want := range map[string]string{
		`to ann@x.org`:        `{"to": "ann@x.org",  "n":1, "body":"a \"b\"", "to ":"x"}`,
		` to  two blanks `:    `{"to": " two blanks",  "n":1, "body":"a \"b\"", "to ":"x"}`,
		`body say "hi" \n`:    `{"to": "eve",  "n":1, "body":"say \"hi\" \\n", "to ":"x"}`,
		`body`:                `{"to": "eve",  "n":1, "body":"", "to ":"x"}`,
		`n 2`:                 `{"to": "eve",  "n":2, "body":"a \"b\"", "to ":"x"}`,
		`n {"a":[1]}`:         `{"to": "eve",  "n":{"a":[1]}, "body":"a \"b\"", "to ":"x"}`,
		`{"to":"ann"}`:        `{"to":"ann"}`,
		"to \u202ea":          "{\"to\": \"\u202ea\",  \"n\":1, \"body\":\"a \\\"b\\\"\", \"to \":\"x\"}",
		`n two`:               "",
		`n 1, "to":"b"`:       "",
		`who ann`:             "",
		`to eve`:              "",
		`{"to":"a","to":"b"}`: "",
		`{"to":`:              "",
		``:                    "",
	} {
		got, err := approval.Change(args, typed)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q gives %q, %v; want %q", typed, got, err, want)
		}
	}
	if _, err := approval.Change(`{`, "a b"); err == nil {
		t.Error("arguments that cannot be read were changed")
	}
}

// FuzzChange wants whatever was typed to give arguments that a judge can read, or none.
func FuzzChange(f *testing.F) {
	f.Add(`{"a":"b"}`, "a c")
	f.Add(`{"a":1}`, `a 2,"b":3`)
	f.Fuzz(func(t *testing.T, args, typed string) {
		got, err := approval.Change(args, typed)
		if err == nil && (agent.ToolCall{Args: got}).CheckArgs() != nil {
			t.Fatalf("%q changed by %q gives %q", args, typed, got)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Fatalf("the error of %q acts: %q", typed, err)
		}
	})
}
