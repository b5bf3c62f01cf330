package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// call bounds one request and keeps what ended its answer early. The client of Ollama
// drops errors of the stream it reads, so they are asked for here.
type call struct {
	limit int64 // bytes of the answer
	quiet time.Duration

	mu  sync.Mutex
	err error
}

type callKey struct{}

func withCall(ctx context.Context, limit int64, quiet time.Duration) (context.Context, *call) {
	c := &call{limit: limit, quiet: quiet}
	return context.WithValue(ctx, callKey{}, c), c
}

// fail keeps the first error.
func (c *call) fail(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	return c.err
}

func (c *call) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// guard is the only way to a server: it sets the one credential, watches for silence and
// counts what comes back.
type guard struct {
	next http.RoundTripper
	key  string // "" sends none
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	c, ok := req.Context().Value(callKey{}).(*call)
	if !ok {
		return nil, errors.New("internal error: a request without bounds")
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	req = req.Clone(ctx)
	req.Header.Del("Authorization") // Ollama's client would sign with the user's key where OLLAMA_AUTH is set
	req.Header.Del("Cookie")
	if g.key != "" {
		req.Header.Set("Authorization", "Bearer "+g.key)
	}
	timer := time.AfterFunc(c.quiet, func() { cancel(c.fail(fmt.Errorf("%w for %v", ErrSilent, c.quiet))) })
	resp, err := g.next.RoundTrip(req)
	if err != nil {
		timer.Stop()
		cancel(nil)
		return nil, err
	}
	resp.Body = &watched{ReadCloser: resp.Body, call: c, left: c.limit, timer: timer, cancel: cancel}
	return resp, nil
}

// watched is an answer of bounded length. Each piece of it puts off the alarm.
type watched struct {
	io.ReadCloser
	call   *call
	left   int64
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if n > 0 {
		w.timer.Reset(w.call.quiet)
	}
	if w.left -= int64(n); w.left < 0 {
		err := w.call.fail(fmt.Errorf("%w: it is longer than %d bytes", ErrAnswer, w.call.limit))
		w.cancel(err)
		return 0, err
	}
	if err != nil && err != io.EOF {
		return n, w.call.fail(err)
	}
	return n, err
}

// Close implements io.Closer.
func (w *watched) Close() error {
	w.timer.Stop()
	err := w.ReadCloser.Close()
	w.cancel(nil)
	return err
}

// newClient returns a client for one address.
func newClient(a Address, o Options) *http.Client {
	d := &net.Dialer{Timeout: 10 * time.Second}
	if loopback(a.Base.Hostname()) {
		d.Control = loopbackOnly
	}
	t := &http.Transport{
		DialContext: d.DialContext, DisableCompression: true, ForceAttemptHTTP2: true,
		MaxResponseHeaderBytes: 64 << 10, MaxIdleConns: 4, IdleConnTimeout: time.Minute,
		TLSHandshakeTimeout: 10 * time.Second, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if o.Proxy {
		t.Proxy = http.ProxyFromEnvironment
	}
	return &http.Client{
		Transport: &guard{next: t, key: o.Key},
		CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			return fmt.Errorf("%w: it points elsewhere, to %q", ErrAnswer, clip(r.URL.Host))
		},
	}
}

// loopbackOnly holds "localhost" to what it says, whatever a resolver makes of it.
func loopbackOnly(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !ap.Addr().Unmap().IsLoopback() {
		return fmt.Errorf("%w: %s is not on this machine", ErrAddress, address)
	}
	return nil
}
