// Package llama is the only binding of llama.cpp. It follows llama.h one to one; each wrapper names the C function it
// wraps. It holds no policy: no prompt, no sampling strategy, no default that changes an output. Failures of C++ come
// back as errors, and no Go pointer is kept by C. An assertion inside ggml still ends the process, so whoever calls
// writes down first what must survive.
//
// Models and vocabularies may be used by many goroutines at once; a Context, a Grammar and a Batch by one at a time.
// Every object that owns C memory has a Close that may be called twice.
package llama

/*
#cgo CFLAGS: -I${SRCDIR}/../../../third_party/llama.cpp/src/include -I${SRCDIR}/../../../third_party/llama.cpp/src/ggml/include
#cgo CXXFLAGS: -std=c++17 -O2 -fvisibility=hidden -I${SRCDIR}/../../../third_party/llama.cpp/src/include -I${SRCDIR}/../../../third_party/llama.cpp/src/ggml/include -I${SRCDIR}/../../../third_party/llama.cpp/src/common -I${SRCDIR}/../../../third_party/llama.cpp/src/vendor
#cgo linux LDFLAGS: -static-libstdc++ -static-libgcc -lm -lpthread -ldl
#include "shim.h"
*/
import "C"

import (
	"errors"
	"sync"
	"sync/atomic"
	"unsafe"
)

// ErrClosed means that the object was used after Close.
var ErrClosed = errors.New("llama: object is closed")

var backend sync.Once

// start initialises llama.cpp once for the process. Wraps llama_backend_init.
func start() {
	backend.Do(func() {
		C.hf_log_start(C.int(logFloor))
		C.llama_backend_init()
	})
}

var live atomic.Int64

// Live returns the number of C objects of this package that have not been closed. Tests require it to end at zero.
func Live() int64 { return live.Load() }

// SystemInfo lists the instruction sets and options compiled in. Wraps llama_print_system_info.
func SystemInfo() string {
	start()
	return C.GoString(C.llama_print_system_info())
}

// HasAMX reports whether the CPU and the build can use the AMX integer kernels. Wraps ggml_cpu_has_amx_int8.
func HasAMX() bool { return C.ggml_cpu_has_amx_int8() != 0 }

// take copies t to Go and frees it.
func take(t *C.hf_text) string {
	if t.data == nil {
		return ""
	}
	s := C.GoStringN(t.data, C.int(t.size))
	C.hf_free(unsafe.Pointer(t.data))
	t.data, t.size = nil, 0
	return s
}

// failure turns the message of a failed call into an error.
func failure(t *C.hf_text) error {
	s := take(t)
	if s == "" {
		s = "no reason given"
	}
	return errors.New(s)
}
