package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Options says how a server is used. The zero value is the safe one.
type Options struct {
	Context   int           // window asked of an Ollama server; 0 means 8192 or the trained length if smaller
	MaxTokens int           // of output when a request says 0; 0 means 1024
	Silence   time.Duration // longest wait for the next piece of an answer; 0 means 5 minutes, 15 where answers come whole
	Key       string        // sent as a bearer token, over https or to this machine only; "" sends none
	HTTP      bool          // allow an unencrypted connection to another machine
	Proxy     bool          // use the proxy of the environment
}

// Validate joins every fault of the options.
func (o Options) Validate() error {
	var errs []error
	if o.Context < 0 || o.Context > 1<<24 || o.MaxTokens < 0 || o.MaxTokens > 1<<20 || o.Silence < 0 {
		errs = append(errs, errors.New("a limit is out of range"))
	}
	for _, c := range o.Key {
		if c <= ' ' || c > '~' {
			errs = append(errs, errors.New("the key holds what no key holds"))
			break
		}
	}
	return errors.Join(errs...)
}

// Info is what is known of a model on a server, for the record of a run. All of it but
// Server, Context and Missing is the server's word.
type Info struct {
	Protocol   Protocol
	Server     string // URL
	Version    string // of the server, "" if it does not tell
	Name       string
	Digest     string `json:",omitempty"` // SHA-256 of Ollama's manifest in hex, "" if not told
	Model      string // architecture, size and quantization in words
	Trained    int    // context length the model was trained with, 0 if not told
	Context    int    // context length asked for, 0 where none can be
	Template   string `json:",omitempty"` // SHA-256 of the server's chat template
	Controls   int    // control tokens of the vocabulary that content is kept from spelling; 0: those of common templates only
	LabelProbs bool   // the server lists log-probabilities
	Prefix     bool   // questions begin as turns do, so that a server which keeps what it read need not read it again
	Missing    []string
}

// Identity is what tells this model from another, as agent.Served takes it.
func (i Info) Identity() string {
	if i.Digest != "" {
		return string(i.Protocol) + ":sha256:" + i.Digest
	}
	return string(i.Protocol) + ":" + i.Name + "@" + i.Server
}

// question is one request in the terms of no protocol.
type question struct {
	messages []message
	tools    []tool // that may be called, or under a schema only seen
	schema   string
	labels   bool // list log-probabilities
	most     int  // tokens of output
	temp     float64
	seed     uint64
}

// backend speaks one protocol.
type backend interface {
	// describe asks what the model is, and for the spellings of its control tokens.
	describe(ctx context.Context) (Info, []string, error)
	// ask has one question answered. Errors wrap agent.ErrContext where the server says
	// that the prompt does not fit, else ErrServer, ErrAnswer or what the network said.
	ask(ctx context.Context, q question) (reply, error)
}

// Engine is a model on a server. It implements agent.Generator and is safe for concurrent
// use: each request carries its whole conversation.
type Engine struct {
	addr   Address
	opt    Options
	back   backend
	shield *shield
	info   Info
	how    manner
}

// manner is what was found of a server when it was opened.
type manner struct {
	plain  bool // it refuses to list log-probabilities, so none are asked for
	listed bool // it takes answers that name a tool for calls, so tools are listed as text under a schema
}

// Open connects to the server, asks what the model is, and tries whether it holds an
// output to a schema: without that no verdict can be read. It returns an *Error.
func Open(ctx context.Context, a Address, o Options) (*Engine, error) {
	e := &Engine{addr: a, opt: o}
	op := "open model server " + a.String()
	if err := check(a, o); err != nil {
		return nil, &Error{Op: op, Hint: hintOf(err), Err: err}
	}
	if e.opt.MaxTokens == 0 {
		e.opt.MaxTokens = 1024
	}
	if e.opt.Silence == 0 && a.Protocol == OpenAI {
		e.opt.Silence = 15 * time.Minute // its answers come whole
	} else if e.opt.Silence == 0 {
		e.opt.Silence = 5 * time.Minute
	}
	w := wire{http: newClient(a, o), silence: e.opt.Silence, addr: a}
	if a.Protocol == Ollama {
		e.back = newOllama(w, &e.opt)
	} else {
		e.back = &openAI{wire: w}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, openTime, fmt.Errorf("%w: it was not ready within %v", ErrSilent, openTime))
	defer cancel()
	info, specials, err := e.back.describe(ctx)
	if err != nil {
		return nil, &Error{Op: op, Hint: hintOf(err), Err: ended(ctx, err)}
	}
	e.shield = newShield(specials)
	e.info = info
	e.info.Protocol, e.info.Server, e.info.Name = a.Protocol, a.Base.String(), a.Model
	e.info.Controls = len(e.shield.list)
	if err := e.obeys(ctx); err != nil {
		return nil, &Error{Op: op, Hint: hintOf(err), Err: ended(ctx, err)}
	}
	e.info.Missing = missing(e.info)
	return e, nil
}

// Info returns what is known of the model.
func (e *Engine) Info() Info { return e.info }

// Generate implements agent.Generator. The turn has no tokens but their count. An output
// that does not match its schema is a turn with ParseFailed; a grammar that has no schema
// is an error. Errors but ctx's are an *Error; one that wraps agent.ErrContext means that
// the server said so.
func (e *Engine) Generate(ctx context.Context, r agent.Request) (agent.Turn, error) {
	t, err := e.generate(ctx, r)
	if err == nil {
		return t, nil
	}
	if ctx.Err() != nil {
		return t, context.Cause(ctx)
	}
	return t, &Error{Op: "ask " + e.addr.String(), Err: err}
}

func (e *Engine) generate(ctx context.Context, r agent.Request) (agent.Turn, error) {
	if r.Schema != "" && r.Grammar != "" {
		return agent.Turn{}, errors.New("both a schema and a grammar constrain the request")
	}
	q := question{schema: r.Schema, labels: len(r.Labels) > 0 && !e.how.plain, most: r.MaxTokens, temp: r.Temp, seed: r.Seed}
	if q.most <= 0 {
		q.most = e.opt.MaxTokens
	}
	var err error
	if r.Grammar != "" {
		if q.schema, err = schemaOf(r.Grammar); err != nil {
			return agent.Turn{}, err
		}
	}
	if q.messages, err = e.shield.messages(r.Messages); err != nil {
		return agent.Turn{}, err
	}
	if q.tools, err = e.shield.tools(r.Tools); err != nil {
		return agent.Turn{}, err
	}
	return e.answer(ctx, r, q)
}

// answer has a question answered and reads what comes back.
func (e *Engine) answer(ctx context.Context, r agent.Request, q question) (t agent.Turn, err error) {
	var held *jsonschema.Schema
	if q.schema != "" {
		if held, err = compile(q.schema); err != nil {
			return t, err
		}
	}
	if q.schema != "" && e.how.listed {
		q.messages, q.tools = listed(q.messages, q.tools), nil
	}
	began := time.Now()
	a, err := e.back.ask(ctx, q)
	if err != nil {
		return t, err
	}
	if most := 4096 + 64*q.most; a.size() > most {
		return t, fmt.Errorf("%w: it says more than %d bytes, which %d tokens do not hold", ErrAnswer, most, q.most)
	}
	t = a.turn(r, held)
	t.Tokens = agent.TokenRecord{Told: a.count(q.most), Finish: a.finish, Temp: r.Temp, Seed: r.Seed, Generate: time.Since(began)}
	if q.labels && t.Parse == agent.ParseClean {
		t.Probs = labelProbs(a.tokens, a.text, r.LabelPrefix, r.Labels)
		if t.Probs == nil && e.info.LabelProbs { // it does list them: an answer without may not pass for one above every threshold
			t.Parse, t.Answer, t.Problem = agent.ParseFailed, "", "the server lists no probabilities of this label"
		}
	}
	return t, nil
}

// ended prefers the cause of an ended context to what the network made of it.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
