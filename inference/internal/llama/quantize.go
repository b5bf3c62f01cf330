package llama

/*
#include "shim.h"
#include <stdlib.h>
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// FileType is the number format of a model's weights. Wraps the used part of enum llama_ftype.
type FileType int

// The formats.
const (
	FileF16    FileType = C.LLAMA_FTYPE_MOSTLY_F16
	FileQ4_0   FileType = C.LLAMA_FTYPE_MOSTLY_Q4_0
	FileQ8_0   FileType = C.LLAMA_FTYPE_MOSTLY_Q8_0
	FileQ4_K_S FileType = C.LLAMA_FTYPE_MOSTLY_Q4_K_S
	FileQ4_K_M FileType = C.LLAMA_FTYPE_MOSTLY_Q4_K_M
	FileQ6_K   FileType = C.LLAMA_FTYPE_MOSTLY_Q6_K
)

// Quantize writes the model at in to out with another number format. threads 0 means all processors; with pure every
// tensor gets the format. Wraps llama_model_quantize.
func Quantize(in, out string, to FileType, threads int, pure bool) error {
	start()
	ci, co := C.CString(in), C.CString(out)
	defer C.free(unsafe.Pointer(ci))
	defer C.free(unsafe.Pointer(co))
	var msg C.hf_text
	if C.hf_quantize(ci, co, C.int(to), C.int(threads), cbool(pure), &msg) != 0 {
		return fmt.Errorf("quantize model: %w", failure(&msg))
	}
	return nil
}
