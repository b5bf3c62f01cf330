package dataset

import (
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Trajectory is one whole run, folded from its events.
type Trajectory struct {
	Run   Run
	Start agent.RunStart
	Model agent.ModelUsed
	Tools []agent.ToolSpec

	Entries []Entry // the conversation, in order
	Steps   []*Step // turns of the agent, in order; entries point to the same values
	Gens    []*Gen  // every generation, in order, forks included
	Prompt  Judgement
	Labels  []Label // of all sources
	Scores  []Score

	End  *agent.RunEnd // nil while the run has none
	Last int64         // position of the last event
	Head [32]byte      // its hash
	At   time.Time     // of the last event

	undeclared bool // the declaration of a tool is no longer there
}

// Entry is one message of the conversation. Step is set on those the agent wrote in
// this run.
type Entry struct {
	Seq     int64
	At      time.Time
	Message agent.Message
	Step    *Step
	Copied  bool // said in another run, or imported
	Erased  bool // its text is no longer there
}

// Gen is one generation with its tokens. The per-token slices have the length of IDs.
type Gen struct {
	Seq, EndSeq int64
	At          time.Time // of its end
	Purpose     agent.Purpose
	Temp        float64
	Seed        uint64
	MaxTokens   int
	Schema      string // or grammar

	Prompt, IDs  []int32
	Raw, Sampled []float32
	Forced       []bool
	Text         string
	Told         *agent.TokenCount // of a model on a server, which gives no tokens: what it counted
	Cached       int
	Evaluated    int
	Finish       agent.Finish
	Probs        []float64
	PrefillUS    int64
	GenUS        int64
	Error        string
	Erased       bool
	Hidden       bool // its text was redacted, so its tokens may not leave
}

// Step is one turn of the agent.
type Step struct {
	Seq     int64
	At      time.Time
	Gen     *Gen   // nil for a turn made without a model
	By      string // "" the model; byUser: a person who changed a call of the turn before
	Parse   agent.ParseStatus
	Thought string
	Calls   []*Call
	Answer  string
	Erased  bool

	index int // of its entry
}

// byUser is Step.By of a turn that a person wrote.
const byUser = "user"

// Call is one proposed call with what became of it.
type Call struct {
	agent.ToolCall
	Judgement
	DecisionSeq    int64
	Decision       *agent.Decided
	Started, Ended time.Time
	EndSeq         int64
	End            *agent.CallEnd // nil if the run stopped before
	Labels         []Label        // of what it returned
	Shown          string         // what the model was told
	ShownSeq       int64
	Response       Judgement // what a person was asked about the response
}

// Judgement is a verdict with the question it led to.
type Judgement struct {
	VerdictSeq int64
	Verdict    *agent.Judged
	AskSeq     int64
	Answer     *agent.Answered // of the last question
}

// Asked reports whether a person was asked.
func (j Judgement) Asked() bool { return j.AskSeq > 0 }

// Label is a label that a text was given. Source is "" for the run's own judge.
type Label struct {
	Seq, Ref int64
	Channel  agent.Channel
	Value    agent.Label
	Source   string
	Own      bool // a model of this run gave it
}

// Score is one score of the run.
type Score struct {
	Seq    int64
	Name   string
	Value  float64
	Source string
}

// Denied reports whether the call was refused.
func (c *Call) Denied() bool { return c.Decision == nil || c.Decision.Outcome != agent.Allow }

// OK reports whether the call ran and ended well.
func (c *Call) OK() bool { return c.End != nil && c.End.Status == agent.CallOK }

// Trainable reports whether a turn may teach by imitation: it was generated here, could
// be read, none of its calls was denied or ended unknown, and nothing of it was erased.
func (s *Step) Trainable() bool {
	if s.Gen == nil || s.Gen.Purpose != agent.PurposeAgent || s.Gen.Erased || s.Erased {
		return false
	}
	if s.Parse != agent.ParseClean && s.Parse != agent.ParseRepaired {
		return false
	}
	for _, c := range s.Calls {
		if c.Denied() || c.End == nil || c.End.Status == agent.CallUnknown {
			return false
		}
	}
	return len(s.Calls) > 0 || s.Answer != ""
}

// Status is how the run ended, "" if it did not.
func (t *Trajectory) Status() agent.Status {
	if t.End == nil {
		return ""
	}
	return t.End.Status
}

// Score returns the last score of a name, nil if there is none.
func (t *Trajectory) Score(name string) *Score {
	for i := len(t.Scores) - 1; i >= 0; i-- {
		if t.Scores[i].Name == name {
			return &t.Scores[i]
		}
	}
	return nil
}

// Erased reports whether a part of the conversation, or the declaration of a tool, is no
// longer there.
func (t *Trajectory) Erased() bool {
	if t.undeclared {
		return true
	}
	for _, e := range t.Entries {
		if e.Erased {
			return true
		}
	}
	return false
}

// path is the number of entries up to the agent's last message: what it was taught or
// shown, and what it said. 0 if it said nothing.
func (t *Trajectory) path() int {
	for i := len(t.Entries) - 1; i >= 0; i-- {
		if t.Entries[i].Message.Role == agent.Assistant {
			return i + 1
		}
	}
	return 0
}
