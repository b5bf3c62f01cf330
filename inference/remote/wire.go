package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// wire is what the protocols have in common.
type wire struct {
	http    *http.Client
	addr    Address
	silence time.Duration
}

const (
	smallAnswer = 1 << 20  // bytes of an answer about the server
	vocabAnswer = 48 << 20 // bytes of one with a vocabulary
)

// bounded gives ctx the bounds of a generation: room for the text of its tokens and for
// twenty alternatives of each where they are listed.
func (w wire) bounded(ctx context.Context, q question) (context.Context, *call) {
	perToken := int64(1 << 10)
	if q.labels {
		perToken = 8 << 10
	}
	return withCall(ctx, smallAnswer+min(perToken*int64(q.most), vocabAnswer), w.silence)
}

// statusError is an answer that is an error of HTTP.
type statusError struct {
	code int
	text string // the server's words, clipped
}

func (e *statusError) Error() string { return fmt.Sprintf("it answers %d: %s", e.code, e.text) }

// refused names what a server's error is. Servers have no common code for a prompt that
// is too long, but they say so.
func refused(err error, words string) error {
	w := strings.ToLower(words)
	if strings.Contains(w, "context") && (strings.Contains(w, "exceed") || strings.Contains(w, "too long") || strings.Contains(w, "maximum")) {
		return fmt.Errorf("%w: %w: %w", ErrServer, agent.ErrContext, err)
	}
	return fmt.Errorf("%w: %w", ErrServer, err)
}

// outcome is the error of a request: what its bounds noted, else what the client returned,
// without the address, which whoever reports it names.
func outcome(c *call, err error) error {
	if noted := c.failed(); noted != nil {
		err = noted
	}
	var u *url.Error
	switch {
	case !errors.As(err, &u):
		return err
	case errors.Is(err, ErrAnswer), errors.Is(err, ErrSilent), errors.Is(err, ErrAddress):
		return u.Err
	}
	return fmt.Errorf("%w: %w", ErrReach, u.Err)
}

// errOld means that a server does not do what the contract needs.
var errOld = errors.New("the server is too old")

// errForwards means that a server would send the conversation on.
var errForwards = errors.New("the server does not run this model, it passes everything on to another")

// finishOf maps the words of the protocols. Those by which servers say that they broke an
// output off themselves are known by name: others have words of their own for its end.
func finishOf(word string) agent.Finish {
	switch word {
	case "length":
		return agent.FinishLength
	case "content_filter", "abort", "error", "insufficient_system_resource":
		return agent.FinishAbort
	}
	return agent.FinishEOS
}
