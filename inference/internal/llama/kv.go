package llama

/*
#include "shim.h"
*/
import "C"

// RemoveSeq removes the positions [from, to) of a sequence; negative bounds are open. It reports false if the memory of
// this model cannot forget a part of a sequence. Wraps llama_memory_seq_rm.
func (x *Context) RemoveSeq(seq, from, to int32) bool {
	return bool(C.llama_memory_seq_rm(C.llama_get_memory(x.c), C.llama_seq_id(seq), C.llama_pos(from), C.llama_pos(to)))
}

// CopySeq makes the positions [from, to) of src also belong to dst. Cells are shared only in a unified cache.
// Wraps llama_memory_seq_cp.
func (x *Context) CopySeq(src, dst, from, to int32) {
	C.llama_memory_seq_cp(C.llama_get_memory(x.c), C.llama_seq_id(src), C.llama_seq_id(dst), C.llama_pos(from), C.llama_pos(to))
}

// KeepSeq removes all sequences but one. Wraps llama_memory_seq_keep.
func (x *Context) KeepSeq(seq int32) {
	C.llama_memory_seq_keep(C.llama_get_memory(x.c), C.llama_seq_id(seq))
}

// LastPos is the largest position held for a sequence, -1 if it is empty. Wraps llama_memory_seq_pos_max.
func (x *Context) LastPos(seq int32) int32 {
	return int32(C.llama_memory_seq_pos_max(C.llama_get_memory(x.c), C.llama_seq_id(seq)))
}

// FirstPos is the smallest position held for a sequence, -1 if it is empty. Wraps llama_memory_seq_pos_min.
func (x *Context) FirstPos(seq int32) int32 {
	return int32(C.llama_memory_seq_pos_min(C.llama_get_memory(x.c), C.llama_seq_id(seq)))
}

// Clear forgets all sequences. Wraps llama_memory_clear.
func (x *Context) Clear() { C.llama_memory_clear(C.llama_get_memory(x.c), C.bool(true)) }
