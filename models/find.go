package models

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

const notFoundHint = "`holdfast models ls` shows what there is; a path, a name in the store, or \"reference\" names a model"

// Location is where a model is: in a file, or in this program.
type Location struct {
	Name     string // file name without .gguf, or ReferenceName
	Path     string // "" if embedded
	Embedded bool
}

// Store is a directory of model files. The zero Store holds none but the
// reference model.
type Store struct{ Dir string }

// DefaultStore returns the user's store: holdfast/models below $XDG_DATA_HOME, or
// below ~/.local/share. getenv is os.Getenv, or a test's.
func DefaultStore(getenv func(string) string) Store {
	if d := getenv("XDG_DATA_HOME"); filepath.IsAbs(d) {
		return Store{filepath.Join(d, "holdfast", "models")}
	}
	if d := getenv("HOME"); filepath.IsAbs(d) {
		return Store{filepath.Join(d, ".local", "share", "holdfast", "models")}
	}
	return Store{}
}

// Find returns where a model is: "" and "reference" name the embedded one;
// anything with a path separator or ending in .gguf is a path, tried as it is; any
// other word is a name in the store, with or without .gguf. The file exists and is
// regular, but has not been read. Errors are an *Error wrapping ErrNotFound.
func (s Store) Find(name string) (Location, error) {
	if name == "" || name == ReferenceName {
		return Location{Name: ReferenceName, Embedded: true}, nil
	}
	for _, p := range s.candidates(name) {
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() {
			return Location{Name: strings.TrimSuffix(filepath.Base(p), suffix), Path: p}, nil
		}
	}
	return Location{}, &Error{Op: "find model " + quote(name), Hint: notFoundHint, Err: ErrNotFound}
}

const suffix = ".gguf"

// candidates lists the files that a name may mean, in order.
func (s Store) candidates(name string) []string {
	var list []string
	if strings.ContainsRune(name, filepath.Separator) || strings.HasSuffix(name, suffix) {
		list = append(list, name)
	}
	if s.Dir != "" && filepath.IsLocal(name) {
		list = append(list, filepath.Join(s.Dir, name+suffix))
		if strings.HasSuffix(name, suffix) {
			list = append(list, filepath.Join(s.Dir, name))
		}
	}
	return list
}

// List returns the reference model and the files of the store, sorted by name. A
// store that does not exist is empty.
func (s Store) List() ([]Location, error) {
	list := []Location{{Name: ReferenceName, Embedded: true}}
	if s.Dir == "" {
		return list, nil
	}
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return list, &Error{Op: "list models in " + quotePath(s.Dir), Err: cause(err)}
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), suffix); ok && !e.IsDir() {
			list = append(list, Location{Name: name, Path: filepath.Join(s.Dir, e.Name())})
		}
	}
	sort.SliceStable(list[1:], func(i, j int) bool { return list[1+i].Name < list[1+j].Name })
	return list, nil
}
