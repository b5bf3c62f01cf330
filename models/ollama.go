package models

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// ollamaPrefix begins the name of a model that Ollama has pulled.
const ollamaPrefix = "ollama:"

const ollamaHint = "set OLLAMA_MODELS to the folder that really holds Ollama's manifests and blobs; no link is followed out of it"

// Where Ollama keeps what nobody named otherwise: types/model/name.go of Ollama.
const (
	ollamaHost      = "registry.ollama.ai"
	ollamaNamespace = "library"
	ollamaTag       = "latest"
)

// The layers of a manifest that are looked at; all others, the template among them, are
// not used.
const (
	layerModel   = "application/vnd.ollama.image.model"
	layerAdapter = "application/vnd.ollama.image.adapter"
	layerTensor  = "application/vnd.ollama.image.tensor"
)

const (
	maxManifest  = 1 << 20
	maxManifests = 4096 // in a list
)

// manifest is the part of a manifest that says which file is the model.
type manifest struct {
	Layers []struct {
		MediaType string `json:"mediaType"`
		Digest    string `json:"digest"`
		Size      int64  `json:"size"`
	} `json:"layers"`
}

// ollamaPath returns the path of a manifest below the folder of manifests. Each part of a
// name is checked as Ollama does it, so none is empty, "." or "..".
func ollamaPath(name string) (string, error) {
	parts := strings.Split(name, "/")
	last := len(parts) - 1
	model, tag, tagged := strings.Cut(parts[last], ":")
	if !tagged {
		tag = ollamaTag
	}
	host, namespace := ollamaHost, ollamaNamespace
	switch len(parts) {
	case 1:
	case 2:
		namespace = parts[0]
	case 3:
		host, namespace = parts[0], parts[1]
	default:
		return "", fmt.Errorf("%s is not [HOST/][NAMESPACE/]MODEL[:TAG]", quote(name))
	}
	ok := plainPart(host, 350, ".:") && plainPart(namespace, 80, "") && plainPart(model, 80, ".") && plainPart(tag, 80, ".")
	if !ok {
		return "", fmt.Errorf("%s is not [HOST/][NAMESPACE/]MODEL[:TAG]", quote(name))
	}
	return path.Join(host, namespace, model, tag), nil
}

// plainPart accepts letters, digits, _ and -, and marks of more, but for the first.
func plainPart(s string, most int, more string) bool {
	for i, c := range s {
		word := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
		if !word && (i == 0 || c != '-' && !strings.ContainsRune(more, c)) {
			return false
		}
	}
	return s != "" && len(s) <= most
}

// findOllama finds the file of a model that Ollama has pulled, in the first folder that
// has its manifest.
func (s Store) findOllama(name string) (Location, error) {
	op := "find model " + quote(ollamaPrefix+name)
	rel, err := ollamaPath(name)
	if err != nil {
		return Location{}, &Error{Op: op, Hint: notFoundHint, Err: fmt.Errorf("%w: %w", ErrNotFound, err)}
	}
	for _, dir := range s.Ollama {
		l, _, err := ollamaLocation(dir, rel)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Location{}, &Error{Op: op, Hint: ollamaHint, Err: cause(err)}
		}
		return l, nil
	}
	return Location{}, &Error{Op: op, Hint: "`ollama list` shows what Ollama has; " + notFoundHint, Err: ErrNotFound}
}

// ollamaLocation reads a manifest and looks at the file that it names. It fails with
// fs.ErrNotExist where there is no such manifest, and only then.
func ollamaLocation(dir, rel string) (Location, int64, error) {
	f, err := openBelow(dir, path.Join("manifests", rel))
	if err != nil {
		return Location{}, 0, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err != nil {
		return Location{}, 0, err
	}
	digest, size, err := modelLayer(b)
	if err != nil {
		return Location{}, 0, err
	}
	l := Location{Name: ollamaPrefix + shortName(rel), Digest: digest, root: dir, rel: "blobs/sha256-" + digest}
	l.Path = filepath.Join(dir, l.rel)
	blob, err := openBelow(dir, l.rel)
	if errors.Is(err, fs.ErrNotExist) {
		return l, 0, fmt.Errorf("%w: the manifest names a file that is not there", ErrFormat)
	}
	if err != nil {
		return l, 0, err
	}
	defer blob.Close()
	st, err := blob.Stat()
	if err == nil && st.Size() != size {
		err = fmt.Errorf("%w: the file has %d bytes, the manifest says %d", ErrFormat, st.Size(), size)
	}
	return l, size, err
}

// modelLayer returns digest and size of the one GGUF file of a manifest.
func modelLayer(b []byte) (string, int64, error) {
	if len(b) > maxManifest {
		return "", 0, fmt.Errorf("%w: the manifest is longer than %d bytes", ErrFormat, maxManifest)
	}
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return "", 0, fmt.Errorf("%w: the manifest is not JSON as it should be", ErrFormat)
	}
	digest, size, found := "", int64(0), 0
	for _, l := range m.Layers {
		switch l.MediaType {
		case layerAdapter:
			return "", 0, fmt.Errorf("%w: an adapter would change the model, and is not applied here", ErrFormat)
		case layerTensor:
			return "", 0, fmt.Errorf("%w: the model is kept as single tensors, not as a GGUF file", ErrFormat)
		case layerModel:
			found++
			digest, size = strings.TrimPrefix(l.Digest, "sha256:"), l.Size
			if !isDigest(digest) || !strings.HasPrefix(l.Digest, "sha256:") {
				return "", 0, fmt.Errorf("%w: %s is no digest", ErrFormat, quote(l.Digest))
			}
		}
	}
	if found != 1 {
		return "", 0, fmt.Errorf("%w: the manifest names %d model files, not one", ErrFormat, found)
	}
	return digest, size, nil
}

// shortName writes the path of a manifest as people write the name.
func shortName(rel string) string {
	parts := strings.Split(rel, "/")
	name := parts[2] + ":" + parts[3]
	switch {
	case parts[0] != ollamaHost:
		return parts[0] + "/" + parts[1] + "/" + name
	case parts[1] != ollamaNamespace:
		return parts[1] + "/" + name
	}
	return name
}

// listOllama lists the models of the first folder that has manifests and whatever the
// others add. A manifest that cannot be used is listed with its problem.
func (s Store) listOllama() []Entry {
	var list []Entry
	seen := map[string]bool{}
	for _, dir := range s.Ollama {
		for _, rel := range manifestsOf(dir) {
			if seen[rel] || len(seen) >= maxManifests {
				continue
			}
			seen[rel] = true
			l, size, err := ollamaLocation(dir, rel)
			if l.Name == "" {
				l.Name = ollamaPrefix + shortName(rel)
			}
			list = append(list, Entry{l, size, cause(err)})
		}
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}

// manifestsOf lists the manifests of a folder: four levels of plain names, none of them
// reached through a link that leads out.
func manifestsOf(dir string) []string {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil
	}
	defer root.Close()
	level := []string{""}
	for range 4 {
		var next []string
		for _, up := range level {
			entries, err := fs.ReadDir(root.FS(), path.Join("manifests", up))
			if err != nil {
				continue
			}
			for _, e := range entries {
				if len(next) < maxManifests && plainPart(e.Name(), 350, ".:") {
					next = append(next, path.Join(up, e.Name()))
				}
			}
		}
		level = next
	}
	var list []string
	for _, rel := range level {
		if p, err := ollamaPath(rel[:strings.LastIndex(rel, "/")] + ":" + path.Base(rel)); err == nil && p == rel {
			list = append(list, rel)
		}
	}
	return list
}
