// Package probe holds what an attacker inside a cell would try, as small steps
// that say what came of them. It runs inside the cells that package
// sandbox/verify builds, as part of the static helper program, and decides
// nothing: a step prints the name of the errno it met, "ok", or what it saw.
//
// It starts no process and is used by one goroutine.
package probe

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// Name is the argument that makes the helper program a probe.
const Name = "probe"

// Step is one thing to try.
type Step struct {
	Do   string   `json:"do"`
	Args []string `json:"args,omitempty"`
}

// Run reads a list of steps as JSON, carries them out in order and writes their
// outcomes as a JSON list of texts. It returns an exit status.
func Run(in io.Reader, out io.Writer) int {
	var steps []Step
	if err := json.NewDecoder(in).Decode(&steps); err != nil {
		return 2
	}
	got := make([]string, len(steps))
	for i, s := range steps {
		got[i] = Try(s)
	}
	if err := json.NewEncoder(out).Encode(got); err != nil {
		return 3
	}
	return 0
}

// Try carries out one step.
func Try(s Step) string {
	f, ok := steps[s.Do]
	if !ok {
		return "no such step " + s.Do
	}
	a := s.Args
	for len(a) < 8 {
		a = append(a, "")
	}
	return f(a[:len(s.Args):len(s.Args)], a)
}

// name returns "ok", the name of an errno, or the text of another error.
func name(err error) string {
	for err != nil {
		switch e := err.(type) {
		case syscall.Errno:
			return errnoName(e)
		case *os.PathError:
			err = e.Err
		case *os.LinkError:
			err = e.Err
		case *os.SyscallError:
			err = e.Err
		default:
			return err.Error()
		}
	}
	return "ok"
}

// each joins what f returns for every argument.
func each(args []string, f func(string) string) string {
	list := make([]string, len(args))
	for i, a := range args {
		list[i] = f(a)
	}
	return strings.Join(list, " ")
}

func number(s string) uint64 {
	var n int64
	if _, err := fmt.Sscanf(s, "%v", &n); err == nil {
		return uint64(n)
	}
	var u uint64
	fmt.Sscanf(s, "%v", &u)
	return u
}
