package remote

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ollama/ollama/api"
	"github.com/ollama/ollama/types/model"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// ollama speaks Ollama's own protocol, through its client.
type ollama struct {
	wire
	client *api.Client
	opt    *Options
	window int
	thinks bool
}

// leastVersion is the first of Ollama that refuses a prompt which does not fit when told
// so (api.ChatRequest.Truncate); older ones drop messages from it silently.
var leastVersion = [3]int{0, 12, 6}

func newOllama(w wire, o *Options) *ollama {
	return &ollama{wire: w, client: api.NewClient(w.addr.Base, w.http), opt: o}
}

func (o *ollama) describe(ctx context.Context) (Info, []string, error) {
	var i Info
	small, c := withCall(ctx, smallAnswer, o.silence)
	var err error
	if i.Version, err = o.client.Version(small); err != nil {
		return i, nil, o.failure(c, err)
	}
	if !atLeast(i.Version, leastVersion) {
		return i, nil, fmt.Errorf("%w: Ollama %q may cut prompts silently; %d.%d.%d does not",
			errOld, clip(i.Version), leastVersion[0], leastVersion[1], leastVersion[2])
	}
	i.Version = clip(i.Version)
	large, c := withCall(ctx, vocabAnswer, o.silence)
	show, err := o.client.Show(large, &api.ShowRequest{Model: o.addr.Model, Verbose: true})
	if err != nil {
		return i, nil, o.failure(c, err)
	}
	if show.RemoteHost != "" || show.RemoteModel != "" {
		return i, nil, fmt.Errorf("%w: %q", errForwards, clip(show.RemoteHost))
	}
	if len(show.Capabilities) > 0 && !slices.Contains(show.Capabilities, model.CapabilityTools) {
		return i, nil, fmt.Errorf("%w: it says that this model cannot call tools", ErrServer)
	}
	o.thinks = slices.Contains(show.Capabilities, model.CapabilityThinking)
	i.Model = clip(strings.Join([]string{show.Details.Family, show.Details.ParameterSize, show.Details.QuantizationLevel}, " "))
	sum := sha256.Sum256([]byte(show.Template))
	i.Template = hex.EncodeToString(sum[:])
	arch, _ := show.ModelInfo["general.architecture"].(string)
	if n, ok := show.ModelInfo[arch+".context_length"].(float64); ok && n > 0 && n < 1<<30 {
		i.Trained = int(n)
	}
	if o.window = o.opt.Context; o.window == 0 {
		o.window = 8192
		if i.Trained > 0 {
			o.window = min(o.window, i.Trained)
		}
	}
	i.Context = o.window
	if i.Digest, err = o.digest(ctx); err != nil {
		return i, nil, err
	}
	return i, controls(show.ModelInfo), nil
}

// digest finds the model in the server's list.
func (o *ollama) digest(ctx context.Context) (string, error) {
	large, c := withCall(ctx, 8*smallAnswer, o.silence)
	list, err := o.client.List(large)
	if err != nil {
		return "", o.failure(c, err)
	}
	want := model.ParseName(o.addr.Model)
	for _, m := range list.Models {
		if name := model.ParseName(m.Model); !name.EqualFold(want) {
			continue
		}
		if m.RemoteHost != "" {
			return "", fmt.Errorf("%w: %q", errForwards, clip(m.RemoteHost))
		}
		d := strings.TrimPrefix(m.Digest, "sha256:")
		if b, err := hex.DecodeString(d); err != nil || len(b) != sha256.Size {
			return "", fmt.Errorf("%w: %q is no digest", ErrAnswer, clip(m.Digest))
		}
		return strings.ToLower(d), nil
	}
	return "", nil
}

// controls lists the spellings of the control tokens, where a server shows its vocabulary:
// type 3 of tokenizer.ggml.token_type (llama_token_type in llama.h).
func controls(info map[string]any) []string {
	tokens, _ := info["tokenizer.ggml.tokens"].([]any)
	types, _ := info["tokenizer.ggml.token_type"].([]any)
	if len(tokens) != len(types) {
		return nil
	}
	var list []string
	for i := range tokens {
		kind, _ := types[i].(float64)
		if s, ok := tokens[i].(string); ok && kind == 3 && len(list) < maxSpecials {
			list = append(list, s)
		}
	}
	return list
}

// atLeast compares a version such as 0.13.5-rc1.
func atLeast(version string, least [3]int) bool {
	core, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), "-")
	fields := strings.Split(core, ".")
	if len(fields) != 3 {
		return false
	}
	for i, f := range fields {
		n, err := strconv.Atoi(f)
		if err != nil || n < least[i] {
			return false
		}
		if n > least[i] {
			return true
		}
	}
	return true
}

func (o *ollama) ask(ctx context.Context, q question) (reply, error) {
	req, err := o.request(q)
	if err != nil {
		return reply{}, err
	}
	ctx, c := o.bounded(ctx, q)
	var a reply
	done := false
	err = o.client.Chat(ctx, req, func(r api.ChatResponse) error {
		switch {
		case done:
			return fmt.Errorf("%w: it goes on after its end", ErrAnswer)
		case r.RemoteHost != "" || r.RemoteModel != "":
			return fmt.Errorf("%w: %q", errForwards, clip(r.RemoteHost))
		}
		a.text += r.Message.Content
		a.thought += r.Message.Thinking
		for _, k := range r.Message.ToolCalls {
			args, err := exact(k.Function.Arguments)
			if err != nil {
				return err
			}
			a.calls = append(a.calls, toolCall{name: k.Function.Name, args: args})
		}
		a.tokens = append(a.tokens, scoredOf(r.Logprobs)...)
		if done = r.Done; done {
			a.finish = finishOf(r.DoneReason)
			a.told = agent.TokenCount{Prompt: r.PromptEvalCount, Output: r.EvalCount}
		}
		return nil
	})
	// The client returns nil where the answer breaks off, so the end must have been seen.
	if err := o.failure(c, err); err != nil {
		return reply{}, err
	}
	if err := ctx.Err(); err != nil {
		return reply{}, context.Cause(ctx)
	}
	if !done {
		return reply{}, fmt.Errorf("%w: it breaks off", ErrAnswer)
	}
	return a, nil
}

// request writes a question for Ollama. Every option of sampling that a Modelfile could set
// otherwise is set; where the model stops is left to it.
func (o *ollama) request(q question) (*api.ChatRequest, error) {
	no := false
	req := &api.ChatRequest{
		Model: o.addr.Model, Truncate: &no, Shift: &no, Logprobs: q.labels,
		Options: map[string]any{
			"num_ctx": o.window, "num_predict": q.most, "num_keep": -1, "temperature": q.temp, "seed": int(q.seed & math.MaxInt32),
			"top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0, "repeat_penalty": 1.0, "presence_penalty": 0.0,
			"frequency_penalty": 0.0,
		},
	}
	if q.labels {
		req.TopLogprobs = 20
	}
	if q.schema != "" {
		req.Format = json.RawMessage(q.schema)
		if o.thinks {
			req.Think = &api.ThinkValue{Value: false}
		}
	}
	for _, m := range q.messages {
		k := api.Message{Role: string(m.role), Content: m.text, Thinking: m.thought, ToolName: m.tool, ToolCallID: m.callID}
		if !o.thinks && m.thought != "" && m.text == "" { // what cannot be a thought stays text
			k.Content, k.Thinking = m.thought, ""
		}
		for i, c := range m.calls {
			var args api.ToolCallFunctionArguments
			if err := json.Unmarshal(c.args, &args); err != nil {
				return nil, fmt.Errorf("write a call: %w", err)
			}
			k.ToolCalls = append(k.ToolCalls, api.ToolCall{ID: c.id, Function: api.ToolCallFunction{Index: i, Name: c.name, Arguments: args}})
		}
		req.Messages = append(req.Messages, k)
	}
	for _, t := range q.tools {
		b, err := json.Marshal(t)
		if err != nil {
			return nil, fmt.Errorf("offer %s: %w", t.Name, err)
		}
		k := api.Tool{Type: "function"}
		if err := json.Unmarshal(b, &k.Function); err != nil {
			return nil, fmt.Errorf("offer %s: %w", t.Name, err)
		}
		req.Tools = append(req.Tools, k)
	}
	return req, nil
}

// maxExact is the largest integer that every reader of JSON takes for what it is.
const maxExact = 1 << 53

// exact writes the arguments of a call that the client has read. It reads numbers as
// float64: one that may have lost digits is not passed off as what the model wrote, so
// such a call is made unreadable.
func exact(args api.ToolCallFunctionArguments) (json.RawMessage, error) {
	if !fits(map[string]any(args)) {
		return json.RawMessage("a number in the arguments is too large"), nil
	}
	if args == nil {
		return json.RawMessage("{}"), nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(args); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

func fits(v any) bool {
	switch v := v.(type) {
	case float64:
		return math.Abs(v) < maxExact
	case []any:
		return !slices.ContainsFunc(v, func(x any) bool { return !fits(x) })
	case map[string]any:
		for _, x := range v {
			if !fits(x) {
				return false
			}
		}
	}
	return true
}

func scoredOf(list []api.Logprob) []scored {
	var out []scored
	for _, l := range list {
		s := scored{piece: pieceOf(l.TokenLogprob)}
		for _, t := range l.TopLogprobs {
			s.top = append(s.top, scoredAlt{pieceOf(t), t.Logprob})
		}
		out = append(out, s)
	}
	return out
}

// pieceOf is the bytes of a token: its text may be broken UTF-8 by itself.
func pieceOf(t api.TokenLogprob) string {
	if len(t.Bytes) == 0 {
		return t.Token
	}
	b := make([]byte, len(t.Bytes))
	for i, x := range t.Bytes {
		b[i] = byte(x)
	}
	return string(b)
}

// failure names an error of the client, whose texts are the server's.
func (o *ollama) failure(c *call, err error) error {
	err = outcome(c, err)
	var status api.StatusError
	var auth api.AuthorizationError
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrAnswer), errors.Is(err, ErrSilent), errors.Is(err, errForwards), errors.Is(err, ErrAddress), errors.Is(err, ErrReach):
		return err
	case errors.As(err, &status):
		return refused(&statusError{status.StatusCode, clip(status.ErrorMessage)}, status.ErrorMessage)
	case errors.As(err, &auth):
		return refused(&statusError{auth.StatusCode, "it wants a key"}, "")
	case errors.As(err, &syntax), errors.As(err, &kind):
		return fmt.Errorf("%w: %s", ErrAnswer, clip(err.Error()))
	}
	return refused(errors.New(clip(err.Error())), err.Error())
}
