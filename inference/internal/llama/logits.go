package llama

/*
#include "shim.h"
*/
import "C"

import "unsafe"

// Stats describes the scores of one position.
type Stats struct {
	LogSum float32 // natural log of the sum of exp(score*scale)
	Max    float32 // largest score, unscaled
	Argmax Token   // its lowest token; -1 if the scores are not numbers
}

// LogitStats makes one vectorised pass over logits. scale is 1/temperature and must be positive.
func LogitStats(logits []float32, scale float32) Stats {
	var (
		sum, top C.float
		arg      C.int32_t
	)
	C.hf_logits_stats((*C.float)(unsafe.Pointer(&logits[0])), C.int32_t(len(logits)), C.float(scale), &sum, &top, &arg)
	return Stats{float32(sum), float32(top), Token(arg)}
}

// LogitsAbove appends to dst[:0] the tokens whose score is at least floor, in ascending order.
func LogitsAbove(dst []Token, logits []float32, floor float32) []Token {
	if cap(dst) == 0 {
		dst = make([]Token, 0, 256)
	}
	for {
		n := int(C.hf_logits_above((*C.float)(unsafe.Pointer(&logits[0])), C.int32_t(len(logits)), C.float(floor),
			(*C.int32_t)(unsafe.Pointer(unsafe.SliceData(dst))), C.int32_t(cap(dst))))
		if n <= cap(dst) {
			return dst[:n]
		}
		dst = make([]Token, 0, n)
	}
}
