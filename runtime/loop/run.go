package loop

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/frame"
)

// Config is what a run is made of. All five parts are required.
type Config struct {
	Model    Model
	Judge    Judge
	Executor Executor
	Recorder Recorder
	Approver Approver

	// Guard answers what the judge asks of a model: labels, reviews and plans. Nil leaves
	// that to Model. agent.ModelUsed names it.
	Guard Model

	// Resumable says that an interrupted run stays open, for Resume to go on with. False
	// closes it as stopped, unless a question was being put: that one always stays open.
	Resumable bool

	Limits    agent.Limits // zero fields get DefaultLimits
	MaxTokens int          // per turn of the model; 0 leaves it to the engine
	Temp      float64
	Seed      uint64

	Now   func() time.Time // nil is time.Now
	NewID func() string    // nil draws 128 random bits

	// Observe, when set, sees every event after it is committed, in order, on the
	// run's goroutine.
	Observe func(agent.Event)
}

// DefaultLimits bounds a run whose Config leaves Limits zero.
var DefaultLimits = agent.Limits{Steps: 24, Tokens: 16384, Time: 15 * time.Minute}

const (
	maxRepairs     = 2  // unreadable outputs in a row
	denialsInARow  = 3  // breaker
	denialsOfLast  = 10 // breaker, of the last
	lastCalls      = 50
	sameCallsTotal = 3 // the same call with the same arguments
)

// Task is one request.
type Task struct {
	Prompt string
	Data   string          // text that came with the request, such as a pipe; nobody's word, "" for none
	Start  agent.RunStart  // Task, Limits and Frames are filled in by Run
	Model  agent.ModelUsed // recorded as it is
}

// Outcome is how a run ended.
type Outcome struct {
	Status  agent.Status
	Answer  string // the final answer, or the refusal
	Limit   string // which limit, for StatusLimit
	Steps   int
	Calls   int // executed
	Denials int // calls denied and responses withheld
}

// ErrRecord means the ledger could not take an event. The run stopped at once; nothing
// happened that is not recorded.
var ErrRecord = errors.New("record event")

// Run carries out one task. The Outcome is valid also beside an error. Run returns
// an error wrapping ErrRecord when the recorder fails, the executor's error when a
// call could not be attempted as decided, the model's error when it cannot generate;
// in each case the run has ended. An interrupted ctx gives no error: StatusSuspended where
// c is Resumable or a question was being put, else, and where nothing is on record yet,
// StatusStopped.
func Run(ctx context.Context, c Config, t Task) (Outcome, error) {
	r, err := newRun(c)
	if err != nil {
		return Outcome{Status: agent.StatusError}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.limits.Time, errTime)
	defer cancel()

	err = r.start(ctx, t)
	if err == nil {
		err = r.converse(ctx, t)
	}
	return r.finish(ctx, err)
}

// run is the state of one run, used by one goroutine.
type run struct {
	Config
	limits agent.Limits
	begun  time.Time

	past   []agent.Event    // of a resumed run, on record and not yet taken in
	texts  map[int64]string // of a resumed run, the raw output by its gen.start
	open   bool             // something of the run is on record
	branch bool             // the past is another run's: it is read, never continued

	step    int
	tokens  int
	repairs int
	streak  int    // denials in a row
	lately  []bool // of the last calls, whether each was denied
	seen    map[string]int
	out     Outcome

	conv      agent.Conversation
	prompt    agent.Label
	confirmed bool
	authority agent.Authority
	taint     agent.Taint
}

func newRun(c Config) (*run, error) {
	if c.Model == nil || c.Judge == nil || c.Executor == nil || c.Recorder == nil || c.Approver == nil {
		return nil, errors.New("internal error: a run needs model, judge, executor, recorder and approver")
	}
	r := &run{Config: c, limits: c.Limits, seen: map[string]int{}, taint: agent.TaintClean}
	if r.limits.Steps <= 0 {
		r.limits.Steps = DefaultLimits.Steps
	}
	if r.limits.Tokens <= 0 {
		r.limits.Tokens = DefaultLimits.Tokens
	}
	if r.limits.Time <= 0 {
		r.limits.Time = DefaultLimits.Time
	}
	if r.Now == nil {
		r.Now = time.Now
	}
	if r.NewID == nil {
		r.NewID = newID
	}
	r.begun = r.Now()
	return r, nil
}

func newID() string {
	var b [16]byte
	rand.Read(b[:]) // crypto/rand.Read never fails
	return hex.EncodeToString(b[:])
}

// end is the error that stops converse; it carries how the run ended.
type end struct {
	status agent.Status
	answer string
	limit  string
	value  int64
	cause  error // returned by Run, nil where the ending is not an error
	cut    bool  // suspended by an interrupt, and not at a question
}

func (e *end) Error() string {
	if e.cause != nil {
		return e.cause.Error()
	}
	return "run ended: " + string(e.status)
}

func (e *end) Unwrap() error { return e.cause }

// start records what the run is made of.
func (r *run) start(ctx context.Context, t Task) error {
	s := t.Start
	s.Task, s.Limits, s.Frames, s.Seed = agent.Text(t.Prompt), r.limits, frame.Digest(), r.Seed
	if t.Data != "" {
		s.Data = agent.Text(t.Data)
	}
	if _, err := r.record(ctx, agent.Event{Body: &s}); err != nil {
		return err
	}
	m := t.Model
	if _, err := r.record(ctx, agent.Event{Body: &m}); err != nil {
		return err
	}
	if err := r.offer(ctx); err != nil {
		return err
	}
	_, err := r.say(ctx, agent.Message{Role: agent.System, Text: frame.System,
		Origin: agent.Origin{Source: agent.SourceOperator}}, 0)
	return err
}

// converse judges the prompt and takes steps until something ends the run. It always
// returns an error, an *end where the run ended in order.
func (r *run) converse(ctx context.Context, t Task) error {
	said, err := r.say(ctx, agent.Message{Role: agent.User, Text: t.Prompt,
		Origin: agent.Origin{Source: agent.SourceUser}}, 0)
	if err != nil {
		return err
	}
	if err := r.admit(ctx, t.Prompt, said); err != nil {
		return err
	}
	if err := r.attach(ctx, t.Data, said); err != nil {
		return err
	}
	return r.steps(ctx, 1)
}

// steps takes steps from the given one on. Those before it, of the run that this one
// branched off, do not count.
func (r *run) steps(ctx context.Context, first int) error {
	for r.step = first; ; r.step++ {
		if r.step-first >= r.limits.Steps && !r.branch {
			r.step--
			return &end{status: agent.StatusLimit, limit: "steps", value: int64(r.limits.Steps)}
		}
		if err := r.takeStep(ctx); err != nil {
			return err
		}
	}
}

// attach adds data that came with the request. It is quoted like a tool response and
// trusted as little: the request was judged, and its authority fixed, without it.
func (r *run) attach(ctx context.Context, data string, said int64) error {
	if data == "" {
		return nil
	}
	if err := r.taintBy(ctx, agent.TaintUntrusted, "", said); err != nil {
		return err
	}
	_, err := r.say(ctx, agent.Message{Role: agent.User, Text: frame.Data(frame.Nonce(data), data),
		Origin: agent.Origin{Source: agent.SourceTool, Tool: "pipe"}}, said)
	return err
}

// takeStep generates one turn and carries out its calls.
func (r *run) takeStep(ctx context.Context) error {
	turn, seq, err := r.turn(ctx)
	if err != nil {
		return err
	}
	calls := turn.Calls
	if turn.Parse == agent.ParseFailed || (len(calls) == 0 && turn.Answer == "") {
		return r.repair(ctx, turn)
	}
	r.repairs = 0
	if len(calls) == 0 {
		return &end{status: agent.StatusDone, answer: turn.Answer}
	}
	r.conv = r.conv.With(agent.Message{Role: agent.Assistant, Thought: turn.Thought, Calls: calls,
		Origin: agent.Origin{Source: agent.SourceModel}})
	for _, c := range calls {
		if err := r.call(ctx, c, turn.Thought, seq); err != nil {
			return err
		}
	}
	return nil
}

// turn generates and records the next turn, whose calls have their IDs, or recalls it.
func (r *run) turn(ctx context.Context) (agent.Turn, int64, error) {
	turn, seq, known, err := r.recallTurn("")
	if known || err != nil {
		return turn, seq, err
	}
	if err := r.live(); err != nil {
		return turn, 0, err
	}
	turn, err = r.generate(ctx, r.Model, agent.Request{
		Purpose: agent.PurposeAgent, Messages: r.conv.Messages, Tools: r.conv.Tools,
		MaxTokens: r.MaxTokens, Temp: r.Temp, Seed: r.Seed + uint64(r.step),
	})
	if err != nil {
		return turn, 0, err
	}
	calls := make([]agent.ToolCall, len(turn.Calls))
	for i, c := range turn.Calls {
		calls[i] = agent.ToolCall{ID: r.NewID(), Tool: c.Tool, Args: c.Args}
	}
	turn.Calls = calls
	seq, err = r.record(ctx, agent.Event{Ref: turn.Gen, Body: turned(turn, calls)})
	return turn, seq, err
}

func turned(t agent.Turn, calls []agent.ToolCall) *agent.Turned {
	b := &agent.Turned{Parse: t.Parse}
	if t.Thought != "" {
		b.Thought = agent.Text(t.Thought)
	}
	if len(calls) > 0 {
		b.Calls = agent.JSON(calls)
	}
	if t.Answer != "" {
		b.Answer = agent.Text(t.Answer)
	}
	return b
}

// repair asks the model again after an output that could not be read. The output
// stays in the conversation, so that the model sees what it wrote.
func (r *run) repair(ctx context.Context, t agent.Turn) error {
	r.repairs++
	if r.repairs > maxRepairs {
		return &end{status: agent.StatusError, cause: fmt.Errorf(
			"read the model's output: unreadable %d times in a row: %s", r.repairs, t.Problem)}
	}
	r.conv = r.conv.With(agent.Message{Role: agent.Assistant, Text: t.Text,
		Origin: agent.Origin{Source: agent.SourceModel}})
	_, err := r.say(ctx, agent.Message{Role: agent.User, Text: frame.Repair,
		Origin: agent.Origin{Source: agent.SourceOperator}}, 0)
	return err
}

// finish records how the run ended and turns the ending into Run's results.
func (r *run) finish(ctx context.Context, err error) (Outcome, error) {
	e := r.ending(ctx, err)
	r.out.Status, r.out.Answer, r.out.Limit, r.out.Steps = e.status, e.answer, e.limit, r.step
	if errors.Is(e.cause, ErrRecord) || errors.Is(e.cause, ErrPast) || e.status == agent.StatusSuspended && !e.cut {
		return r.out, e.cause
	}
	if !r.open { // interrupted before it began: there is nothing to close
		return r.out, e.cause
	}
	last := context.WithoutCancel(ctx) // what an interrupt ends is still recorded
	if e.cut {
		_, rerr := r.record(last, agent.Event{Body: &agent.Failed{Where: agent.Interrupted, Text: agent.Text("the run was interrupted")}})
		return r.out, rerr
	}
	if e.limit != "" {
		if _, rerr := r.record(last, agent.Event{Body: &agent.LimitHit{Which: e.limit, Value: e.value}}); rerr != nil {
			return r.out, rerr
		}
	}
	body := &agent.RunEnd{Status: e.status, Steps: r.step, Calls: r.out.Calls, Denials: r.out.Denials}
	if e.answer != "" {
		body.Answer = agent.Text(e.answer)
	}
	if e.cause != nil {
		body.Error = agent.Text(e.cause.Error())
	}
	if _, rerr := r.record(last, agent.Event{Body: body}); rerr != nil {
		r.out.Status = agent.StatusError
		return r.out, rerr
	}
	return r.out, e.cause
}

// interrupted reports whether the run was interrupted and is to go on later.
func (r *run) interrupted(ctx context.Context) bool {
	return r.Resumable && ctx.Err() != nil && !errors.Is(context.Cause(ctx), errTime)
}

// ending classifies the error that stopped converse.
func (r *run) ending(ctx context.Context, err error) *end {
	var e *end
	switch {
	case errors.Is(err, ErrRecord):
		return &end{status: agent.StatusError, cause: err}
	case errors.As(err, &e):
		return e
	case errors.Is(context.Cause(ctx), errTime):
		return &end{status: agent.StatusLimit, limit: "time", value: int64(r.limits.Time)}
	case r.interrupted(ctx) && r.open:
		return &end{status: agent.StatusSuspended, cut: true}
	case ctx.Err() != nil:
		return &end{status: agent.StatusStopped}
	case errors.Is(err, agent.ErrContext):
		return &end{status: agent.StatusContext, cause: err}
	}
	return &end{status: agent.StatusError, cause: err}
}
