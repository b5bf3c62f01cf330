package tools_test

import (
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/tools"
)

func TestAnnotations(t *testing.T) {
	yes, no := true, false
	for name, tt := range map[string]struct {
		a    tools.Annotations
		want agent.Effect
	}{
		"None":                  {tools.Annotations{}, agent.EffectUnknown},
		"ReadsHere":             {tools.Annotations{ReadOnly: &yes, OpenWorld: &no}, agent.Read},
		"ReadsOutside":          {tools.Annotations{ReadOnly: &yes}, agent.Outward},
		"WritesHere":            {tools.Annotations{ReadOnly: &no, Destructive: &no, OpenWorld: &no}, agent.Write},
		"WritesOutside":         {tools.Annotations{Destructive: &no}, agent.Outward},
		"Destroys":              {tools.Annotations{ReadOnly: &no, OpenWorld: &no}, agent.Irreversible},
		"OnlyIdempotent":        {tools.Annotations{Idempotent: &yes}, agent.Irreversible},
		"DestroysThoughItReads": {tools.Annotations{ReadOnly: &yes, Destructive: &yes, OpenWorld: &no}, agent.Irreversible}, // hints that contradict each other
	} {
		if got := tt.a.Effect(); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
