package models_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/models"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	s := models.Store{Dir: filepath.Join(dir, "store")}
	stored := write(t, filepath.Join(s.Dir, "qwen.gguf"), "x")
	other := write(t, filepath.Join(dir, "other.bin"), "x")
	outside := write(t, filepath.Join(dir, "outside.gguf"), "x")
	for name, want := range map[string]models.Location{
		"":          {Name: "reference", Embedded: true},
		"reference": {Name: "reference", Embedded: true},
		"qwen":      {Name: "qwen", Path: stored},
		"qwen.gguf": {Name: "qwen", Path: stored},
		other:       {Name: "other.bin", Path: other},
		outside:     {Name: "outside", Path: outside},
	} {
		if got, err := s.Find(name); err != nil || got != want {
			t.Errorf("Find(%q) = %+v, %v; want %+v", name, got, err, want)
		}
	}
	for _, name := range []string{"none", "../outside", dir, dir + "/none.gguf", "qwen/", "."} {
		if got, err := s.Find(name); !errors.Is(err, models.ErrNotFound) {
			t.Errorf("Find(%q) = %+v, %v", name, got, err)
		}
	}
	list, err := s.List()
	if err != nil || len(list) != 2 || list[1].Name != "qwen" || !list[0].Embedded {
		t.Errorf("List() = %+v, %v", list, err)
	}
	if list, err := (models.Store{Dir: filepath.Join(dir, "absent")}).List(); err != nil || len(list) != 1 {
		t.Errorf("List() of an absent store = %+v, %v", list, err)
	}
}

func TestDefaultStore(t *testing.T) {
	for _, c := range []struct{ xdg, home, want string }{
		{"/data", "/home/u", "/data/holdfast/models"},
		{"", "/home/u", "/home/u/.local/share/holdfast/models"},
		{"relative", "/home/u", "/home/u/.local/share/holdfast/models"},
		{"", "", ""},
	} {
		env := map[string]string{"XDG_DATA_HOME": c.xdg, "HOME": c.home}
		if got := models.DefaultStore(func(k string) string { return env[k] }); got.Dir != c.want {
			t.Errorf("DefaultStore(%v) = %q, want %q", env, got.Dir, c.want)
		}
	}
}

// readSum reads a model as a command does.
func readSum(ctx context.Context, l models.Location, progress func(done, total int64)) (string, error) {
	f, err := l.Open()
	if err != nil {
		return "", err
	}
	defer f.Close()
	return f.Sum(ctx, progress)
}

func TestSum(t *testing.T) {
	ctx := context.Background()
	path := write(t, filepath.Join(t.TempDir(), "m"), "weights")
	sum := sha256.Sum256([]byte("weights"))
	want := hex.EncodeToString(sum[:])
	var done, total int64
	if got, err := readSum(ctx, models.Location{Path: path}, func(d, n int64) { done, total = d, n }); err != nil || got != want || done != 7 || total != 7 {
		t.Errorf("Sum = %q, %v after %d of %d", got, err, done, total)
	}
	if _, err := readSum(ctx, models.Location{Path: path, Digest: want}, nil); err != nil {
		t.Error(err)
	}
	other := sha256.Sum256([]byte("other"))
	if _, err := readSum(ctx, models.Location{Path: path, Digest: hex.EncodeToString(other[:])}, nil); !errors.Is(err, models.ErrDigest) {
		t.Errorf("Sum of another content gives %v", err)
	}
	if _, err := readSum(ctx, models.Location{Path: path + "x", Digest: want}, nil); !errors.Is(err, models.ErrNotFound) {
		t.Errorf("Open of a missing file gives %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := readSum(ended, models.Location{Path: path}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Sum gives %v", err)
	}
}

// TestReference holds for a program with and without the embedded model.
func TestReference(t *testing.T) {
	b, err := models.Reference()
	info, infoErr := describe(models.Location{Name: models.ReferenceName, Embedded: true})
	if err != nil {
		if !errors.Is(err, models.ErrNotFound) || !errors.Is(infoErr, models.ErrNotFound) {
			t.Errorf("without the model: %v, %v", err, infoErr)
		}
		return
	}
	if infoErr != nil || info.Size != int64(len(b)) || info.ChatTemplate == "" || info.Parameters == 0 {
		t.Errorf("the reference model is %+v, %v", info, infoErr)
	}
	if len(b) > 16<<20 {
		t.Errorf("the reference model has %d bytes, more than 16 MiB", len(b))
	}
}

func TestImport(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := models.Store{Dir: filepath.Join(dir, "deep", "store")}
	src := write(t, filepath.Join(dir, "tiny.gguf"), string(good()))
	sum := sha256.Sum256(good())
	want := hex.EncodeToString(sum[:])
	loc, digest, err := s.Import(ctx, src, "", want, nil)
	if err != nil || loc.Name != "tiny" || digest != want {
		t.Fatalf("Import = %+v, %q, %v", loc, digest, err)
	}
	found, err := s.Find("tiny")
	if err != nil || found != loc || found.Digest != want {
		t.Errorf("Find = %+v, %v", found, err)
	}
	if _, err := readSum(ctx, found, nil); err != nil {
		t.Error(err)
	}
	broken := write(t, filepath.Join(dir, "broken.gguf"), string(good()[:200]))
	for _, c := range []struct {
		name, file, as, digest string
		want                   error
	}{
		{"SameName", src, "", "", models.ErrExists},
		{"BrokenFile", broken, "", "", models.ErrFormat},
		{"WrongDigest", src, "other", want[1:] + "0", models.ErrDigest},
		{"MissingFile", filepath.Join(dir, "none"), "", "", models.ErrNotFound},
	} {
		t.Run("Refuses"+c.name, func(t *testing.T) {
			if _, _, err := s.Import(ctx, c.file, c.as, c.digest, nil); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
	for _, name := range []string{"../x", "a/b", ".hidden", "-m", "reference", "a b", "x\x1b"} {
		if _, _, err := s.Import(ctx, src, name, "", nil); err == nil {
			t.Errorf("imported as %q", name)
		}
	}
	for _, d := range []string{"blobs", "names"} {
		if entries, err := os.ReadDir(filepath.Join(s.Dir, d)); err != nil || len(entries) != 1 {
			t.Errorf("the store holds %v in %s, %v", entries, d, err)
		}
	}
	if err := s.Remove("../../tiny"); !errors.Is(err, models.ErrNotFound) {
		t.Errorf("Remove outside gives %v", err)
	}
	if err := s.Remove("tiny"); err != nil {
		t.Error(err)
	}
	if err := s.Remove("tiny"); !errors.Is(err, models.ErrNotFound) {
		t.Errorf("a second Remove gives %v", err)
	}
	if _, _, err := (models.Store{}).Import(ctx, src, "", "", nil); err == nil {
		t.Error("imported into no store")
	}
}

// TestFindSaysWhatIsThere names what lies in the place of a model.
func TestFindSaysWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, filepath.Join(dir, "server.conf"), "port: 1")
	s := models.Store{Dir: filepath.Join(dir, "store")}
	for name, hint := range map[string]string{
		"server.conf": "name it by its path, as ./server.conf",
		"store/":      "holdfast models ls",
		dir:           "that is a folder",
		"none":        "holdfast models ls",
	} {
		_, err := s.Find(name)
		var e *models.Error
		if !errors.As(err, &e) || !errors.Is(err, models.ErrNotFound) || !strings.Contains(e.Hint, hint) {
			t.Errorf("Find(%q) gives %v, %+v; want the hint %q", name, err, e, hint)
		}
	}
	src := write(t, filepath.Join(dir, "tiny.gguf"), string(good()))
	if _, _, err := s.Import(t.Context(), src, "../x", "", nil); !errors.Is(err, models.ErrName) {
		t.Errorf("Import as ../x gives %v", err)
	}
}
