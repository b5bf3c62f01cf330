# Reads `go test -v` of many packages and tells what a person wants to know: a line for each
# package that passed, under it each test that was skipped and why, and all that a package
# printed that failed. The last line of the input is "status N", with which it exits.
/^status [0-9]+$/ { status = $2; next }
/^=== (RUN|NAME|CONT) / { test = $3 }
/^ +[a-z0-9_]+_test\.go:[0-9]+: / && test != "" { why[test] = $0; sub(/^ +[^ ]+ /, "", why[test]) }
/^ +> .*skip '.*'$/ && test != "" { why[test] = $0; sub(/^.*skip '/, "", why[test]); sub(/'$/, "", why[test]) }
/^ *--- SKIP: / { skipped[++skips] = $3 }
/^ok  \t/ {
	print
	for (i = 1; i <= skips; i++) print "    skipped " skipped[i] ": " why[skipped[i]]
	forget(); next
}
/^\?   \t/ { print; forget(); next }
/^FAIL\t/ { spill(); print; forget(); next }
{ said[++n] = $0 }
END { if (status != 0) spill(); exit status == "" ? 1 : status }

function spill(  i) { for (i = 1; i <= n; i++) print said[i] }
function forget() { n = skips = 0; test = ""; delete why }
