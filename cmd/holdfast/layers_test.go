package main

import (
	"bufio"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/holdfast-run/holdfast/"

// pkg is the part of go list's answer that the architecture tests need.
type pkg struct {
	ImportPath   string
	Dir          string
	Doc          string
	Imports      []string
	TestImports  []string
	XTestImports []string
	GoFiles      []string
	CgoFiles     []string
}

func listPackages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,Imports,TestImports,XTestImports,GoFiles,CgoFiles", "./...")
	cmd.Dir = "../.."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p pkg
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// readLayers reads the layer table of docs/ARCHITECTURE.md: rows of
// | `package` | does | `may import` ... |. "all" permits everything.
func readLayers(t *testing.T) map[string][]string {
	t.Helper()
	f, err := os.Open("../../docs/ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table := map[string][]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		cells := strings.Split(s.Text(), "|")
		if len(cells) != 5 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		name := strings.Trim(cells[1], " `")
		table[name] = []string{}
		for _, w := range strings.FieldsFunc(cells[3], func(r rune) bool { return r == ',' || r == ' ' }) {
			table[name] = append(table[name], strings.Trim(w, "`"))
		}
	}
	if len(table) < 10 {
		t.Fatalf("the layer table has %d rows; is it still in docs/ARCHITECTURE.md?", len(table))
	}
	return table
}

func TestImportsMatchTheLayerTable(t *testing.T) {
	table := readLayers(t)
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, ok := table[name]
		if !ok {
			t.Errorf("%s is not in the layer table of docs/ARCHITECTURE.md; every package has its place there", name)
			continue
		}
		for _, imp := range p.Imports {
			of, ours := strings.CutPrefix(imp, module)
			if !ours {
				continue
			}
			if of == "runtime/agenttest" {
				t.Errorf("%s imports runtime/agenttest outside its tests; it can mint permits", name)
			} else if !permits(allowed, of) {
				t.Errorf("%s imports %s, which its row does not allow; imports point down only", name, of)
			}
		}
	}
}

func permits(allowed []string, of string) bool {
	for _, a := range allowed {
		if a == "all" || a == of {
			return true
		}
	}
	return false
}

func TestOnlyTwoPackagesUseCgo(t *testing.T) {
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		if len(p.CgoFiles) > 0 && name != "inference/internal/llama" && name != "sandbox/internal/stage" {
			t.Errorf("%s imports \"C\"; native code is kept behind two packages, so that it can be reviewed whole", name)
		}
	}
}

// startsProcesses lists what may start a process, by package.
var startsProcesses = map[string][]string{
	"os/exec":               {""},
	"plugin":                {""},
	"os":                    {"StartProcess"},
	"syscall":               {"ForkExec", "StartProcess", "Exec"},
	"golang.org/x/sys/unix": {"Exec"},
}

func TestOnlyTheSandboxStartsProcesses(t *testing.T) {
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		if name == "sandbox" || strings.HasPrefix(name, "sandbox/internal/") || strings.HasPrefix(name, "models/recipe") {
			continue
		}
		for _, f := range append(p.GoFiles, p.CgoFiles...) {
			for _, use := range processUses(t, filepath.Join(p.Dir, f)) {
				t.Errorf("%s/%s uses %s; only package sandbox starts processes, so that no effect has another door", name, f, use)
			}
		}
	}
}

// processUses lists the process-starting names that a Go file uses.
func processUses(t *testing.T, path string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	local := map[string]string{}
	var uses []string
	for _, imp := range file.Imports {
		full, _ := strconv.Unquote(imp.Path.Value)
		names, watched := startsProcesses[full]
		if !watched {
			continue
		}
		if names[0] == "" {
			uses = append(uses, full)
		}
		as := full[strings.LastIndex(full, "/")+1:]
		if imp.Name != nil {
			as = imp.Name.Name
		}
		local[as] = full
	}
	ast.Inspect(file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if id, ok := sel.X.(*ast.Ident); ok && id.Obj == nil {
			for _, name := range startsProcesses[local[id.Name]] {
				if name == sel.Sel.Name {
					uses = append(uses, local[id.Name]+"."+name)
				}
			}
		}
		return true
	})
	return uses
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range listPackages(t) {
		if len(p.Doc) < 40 {
			t.Errorf("%s has no package comment that says what it is for", strings.TrimPrefix(p.ImportPath, module))
		}
	}
}

func TestEveryDecisionIsInTheList(t *testing.T) {
	list, err := os.ReadFile("../../docs/decisions/README.md")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("../../docs/decisions/[0-9]*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	for _, p := range pages {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		title, _, _ := strings.Cut(strings.TrimPrefix(string(b), "# "), "\n")
		if line := "- [" + title + "](" + filepath.Base(p) + ")\n"; !strings.Contains(string(list), line) {
			t.Errorf("docs/decisions/README.md lacks the line %s", line)
		}
	}
}
