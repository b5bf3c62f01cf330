package safety

import (
	"math"
	"testing"
)

// TestTotalsCountWhatIsTooLarge adds numbers that no float64 holds: a rule about the sum
// must see that it is large, also after a negative one.
func TestTotalsCountWhatIsTooLarge(t *testing.T) {
	for name, tt := range map[string]struct {
		calls []string
		want  float64
	}{
		"Plain":         {[]string{`{"n":2,"text":"7"}`, `{"n":0.5}`}, 2.5},
		"BesideAnother": {[]string{`{"n":900,"memo":1e400}`}, 900},
		"OutOfRange":    {[]string{`{"n":1e400}`, `{"n":-1e400}`, `{"n":-1e308}`}, math.MaxFloat64},
		"SumOutOfRange": {[]string{`{"n":1.7e308}`, `{"n":1.7e308}`, `{"n":-1.7e308}`}, math.MaxFloat64},
	} {
		totals := map[string]float64{}
		for _, args := range tt.calls {
			addNumbers(totals, args)
		}
		if totals["n"] != tt.want {
			t.Errorf("%s: %v, want %v", name, totals["n"], tt.want)
		}
	}
}
