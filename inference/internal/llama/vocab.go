package llama

/*
#include "shim.h"
*/
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"
)

// Token is the index of a token in a vocabulary; negative means none.
type Token = int32

// Attr is a set of token attributes. Wraps enum llama_token_attr.
type Attr uint32

// The attributes that matter to whoever tells data from control.
const (
	AttrUnknown     Attr = 1 << 0
	AttrUnused      Attr = 1 << 1
	AttrNormal      Attr = 1 << 2
	AttrControl     Attr = 1 << 3
	AttrUserDefined Attr = 1 << 4
	AttrByte        Attr = 1 << 5
)

// Vocab is the vocabulary of a model. It lives as long as the model and may be used by many goroutines.
type Vocab struct {
	m *Model
	c *C.struct_llama_vocab
}

// Vocab returns the model's vocabulary. Wraps llama_model_get_vocab.
func (m *Model) Vocab() *Vocab { return &Vocab{m, C.llama_model_get_vocab(m.c)} }

// Len is the number of tokens. Wraps llama_vocab_n_tokens.
func (v *Vocab) Len() int {
	defer runtime.KeepAlive(v.m)
	return int(C.llama_vocab_n_tokens(v.c))
}

// Tokenize turns text into tokens. With special, the spelling of a control token becomes that token; without, it is
// plain text, except that user-defined tokens are always matched. With bos, the tokens that the model wants around
// every text are added. A text of more than 8 MiB is refused. Wraps llama_tokenize.
func (v *Vocab) Tokenize(text string, bos, special bool) ([]Token, error) {
	defer runtime.KeepAlive(v.m)
	if text == "" && !bos {
		return nil, nil
	}
	var (
		out *C.llama_token
		n   C.size_t
		msg C.hf_text
	)
	data := unsafe.StringData(text)
	if text == "" {
		data = new(byte)
	}
	if C.hf_tokenize(v.c, (*C.char)(unsafe.Pointer(data)), C.size_t(len(text)), cbool(bos), cbool(special),
		&out, &n, &msg) != 0 {
		return nil, fmt.Errorf("tokenize: %w", failure(&msg))
	}
	defer C.hf_free(unsafe.Pointer(out))
	return append([]Token(nil), unsafe.Slice((*Token)(unsafe.Pointer(out)), int(n))...), nil
}

// Piece returns the bytes a token stands for; control tokens are spelled out if special is set and empty otherwise.
// Wraps llama_token_to_piece.
func (v *Vocab) Piece(t Token, special bool) (string, error) {
	defer runtime.KeepAlive(v.m)
	if t < 0 || int(t) >= v.Len() {
		return "", fmt.Errorf("piece of token %d: not in the vocabulary", t)
	}
	var out, msg C.hf_text
	if C.hf_piece(v.c, C.llama_token(t), cbool(special), &out, &msg) != 0 {
		return "", fmt.Errorf("piece of token %d: %w", t, failure(&msg))
	}
	return take(&out), nil
}

// Pieces returns the bytes of every token, control tokens spelled out, and the attributes of every token.
// Wraps llama_token_to_piece and llama_vocab_get_attr.
func (v *Vocab) Pieces() ([]string, []Attr, error) {
	defer runtime.KeepAlive(v.m)
	n := v.Len()
	if n == 0 {
		return nil, nil, fmt.Errorf("read vocabulary: it is empty")
	}
	ends, attrs := make([]uint32, n), make([]Attr, n)
	var out, msg C.hf_text
	if C.hf_vocab_dump(v.c, &out, (*C.uint32_t)(unsafe.Pointer(&ends[0])), (*C.uint32_t)(unsafe.Pointer(&attrs[0])), &msg) != 0 {
		return nil, nil, fmt.Errorf("read vocabulary: %w", failure(&msg))
	}
	all := take(&out)
	pieces, from := make([]string, n), uint32(0)
	for i, end := range ends {
		pieces[i] = all[from:end]
		from = end
	}
	return pieces, attrs, nil
}

// Attr returns the attributes of a token that lies in the vocabulary, 0 for any other. Wraps llama_vocab_get_attr.
func (v *Vocab) Attr(t Token) Attr {
	defer runtime.KeepAlive(v.m)
	if t < 0 || int(t) >= v.Len() {
		return 0
	}
	return Attr(C.llama_vocab_get_attr(v.c, C.llama_token(t)))
}

// EndsGeneration reports whether the token ends a turn. Wraps llama_vocab_is_eog.
func (v *Vocab) EndsGeneration(t Token) bool {
	defer runtime.KeepAlive(v.m)
	return t >= 0 && bool(C.llama_vocab_is_eog(v.c, C.llama_token(t)))
}

// BOS is the token that begins a text, negative if there is none. Wraps llama_vocab_bos.
func (v *Vocab) BOS() Token { defer runtime.KeepAlive(v.m); return Token(C.llama_vocab_bos(v.c)) }

// EOS is the token that ends a text, negative if there is none. Wraps llama_vocab_eos.
func (v *Vocab) EOS() Token { defer runtime.KeepAlive(v.m); return Token(C.llama_vocab_eos(v.c)) }

// EOT is the token that ends a turn, negative if there is none. Wraps llama_vocab_eot.
func (v *Vocab) EOT() Token { defer runtime.KeepAlive(v.m); return Token(C.llama_vocab_eot(v.c)) }

// AddsBOS reports whether the model wants BOS before every text. Wraps llama_vocab_get_add_bos.
func (v *Vocab) AddsBOS() bool {
	defer runtime.KeepAlive(v.m)
	return bool(C.llama_vocab_get_add_bos(v.c))
}

// Suppressed lists tokens that the model asks never to sample. Wraps llama_vocab_get_suppress_tokens.
func (v *Vocab) Suppressed() []Token {
	defer runtime.KeepAlive(v.m)
	var n C.int32_t
	p := C.llama_vocab_get_suppress_tokens(v.c, &n)
	if p == nil || n <= 0 {
		return nil
	}
	return append([]Token(nil), unsafe.Slice((*Token)(unsafe.Pointer(p)), int(n))...)
}
