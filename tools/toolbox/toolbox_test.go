package toolbox_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-run/holdfast/tools/toolbox"
)

// workspace makes a root that holds the given files; a name ending in "/" is a
// directory, "a -> b" a link.
func workspace(t *testing.T, files map[string]string) (*os.Root, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		full := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(full, 0o755))
			continue
		}
		if link, target, ok := strings.Cut(name, " -> "); ok {
			must(t, os.Symlink(target, filepath.Join(dir, link)))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		must(t, os.WriteFile(full, []byte(text), 0o644))
	}
	root, err := os.OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { root.Close() })
	return root, dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, text string, ok bool, wantText string) {
	t.Helper()
	if text != wantText {
		t.Errorf("text %q, want %q", text, wantText)
	}
	if ok == strings.HasPrefix(wantText, "error: ") {
		t.Errorf("ok %v with text %q", ok, text)
	}
}

func TestListReturnsSortedEntries(t *testing.T) {
	root, _ := workspace(t, map[string]string{
		"b.txt": "", "a/x": "", "a.txt": "", "empty/": "", "out -> /etc": "", "bad\nname": "",
	})
	for path, wantText := range map[string]string{
		"":            "a.txt\na/\nb.txt\nbad\\x0aname\nempty/\nout",
		".":           "a.txt\na/\nb.txt\nbad\\x0aname\nempty/\nout",
		"/work":       "a.txt\na/\nb.txt\nbad\\x0aname\nempty/\nout",
		"/work/a":     "x",
		"./a/":        "x",
		"a/../empty":  "(empty)",
		"none":        "error: no such file",
		"b.txt":       "error: not a directory",
		"b.txt/x":     "error: not a directory",
		"..":          "error: outside the workspace",
		"a/../../b":   "error: outside the workspace",
		"/etc":        "error: outside the workspace",
		"/workspace":  "error: outside the workspace",
		"/work/../x":  "error: outside the workspace",
		"out":         "error: outside the workspace",
		"out/passwd":  "error: outside the workspace",
		"nul\x00name": "error: cannot be read",
	} {
		t.Run(fmt.Sprintf("Path%q", path), func(t *testing.T) {
			text, ok := toolbox.List(root, path)
			want(t, text, ok, wantText)
		})
	}
}

func TestListIsBounded(t *testing.T) {
	files := map[string]string{}
	for i := range 1001 {
		files[fmt.Sprintf("f%04d", i)] = ""
	}
	root, _ := workspace(t, files)
	text, ok := toolbox.List(root, "")
	if !ok || strings.Count(text, "\n") != 1000 || !strings.HasSuffix(text, "\nmore entries left out") {
		t.Errorf("list of 1001 entries has %d lines, ends %q", strings.Count(text, "\n")+1, text[len(text)-30:])
	}
}

func TestReadReturnsText(t *testing.T) {
	root, dir := workspace(t, map[string]string{
		"notes.txt": "one\ntwo\n", "empty": "", "binary": "a\x00b", "latin": "caf\xe9", "d/": "",
		"big": strings.Repeat("x", 65), "in -> notes.txt": "", "out -> /etc/hostname": "", "up -> ../x": "",
	})
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	for path, wantText := range map[string]string{
		"notes.txt":       "one\ntwo\n",
		"/work/notes.txt": "one\ntwo\n",
		"in":              "one\ntwo\n",
		"empty":           "",
		"binary":          "error: not a text file",
		"latin":           "error: not a text file",
		"pipe":            "error: not a text file",
		"big":             "error: file too large",
		"d":               "error: is a directory",
		"":                "error: is a directory",
		"missing":         "error: no such file",
		"notes.txt/x":     "error: not a directory",
		"out":             "error: outside the workspace",
		"up":              "error: outside the workspace",
		"/etc/passwd":     "error: outside the workspace",
	} {
		t.Run(fmt.Sprintf("Path%q", path), func(t *testing.T) {
			text, ok := toolbox.Read(root, path, 64)
			want(t, text, ok, wantText)
		})
	}
	t.Run("AllowsDefaultLimit", func(t *testing.T) {
		must(t, os.WriteFile(filepath.Join(dir, "k"), []byte(strings.Repeat("y", toolbox.DefaultReadLimit)), 0o644))
		if text, ok := toolbox.Read(root, "k", 0); !ok || len(text) != toolbox.DefaultReadLimit {
			t.Errorf("read %d bytes, ok %v", len(text), ok)
		}
	})
}

func TestSearchFindsLines(t *testing.T) {
	long := strings.Repeat("é", 300)
	root, _ := workspace(t, map[string]string{
		"b.txt": "Port: 80\nname\n\tthe PORT is 8080  \n", "a/c.txt": "no\nport", "a.txt": "port",
		"bin": "port\x00", "link -> b.txt": "", "out -> /etc": "", ".git/config": "port", "long": long, "t": "x\ty\x1b[2J",
	})
	for _, c := range []struct{ name, query, path, want string }{
		{"InOrderOfPath", "port", "", "a.txt:1: port\na/c.txt:2: port\nb.txt:1: Port: 80\nb.txt:3: the PORT is 8080"},
		{"BelowDirectory", "PORT", "a", "a/c.txt:2: port"},
		{"InOneFile", "is 8", "./b.txt", "b.txt:3: the PORT is 8080"},
		{"LiteralText", "p.rt", "", "no matches"},
		{"NotInBinary", "port", "bin", "no matches"},
		{"CutsLines", "é", "long", "long:1: " + long[:400]},
		{"KeepsControlInert", "y", "t", "t:1: x\ty\\x1b[2J"},
		{"RefusesEmptyQuery", " ", "", "error: nothing to search for"},
		{"RefusesMissing", "x", "none", "error: no such file"},
		{"RefusesOutside", "x", "..", "error: outside the workspace"},
		{"RefusesLinkOut", "root", "out", "error: outside the workspace"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, ok := toolbox.Search(root, c.query, c.path)
			want(t, text, ok, c.want)
		})
	}
	t.Run("StopsAtFiftyHits", func(t *testing.T) {
		root, _ := workspace(t, map[string]string{"a": strings.Repeat("hit\n", 30), "b": strings.Repeat("hit\n", 20)})
		text, _ := toolbox.Search(root, "hit", "")
		if strings.Count(text, "\n") != 49 || strings.Contains(text, "left out") {
			t.Errorf("50 hits gave %d lines", strings.Count(text, "\n")+1)
		}
		root, _ = workspace(t, map[string]string{"a": strings.Repeat("hit\n", 51)})
		text, _ = toolbox.Search(root, "hit", "")
		if strings.Count(text, "\n") != 50 || !strings.HasSuffix(text, "\nmore matches left out") {
			t.Errorf("51 hits end in %q", text[len(text)-30:])
		}
	})
	t.Run("SaysWhenFilesAreTooLarge", func(t *testing.T) {
		root, _ := workspace(t, map[string]string{"a": strings.Repeat("0123456\n", 1<<19) + "x", "b": "1"})
		text, ok := toolbox.Search(root, "1", "")
		want(t, text, ok, "b:1: 1\nsome files were too large or too many to search")
	})
}

func TestWriteWrites(t *testing.T) {
	root, dir := workspace(t, map[string]string{"old": "long content", "d/": "", "in -> old": "", "out -> /tmp": "", "f": ""})
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	for _, c := range []struct{ path, content, want, at string }{
		{"new/deep/file.txt", "héllo", "wrote 6 bytes", "new/deep/file.txt"},
		{"/work/abs", "x", "wrote 1 bytes", "abs"},
		{"in", "", "wrote 0 bytes", "old"},
		{"f", "a\n", "wrote 2 bytes", "f"},
	} {
		t.Run(fmt.Sprintf("To%q", c.path), func(t *testing.T) {
			text, ok := toolbox.Write(root, c.path, c.content)
			want(t, text, ok, c.want)
			b, err := os.ReadFile(filepath.Join(dir, c.at))
			if err != nil || string(b) != c.content {
				t.Errorf("file holds %q, %v", b, err)
			}
		})
	}
	for path, wantText := range map[string]string{
		"":          "error: is a directory",
		"d":         "error: is a directory",
		"x/":        "error: is a directory",
		"f/x":       "error: not a directory",
		"pipe":      "error: cannot be written",
		"../x":      "error: outside the workspace",
		"/etc/x":    "error: outside the workspace",
		"out/x":     "error: outside the workspace",
		"out/new/x": "error: outside the workspace",
	} {
		t.Run(fmt.Sprintf("Refuses%q", path), func(t *testing.T) {
			text, ok := toolbox.Write(root, path, "c")
			want(t, text, ok, wantText)
		})
	}
}

func TestInertEscapes(t *testing.T) {
	for in, wantText := range map[string]string{
		"plain é 漢 👩\u200d🚀\n\t": "plain é 漢 👩\u200d🚀\n\t",
		"\x1b[31m\x07\x7f":       `\x1b[31m\x07\x7f`,
		"a\rb\x00":               `a\x0db\x00`,
		"\u009b2J":               `\u009b2J`,
		"\u202eabc\u2066\u200f":  `\u202eabc\u2066\u200f`,
		"\xff\xfeok":             `\xff\xfeok`,
		"\U000e0041\U000e0101":   `\U000e0041\U000e0101`,
		"\u2028":                 `\u2028`,
		"\ufffd":                 "\ufffd",
	} {
		if got := toolbox.Inert(in, "\n\t"); got != wantText {
			t.Errorf("Inert(%q) = %q, want %q", in, got, wantText)
		}
	}
}
