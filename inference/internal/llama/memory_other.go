//go:build !linux

package llama

import (
	"context"
	"errors"
)

// LoadModelBytes is not available on this system: it needs anonymous memory files.
func LoadModelBytes(context.Context, []byte, ModelParams) (*Model, error) {
	return nil, errors.New("load model from memory: needs Linux")
}
