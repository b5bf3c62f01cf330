package remote

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Protocol is how a server is spoken to.
type Protocol string

// The protocols.
const (
	Ollama Protocol = "ollama"
	OpenAI Protocol = "openai" // POST /chat/completions
)

// Address is a model on a server. The zero Address names none.
type Address struct {
	Protocol Protocol
	Model    string   // as the server names it
	Base     *url.URL // of the interface: http://127.0.0.1:11434, https://host/v1
}

// Named reports whether a model's name is meant to be the address of one on a server.
func Named(name string) bool {
	return strings.HasPrefix(name, "ollama://") || strings.HasPrefix(name, "openai://")
}

// ParseAddress reads ollama://MODEL[@SERVER] or openai://MODEL[@SERVER]. SERVER is a host
// with or without a port, or a URL; a bare loopback host is reached over http, any other
// over https. Without SERVER, Ollama's own port on this machine is meant, or base for the
// other protocol. It resolves no name and connects to nothing. Errors wrap ErrAddress.
func ParseAddress(name, base string) (Address, error) {
	scheme, rest, _ := strings.Cut(name, "://")
	model, server, given := strings.Cut(rest, "@")
	a := Address{Protocol: Protocol(scheme), Model: model}
	switch {
	case a.Protocol != Ollama && a.Protocol != OpenAI:
		return Address{}, fmt.Errorf("%w: %q begins with neither ollama:// nor openai://", ErrAddress, clip(name))
	case !plainModel(model):
		return Address{}, fmt.Errorf("%w: %q cannot be the name of a model", ErrAddress, clip(model))
	case given && server == "":
		return Address{}, fmt.Errorf("%w: nothing follows the @", ErrAddress)
	case !given && a.Protocol == Ollama:
		server = "127.0.0.1:11434"
	case !given && base == "":
		return Address{}, fmt.Errorf("%w: no server is given", ErrAddress)
	case !given:
		server = base
	}
	var err error
	a.Base, err = parseBase(a.Protocol, server)
	return a, err
}

// parseBase reads a host or a URL, and completes it.
func parseBase(p Protocol, server string) (*url.URL, error) {
	bare := !strings.Contains(server, "://")
	if bare {
		server = "https://" + server
	}
	u, err := url.Parse(server)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" ||
		u.Scheme != "http" && u.Scheme != "https" || !plainHost(u.Host) {
		return nil, fmt.Errorf("%w: %q is no host and no plain http or https URL", ErrAddress, clip(server))
	}
	if bare && loopback(u.Hostname()) {
		u.Scheme = "http"
	}
	if p == Ollama && u.Port() == "" && u.Scheme == "http" {
		u.Host = net.JoinHostPort(u.Hostname(), "11434")
	}
	if p == OpenAI && strings.Trim(u.Path, "/") == "" {
		u.Path = "/v1"
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

// loopback reports whether a host is this machine by its very name.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// plainModel accepts letters, digits and what model names have between them.
func plainModel(s string) bool {
	return s != "" && len(s) <= 200 && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._:/+-", r))
	}) < 0
}

func plainHost(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// String is the address without anything secret.
func (a Address) String() string {
	if a.Base == nil {
		return ""
	}
	return string(a.Protocol) + "://" + a.Model + "@" + a.Base.String()
}
