package sandbox_test

import (
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/sandbox"
)

func TestLineIsFixedText(t *testing.T) {
	l := sandbox.DefaultLimits()
	for want, r := range map[string]sandbox.Result{
		"": {Limits: l},
		"limit time: stopped after 2m0s. Split the work or make it shorter.":     {Limit: sandbox.LimitTime, Limits: l},
		"limit memory: stopped at 2 GiB. Process the data in smaller parts.":     {Limit: sandbox.LimitMemory, Limits: l},
		"limit filesize: a file grew past 1 GiB. Write less.":                    {Limit: sandbox.LimitFileSize, Limits: l},
		"limit cancelled: the run was stopped.":                                  {Limit: sandbox.LimitCancelled, Limits: l},
		"limit output: 1 MiB of each stream were kept. Select less output.":      {Stdout: sandbox.Capture{Head: []byte("x"), Total: 9}, Limits: l},
		"limit time: stopped after 1.5s. Split the work or make it shorter.":     {Limit: sandbox.LimitTime, Limits: sandbox.Limits{Time: 1500 * time.Millisecond}},
		"limit memory: stopped at 1536 MiB. Process the data in smaller parts.":  {Limit: sandbox.LimitMemory, Limits: sandbox.Limits{Memory: 1536 << 20}},
		"limit filesize: a file grew past 1000 bytes. Write less.":               {Limit: sandbox.LimitFileSize, Limits: sandbox.Limits{FileSize: 1000}},
		"limit output: 1000 bytes of each stream were kept. Select less output.": {Stderr: sandbox.Capture{Total: 9}, Limits: sandbox.Limits{Output: 1000}},
	} {
		if got := r.Line(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestCaptureMarksWhatIsMissing(t *testing.T) {
	c := sandbox.Capture{Head: []byte("ab"), Tail: []byte("yz"), Total: 26}
	if got := string(c.Bytes()); got != "ab\n[... 22 bytes omitted ...]\nyz" {
		t.Errorf("got %q", got)
	}
	whole := sandbox.Capture{Head: []byte("abc"), Total: 3}
	if got := string(whole.Bytes()); got != "abc" {
		t.Errorf("got %q", got)
	}
}
