package approval_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/safety/approval"
)

// TestRenderSaysWhatACallStarts shows the program of a call word by word and its input
// whole, whatever they hold.
func TestRenderSaysWhatACallStarts(t *testing.T) {
	for name, value := range hostile {
		t.Run(name, func(t *testing.T) {
			q := question("x")
			q.Runs, q.Input = []string{"/usr/bin/tee", "--", value}, value
			body := approval.Render(q, 60).Body
			at := slices.Index(body, "  That starts, without a shell:")
			in := slices.IndexFunc(body, func(l string) bool { return strings.HasPrefix(l, "  and gives it as its input") })
			if value == "" {
				in = len(body)
			}
			if at < 0 || in < at {
				t.Fatalf("what starts is missing:\n%s", strings.Join(body, "\n"))
			}
			argv := body[at+1 : in]
			if argv[0] != `    "/usr/bin/tee"` || argv[1] != `    "--"` || unquote(t, argv[2:]) != value {
				t.Errorf("the program reads\n%s", strings.Join(argv, "\n"))
			}
			if value != "" && unquote(t, body[in+1:]) != value {
				t.Errorf("the input reads\n%s", strings.Join(body[in+1:], "\n"))
			}
		})
	}
	if text := approval.Render(question("x"), 60).String(); strings.Contains(text, "starts") {
		t.Error("a call that says it itself is said twice")
	}
}
