package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// openTime bounds the questions of Open, the loading of the model among them.
const openTime = 15 * time.Minute

// The question of obeys has what the schema of a verdict has, and an answer that names the
// tool on offer.
const (
	probeSchema = `{"type":"object","properties":{"reason":{"type":"string","minLength":1,"maxLength":40},` +
		`"call":{"type":"string","enum":["probe"]},"label":{"type":"string","enum":["benign"]}},` +
		`"required":["reason","call","label"],"additionalProperties":false}`
	probeText   = "Answer with the call probe and the label benign."
	probeTokens = 160
)

var probeTool = agent.ToolSpec{Name: "probe", Description: "does nothing", Schema: []byte(`{"type":"object","properties":{}}`)}

// obeys has a small question answered under a schema, in the best manner that the server
// allows, and notes which that is.
func (e *Engine) obeys(ctx context.Context) error {
	labels := []string{agent.Benign.String(), agent.Sensitive.String(), agent.Malicious.String()}
	r := agent.Request{Purpose: agent.PurposeLabel, Schema: probeSchema, LabelPrefix: `"label": "`, Labels: labels, MaxTokens: probeTokens,
		Messages: []agent.Message{{Role: agent.User, Text: probeText}}, Tools: []agent.ToolSpec{probeTool}}
	var first error
	for _, e.how = range []manner{{}, {listed: true}, {plain: true}, {plain: true, listed: true}} {
		t, err := e.generate(ctx, r)
		if err == nil && t.Parse == agent.ParseClean {
			e.info.LabelProbs, e.info.Prefix = t.Probs != nil, !e.how.listed
			return nil
		}
		if err == nil {
			err = fmt.Errorf("%w: %w: asked for one JSON document, it sent %q", ErrAnswer, errDisobeys, clip(t.Text))
		}
		if first == nil {
			first = err
		}
		var s *statusError
		if refuses := errors.As(err, &s) && s.code >= 400 && s.code < 500; !refuses && !errors.Is(err, errDisobeys) {
			return err
		}
	}
	return first
}

// check refuses what may not be contacted, before anything is.
func check(a Address, o Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	if a.Base == nil {
		return ErrAddress
	}
	plain := a.Base.Scheme == "http" && !loopback(a.Base.Hostname())
	switch {
	case a.Protocol == Ollama && a.Base.Hostname() == "ollama.com":
		return fmt.Errorf("%w: ollama.com needs an account's key, which is not used here", ErrAddress)
	case plain && !o.HTTP:
		return fmt.Errorf("%w: anyone on the way could read and change what goes to %s over http", errPlain, a.Base.Host)
	case plain && o.Key != "":
		return fmt.Errorf("%w: a key is not sent to %s over http", errPlain, a.Base.Host)
	}
	return nil
}

var errDisobeys = errors.New("it does not hold its output to a schema")

var errPlain = errors.New("the connection is not encrypted")

func hintOf(err error) string {
	var s *statusError
	switch {
	case errors.Is(err, errPlain):
		return "use https, or allow it with --remote-http on a network you trust"
	case errors.As(err, &s) && s.code == 404:
		return "the server does not have this model"
	case errors.Is(err, ErrAddress):
		return "name it as ollama://MODEL[@HOST] or openai://MODEL[@HOST]"
	case errors.Is(err, errOld):
		return "update Ollama, or load its model in this process with -m ollama:NAME"
	case errors.Is(err, errDisobeys):
		return "the review needs outputs that follow a JSON schema; choose another model or server"
	case errors.Is(err, errForwards):
		return "name a model that the server runs itself"
	}
	if errors.Is(err, ErrReach) {
		return "is the server running at this address?"
	}
	return ""
}

// missing lists in words what of the contract this server does not keep.
func missing(i Info) []string {
	list := []string{"the model ran on a server: its tokens are not on record, and what it is called is the server's word"}
	if !i.LabelProbs {
		list = append(list, "the server lists no label probabilities: its labels stand as words, and no threshold applies")
	}
	if i.Controls == 0 {
		list = append(list, "the server does not show the model's control tokens: content is kept from spelling those of common templates only")
	}
	if i.Protocol != Ollama {
		list = append(list, "the server may cut a prompt that is too long without saying so")
	}
	if i.Digest == "" {
		list = append(list, "the server tells no digest: the model is known by name only")
	}
	return list
}
