package inference

import "github.com/holdfast-run/holdfast/inference/internal/llama"

// Build names the native engine in this program: llama.cpp's version and the key of
// its build, which covers source, patches, flags, compiler and CPU.
func Build() string { return "llama.cpp " + llama.Version + " " + llama.BuildKey }
