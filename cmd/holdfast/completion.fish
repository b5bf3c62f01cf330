# Completion of holdfast for fish: holdfast completion fish | source
function __holdfast_complete
	set -l before (commandline -opc)
	set -l current (commandline -ct)
	set -l found (command holdfast __complete $before[2..-1] "$current" 2>/dev/null)
	if set -q found[1]
		printf '%s\n' $found
	else
		__fish_complete_path "$current"
	end
end
complete -c holdfast -f -k -a '(__holdfast_complete)'
