package overlay

import (
	"slices"
	"strings"
)

// gitFiles and gitFolders are what a call may change in a git directory: names
// under which git keeps data that it checks when it reads it. Everything else
// there is held back, whatever it is called: git executes some of it (hooks, the
// configuration, a list of steps of a rebase), obeys some (attributes, grafts,
// alternates, other working trees), and gets new names with each release. So is
// "reftable", the references in which are not looked through here.
var (
	gitFiles = []string{"head", "orig_head", "fetch_head", "merge_head", "cherry_pick_head", "revert_head", "auto_merge",
		"commit_editmsg", "merge_msg", "merge_mode", "squash_msg", "tag_editmsg", gitIndex, packedRefs}
	gitFolders = []string{"objects", "refs", "logs"}
	gitInfo    = []string{"packs", "commit-graph", "commit-graphs"} // of objects/info
)

const gitIndex = "index"

// gitData reports whether a path inside of a git directory names plain data.
func gitData(rest []string) bool {
	switch {
	case strings.HasSuffix(rest[len(rest)-1], ".lock"):
		return false // one that is left keeps git from working
	case slices.Contains(gitFiles, rest[0]):
		return len(rest) == 1
	case rest[0] == "info": // attributes, excludes and grafts lie there as well
		return len(rest) == 1 || len(rest) == 2 && rest[1] == "refs"
	case rest[0] == "objects" && len(rest) > 2 && rest[1] == "info":
		return slices.Contains(gitInfo, rest[2])
	}
	return slices.Contains(gitFolders, rest[0])
}

// holdGit returns why a path with a folder ".git" in it is not committed, or "";
// or one of a replacement, which need not lie in such a folder.
func holdGit(parts []string, t Type) string {
	for i, s := range parts {
		if s == "replace" && i > 0 && parts[i-1] == "refs" {
			return standsFor
		}
		if s != ".git" {
			continue
		}
		rest := parts[i+1:]
		switch {
		case len(rest) == 0 && t != Dir:
			return "it stands where a folder would be that a person has to change"
		case len(rest) > 0 && t == Link:
			return "it is a link in a git directory"
		case len(rest) > 0 && !gitData(rest):
			return "git acts on it: a person has to make this change"
		}
	}
	return ""
}

// isIndex reports whether a path is the index of a repository.
func isIndex(parts []string) bool {
	n := len(parts)
	return n > 1 && parts[n-1] == gitIndex && parts[n-2] == ".git"
}

// isRepository reports whether git takes a folder for a repository, whatever that
// is called. has says which names, folded, are in it.
func isRepository(has func(string) bool) bool {
	return has("head") && (has("commondir") || has("objects") && has("refs"))
}

// repositoryData reports whether a folded name in such a folder is that of plain
// data. An index and info are not: only in a folder ".git" are they looked through.
func repositoryData(name string) bool {
	return gitData([]string{name}) && name != gitIndex && name != "info"
}

// holdInside returns why an entry anywhere in a repository is not committed, or
// "". Git writes through a link that stands for one of its logs.
func holdInside(name string, t Type) string {
	switch {
	case t == Link:
		return "it is a link in a git directory"
	case strings.HasSuffix(plain(name), ".lock"):
		return "it keeps git from working"
	}
	return ""
}

// holdRepository returns why an entry of a folder may not make a git repository
// out of dir, or change what one does. siblings are the folder's entries by
// folded name.
func holdRepository(dir, name string, t Type, fresh bool, siblings map[string][]string) string {
	if plain(baseOf(dir)) == ".git" || !isRepository(func(n string) bool { return len(siblings[n]) > 0 }) {
		return ""
	}
	n := plain(name)
	if t == Link || !repositoryData(n) || fresh && slices.Contains([]string{"head", "objects", "refs"}, n) {
		return "it is part of a git repository, which acts on what it holds"
	}
	return ""
}

// baseOf is the last component of a path relative to the workspace.
func baseOf(p string) string { return p[strings.LastIndexByte(p, '/')+1:] }
