package overlay

import (
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// Filter says which changes wait for a person. The zero Filter holds back what
// is listed in this package and nothing else.
type Filter struct {
	Protect []string // more paths to hold back
	Release []string // paths to let through after all; never special files or names
}

// stagePrefix begins the name of a directory in which a commit is prepared.
const stagePrefix = ".holdfast-"

// guarded are the paths that act by themselves later, or tell other programs
// what to do: a change there outlives the call and its judgement. A pattern
// without a slash names an entry anywhere; one with a slash is meant from the
// workspace, and "**/" stands for any folder. Each covers what lies below. What
// lies in a git directory is judged by gitData.
var guarded = []string{
	".gitmodules", ".lfsconfig", ".githooks", ".husky", "lefthook.*", ".lefthook.*", "lefthook-local.*", ".lefthook-local.*", ".pre-commit-config.yaml", "**/.hg/hgrc", "**/.jj/repo",
	"**/.hg/hgrc-not-shared", "**/.hg/sharedpath", "**/_darcs/prefs", "**/.pijul/config",
	"**/objects/info/alternates", "**/objects/info/http-alternates",
	// editors, shells and tools that obey a file of the folder they are started in
	".envrc", ".vscode", ".idea", ".devcontainer", ".devcontainer.json", ".zed", ".exrc", ".vimrc", ".nvimrc", ".nvim.lua",
	".dir-locals.el", ".gdbinit", ".lldbinit", ".cargo", ".npmrc", ".yarnrc", ".yarnrc.yml", ".pypirc", ".bazelrc", ".netrc",
	".mise.toml", "mise.toml", ".mise", ".config/mise.toml", ".config/mise", ".lvimrc", ".Rprofile", ".Renviron", ".irbrc", ".pryrc", ".pdbrc", ".ghci",
	".ocamlinit", ".iex.exs", ".mvn", ".helix", ".ycm_extra_conf.py", ".pylintrc", "pylintrc", ".autoenv", ".autoenv.zsh", "rust-toolchain",
	"rust-toolchain.toml", ".yarn/releases", ".yarn/plugins", ".pnp.cjs", ".pnp.loader.mjs", ".pnpmfile.cjs", "tools/bazel",
	".gitpod.yml", ".replit", ".idx",
	// continuous integration
	"**/.github/workflows", "**/.github/actions", "**/.gitea/workflows", "**/.forgejo/workflows", ".gitlab-ci.yml", "**/.circleci",
	".buildkite", ".travis.yml", ".drone.yml", ".woodpecker", ".woodpecker.yml", ".cirrus.yml", "azure-pipelines.yml",
	"bitbucket-pipelines.yml", "Jenkinsfile", "appveyor.yml", ".appveyor.yml", ".builds", ".build.yml", ".semaphore", ".teamcity", ".tekton",
	"cloudbuild.yaml", "buildspec.yml", "codemagic.yaml",
	// instructions of agents
	"AGENTS.md", "CLAUDE.md", "GEMINI.md", "SKILL.md", "**/.github/copilot-instructions.md", ".cursorrules", ".cursor",
	".windsurfrules", ".windsurf", ".clinerules", ".aider.conf.yml", ".claude", ".codex", ".gemini", ".holdfast", ".mcp.json",
	"AGENT.md", "QWEN.md", ".agents", ".roo", ".roorules", ".roomodes", ".continue", ".kiro", ".amazonq", ".junie", ".opencode", "opencode.json",
	".qwen", ".goosehints", "**/.github/instructions", "**/.github/prompts", "**/.github/agents", "**/.github/chatmodes",
	// a home directory
	".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".profile", ".zshrc", ".zshenv", ".zprofile", ".zlogin", ".inputrc",
	".bash_aliases", ".xsessionrc", ".hgrc", ".emacs", ".emacs.d", ".vim", ".cshrc", ".tcshrc", ".login", ".xprofile", ".xsession", ".xinitrc", ".tmux.conf", ".gitconfig",
	".ssh", ".gnupg", ".aws", ".config/autostart", ".config/systemd", ".config/fish", ".config/git",
}

// laterRun are names whose content other programs execute.
var laterRun = []string{
	"Makefile", "GNUmakefile", "makefile", "package.json", "conftest.py", "setup.py", "setup.cfg", "pyproject.toml",
	"build.rs", "CMakeLists.txt", "Rakefile", "Gemfile", "build.gradle", "pom.xml", "Dockerfile", "tox.ini",
	"sitecustomize.py", "justfile", "Taskfile.yml", "gradlew", "mvnw", "flake.nix", "shell.nix", "Vagrantfile", "docker-compose.yml", "compose.yaml",
	"eslint.config.js", ".eslintrc.js", "vite.config.js", "vite.config.ts", "webpack.config.js", "jest.config.js", "mypy.ini", ".formatter.exs",
}

// hold returns why an entry is not committed, or "". It sees names only.
func (f Filter) hold(p, name string, t Type) string {
	switch {
	case t == Other:
		return "it is neither a file, a folder nor a link"
	case !utf8.ValidString(name):
		return "its name is not UTF-8"
	case strings.ContainsFunc(name, func(r rune) bool {
		return r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x61c || r == 0x200e || r == 0x200f || r == 0xfeff || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
	}):
		return "its name holds control characters"
	case strings.HasPrefix(p, stagePrefix):
		return "its name is reserved"
	case covered(f.Release, p):
		return ""
	}
	if why := holdGit(components(p), t); why != "" {
		return why
	}
	switch {
	case covered(guarded, p) || covered(f.Protect, p):
		return "a person has to make this change"
	case t != Dir && (above(guarded, p) || above(f.Protect, p)):
		return "it stands where a folder would be that a person has to change"
	}
	return ""
}

// covered reports whether a pattern names p or a folder above it, whatever the
// case.
func covered(patterns []string, p string) bool {
	parts := components(p)
	return slices.ContainsFunc(patterns, func(pat string) bool { return matches(fold(pat), parts) })
}

// above reports whether a pattern names something below p: a link there, or the
// file ".git", would say where that something is read from instead.
func above(patterns []string, p string) bool {
	parts := components(p)
	return slices.ContainsFunc(patterns, func(pat string) bool {
		rest, anywhere := strings.CutPrefix(fold(pat), "**/")
		want := strings.Split(rest, "/")
		for n := len(want) - 1; n > 0; n-- {
			here := parts
			if anywhere && len(parts) > n {
				here = parts[len(parts)-n:]
			}
			if len(here) == n && all(want[:n], here) {
				return true
			}
		}
		return false
	})
}

// components are the names of a path, as they are compared with patterns.
func components(p string) []string {
	parts := strings.Split(p, "/")
	for i, s := range parts {
		parts[i] = plain(s)
	}
	return parts
}

func matches(pat string, parts []string) bool {
	if !strings.Contains(pat, "/") {
		return slices.ContainsFunc(parts, func(s string) bool { ok, _ := path.Match(pat, s); return ok })
	}
	rest, anywhere := strings.CutPrefix(pat, "**/")
	want := strings.Split(rest, "/")
	for i := 0; i+len(want) <= len(parts); i++ {
		if all(want, parts[i:]) {
			return true
		}
		if !anywhere {
			break
		}
	}
	return false
}

func all(want, parts []string) bool {
	for i, w := range want {
		if ok, _ := path.Match(w, parts[i]); !ok {
			return false
		}
	}
	return true
}

// clash returns why a new name may not stand beside others that some systems
// cannot tell from it.
func clash(name string, siblings map[string][]string, gone func(string) bool) string {
	for _, other := range siblings[fold(name)] {
		if other != name && !gone(other) {
			return "its name differs from another only in upper and lower case"
		}
	}
	return ""
}

// notes says what is worth knowing of a change that is committed.
func (f Filter) notes(c Change) []string {
	var list []string
	if slices.Contains(laterRun, path.Base(c.Path)) {
		list = append(list, "other programs execute what it says")
	}
	if plain(path.Base(c.Path)) == ".gitignore" {
		list = append(list, "git status shows nothing new of what it names")
	}
	if plain(path.Base(c.Path)) == ".gitattributes" {
		list = append(list, "git stores, compares and merges what it names as it says")
	}
	if c.Type == Link && leaves(path.Dir(c.Path), c.Link) {
		list = append(list, "it points out of the workspace")
	}
	return list
}

// leaves reports whether a link target, seen from dir, is outside.
func leaves(dir, target string) bool {
	if strings.HasPrefix(target, "/") {
		return true
	}
	p := path.Join(dir, target)
	return p == ".." || strings.HasPrefix(p, "../")
}
