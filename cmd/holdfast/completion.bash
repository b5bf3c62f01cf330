# Completion of holdfast for bash: source <(holdfast completion bash)
_holdfast() {
	local line
	COMPREPLY=()
	while IFS= read -r line; do
		COMPREPLY+=("${line%%$'\t'*}")
	done < <(command holdfast __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
# Names of files, where nothing else is known. An old bash sorts runs by name.
complete -o default -o nosort -F _holdfast holdfast 2>/dev/null || complete -o default -F _holdfast holdfast
