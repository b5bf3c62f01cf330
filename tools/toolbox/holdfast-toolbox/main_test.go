package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// endless gives bytes for ever.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestRunRefusesNonsense(t *testing.T) {
	for name, c := range map[string]struct {
		argv []string
		in   io.Reader
	}{
		"NoTool":           {[]string{"x"}, strings.NewReader("{}")},
		"TwoTools":         {[]string{"x", "list_files", "read_file"}, strings.NewReader("{}")},
		"EndlessArguments": {[]string{"x", "list_files"}, endless{}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if got := run(c.argv, c.in, &out); got != 2 || out.Len() != 0 {
				t.Errorf("status %d, output %q", got, out.String())
			}
		})
	}
}
