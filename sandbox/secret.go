//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"

	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
)

// maxSecrets bounds the secrets of one call.
const maxSecrets = 16

var secretName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// checkSecrets refuses secrets that Strict was not granted, and malformed ones. No
// message holds a value.
func checkSecrets(s Spec) error {
	if s.Grants.Secrets && s.Grants.Decision == "" {
		return &SpecError{"Grants", "a grant needs its decision"}
	}
	if len(s.Secrets) == 0 {
		return nil
	}
	if s.Profile.granted() && !s.Grants.Secrets {
		return &SpecError{"Secrets", "this profile needs a grant to be given secrets"}
	}
	if len(s.Secrets) > maxSecrets {
		return &SpecError{"Secrets", fmt.Sprintf("are more than %d", maxSecrets)}
	}
	for i, x := range s.Secrets {
		field := fmt.Sprintf("Secrets[%d]", i)
		switch {
		case !secretName.MatchString(x.Name):
			return &SpecError{field, "its name is not small letters, digits and . _ -"}
		case len(x.Value) == 0 || len(x.Value) > stage.MaxSecret:
			return &SpecError{field, fmt.Sprintf("%s has no value, or one longer than %d bytes", x.Name, stage.MaxSecret)}
		case slices.ContainsFunc(s.Secrets[:i], func(y Secret) bool { return x.Name == y.Name }):
			return &SpecError{field, x.Name + " stands twice"}
		}
	}
	return nil
}

// secretSize is the room for secrets in the root of a cell: how long they are is in no
// plan.
func secretSize(s Spec) uint64 {
	if len(s.Secrets) == 0 {
		return 0
	}
	return maxSecrets * stage.MaxSecret
}

// secrets makes a file of each secret. What it holds is passed beside the plan.
func (v *layout) secrets(list []Secret) {
	if len(list) == 0 {
		return
	}
	v.dir(path.Dir(SecretDir))
	v.b.add(op{code: stage.Mkdir, phase: 1, a: 0o700, text: SecretDir[1:]})
	v.made[SecretDir] = true
	for i, x := range list {
		v.b.add(op{code: stage.Secret, phase: 1, flags: stage.FlagFD, a: uint32(len(v.b.passed)), text: SecretDir[1:] + "/" + x.Name})
		v.b.passed = append(v.b.passed, passed{secret: i + 1})
	}
}

// pass puts the value into a sealed memory file of its own.
func (x Secret) pass() (*os.File, error) {
	fd, err := sealedMemfd("holdfast-secret", x.Value, false)
	if err != nil {
		return nil, fmt.Errorf("pass secret %s: %w", x.Name, err)
	}
	return os.NewFile(uintptr(fd), "secret"), nil
}

// secretNames are what records say of secrets.
func secretNames(list []Secret) []string {
	var names []string
	for _, x := range list {
		names = append(names, x.Name)
	}
	return names
}
