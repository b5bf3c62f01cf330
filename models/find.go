package models

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const notFoundHint = "`holdfast models ls` shows what there is; a path, a name in the store, ollama:NAME, or \"reference\" names a model"

// Location is where a model is: in a file, or in this program.
type Location struct {
	Name     string // in the store, ollama:NAME, file name without .gguf, or ReferenceName
	Path     string // "" if embedded
	Embedded bool
	Digest   string // SHA-256 in hex that the name stands for, "" if it stands for none

	root, rel string // of a file of Ollama's: it is opened below root only
}

// Store is a directory of model files: those imported, by the digest of their content and
// with names, and any NAME.gguf put there by hand. The zero Store holds none but the
// reference model.
type Store struct {
	Dir    string
	Ollama []string // folders of Ollama's models, in the order they are searched
}

// DefaultStore returns the user's store: holdfast/models below $XDG_DATA_HOME, or below
// ~/.local/share. Ollama's folder is $OLLAMA_MODELS, else where Ollama keeps its models of
// this user and of its service. getenv is os.Getenv, or a test's.
func DefaultStore(getenv func(string) string) Store {
	var s Store
	home := getenv("HOME")
	if d := getenv("XDG_DATA_HOME"); filepath.IsAbs(d) {
		s.Dir = filepath.Join(d, "holdfast", "models")
	} else if filepath.IsAbs(home) {
		s.Dir = filepath.Join(home, ".local", "share", "holdfast", "models")
	}
	if d := getenv("OLLAMA_MODELS"); d != "" {
		s.Ollama = []string{d}
		return s
	}
	if filepath.IsAbs(home) {
		s.Ollama = append(s.Ollama, filepath.Join(home, ".ollama", "models"))
	}
	s.Ollama = append(s.Ollama, "/usr/share/ollama/.ollama/models", "/var/lib/ollama/.ollama/models", "/var/lib/ollama")
	return s
}

// Find returns where a model is: "" and "reference" name the embedded one; ollama:NAME one
// that Ollama has pulled; anything with a path separator or ending in .gguf is a path,
// tried as it is; any other word is a name in the store, with or without .gguf. The file
// exists and is regular, but has not been read. Errors are an *Error wrapping ErrNotFound,
// or what is wrong with Ollama's manifest.
func (s Store) Find(name string) (Location, error) {
	if name == "" || name == ReferenceName {
		return Location{Name: ReferenceName, Embedded: true}, nil
	}
	if short, ok := strings.CutPrefix(name, ollamaPrefix); ok {
		return s.findOllama(short)
	}
	isPath := strings.ContainsRune(name, filepath.Separator) || strings.HasSuffix(name, suffix)
	if isPath && regular(name) {
		return Location{Name: strings.TrimSuffix(filepath.Base(name), suffix), Path: name}, nil
	}
	if !strings.ContainsRune(name, filepath.Separator) {
		word := strings.TrimSuffix(name, suffix)
		if l, ok := s.named(word); ok {
			return l, nil
		}
		if p := filepath.Join(s.Dir, word+suffix); s.checkName(word) == nil && regular(p) {
			return Location{Name: word, Path: p}, nil
		}
	}
	return Location{}, notFound(name)
}

// notFound says why a name stands for no model, with what lies there instead in the hint.
func notFound(name string) error {
	e := &Error{Op: "find model " + quote(name), Hint: notFoundHint, Err: ErrNotFound}
	switch st, err := os.Stat(name); {
	case errors.Is(err, fs.ErrPermission):
		e.Err, e.Hint = cause(err), "this user may not look there"
	case err != nil:
	case st.IsDir():
		e.Hint = "that is a folder: name one of the files in it"
	case st.Mode().IsRegular(): // and a name without a path is one of the store
		e.Hint = "there is a file of that name here: name it by its path, as ./" + strings.Trim(quote(name), `"`)
	}
	return e
}

const suffix = ".gguf"

func regular(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}
