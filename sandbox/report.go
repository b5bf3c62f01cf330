package sandbox

// State is how a layer stands on this machine.
type State uint8

const (
	Missing State = iota // required by every profile, absent: cells are refused
	Partial              // optional; absent or approximate, as the evidence says: recorded
	Ready                // present, by test
)

// String returns "missing", "partial" or "ready".
func (s State) String() string {
	switch s {
	case Ready:
		return "ready"
	case Partial:
		return "partial"
	}
	return "missing"
}

// Layer is one line of a Report.
type Layer struct {
	Name     string // "user namespace", "seccomp", ...
	State    State
	Evidence string // what was tried and what came back
	Lost     string // what is not available because of it; "" if Ready
	Fix      string // the exact change that would help; "" if Ready or none
}

// Report is what Doctor found.
type Report struct {
	Layers []Layer
	Facts  Facts
}

// OK reports whether cells can run here.
func (r Report) OK() bool {
	for _, l := range r.Layers {
		if l.State == Missing {
			return false
		}
	}
	return len(r.Layers) > 0
}
