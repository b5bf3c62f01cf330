package tools_test

import (
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/tools"
)

// TestSchemasKeepTheOrderOfArguments holds the order in which a constrained model
// writes arguments to the one that the reference model was trained on.
func TestSchemasKeepTheOrderOfArguments(t *testing.T) {
	r, err := tools.New(tools.Config{Runner: new(sandbox.Runner), Workspace: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	order := map[string][2]string{"write_file": {`"path"`, `"content"`}, "search_text": {`"query"`, `"path"`}}
	for _, s := range r.Specs() {
		want, ok := order[s.Name]
		if !ok {
			continue
		}
		delete(order, s.Name)
		if text := string(s.Schema); strings.Index(text, want[0]) > strings.Index(text, want[1]) {
			t.Errorf("%s lists %s after %s", s.Name, want[0], want[1])
		}
	}
	if len(order) > 0 {
		t.Errorf("tools are missing: %v", order)
	}
}
