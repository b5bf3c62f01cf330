package toolbox_test

import (
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/holdfast-run/holdfast/tools/toolbox"
)

// FuzzPaths checks that no path, however written, reads or changes anything
// outside the root, and that every text is fit to be shown.
func FuzzPaths(f *testing.F) {
	for _, p := range []string{"", ".", "a/b", "../secret", "/work/../secret", "up/secret", "abs", "a//b/./..", "in/x", "\x00", "/work//", "\xff"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if len(p) > 500 {
			return
		}
		outer := t.TempDir()
		inner := filepath.Join(outer, "ws")
		secret := filepath.Join(outer, "secret")
		for _, err := range []error{
			os.Mkdir(inner, 0o755), os.WriteFile(secret, []byte("TOPSECRET"), 0o644),
			os.Symlink("..", filepath.Join(inner, "up")), os.Symlink(secret, filepath.Join(inner, "abs")),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		root, err := os.OpenRoot(inner)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		for name, text := range map[string]func() (string, bool){
			"list":   func() (string, bool) { return toolbox.List(root, p) },
			"read":   func() (string, bool) { return toolbox.Read(root, p, 0) },
			"search": func() (string, bool) { return toolbox.Search(root, "topsecret", p) },
			"write":  func() (string, bool) { return toolbox.Write(root, p, "x") },
		} {
			got, _ := text()
			if got == "TOPSECRET" || got != "no matches" && name == "search" && got[:5] != "error" || !utf8.ValidString(got) {
				t.Fatalf("%s of %q gives %q", name, p, got)
			}
		}
		b, err := os.ReadFile(secret)
		entries, _ := os.ReadDir(outer)
		if err != nil || string(b) != "TOPSECRET" || len(entries) != 2 {
			t.Fatalf("%q changed what is outside: %q, %v, %v", p, b, err, entries)
		}
	})
}

func FuzzRun(f *testing.F) {
	dir := f.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		f.Fatal(err)
	}
	defer root.Close()
	f.Add("list_files", []byte(`{"path":"."}`))
	f.Add("read_file", []byte(`{"path":1}`))
	f.Add("search_text", []byte(`{"query":"a","path":"."}`))
	f.Fuzz(func(t *testing.T, tool string, args []byte) {
		if tool == toolbox.WriteFile {
			return
		}
		text, ok, err := toolbox.Run(root, tool, args)
		if err != nil && (text != "" || ok) {
			t.Fatalf("Run(%q, %q) = %q, %v, %v", tool, args, text, ok, err)
		}
	})
}
