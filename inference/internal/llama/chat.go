package llama

/*
#include "shim.h"
#include <stdlib.h>
*/
import "C"

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"
	"unsafe"
)

// Budget bounds the work on untrusted input: templates, schemas and model output. What exceeds it fails with an error.
type Budget struct {
	Time   time.Duration // wall clock
	Memory uint64        // live bytes
}

func (b Budget) c() C.hf_budget {
	return C.hf_budget{milliseconds: C.int64_t(b.Time.Milliseconds()), bytes: C.uint64_t(b.Memory)}
}

// MaxTemplate and MaxSchema are the most bytes of a template and of a schema. Both are read by recursive descent, and
// the thread that reads them has stack for the deepest nesting that fits in this many bytes.
const (
	MaxTemplate = 128 << 10
	MaxSchema   = 128 << 10
)

// Chat is a chat template with what llama.cpp derives from it. It may be used by many goroutines at once.
type Chat struct {
	mu sync.RWMutex
	m  *Model
	c  *C.hf_chat
}

// ChatRequest is a conversation to render. Messages and Tools have the shape of OpenAI's chat completion interface.
type ChatRequest struct {
	Messages            []ChatMessage     `json:"messages"`
	Tools               []ChatTool        `json:"tools,omitempty"`
	ToolChoice          string            `json:"tool_choice,omitempty"` // auto, required, none
	ParallelToolCalls   bool              `json:"parallel_tool_calls"`
	AddGenerationPrompt bool              `json:"add_generation_prompt"`
	EnableThinking      bool              `json:"enable_thinking"`
	JSONSchema          string            `json:"json_schema,omitempty"`
	Grammar             string            `json:"grammar,omitempty"`
	Kwargs              map[string]string `json:"kwargs,omitempty"` // extra template variables
}

// ChatMessage is one message of a ChatRequest.
type ChatMessage struct {
	Role       string         `json:"role"`
	Content    string         `json:"content"`
	Reasoning  string         `json:"reasoning_content,omitempty"`
	ToolCalls  []ChatToolCall `json:"tool_calls,omitempty"`
	Name       string         `json:"name,omitempty"`
	ToolCallID string         `json:"tool_call_id,omitempty"`
}

// ChatToolCall is one call in an assistant message.
type ChatToolCall struct {
	ID       string       `json:"id,omitempty"`
	Type     string       `json:"type"` // function
	Function ChatFunction `json:"function"`
}

// ChatFunction is the called function.
type ChatFunction struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"` // JSON text
}

// ChatTool declares a tool.
type ChatTool struct {
	Type     string           `json:"type"` // function
	Function ChatToolFunction `json:"function"`
}

// ChatToolFunction is the declared function.
type ChatToolFunction struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
}

// ChatParams is a rendered conversation and what is needed to constrain and read the answer.
type ChatParams struct {
	Prompt           string        `json:"prompt"`
	Format           int           `json:"format"`
	Grammar          string        `json:"grammar"`
	GrammarLazy      bool          `json:"grammar_lazy"`
	Triggers         []ChatTrigger `json:"triggers"`
	GenerationPrompt string        `json:"generation_prompt"` // the end of Prompt that already belongs to the answer
	SupportsThinking bool          `json:"supports_thinking"`
	ThinkingStart    string        `json:"thinking_start"`
	ThinkingEnds     []string      `json:"thinking_ends"`
	PreservedTokens  []string      `json:"preserved_tokens"`
	Stops            []string      `json:"stops"`
	Parser           string        `json:"parser"`
}

// TriggerType says how a trigger of a lazy grammar is matched. Wraps enum common_grammar_trigger_type.
type TriggerType int

// The trigger types.
const (
	TriggerToken TriggerType = iota
	TriggerWord
	TriggerPattern
	TriggerPatternFull
)

// ChatTrigger starts a lazy grammar.
type ChatTrigger struct {
	Type  TriggerType `json:"type"`
	Value string      `json:"value"`
	Token Token       `json:"token"`
}

// ChatAnswer is a parsed answer.
type ChatAnswer struct {
	Content   string `json:"content"`
	Reasoning string `json:"reasoning"`
	Calls     []struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
		ID        string `json:"id"`
	} `json:"calls"`
}

// NewChat compiles a template: the one given, or with an empty text the model's own. m may be nil when template is
// given; bos and eos are then the spellings the template may print. Wraps common_chat_templates_init.
func NewChat(m *Model, template, bos, eos string, b Budget) (*Chat, error) {
	start()
	sources := []string{template}
	if template == "" && m != nil { // both are compiled
		sources = nil
		for _, key := range []string{"tokenizer.chat_template", "tokenizer.chat_template.tool_use"} {
			source, _ := m.Meta(key)
			sources = append(sources, source)
		}
	}
	for _, s := range sources {
		if len(s) > MaxTemplate {
			return nil, fmt.Errorf("compile chat template: %d bytes, at most %d are read", len(s), MaxTemplate)
		}
	}
	for _, s := range []string{template, bos, eos} {
		if strings.IndexByte(s, 0) >= 0 {
			return nil, fmt.Errorf("compile chat template: zero byte in the template")
		}
	}
	ct, cb, ce := C.CString(template), C.CString(bos), C.CString(eos)
	defer C.free(unsafe.Pointer(ct))
	defer C.free(unsafe.Pointer(cb))
	defer C.free(unsafe.Pointer(ce))
	var model *C.struct_llama_model
	if m != nil {
		model = m.c
	}
	var msg C.hf_text
	c := C.hf_chat_new(model, ct, cb, ce, b.c(), &msg)
	if c == nil {
		return nil, fmt.Errorf("compile chat template: %w", failure(&msg))
	}
	live.Add(1)
	return &Chat{m: m, c: c}, nil
}

// Close frees the template. Wraps common_chat_templates_free.
func (t *Chat) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.c == nil {
		return nil
	}
	C.hf_chat_free(t.c)
	t.c = nil
	live.Add(-1)
	return nil
}

// Source returns the template's text. Wraps common_chat_templates_source.
func (t *Chat) Source() (string, error) {
	return t.text("read chat template", func(out, msg *C.hf_text) C.int { return C.hf_chat_source(t.c, out, msg) })
}

// Caps returns what the template can express, as found by running it. Wraps common_chat_templates_get_caps.
func (t *Chat) Caps() (map[string]bool, error) {
	s, err := t.text("read template capabilities", func(out, msg *C.hf_text) C.int { return C.hf_chat_caps(t.c, out, msg) })
	if err != nil {
		return nil, err
	}
	var caps map[string]bool
	return caps, json.Unmarshal([]byte(s), &caps)
}

// Apply renders a conversation. Wraps common_chat_templates_apply.
func (t *Chat) Apply(r ChatRequest, b Budget) (ChatParams, error) {
	req, err := json.Marshal(r)
	if err != nil {
		return ChatParams{}, fmt.Errorf("render chat: %w", err)
	}
	creq := C.CString(string(req))
	defer C.free(unsafe.Pointer(creq))
	s, err := t.text("render chat", func(out, msg *C.hf_text) C.int { return C.hf_chat_apply(t.c, creq, b.c(), out, msg) })
	if err != nil {
		return ChatParams{}, err
	}
	var p ChatParams
	if err := json.Unmarshal([]byte(s), &p); err != nil {
		return ChatParams{}, fmt.Errorf("render chat: %w", err)
	}
	return p, nil
}

func (t *Chat) text(op string, call func(out, msg *C.hf_text) C.int) (string, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.c == nil {
		return "", ErrClosed
	}
	var out, msg C.hf_text
	if call(&out, &msg) != 0 {
		return "", fmt.Errorf("%s: %w", op, failure(&msg))
	}
	return take(&out), nil
}

// ParseChat reads an answer to a conversation rendered as p; with partial, an unfinished one. Wraps common_chat_parse.
func ParseChat(p ChatParams, text string, partial bool, b Budget) (ChatAnswer, error) {
	req, err := json.Marshal(map[string]any{"format": p.Format, "generation_prompt": p.GenerationPrompt, "parser": p.Parser})
	if err != nil {
		return ChatAnswer{}, fmt.Errorf("parse answer: %w", err)
	}
	creq := C.CString(string(req))
	defer C.free(unsafe.Pointer(creq))
	ctext := C.CString(text)
	defer C.free(unsafe.Pointer(ctext))
	var out, msg C.hf_text
	if C.hf_chat_parse(creq, ctext, C.size_t(len(text)), cbool(partial), b.c(), &out, &msg) != 0 {
		return ChatAnswer{}, fmt.Errorf("parse answer: %w", failure(&msg))
	}
	var a ChatAnswer
	if err := json.Unmarshal([]byte(take(&out)), &a); err != nil {
		return ChatAnswer{}, fmt.Errorf("parse answer: %w", err)
	}
	return a, nil
}

// SchemaGrammar turns a JSON Schema into a GBNF grammar for documents of that schema. Parts that GBNF cannot express
// are left out, so the document must be validated again. Wraps json_schema_to_grammar.
func SchemaGrammar(schema string, b Budget) (string, error) {
	if len(schema) > MaxSchema || strings.IndexByte(schema, 0) >= 0 {
		return "", fmt.Errorf("convert schema: %d bytes or a zero byte in it, at most %d are read", len(schema), MaxSchema)
	}
	cs := C.CString(schema)
	defer C.free(unsafe.Pointer(cs))
	var out, msg C.hf_text
	if C.hf_schema_to_grammar(cs, b.c(), &out, &msg) != 0 {
		return "", fmt.Errorf("convert schema: %w", failure(&msg))
	}
	return take(&out), nil
}
