package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"slices"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// openAI speaks the chat endpoint of OpenAI, as llama-server, vLLM and others have it.
type openAI struct{ wire }

type (
	oaFunction struct {
		Name        string          `json:"name"`
		Description string          `json:"description,omitempty"`
		Parameters  json.RawMessage `json:"parameters,omitempty"`
		Arguments   string          `json:"arguments,omitempty"`
	}
	oaCall struct {
		ID       string     `json:"id,omitempty"`
		Type     string     `json:"type"`
		Function oaFunction `json:"function"`
	}
	oaMessage struct {
		Role      string   `json:"role"`
		Content   string   `json:"content"`
		Reasoning string   `json:"reasoning_content,omitempty"`
		ToolCalls []oaCall `json:"tool_calls,omitempty"`
		CallID    string   `json:"tool_call_id,omitempty"`
	}
	oaFormat struct {
		Type   string       `json:"type"`
		Schema oaFormatBody `json:"json_schema"`
	}
	oaFormatBody struct {
		Name   string          `json:"name"`
		Strict bool            `json:"strict"`
		Schema json.RawMessage `json:"schema"`
	}
	oaRequest struct {
		Model       string      `json:"model"`
		Messages    []oaMessage `json:"messages"`
		Tools       []oaCall    `json:"tools,omitempty"`
		Choice      string      `json:"tool_choice,omitempty"`
		Format      *oaFormat   `json:"response_format,omitempty"`
		MaxTokens   int         `json:"max_tokens"`
		Temperature float64     `json:"temperature"`
		TopP        float64     `json:"top_p"`
		Seed        uint64      `json:"seed"`
		Stream      bool        `json:"stream"`
		Logprobs    bool        `json:"logprobs,omitempty"`
		TopLogprobs int         `json:"top_logprobs,omitempty"`
	}
	oaToken struct {
		Token   string  `json:"token"`
		Logprob float64 `json:"logprob"`
		Bytes   []int   `json:"bytes"`
	}
	oaAnswer struct {
		Choices []struct {
			Message struct {
				Content   string   `json:"content"`
				Refusal   string   `json:"refusal"`
				Reasoning string   `json:"reasoning_content"`
				ToolCalls []oaCall `json:"tool_calls"`
			} `json:"message"`
			Finish   string `json:"finish_reason"`
			Logprobs struct {
				Content []struct {
					oaToken
					Top []oaToken `json:"top_logprobs"`
				} `json:"content"`
			} `json:"logprobs"`
		} `json:"choices"`
		Usage struct {
			Prompt int `json:"prompt_tokens"`
			Output int `json:"completion_tokens"`
		} `json:"usage"`
	}
)

// describe looks for the model in the server's list, where it has one. It tells no digest.
func (o *openAI) describe(ctx context.Context) (Info, []string, error) {
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	ctx, c := withCall(ctx, 8*smallAnswer, o.silence)
	err := o.do(ctx, c, http.MethodGet, "models", nil, &list)
	var status *statusError
	if errors.As(err, &status) && (status.code == http.StatusNotFound || status.code == http.StatusMethodNotAllowed) {
		return Info{}, nil, nil // it has no list
	}
	if err != nil {
		return Info{}, nil, err
	}
	var names []string
	for _, m := range list.Data {
		names = append(names, m.ID)
	}
	if len(names) > 0 && !slices.Contains(names, o.addr.Model) {
		return Info{}, nil, fmt.Errorf("%w: it does not list %q", ErrServer, o.addr.Model)
	}
	return Info{}, nil, nil
}

func (o *openAI) ask(ctx context.Context, q question) (reply, error) {
	ctx, c := o.bounded(ctx, q)
	var a oaAnswer
	if err := o.do(ctx, c, http.MethodPost, "chat/completions", o.request(q), &a); err != nil {
		return reply{}, err
	}
	if len(a.Choices) != 1 {
		return reply{}, fmt.Errorf("%w: it has %d choices", ErrAnswer, len(a.Choices))
	}
	k := a.Choices[0]
	if k.Finish == "" {
		return reply{}, fmt.Errorf("%w: it breaks off", ErrAnswer)
	}
	r := reply{text: k.Message.Content + k.Message.Refusal, thought: k.Message.Reasoning, finish: finishOf(k.Finish),
		told: agent.TokenCount{Prompt: a.Usage.Prompt, Output: a.Usage.Output}}
	for _, t := range k.Message.ToolCalls {
		r.calls = append(r.calls, toolCall{name: t.Function.Name, args: json.RawMessage(t.Function.Arguments)})
	}
	for _, t := range k.Logprobs.Content {
		s := scored{piece: t.piece()}
		for _, alt := range t.Top {
			s.top = append(s.top, scoredAlt{alt.piece(), alt.Logprob})
		}
		r.tokens = append(r.tokens, s)
	}
	return r, nil
}

func (t oaToken) piece() string {
	if len(t.Bytes) == 0 {
		return t.Token
	}
	b := make([]byte, len(t.Bytes))
	for i, x := range t.Bytes {
		b[i] = byte(x)
	}
	return string(b)
}

// request writes a question.
func (o *openAI) request(q question) oaRequest {
	req := oaRequest{Model: o.addr.Model, MaxTokens: q.most, Temperature: q.temp, TopP: 1, Seed: q.seed & math.MaxInt32, Logprobs: q.labels}
	if q.labels {
		req.TopLogprobs = 20
	}
	if q.schema != "" {
		req.Format = &oaFormat{"json_schema", oaFormatBody{"output", true, json.RawMessage(q.schema)}}
	}
	for _, m := range q.messages {
		k := oaMessage{Role: string(m.role), Content: m.text, CallID: m.callID}
		if m.text == "" && m.thought != "" {
			k.Content = m.thought
		}
		for _, c := range m.calls {
			k.ToolCalls = append(k.ToolCalls, oaCall{c.id, "function", oaFunction{Name: c.name, Arguments: string(c.args)}})
		}
		req.Messages = append(req.Messages, k)
	}
	if q.schema != "" && len(q.tools) > 0 {
		req.Choice = "none"
	}
	for _, t := range q.tools {
		req.Tools = append(req.Tools, oaCall{Type: "function", Function: oaFunction{Name: t.Name, Description: t.Description, Parameters: t.Parameters}})
	}
	return req
}

// do sends one request and decodes its answer, which must be one JSON value.
func (o *openAI) do(ctx context.Context, c *call, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(in); err != nil {
			return err
		}
		body = &b
	}
	req, err := http.NewRequestWithContext(ctx, method, o.addr.Base.JoinPath(path).String(), body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := o.http.Do(req)
	if err != nil {
		return outcome(c, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err = outcome(c, err); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return refused(&statusError{resp.StatusCode, said(b)}, string(b))
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "application/json" {
		return fmt.Errorf("%w: it is %q, not application/json", ErrAnswer, clip(kind))
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("%w: %s", ErrAnswer, clip(err.Error()))
	}
	return nil
}

// said is what an error of the server says.
func said(body []byte) string {
	var e struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &e) == nil && e.Error.Message != "" {
		return clip(e.Error.Message)
	}
	return clip(string(body[:min(len(body), 4096)]))
}
