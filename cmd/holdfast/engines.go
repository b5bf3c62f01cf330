package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/inference"
	"github.com/holdfast-run/holdfast/inference/remote"
	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/loop"
	"github.com/holdfast-run/holdfast/safety/review"
)

// modelEngine is a model that generates, in this process or on a server.
type modelEngine interface {
	NewSession() (modelSession, error)
	Piece(id int32) string // text of a token; "" where tokens are not known
	Close() error
}

// modelSession is one conversation.
type modelSession interface {
	loop.Model
	Close() error
}

// loadedEngine is a model in this process.
type loadedEngine struct{ *inference.Engine }

// NewSession implements modelEngine.
func (e loadedEngine) NewSession() (modelSession, error) {
	s, err := e.Engine.NewSession()
	if err != nil {
		return nil, err
	}
	return s, nil
}

// servedEngine is a model on a server. It holds no conversation, so that a session is the
// engine itself.
type servedEngine struct{ *remote.Engine }

// NewSession implements modelEngine.
func (e servedEngine) NewSession() (modelSession, error) { return e, nil }

// Piece implements modelEngine.
func (servedEngine) Piece(int32) string { return "" }

// Close implements modelEngine and modelSession.
func (servedEngine) Close() error { return nil }

// serverFlags are those of commands that may use a model on a server.
func serverFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "offline", Usage: "refuse a model on a server", EnvVars: []string{"HOLDFAST_OFFLINE"}},
		&cli.BoolFlag{Name: "remote-http", Usage: "allow an unencrypted connection to a model server that is not on this machine"},
		&cli.BoolFlag{Name: "remote-proxy", Usage: "reach a model server through the proxy of the environment"},
	}
}

// openServed opens the server that --model names.
func openServed(c *cli.Context) (*loadedModel, error) {
	name := c.String("model")
	if c.Bool("offline") {
		return nil, &failure{exitUsage, fmt.Errorf("open model server: %s is not used with --offline", inertLine(name, 100)), "name a model file with -m"}
	}
	base := os.Getenv("OPENAI_BASE_URL")
	a, err := remote.ParseAddress(name, base)
	if err != nil {
		return nil, &failure{exitUsage, fmt.Errorf("open model server: %w", err),
			"name it as ollama://MODEL[@HOST] or openai://MODEL[@HOST]; OPENAI_BASE_URL is the server where @HOST is not given"}
	}
	e, err := remote.Open(c.Context, a, remote.Options{Context: c.Int("ctx"), Key: keyFor(a, name),
		HTTP: c.Bool("remote-http"), Proxy: c.Bool("remote-proxy")})
	if err != nil {
		return nil, modelFailure(err)
	}
	i := e.Info()
	m := &loadedModel{engine: servedEngine{e}, cuts: review.Uncalibrated(), notes: append(i.Missing, "the model's label probabilities are not calibrated")}
	m.used = agent.ModelUsed{Role: "agent", GGUF: agent.Served(i.Identity()), Name: a.Model, Ctx: i.Context, Detail: agent.JSON(i),
		Engine: strings.Join(strings.Fields(string(i.Protocol)+" "+i.Version+" at "+i.Server), " ")}
	return m, nil
}

// keyFor is the key that goes to a server. OPENAI_API_KEY belongs to the server of
// OPENAI_BASE_URL and goes to no other; for one named with @ there is HOLDFAST_REMOTE_KEY.
func keyFor(a remote.Address, name string) string {
	switch {
	case strings.Contains(name, "@"):
		return os.Getenv("HOLDFAST_REMOTE_KEY")
	case a.Protocol == remote.OpenAI:
		return os.Getenv("OPENAI_API_KEY")
	}
	return ""
}

// modelName says in a few words which model a run had.
func modelName(b *agent.ModelUsed) string {
	if id, ok := b.Served(); ok {
		return fmt.Sprintf("on a server that calls it %s", inertLine(id, 120))
	}
	return fmt.Sprintf("sha256 %.16s", inert(b.GGUF))
}

// toldWords says what a server counted.
func toldWords(n *agent.TokenCount) string {
	return fmt.Sprintf("%d written, %d read, by the server's count; the tokens are not on record", n.Output, n.Prompt)
}

var errNoTokens = errors.New("the model ran on a server, which gives no token ids")
