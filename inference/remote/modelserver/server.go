// Package modelserver is a model server for tests, on loopback: it speaks the protocols
// of Ollama and of OpenAI's chat endpoint, as a conformant server or as a hostile one.
//
// What the model says is a function of the test. The package never runs a model, is
// imported by tests only, and a Server is safe for concurrent use.
package modelserver

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// Asked is one question as it arrived, whichever the protocol.
type Asked struct {
	Path     string
	Model    string
	Messages []Message
	Tools    []string        // offered by name
	Schema   json.RawMessage // nil if the output is free
	Labels   bool            // log-probabilities are asked for
	Most     int             // tokens
	Body     []byte          // as it arrived
	Header   http.Header
}

// Message is one entry of a conversation.
type Message struct {
	Role, Text, CallID string
	Calls              []Call
}

// Call is a tool call. A server that forges sets ID.
type Call struct {
	ID, Name string
	Args     json.RawMessage
}

// Said is what the model answers.
type Said struct {
	Text, Thought string
	Calls         []Call
	Finish        string             // "" is stop
	Probs         map[string]float64 // of words of the text, listed with their alternatives; nil lists nothing
	Prompt, Out   int                // tokens counted; 0 out is one a word

	Status int    // of HTTP, 0 is 200
	Raw    []byte // the whole body, in place of all else
}

// Server answers on a loopback port until Close.
type Server struct {
	*httptest.Server
	Version      string         // of Ollama, "" is 0.13.5
	Model        string         // the only one, "" is tiny:latest
	Digest       string         // in hex
	Info         map[string]any // model_info of Ollama's show, beside the architecture
	Capabilities []string
	Remote       string // host that Ollama says it forwards to
	Answer       func(Asked) Said

	mu    sync.Mutex
	asked []Asked
}

// DefaultDigest is what a server says its model is where it is not told otherwise.
var DefaultDigest = strings.Repeat("ab", 32)

// Start makes a server ready. Set its fields before the first request.
func Start(answer func(Asked) Said) *Server {
	s := &Server{Version: "0.13.5", Model: "tiny:latest", Digest: DefaultDigest, Capabilities: []string{"completion", "tools"}, Answer: answer}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/version", func(w http.ResponseWriter, _ *http.Request) { s.send(w, map[string]any{"version": s.Version}) })
	mux.HandleFunc("GET /api/tags", s.tags)
	mux.HandleFunc("POST /api/show", s.show)
	mux.HandleFunc("POST /api/chat", s.ollama)
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		s.send(w, map[string]any{"data": []any{map[string]any{"id": s.Model}}})
	})
	mux.HandleFunc("POST /v1/chat/completions", s.openAI)
	s.Server = httptest.NewServer(mux)
	return s
}

// Host is host and port of the server.
func (s *Server) Host() string { return strings.TrimPrefix(s.URL, "http://") }

// Questions lists what was asked so far, oldest first.
func (s *Server) Questions() []Asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Asked(nil), s.asked...)
}

func (s *Server) send(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func (s *Server) tags(w http.ResponseWriter, _ *http.Request) {
	s.send(w, map[string]any{"models": []any{map[string]any{"name": s.Model, "model": s.Model, "digest": s.Digest, "size": 1 << 20}}})
}

func (s *Server) show(w http.ResponseWriter, r *http.Request) {
	var in struct{ Model string }
	if json.NewDecoder(r.Body).Decode(&in) != nil || in.Model != s.Model && in.Model+":latest" != s.Model {
		w.WriteHeader(http.StatusNotFound)
		s.send(w, map[string]any{"error": "model '" + in.Model + "' not found"})
		return
	}
	info := map[string]any{"general.architecture": "llama", "llama.context_length": 4096}
	for k, v := range s.Info {
		info[k] = v
	}
	out := map[string]any{"details": map[string]any{"family": "llama", "parameter_size": "1.0M", "quantization_level": "Q8_0"},
		"template": "{{ .Prompt }}", "model_info": info, "capabilities": s.Capabilities}
	if s.Remote != "" {
		out["remote_host"], out["remote_model"] = s.Remote, "big"
	}
	s.send(w, out)
}

// take notes a question and has it answered.
func (s *Server) take(a Asked) Said {
	s.mu.Lock()
	s.asked = append(s.asked, a)
	s.mu.Unlock()
	return s.Answer(a)
}

// odd writes an answer that is not the protocol's own, if it is one.
func (a Said) odd(w http.ResponseWriter) bool {
	if a.Status == 0 && a.Raw == nil {
		return false
	}
	w.Header().Set("Content-Type", "application/json")
	if a.Status != 0 {
		w.WriteHeader(a.Status)
	}
	w.Write(a.Raw)
	return true
}
