package llama

/*
#include "shim.h"
*/
import "C"

import (
	"math"
	"unsafe"
)

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

// Weights appends to dst[:0], for each of ids, the exponential of its score times scale, relative to the largest of them,
// which gets 1. scale is 1/temperature and must be positive; ids must be tokens of logits.
func Weights(dst []float32, logits []float32, ids []Token, scale float64) []float32 {
	if cap(dst) < len(ids) {
		dst = make([]float32, 0, len(ids))
	}
	dst = dst[:len(ids)]
	if len(ids) > 0 {
		C.hf_logits_weights((*C.float)(unsafe.Pointer(&logits[0])), (*C.int32_t)(unsafe.Pointer(&ids[0])), C.int32_t(len(ids)),
			C.float(min(scale, math.MaxFloat32)), (*C.float)(unsafe.Pointer(&dst[0])))
	}
	return dst
}
