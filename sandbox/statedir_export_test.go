//go:build linux && (amd64 || arm64)

package sandbox

import "os"

// StateHome chooses a state directory, with another place than /var/tmp for
// those who have no home.
func StateHome(c Config, shared string) (string, []string, error) {
	dir, others, err := stateHome(c, os.Getuid(), shared)
	if err == nil {
		dir, err = settledName(dir)
	}
	return dir, others, err
}

// Trusted reports whether nobody else can change what a path names.
func Trusted(p string) bool { return trusted(p, os.Getuid()) }
