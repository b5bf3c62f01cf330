//go:build linux && (amd64 || arm64)

package sandbox

import "os"

// StateHome chooses a state directory, with another place than /var/tmp for
// those who have no home. What is given is done between the choice and the making
// of what was chosen.
func StateHome(c Config, shared string, between ...func()) (string, []string, error) {
	dir, others, err := stateHome(c, os.Getuid(), shared)
	for _, f := range between {
		f()
	}
	if err == nil && c.StateDir == "" {
		dir, err = settle(dir, shared, os.Getuid())
	}
	return dir, others, err
}

// Trusted reports whether nobody else can change what a path names.
func Trusted(p string) bool { return trusted(p, os.Getuid()) }
