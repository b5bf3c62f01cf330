package models_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/models"
)

// pulled is a folder as Ollama leaves it after a pull.
type pulled struct {
	t   *testing.T
	dir string
}

func (p pulled) manifest(rel, text string) {
	write(p.t, filepath.Join(p.dir, "manifests", rel), text)
}

func (p pulled) blob(content []byte) (layer string) {
	write(p.t, filepath.Join(p.dir, "blobs", "sha256-"+sumOf(content)), string(content))
	return layerOf("model", sumOf(content), len(content))
}

func layerOf(kind, digest string, size int) string {
	return fmt.Sprintf(`{"mediaType":"application/vnd.ollama.image.%s","digest":"sha256:%s","size":%d}`, kind, digest, size)
}

func layers(list ...string) string {
	return `{"schemaVersion":2,"config":{"digest":"sha256:x"},"layers":[` + strings.Join(list, ",") + `]}`
}

func newPulled(t *testing.T) (pulled, models.Store) {
	p := pulled{t, filepath.Join(t.TempDir(), "models")}
	return p, models.Store{Dir: filepath.Join(t.TempDir(), "store"), Ollama: []string{filepath.Join(t.TempDir(), "absent"), p.dir}}
}

const library = "registry.ollama.ai/library/"

func TestOllama(t *testing.T) {
	p, s := newPulled(t)
	m := layers(p.blob(good()), layerOf("template", sumOf([]byte("never read")), 9))
	p.manifest(library+"tiny/latest", m)
	p.manifest(library+"tiny/q8_0", m)
	p.manifest("registry.ollama.ai/me/tiny/latest", m)
	p.manifest("host.example:5000/me/tiny/v1.5", m)
	for name, want := range map[string]string{
		"ollama:tiny": "ollama:tiny:latest", "ollama:tiny:latest": "ollama:tiny:latest", "ollama:tiny:q8_0": "ollama:tiny:q8_0",
		"ollama:me/tiny": "ollama:me/tiny:latest", "ollama:library/tiny": "ollama:tiny:latest",
		"ollama:host.example:5000/me/tiny:v1.5": "ollama:host.example:5000/me/tiny:v1.5",
	} {
		l, err := s.Find(name)
		if err != nil || l.Name != want || l.Digest != sumOf(good()) || l.Path != filepath.Join(p.dir, "blobs", "sha256-"+sumOf(good())) {
			t.Errorf("Find(%q) = %+v, %v", name, l, err)
			continue
		}
		f, err := l.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if info, err := f.Describe(); err != nil || info.Name != "tiny" {
			t.Errorf("Describe = %+v, %v", info, err)
		}
		if got, err := f.Sum(t.Context(), nil); err != nil || got != sumOf(good()) {
			t.Errorf("Sum = %s, %v", got, err)
		}
	}
	list, err := s.List()
	if err != nil || len(list) != 5 || list[1].Name != "ollama:host.example:5000/me/tiny:v1.5" || list[4].Size != int64(len(good())) || list[4].Problem != nil {
		t.Errorf("list %+v, %v", list, err)
	}
	l, digest, err := s.Import(t.Context(), "ollama:tiny", "mine", "", nil)
	if err != nil || l.Name != "mine" || digest != sumOf(good()) {
		t.Errorf("Import = %+v, %s, %v", l, digest, err)
	}
	if err := s.Remove("ollama:tiny"); !errors.Is(err, models.ErrNotFound) {
		t.Errorf("Remove = %v", err)
	}
}

// TestOllamaNames tries names that would lead out of the folder.
func TestOllamaNames(t *testing.T) {
	p, s := newPulled(t)
	p.manifest("../outside", layers(p.blob(good())))
	p.manifest(library+"tiny/latest", layers(p.blob(good())))
	for _, name := range []string{"", "..", "../../outside", "a/../../outside", "../../../outside:x", "tiny:..", "tiny:../../x", "/etc/passwd", "a/b/c/d",
		".tiny", "tiny:", ":x", "tiny\x00", "ti ny", "tiny@sha256:" + sumOf(nil), "lib.rary/tiny", "none", "tiny:none", strings.Repeat("a", 81)} {
		if l, err := s.Find("ollama:" + name); !errors.Is(err, models.ErrNotFound) {
			t.Errorf("Find(ollama:%q) = %+v, %v", name, l, err)
		}
	}
}

// TestOllamaRefuses gives manifests and folders that lie.
func TestOllamaRefuses(t *testing.T) {
	model := func(digest string, size int) string { return layerOf("model", digest, size) }
	outside := write(t, filepath.Join(t.TempDir(), "secret"), string(good()))
	for _, c := range []struct {
		name string
		make func(p pulled)
	}{
		{"NoJSON", func(p pulled) { p.manifest(library+"m/latest", "GGUF") }},
		{"AnEndlessManifest", func(p pulled) { p.manifest(library+"m/latest", layers(strings.Repeat(" ", 2<<20))) }},
		{"NoModel", func(p pulled) { p.manifest(library+"m/latest", layers()) }},
		{"TwoModels", func(p pulled) {
			l := p.blob(good())
			p.manifest(library+"m/latest", layers(l, l))
		}},
		{"AnAdapter", func(p pulled) {
			p.manifest(library+"m/latest", layers(p.blob(good()), layerOf("adapter", sumOf(nil), 1)))
		}},
		{"ADigestThatIsAPath", func(p pulled) { p.manifest(library+"m/latest", layers(model("../../../etc/passwd", 1))) }},
		{"ADigestThatIsTooShort", func(p pulled) { p.manifest(library+"m/latest", layers(model("abcd", 1))) }},
		{"AMissingFile", func(p pulled) { p.manifest(library+"m/latest", layers(model(sumOf([]byte("x")), 1))) }},
		{"AnotherSize", func(p pulled) {
			p.blob(good())
			p.manifest(library+"m/latest", layers(model(sumOf(good()), 1)))
		}},
		{"AFolderForAFile", func(p pulled) {
			p.blob(good())
			if err := os.MkdirAll(filepath.Join(p.dir, "blobs", "sha256-"+sumOf([]byte("d"))), 0o700); err != nil {
				p.t.Fatal(err)
			}
			p.manifest(library+"m/latest", layers(model(sumOf([]byte("d")), 1)))
		}},
		{"AFileThatLinksOut", func(p pulled) {
			l := p.blob(good())
			link(p.t, outside, filepath.Join(p.dir, "blobs", "sha256-"+sumOf(good())))
			p.manifest(library+"m/latest", layers(l))
		}},
		{"AManifestThatLinksOut", func(p pulled) {
			other := write(p.t, filepath.Join(p.t.TempDir(), "m"), layers(p.blob(good())))
			p.manifest(library+"m/other", "x")
			link(p.t, other, filepath.Join(p.dir, "manifests", library, "m", "latest"))
		}},
		{"AFolderThatLinksOut", func(p pulled) {
			other := filepath.Join(p.t.TempDir(), "elsewhere")
			if err := os.MkdirAll(filepath.Join(other, "m"), 0o700); err != nil {
				p.t.Fatal(err)
			}
			write(p.t, filepath.Join(other, "m", "latest"), layers(p.blob(good())))
			link(p.t, other, filepath.Join(p.dir, "manifests", library))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, s := newPulled(t)
			p.t = t
			c.make(p)
			var e *models.Error
			l, err := s.Find("ollama:m")
			if err == nil || !errors.As(err, &e) || errors.Is(err, models.ErrNotFound) {
				t.Fatalf("Find = %+v, %v", l, err)
			}
			list, err := s.List()
			for _, x := range list[1:] {
				if err != nil || x.Problem == nil {
					t.Errorf("listed as sound: %+v, %v", x, err)
				}
			}
		})
	}
	t.Run("OtherContent", func(t *testing.T) {
		p, s := newPulled(t)
		p.manifest(library+"m/latest", layers(p.blob(good())))
		other := append([]byte(nil), good()...)
		other[len(other)-1] ^= 1
		write(t, filepath.Join(p.dir, "blobs", "sha256-"+sumOf(good())), string(other))
		l, err := s.Find("ollama:m")
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.Sum(t.Context(), nil); !errors.Is(err, models.ErrDigest) {
			t.Errorf("Sum = %v", err)
		}
		if _, _, err := s.Import(t.Context(), "ollama:m", "m", "", nil); !errors.Is(err, models.ErrDigest) {
			t.Errorf("Import = %v", err)
		}
	})
	t.Run("AFileSwappedForALinkAfterItWasFound", func(t *testing.T) {
		p, s := newPulled(t)
		p.manifest(library+"m/latest", layers(p.blob(good())))
		l, err := s.Find("ollama:m")
		if err != nil {
			t.Fatal(err)
		}
		link(t, outside, l.Path)
		if f, err := l.Open(); err == nil {
			f.Close()
			t.Error("it was opened")
		}
	})
}

func link(t *testing.T, to, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
}

func TestDefaultOllamaFolders(t *testing.T) {
	env := map[string]string{"HOME": "/home/u"}
	get := func(k string) string { return env[k] }
	if got := models.DefaultStore(get).Ollama; len(got) < 2 || got[0] != "/home/u/.ollama/models" {
		t.Errorf("folders %v", got)
	}
	env["OLLAMA_MODELS"] = "/data/ollama"
	if got := models.DefaultStore(get).Ollama; len(got) != 1 || got[0] != "/data/ollama" {
		t.Errorf("folders %v", got)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(layers(layerOf("model", sumOf(good()), len(good())))))
	f.Add([]byte(layers()))
	f.Add([]byte(`{"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:../x","size":-1}]}`))
	dir := f.TempDir()
	blob := filepath.Join(dir, "blobs", "sha256-"+sumOf(good()))
	manifest := filepath.Join(dir, "manifests", library, "m", "latest")
	for _, p := range []string{blob, manifest} {
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			f.Fatal(err)
		}
	}
	if err := os.WriteFile(blob, good(), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(manifest, b, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := models.Store{Ollama: []string{dir}}.Find("ollama:m")
		if err == nil && l.Path != blob {
			t.Errorf("%q leads to %s", b, l.Path)
		}
	})
}
