//go:build linux && (amd64 || arm64)

package probe

import (
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// step tries one thing. Its first argument is what was given, the second the same filled up
// with empty texts.
type step = func(args, a []string) string

// steps by name.
var steps = together(fileSteps, callSteps, netSteps, sightSteps, loadSteps)

// together is all the steps of some lists, of which no two may have one name.
func together(lists ...map[string]step) map[string]step {
	all := map[string]step{}
	for _, l := range lists {
		for name, s := range l {
			if all[name] != nil {
				panic("two steps are called " + name)
			}
			all[name] = s
		}
	}
	return all
}

func errnoName(e syscall.Errno) string {
	if e == 0 {
		return "ok"
	}
	if s := unix.ErrnoName(e); s != "" {
		return s
	}
	return strconv.Itoa(int(e))
}
