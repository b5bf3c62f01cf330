package safety

import (
	"path"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/holdfast-run/holdfast/safety/provenance"
)

// inert knows paths inside the workspace that nothing runs, loads or obeys by their
// name. It lists what is, not what is not: a new file of any other kind may be code or
// instructions that act later, outside this run. A form that is also used for settings
// counts only where the user named the path: which names some program obeys cannot be
// listed. Names are compared in normal form, so that no spelling of a name on the lists
// passes.
func inert(p string, folder, named bool) bool {
	if !filepath.IsLocal(p) || p != strings.TrimSpace(p) {
		return false
	}
	p = path.Clean(p)
	if p == "." {
		return false
	}
	parts := strings.Split(p, "/")
	for i, part := range parts {
		if strings.ContainsFunc(part, unprintable) || part != strings.TrimSpace(part) {
			return false
		}
		name := provenance.Normal(part)
		if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") || activeFolders[name] {
			return false
		}
		if i == len(parts)-1 && !folder && !inertFile(name, named) {
			return false
		}
	}
	return true
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// activeFolders are those whose files are run or loaded for being in them.
var activeFolders = words("bin dist-packages githooks hooks node_modules sbin scripts site-packages skills vendor")

// The kinds of files that nothing runs: data, texts that people read, and forms that
// are also used for settings.
var (
	dataKinds = words(".csv .dat .log .out .tsv")
	textKinds = words(".md .txt")
	formKinds = words(".cfg .conf .html .ini .json .toml .xml .yaml")
)

// orders begin the names of texts that agents and build tools obey.
var orders = []string{
	"agent", "claude", "cmakelists", "codex", "conanfile", "constraints", "contributing", "conventions", "copilot", "cursor",
	"gemini", "instruction", "llms", "memory", "prompt", "readme", "requirements", "skill", "system",
}

// settings stand in the names of files that configure something by being there.
var settings = []string{
	"build", "compos", "config", "docker", "eslint", "lock", "manifest", "package", "pipeline", "plugin", "project", "setting", "tslint",
	"workflow", "workspace",
}

// settingNames are such names as a whole, or parts of them between points and dashes.
var settingNames = words("action actions android angular app babel bower bunfig cargo chart cloudbuild conftest deno dependabot " +
	"environment firebase fly func index jest karma kustomization lerna lint mcp mkdocs module mypy netlify nginx nodemon now nuget nx " +
	"php phpcs phpstan phpunit pip pixi poetry pom prettier procfile psalm pubspec pytest renovate ruff rust rustfmt serverless " +
	"settings setup skaffold systemd taskfile tasks tool tox turbo typedoc uv values vercel web wrangler")

// inertFile judges the name of a file, in normal form.
func inertFile(name string, named bool) bool {
	kind := path.Ext(name)
	stem := strings.TrimSuffix(name, kind)
	if stem == "" {
		return false
	}
	for _, o := range orders {
		if (textKinds[kind] || formKinds[kind]) && strings.HasPrefix(stem, o) {
			return false
		}
	}
	switch {
	case dataKinds[kind], textKinds[kind]:
		return true
	case !formKinds[kind] || !named:
		return false
	}
	for _, s := range settings {
		if strings.Contains(stem, s) {
			return false
		}
	}
	for _, part := range strings.FieldsFunc(stem, func(r rune) bool { return strings.ContainsRune(".-_ ", r) }) {
		if settingNames[part] {
			return false
		}
	}
	return true
}

func words(s string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(s) {
		m[w] = true
	}
	return m
}
