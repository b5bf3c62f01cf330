package models

import (
	"embed"
	"fmt"
)

// ReferenceName names the embedded model wherever a model can be named.
const ReferenceName = "reference"

//go:embed reference
var reference embed.FS

// Reference returns the file of the embedded reference model. The caller owns the
// bytes. A program that was built without the model gives an *Error wrapping
// ErrNotFound.
func Reference() ([]byte, error) {
	b, err := reference.ReadFile("reference/reference.gguf")
	if err != nil {
		return nil, &Error{
			Op:   "open reference model",
			Hint: "name a model with --model, or train the reference model with `make model` and build again",
			Err:  fmt.Errorf("%w: this program was built without it", ErrNotFound),
		}
	}
	return b, nil
}

// Card is the model card of the embedded reference model, in Markdown: what it was trained on, what it reaches,
// where it fails.
func Card() string {
	b, err := reference.ReadFile("reference/README.md")
	if err != nil {
		panic("internal error: the card is not embedded: " + err.Error())
	}
	return string(b)
}
