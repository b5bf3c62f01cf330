package eval

import (
	"fmt"

	"github.com/holdfast-run/holdfast/eval/chart"
)

// Page renders what a model reached, with a reliability plot of each split.
func Page(model, build string, splits []SplitReport) *chart.Page {
	p := &chart.Page{Title: "A model in the loop", Lead: fmt.Sprintf("Model %s, build %s: greedy, under the grammar, judged, sandboxed and recorded.", model, build)}
	for _, s := range splits {
		var rows [][]string
		var bars []chart.Bar
		for _, m := range s.Metrics {
			name := m.Name
			if name == CallExact && !s.Calls {
				name = "end state right"
			}
			if m.N == 0 {
				continue
			}
			rows = append(rows, []string{name, m.value(), m.Goal.text(m.Name), m.verdict()})
			if m.Name != Calibration {
				bars = append(bars, chart.Bar{Label: name, Share: m.Value, Note: fmt.Sprintf("%d of %d", m.K, m.N), Mark: m.Goal.Bound})
			}
		}
		title := fmt.Sprintf("%s, %d tasks", s.Name, len(s.Rows))
		p.Table(title, []string{"measure", "value", "goal", ""}, rows)
		p.Bars(title, bars)
		p.Reliability(title+": reliability of the labels", chartBins(s.Samples()))
		text := ""
		for _, r := range s.Failed() {
			text += r.String() + "\n"
		}
		if text != "" {
			p.Pre(title+": what failed", text)
		}
	}
	return p
}

func chartBins(samples []Sample) []chart.Bin {
	var out []chart.Bin
	for _, b := range Reliability(samples, CalibrationBins) {
		out = append(out, chart.Bin{Sure: b.Sure, Right: b.Right, N: b.N})
	}
	return out
}
