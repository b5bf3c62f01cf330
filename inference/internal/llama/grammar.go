package llama

/*
#include "shim.h"
#include <stdlib.h>
*/
import "C"

import (
	"fmt"
	"strings"
	"sync"
	"unsafe"
)

// Grammar is the state of a GBNF grammar while text is generated. It is used by one goroutine at a time and must be
// closed before its model.
type Grammar struct {
	mu   sync.Mutex
	m    *Model
	c    *C.struct_llama_sampler
	lazy bool
	size int // bytes accepted
}

// NewGrammar starts a grammar that holds from the first token. Wraps llama_sampler_init_grammar.
func NewGrammar(v *Vocab, gbnf string) (*Grammar, error) { return newGrammar(v, gbnf, false, nil, nil) }

// NewLazyGrammar starts a grammar that lets everything pass until the text matches one of the patterns or one of the
// tokens comes. Wraps llama_sampler_init_grammar_lazy_patterns.
func NewLazyGrammar(v *Vocab, gbnf string, patterns []string, tokens []Token) (*Grammar, error) {
	return newGrammar(v, gbnf, true, patterns, tokens)
}

func newGrammar(v *Vocab, gbnf string, lazy bool, patterns []string, tokens []Token) (*Grammar, error) {
	if strings.IndexByte(gbnf, 0) >= 0 {
		return nil, fmt.Errorf("start grammar: zero byte in the grammar")
	}
	text := C.CString(gbnf)
	defer C.free(unsafe.Pointer(text))
	root := C.CString("root")
	defer C.free(unsafe.Pointer(root))
	list := (**C.char)(C.calloc(C.size_t(len(patterns)+1), C.size_t(unsafe.Sizeof((*C.char)(nil)))))
	defer C.free(unsafe.Pointer(list))
	for i, p := range patterns {
		s := C.CString(p)
		defer C.free(unsafe.Pointer(s))
		unsafe.Slice(list, len(patterns))[i] = s
	}
	var ids *C.llama_token
	if len(tokens) > 0 {
		ids = (*C.llama_token)(unsafe.Pointer(&tokens[0]))
	}
	var msg C.hf_text
	c := C.hf_grammar_new(v.c, text, root, cbool(lazy), list, C.size_t(len(patterns)), ids, C.size_t(len(tokens)), &msg)
	if c == nil {
		return nil, fmt.Errorf("start grammar: %w", failure(&msg))
	}
	live.Add(1)
	return &Grammar{m: v.m, c: c, lazy: lazy}, nil
}

// Clone copies the state. Wraps llama_sampler_clone.
func (g *Grammar) Clone() (*Grammar, error) {
	var msg C.hf_text
	c := C.hf_sampler_clone(g.c, &msg)
	if c == nil {
		return nil, fmt.Errorf("clone grammar: %w", failure(&msg))
	}
	live.Add(1)
	return &Grammar{m: g.m, c: c, lazy: g.lazy, size: g.size}, nil
}

// Accept moves the state past a token. It fails when the grammar does not allow the token; the state is then lost.
// A token that ends generation is only checked: llama.cpp would end the process over one out of place.
// Wraps llama_sampler_accept.
func (g *Grammar) Accept(t Token) error {
	if g.c == nil {
		return ErrClosed
	}
	if g.m.Vocab().EndsGeneration(t) {
		ok := []bool{false}
		if err := g.Allows([]Token{t}, ok); err != nil || ok[0] {
			return err
		}
		return fmt.Errorf("accept token %d: the grammar does not allow an end here", t)
	}
	waiting := 0
	if g.lazy {
		piece, err := g.m.Vocab().Piece(t, true)
		if err != nil {
			return fmt.Errorf("accept token %d: %w", t, err)
		}
		g.size += len(piece)
		waiting = g.size
	}
	var msg C.hf_text
	if C.hf_sampler_accept(g.c, C.llama_token(t), C.size_t(waiting), &msg) != 0 {
		return fmt.Errorf("accept token %d: %w", t, failure(&msg))
	}
	return nil
}

// Allows sets ok[i] to whether ids[i] may come next. Both slices have the same length. Wraps llama_sampler_apply.
func (g *Grammar) Allows(ids []Token, ok []bool) error {
	if g.c == nil {
		return ErrClosed
	}
	if len(ids) != len(ok) {
		return fmt.Errorf("internal error: %d ids, %d answers", len(ids), len(ok))
	}
	if len(ids) == 0 {
		return nil
	}
	var msg C.hf_text
	if C.hf_sampler_allows(g.c, (*C.llama_token)(unsafe.Pointer(&ids[0])), C.size_t(len(ids)),
		(*C.uint8_t)(unsafe.Pointer(&ok[0])), &msg) != 0 {
		return fmt.Errorf("apply grammar: %w", failure(&msg))
	}
	return nil
}

// Close frees the grammar. Wraps llama_sampler_free.
func (g *Grammar) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.c == nil {
		return nil
	}
	C.llama_sampler_free(g.c)
	g.c = nil
	live.Add(-1)
	return nil
}
