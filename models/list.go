package models

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// Entry is a model in a list. Its digest is what its name stands for; but for the embedded
// model, nothing was read to check it.
type Entry struct {
	Location
	Size    int64
	Problem error // why it cannot be used, nil if nothing is known against it
}

// List returns the reference model, those of the store, and those that Ollama has pulled,
// each sorted by name. What cannot be used is listed with its problem. Folders that do not
// exist are empty.
func (s Store) List() ([]Entry, error) {
	list := []Entry{{Location: Location{Name: ReferenceName, Embedded: true}}}
	if b, err := Reference(); err != nil {
		list[0].Problem = err
	} else {
		sum := sha256.Sum256(b)
		list[0].Size, list[0].Digest = int64(len(b)), hex.EncodeToString(sum[:])
	}
	own, err := s.own()
	if err != nil {
		return list, &Error{Op: "list models in " + quotePath(s.Dir), Err: cause(err)}
	}
	return append(append(list, own...), s.listOllama()...), nil
}

// own lists the names of the store and the files put there by hand.
func (s Store) own() ([]Entry, error) {
	var list []Entry
	if s.Dir == "" {
		return nil, nil
	}
	names, err := os.ReadDir(filepath.Join(s.Dir, namesDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, n := range names {
		if s.checkName(n.Name()) != nil {
			continue // an import on its way, or nothing of the store's
		}
		e := Entry{Location: Location{Name: n.Name()}}
		if l, ok := s.named(n.Name()); ok {
			e.Location = l
			e.Size = sizeOf(l.Path)
		} else {
			e.Problem = ErrNotFound
		}
		list = append(list, e)
	}
	files, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), suffix); ok && !f.IsDir() {
			path := filepath.Join(s.Dir, f.Name())
			list = append(list, Entry{Location: Location{Name: name, Path: path}, Size: sizeOf(path)})
		}
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, nil
}

func sizeOf(path string) int64 {
	st, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return st.Size()
}
