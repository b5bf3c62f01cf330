package llama

/*
#include "shim.h"
*/
import "C"

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"unicode"
)

// logFloor is the lowest level of llama.cpp that crosses into Go: GGML_LOG_LEVEL_WARN.
const logFloor = 3

var (
	logger    atomic.Pointer[slog.Logger]
	logMu     sync.Mutex
	logBuffer strings.Builder
)

// SetLogger sends llama.cpp's warnings and errors to l; nil drops them. It may be called at any time and holds for
// the process, because llama.cpp has one logger. Wraps llama_log_set.
func SetLogger(l *slog.Logger) { logger.Store(l) }

//export goLog
func goLog(level C.int, text *C.char) {
	l := logger.Load()
	if l == nil {
		return
	}
	logMu.Lock()
	defer logMu.Unlock()
	logBuffer.WriteString(C.GoString(text))
	line, ended := strings.CutSuffix(logBuffer.String(), "\n")
	if !ended && logBuffer.Len() < 4096 { // llama.cpp prints some lines in pieces
		return
	}
	logBuffer.Reset()
	line = strings.Map(func(r rune) rune { // it may quote the model's file
		if unicode.IsPrint(r) || r == '\n' || r == '\t' {
			return r
		}
		return unicode.ReplacementChar
	}, line)
	to := slog.LevelWarn
	if level > logFloor {
		to = slog.LevelError
	}
	l.Log(context.Background(), to, line, "source", "llama.cpp")
}
