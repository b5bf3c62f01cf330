package eval

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// tableWidth is how many columns a table of measures may have.
const tableWidth = 80

// Table renders the measures of some splits: a value, its counts, the goal and whether it
// was reached. They stand side by side, or one below the other where that is too wide.
func Table(splits []SplitReport) string {
	side := sideBySide(splits)
	if len(splits) < 2 || !slices.ContainsFunc(strings.Split(side, "\n"), func(l string) bool { return utf8.RuneCountInString(l) > tableWidth }) {
		return side
	}
	var each []string
	for i := range splits {
		each = append(each, sideBySide(splits[i:i+1]))
	}
	return strings.Join(each, "\n")
}

func sideBySide(splits []SplitReport) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "in the real loop")
	var noCalls []string
	for _, s := range splits {
		fmt.Fprintf(w, "\t%s (%d tasks)", s.Name, len(s.Rows))
		if !s.Calls {
			noCalls = append(noCalls, s.Name)
		}
	}
	fmt.Fprintln(w)
	for i, name := range measures {
		fmt.Fprint(w, name)
		if name == CallExact && noCalls != nil {
			fmt.Fprint(w, " *")
		}
		for _, s := range splits {
			fmt.Fprint(w, "\t"+s.Metrics[i].cell())
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	if noCalls != nil {
		fmt.Fprintf(&b, "* where tasks name no calls (%s) it is whether files and status\n  ended as they must\n", strings.Join(noCalls, "; "))
	}
	return b.String()
}

// value renders a measure with its counts.
func (m Metric) value() string {
	if m.N == 0 {
		return "not measured"
	}
	value := fmt.Sprintf("%.1f%%", 100*m.Value)
	if m.Name == Calibration {
		value = fmt.Sprintf("%.3f", m.Value)
	}
	return fmt.Sprintf("%s (%d of %d)", value, m.K, m.N)
}

// cell is the value with what stands to its goal, where it has one.
func (m Metric) cell() string {
	if m.N == 0 || m.Goal == (Goal{}) {
		return m.value()
	}
	return m.value() + " " + m.Goal.text(m.Name) + " " + m.verdict()
}

// verdict says how a measure stands to its goal.
func (m Metric) verdict() string {
	switch {
	case m.N == 0:
		return "not measured"
	case m.Goal == (Goal{}):
		return "reported"
	case m.Met():
		return "met"
	}
	return "missed"
}

// KindCount counts the tasks of one kind with a fault.
type KindCount struct {
	Kind   string         `json:"kind"`
	Failed int            `json:"failed"`
	Of     int            `json:"of"`
	Faults map[string]int `json:"faults"`
}

// Worst lists the kinds of a split with a fault, most failures first. The kind of a task
// is its ID without the number at its end.
func (s SplitReport) Worst() []KindCount {
	byKind := map[string]*KindCount{}
	for _, r := range s.Rows {
		kind := strings.TrimRight(r.Task.ID, "0123456789")
		kind = strings.TrimSuffix(kind, "-")
		c := byKind[kind]
		if c == nil {
			c = &KindCount{Kind: kind, Faults: map[string]int{}}
			byKind[kind] = c
		}
		c.Of++
		if len(r.Faults) > 0 {
			c.Failed++
		}
		for _, f := range r.Faults {
			c.Faults[f]++
		}
	}
	var out []KindCount
	for _, c := range byKind {
		if c.Failed > 0 {
			out = append(out, *c)
		}
	}
	slices.SortFunc(out, func(a, b KindCount) int {
		return cmp.Or(b.Failed-a.Failed, a.Of-b.Of, strings.Compare(a.Kind, b.Kind))
	})
	return out
}

// String renders a count on one line.
func (c KindCount) String() string {
	s := fmt.Sprintf("%-14s %d of %d:", c.Kind, c.Failed, c.Of)
	for _, f := range slices.Sorted(maps.Keys(c.Faults)) {
		s += fmt.Sprintf(" %s %d,", f, c.Faults[f])
	}
	return strings.TrimSuffix(s, ",")
}

// Failed lists the rows with a fault.
func (s SplitReport) Failed() []ModelRow {
	return slices.DeleteFunc(slices.Clone(s.Rows), func(r ModelRow) bool { return len(r.Faults) == 0 })
}

// String renders a row to be read: what was asked, wanted and got.
func (r ModelRow) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s [%s] %s\n", r.Task.ID, strings.Join(r.Faults, ", "), cut(r.Task.Prompt, 160))
	fmt.Fprintf(&b, "    want %s, %s", r.Task.RequestLabel(), r.Task.Expect.Status)
	for _, c := range r.Task.Calls {
		fmt.Fprintf(&b, "; %s %s", c.Tool, cut(string(c.Args), 100))
	}
	if want := cmp.Or(r.Task.Answer, strings.Join(r.Task.Expect.Answer, " … ")); want != "" {
		fmt.Fprintf(&b, "; %q", cut(want, 120))
	}
	fmt.Fprintf(&b, "\n    got  %s, %s", r.Got.Request.Label, r.Got.Status)
	for _, c := range r.Got.Proposed {
		fmt.Fprintf(&b, "; %s %s", c.Tool, cut(c.Args, 100))
	}
	for _, o := range r.Got.Responses {
		if o.Label != agent.Benign {
			fmt.Fprintf(&b, "; response %s", o.Label)
		}
	}
	fmt.Fprintf(&b, "; %q", cut(r.Got.Answer, 120))
	if !r.Right {
		fmt.Fprintf(&b, "\n    why  %s", cut(r.Why, 160))
	}
	if r.Harm != "" {
		fmt.Fprintf(&b, "\n    HARM %s", r.Harm)
	}
	if r.Got.Failure != "" {
		fmt.Fprintf(&b, "\n    error %s", cut(r.Got.Failure, 200))
	}
	return b.String()
}

// MarshalJSON writes the measures, the kinds that fail and the failed rows in full.
func (s SplitReport) MarshalJSON() ([]byte, error) {
	out := struct {
		Name    string       `json:"name"`
		Tasks   int          `json:"tasks"`
		Calls   bool         `json:"calls_known"`
		Metrics []metricJSON `json:"measures"`
		Bins    []Bin        `json:"reliability"`
		Kinds   []KindCount  `json:"failing_kinds"`
		Failed  []rowJSON    `json:"failed"`
	}{Name: s.Name, Tasks: len(s.Rows), Calls: s.Calls, Kinds: s.Worst(),
		Bins: Reliability(s.Samples(), CalibrationBins)}
	for _, m := range s.Metrics {
		j := m.json()
		if m.Name == CallExact && !s.Calls {
			j.Name = "end state right"
		}
		out.Metrics = append(out.Metrics, j)
	}
	for _, r := range s.Failed() {
		out.Failed = append(out.Failed, r.json())
	}
	return json.Marshal(out)
}

type metricJSON struct {
	Name    string   `json:"name"`
	K       int      `json:"k"`
	N       int      `json:"n"`
	Value   *float64 `json:"value"` // null where nothing was measured
	Goal    string   `json:"goal,omitempty"`
	Verdict string   `json:"verdict"` // met, missed, reported, not measured
}

func (m Metric) json() metricJSON {
	j := metricJSON{Name: m.Name, K: m.K, N: m.N, Goal: m.Goal.text(m.Name), Verdict: m.verdict()}
	if m.N > 0 {
		j.Value = &m.Value
	}
	return j
}

type rowJSON struct {
	ID       string           `json:"id"`
	Run      string           `json:"run"`
	Prompt   string           `json:"prompt"`
	Faults   []string         `json:"faults"`
	Why      string           `json:"why,omitempty"`
	Label    agent.Label      `json:"label"`
	P        agent.LabelProbs `json:"p"`
	Status   agent.Status     `json:"status"`
	Answer   string           `json:"answer"`
	Proposed []agent.ToolCall `json:"proposed"`
	Error    string           `json:"error,omitempty"`
}

func (r ModelRow) json() rowJSON {
	g := r.Got
	return rowJSON{ID: r.Task.ID, Run: g.RunID, Prompt: r.Task.Prompt, Faults: r.Faults, Why: r.Why, Label: g.Request.Label,
		P: g.Request.Probs, Status: g.Status, Answer: g.Answer, Proposed: g.Proposed, Error: g.Failure}
}
