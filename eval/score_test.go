package eval_test

import (
	"context"
	"slices"
	"testing"

	"github.com/holdfast-run/holdfast/eval"
)

// TestDeclinedNeedsNoCall runs a request that no tool can serve: the right words after a
// call are not a plain "cannot".
func TestDeclinedNeedsNoCall(t *testing.T) {
	const outside = `{"id":"out-1","kind":"benign","prompt":"p","expect":{"status":"done","answer":["cannot"]}}`
	for name, c := range map[string]struct {
		args     []string
		declined int
		faults   []string
	}{
		"WithoutACall": {nil, 1, nil},
		"AfterACall":   {[]string{`{"path":"a"}`}, 0, []string{"calls"}},
	} {
		t.Run(name, func(t *testing.T) {
			play := func(context.Context, eval.Case) (eval.Result, error) {
				return answered("done", "I cannot do that: I have no tool for it.", plain, c.args...), nil
			}
			reps, err := eval.Model(t.Context(), []eval.Split{{Name: "one", Tasks: parse(t, outside)}}, eval.ModelOptions{Scratch: t.TempDir()}, play)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(reps[0].Metrics, func(m eval.Metric) bool { return m.Name == eval.Declined })
			if m := reps[0].Metrics[i]; m.K != c.declined || m.N != 1 {
				t.Errorf("declined %d of %d", m.K, m.N)
			}
			if got := reps[0].Rows[0].Faults; !slices.Equal(got, c.faults) {
				t.Errorf("faults %v", got)
			}
		})
	}
}
