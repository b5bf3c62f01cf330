package agent_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

func TestStrings(t *testing.T) {
	for doc, want := range map[string][]string{
		`"a"`: {"a"},
		`{"z":"last","a":["one",{"b":"two","n":3,"x":null,"t":true}],"":""}`: {"", "one", "two", "last"},
		`3`:  nil,
		`[]`: nil,
	} {
		var v any
		if err := json.Unmarshal([]byte(doc), &v); err != nil {
			t.Fatal(err)
		}
		if got := agent.Strings(v); !slices.Equal(got, want) {
			t.Errorf("Strings(%s) = %q, want %q", doc, got, want)
		}
	}
}
