package agent

import (
	"strings"
	"time"
)

// Event is one entry of the ledger.
type Event struct {
	Seq  int64    // position in the run, from 1; set by the recorder
	Step int      // turn number, 0 before the first
	Ref  int64    // position of the event answered, 0 for none
	Call [32]byte // ToolCall.Digest of the call spoken of, zero for none
	At   time.Time
	Mono time.Duration // since the run's start
	Hash [32]byte      // set by the recorder
	Body Body
}

// Body is what an event says. The set is closed: every body is declared in this
// package, and its Kind is stable.
type Body interface {
	Kind() string
	body()
}

// Status is how a run ended.
type Status string

// How a run can end. A suspended run has no RunEnd: it waits at an open Asked event, or at
// the Failed event that says that it was interrupted.
const (
	StatusDone      Status = "done"
	StatusRefused   Status = "refused" // the request was refused
	StatusDenied    Status = "denied"  // the user said no, or denials ended the run
	StatusLimit     Status = "limit"
	StatusLoop      Status = "loop"
	StatusContext   Status = "context"
	StatusError     Status = "error"
	StatusStopped   Status = "stopped" // interrupted
	StatusSuspended Status = "suspended"
)

type (
	// RunStart opens a run.
	RunStart struct {
		Agent    string   `json:"agent"`
		Build    string   `json:"build"`
		Task     *Blob    `json:"task"`
		Data     *Blob    `json:"data,omitempty"`   // text that came with the task
		Config   *Blob    `json:"config,omitempty"` // JSON of the settings a resumed run needs
		Seed     uint64   `json:"seed"`
		Limits   Limits   `json:"limits"`
		Frames   string   `json:"frames"` // digest of the prompts and frames in use
		Layers   []string `json:"layers,omitempty"`
		Warnings []string `json:"warnings,omitempty"`
		Train    bool     `json:"train"`
		Policy   *Blob    `json:"policy,omitempty"` // JSON of the written rules in force, with their text
	}
	// RunEnd closes a run.
	RunEnd struct {
		Status  Status `json:"status"`
		Answer  *Blob  `json:"answer,omitempty"`
		Error   *Blob  `json:"error,omitempty"`
		Steps   int    `json:"steps"`
		Calls   int    `json:"calls"`   // executed
		Denials int    `json:"denials"` // denied, or withheld responses
	}
	// RunRecover is written when a run that did not end is found.
	RunRecover struct {
		Last    int64   `json:"last"`
		Unknown []int64 `json:"unknown,omitempty"` // decisions whose call's outcome is not known
	}
	// ModelUsed names the model of a run.
	ModelUsed struct {
		Role   string `json:"role"` // agent
		GGUF   string `json:"gguf"` // SHA-256 of the file; of a model on a server see Served
		Name   string `json:"name"`
		Engine string `json:"engine"` // native build key
		Ctx    int    `json:"n_ctx"`
		Detail *Blob  `json:"detail,omitempty"`

		// Guard is the model that judged in this one's place; nil where it judged itself. It
		// made the plans and the labels, not the turns.
		Guard *ModelUsed `json:"guard,omitempty"`
	}
	// ToolsOffered lists the tools of a run, in the order shown to the model.
	ToolsOffered struct {
		List []ToolOffered `json:"list"`
	}
	// ToolOffered is one tool of a run.
	ToolOffered struct {
		Name   string `json:"name"`
		Digest string `json:"digest"`
		Spec   *Blob  `json:"spec"`
	}
	// Said is a message added to the conversation.
	Said struct {
		Role   Role   `json:"role"`
		Text   *Blob  `json:"text"`
		Calls  *Blob  `json:"calls,omitempty"`
		Origin Origin `json:"origin"`

		// A run that branched off another begins with copies of what was said before.
		// Those of the assistant carry their calls and the thought before them.
		Copied  bool  `json:"copied,omitempty"`
		Thought *Blob `json:"thought,omitempty"`
	}
	// GenStart precedes a generation.
	GenStart struct {
		Purpose   Purpose `json:"purpose"`
		MaxTokens int     `json:"max_tokens"`
		Temp      float64 `json:"temp"`
		Seed      uint64  `json:"seed"`
		Schema    *Blob   `json:"schema,omitempty"`
	}
	// GenEnd follows a generation. A generation that failed has Error and no tokens.
	GenEnd struct {
		Prompt    *Blob     `json:"prompt,omitempty"`  // x-i32le
		IDs       *Blob     `json:"ids,omitempty"`     // x-i32le
		Raw       *Blob     `json:"raw,omitempty"`     // x-f32le
		Sampled   *Blob     `json:"sampled,omitempty"` // x-f32le
		Forced    *Blob     `json:"forced,omitempty"`  // x-bits
		Text      *Blob     `json:"text,omitempty"`
		N         int       `json:"n"`
		Cached    int       `json:"cached"`
		Evaluated int       `json:"evaluated"`
		Finish    Finish    `json:"finish,omitempty"`
		Probs     []float64 `json:"probs,omitempty"`
		PrefillUS int64     `json:"prefill_us"`
		GenUS     int64     `json:"gen_us"`
		Error     *Blob     `json:"error,omitempty"`

		// Told is what a server that gives no tokens says it counted. N, Cached and Evaluated
		// are then 0, since nothing is known of them.
		Told *TokenCount `json:"told,omitempty"`
	}
	// Turned is the parsed output of the model, or a call that a person put in the place of
	// one of the model's.
	Turned struct {
		Parse   ParseStatus `json:"parse"`
		Thought *Blob       `json:"thought,omitempty"`
		Calls   *Blob       `json:"calls,omitempty"`
		Answer  *Blob       `json:"answer,omitempty"`
		By      string      `json:"by,omitempty"` // "" the model, user: a person who changed a call of the model's
	}
	// Labelled is a label given to a text.
	Labelled struct {
		Channel Channel    `json:"channel"`
		Value   Label      `json:"value"`
		P       LabelProbs `json:"p"`
		Reason  *Blob      `json:"reason,omitempty"`
		Gens    []int64    `json:"gens,omitempty"`

		Withheld int    `json:"withheld,omitempty"` // parts of a tool response kept from the model
		Source   string `json:"source,omitempty"`   // who gave the label: "" the run's own judge, else task or human
	}
	// Authorised is what the request authorises.
	Authorised struct {
		Tools []string `json:"tools"`
		From  string   `json:"from"` // plan
	}
	// Tainted is a change of the context's taint.
	Tainted struct {
		Value Taint  `json:"value"`
		By    string `json:"by,omitempty"` // call id
	}
	// Judged is the verdict on a call, a prompt or a response.
	Judged struct {
		By      string     `json:"by"` // gate, error
		Outcome Outcome    `json:"outcome"`
		Label   Label      `json:"label"`
		P       LabelProbs `json:"p"`
		Reason  *Blob      `json:"reason,omitempty"`
		Votes   []Vote     `json:"votes,omitempty"`
		Sinks   *Blob      `json:"sinks,omitempty"`
		Gens    []int64    `json:"gens,omitempty"`
		Code    string     `json:"code,omitempty"`
		US      int64      `json:"us"`
		Effect  Effect     `json:"effect,omitempty"` // of this very call
		Grant   *Grant     `json:"grants,omitempty"` // what the call gets if it is allowed
		Basis   *Blob      `json:"basis,omitempty"`  // JSON of what the judge decided on, see package safety
	}
	// Asked is a question put to a person. While it has no Answered it can be answered
	// from any process.
	Asked struct {
		About    string   `json:"about"` // call, prompt, response
		Call     *Blob    `json:"call,omitempty"`
		Question *Blob    `json:"question,omitempty"` // JSON of the Question, without the sandbox's account
		Release  *Blob    `json:"release,omitempty"`  // about a response: what the model will see of it
		Tools    []string `json:"tools,omitempty"`    // about a prompt: what it will authorise
	}
	// Answered is the person's answer.
	Answered struct {
		Choice Choice `json:"choice"`
		Who    string `json:"who"`
		Via    string `json:"via"`
		Shown  *Blob  `json:"shown,omitempty"`
		Note   *Blob  `json:"note,omitempty"`
		Args   *Blob  `json:"args,omitempty"` // of an edit: the arguments that the person wrote
	}
	// Decided settles whether a call runs. An allowing one must be on disk before
	// the call starts.
	Decided struct {
		Tool    string  `json:"tool"`
		Call    *Blob   `json:"call"`
		Outcome Outcome `json:"outcome"` // allow or deny
		By      string  `json:"by"`      // gate, user, error
		Grant   Grant   `json:"grants"`
	}
	// CallStart is written by whoever acts, before the first effect.
	CallStart struct {
		Plan       *Blob  `json:"plan,omitempty"`
		PlanDigest string `json:"plan_digest,omitempty"`
		Cell       bool   `json:"cell"` // runs in a sandbox cell
	}
	// CallReady says that a cell was proven before its tool started.
	CallReady struct {
		Attestation *Blob    `json:"attestation,omitempty"`
		Degraded    []string `json:"degraded,omitempty"`
	}
	// CallEnd is how a call ended.
	CallEnd struct {
		Status  CallStatus `json:"status"`
		Out     *Blob      `json:"out,omitempty"`
		Sandbox *Blob      `json:"sandbox,omitempty"`
		Exit    int        `json:"exit"`
		Code    string     `json:"code,omitempty"`
		US      int64      `json:"us"`
	}
	// LimitHit names a limit that ended the run.
	LimitHit struct {
		Which string `json:"which"`
		Value int64  `json:"value"`
	}
	// Redacted says that the content of blobs was erased.
	Redacted struct {
		Digests []string `json:"digests"` // hex
		Who     string   `json:"who"`
		Reason  *Blob    `json:"reason,omitempty"`
	}
	// Scored is one score of a run, given when it was over.
	Scored struct {
		Name   string  `json:"name"`
		Value  float64 `json:"value"`
		Source string  `json:"source"`
		Detail *Blob   `json:"detail,omitempty"`
	}
	// Exported says that a run was written to a training set.
	Exported struct {
		Name   string `json:"name"`
		Format string `json:"format"`
		Card   *Blob  `json:"card,omitempty"`
	}
	// Failed is an error worth keeping, or an interrupt.
	Failed struct {
		Where string `json:"where"` // Interrupted, or a place in the program
		Text  *Blob  `json:"text"`
	}
)

// Interrupted is Failed.Where of an interrupt. Until such a run goes on, the event is its
// last.
const Interrupted = "interrupt"

// served begins ModelUsed.GGUF of a model that ran on a server.
const served = "served:"

// Served is ModelUsed.GGUF of a model on a server: what the server says the model is,
// marked so that nobody takes it for the digest of a file that was read. Two runs with
// the same one had the same model as far as the server can be believed.
func Served(identity string) string { return served + identity }

// Served reports whether the model ran on a server, and what that said the model is.
func (m ModelUsed) Served() (identity string, ok bool) { return strings.CutPrefix(m.GGUF, served) }

// Limits bounds a run. A zero field means the loop's default.
type Limits struct {
	Steps  int           `json:"steps"`
	Tokens int           `json:"tokens"` // generated, all purposes together
	Time   time.Duration `json:"time_ns"`
}

func (*RunStart) Kind() string     { return "run.start" }
func (*RunEnd) Kind() string       { return "run.end" }
func (*RunRecover) Kind() string   { return "run.recover" }
func (*ModelUsed) Kind() string    { return "model" }
func (*ToolsOffered) Kind() string { return "tools" }
func (*Said) Kind() string         { return "message" }
func (*GenStart) Kind() string     { return "gen.start" }
func (*GenEnd) Kind() string       { return "gen.end" }
func (*Turned) Kind() string       { return "turn" }
func (*Labelled) Kind() string     { return "label" }
func (*Authorised) Kind() string   { return "authority" }
func (*Tainted) Kind() string      { return "taint" }
func (*Judged) Kind() string       { return "verdict" }
func (*Asked) Kind() string        { return "ask" }
func (*Answered) Kind() string     { return "answer" }
func (*Decided) Kind() string      { return "decision" }
func (*CallStart) Kind() string    { return "call.start" }
func (*CallReady) Kind() string    { return "call.ready" }
func (*CallEnd) Kind() string      { return "call.end" }
func (*LimitHit) Kind() string     { return "limit" }
func (*Redacted) Kind() string     { return "redact" }
func (*Scored) Kind() string       { return "score" }
func (*Exported) Kind() string     { return "export" }
func (*Failed) Kind() string       { return "error" }

func (*RunStart) body()     {}
func (*RunEnd) body()       {}
func (*RunRecover) body()   {}
func (*ModelUsed) body()    {}
func (*ToolsOffered) body() {}
func (*Said) body()         {}
func (*GenStart) body()     {}
func (*GenEnd) body()       {}
func (*Turned) body()       {}
func (*Labelled) body()     {}
func (*Authorised) body()   {}
func (*Tainted) body()      {}
func (*Judged) body()       {}
func (*Asked) body()        {}
func (*Answered) body()     {}
func (*Decided) body()      {}
func (*CallStart) body()    {}
func (*CallReady) body()    {}
func (*CallEnd) body()      {}
func (*LimitHit) body()     {}
func (*Redacted) body()     {}
func (*Scored) body()       {}
func (*Exported) body()     {}
func (*Failed) body()       {}

// Spent is the number of tokens that the generation took from the budget of its run, as
// TokenRecord.Spent has it.
func (b *GenEnd) Spent() int {
	if b.Told != nil {
		return max(0, b.Told.Output)
	}
	return b.N
}

// NewBody returns an empty body of the given kind, or nil for an unknown one.
func NewBody(kind string) Body {
	for _, b := range []Body{
		&RunStart{}, &RunEnd{}, &RunRecover{}, &ModelUsed{}, &ToolsOffered{}, &Said{},
		&GenStart{}, &GenEnd{}, &Turned{}, &Labelled{}, &Authorised{}, &Tainted{},
		&Judged{}, &Asked{}, &Answered{}, &Decided{}, &CallStart{}, &CallReady{},
		&CallEnd{}, &LimitHit{}, &Redacted{}, &Scored{}, &Exported{}, &Failed{},
	} {
		if b.Kind() == kind {
			return b
		}
	}
	return nil
}
