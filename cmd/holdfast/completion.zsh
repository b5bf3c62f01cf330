#compdef holdfast
# Completion of holdfast for zsh: source <(holdfast completion zsh)
_holdfast() {
	local line
	local -a names texts
	while IFS= read -r line; do
		names+=("${line%%$'\t'*}")
		texts+=("${line/$'\t'/  }")
	done < <(command holdfast __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
	if (( $#names )); then
		compadd -V holdfast -l -d texts -a names
	else
		_files
	fi
}
if [[ $funcstack[1] == _holdfast ]]; then
	_holdfast "$@"
else
	(( $+functions[compdef] )) || { autoload -U compinit && compinit; }
	compdef _holdfast holdfast
fi
