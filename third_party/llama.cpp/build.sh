#!/usr/bin/env bash
# Obtains the pinned llama.cpp, applies our patches and builds static libraries into a cache.
#
#   build.sh                 build the libraries (called by `make native`)
#   build.sh tools [NAME..]  also build programs from the same tree (default: llama-bench llama-quantize)
#   build.sh source          only obtain, verify and patch the source
#   build.sh key             print the build key
#
# Environment:
#   LLAMA_CPP_SOURCE  a directory holding the upstream tree (checkout, submodule, air-gapped copy)
#   GPU               cuda | vulkan; empty for CPU only
#   CPU               native (default) | portable (x86-64 with AVX2, for a binary that travels)
#   JOBS              parallel compile jobs; default: all cores
#   XDG_CACHE_HOME    the cache lies in $XDG_CACHE_HOME/holdfast/native (default ~/.cache)
set -euo pipefail
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
binding=$root/inference/internal/llama
cache=${XDG_CACHE_HOME:-$HOME/.cache}/holdfast/native
# shellcheck source=pin.env
. "$here/pin.env"

say() { printf 'native: %s\n' "$*" >&2; }
die() { printf 'native: error: %s\n' "$*" >&2; exit 1; }

# need NAME PACKAGE: the program NAME must exist; as root it is installed, otherwise all that is missing is told at once.
missing=()
need() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
install_missing() {
	[ ${#missing[@]} -eq 0 ] && return
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
		say "installing ${missing[*]}"
		apt-get update -qq >/dev/null 2>&1 || true
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
			die "apt-get could not install: ${missing[*]}"
		missing=()
		return
	fi
	die "missing programs; run: sudo apt-get install ${missing[*]}"
}

# tree_id DIR: the git tree id of all files in DIR, whatever DIR itself thinks it is.
tree_id() {
	local git
	git=$(mktemp -d "$cache/index.XXXXXX")
	git init -q --bare "$git"
	git --git-dir="$git" --work-tree="$1" -c core.autocrlf=false -c core.fileMode=true \
		-c advice.addEmbeddedRepo=false add -A -f . 2>/dev/null
	git --git-dir="$git" --work-tree="$1" write-tree
	rm -rf "$git"
}

# from_commit GITDIR REV DEST: export REV to DEST when its tree is the pinned one.
from_commit() {
	local tree
	tree=$(git --git-dir="$1" rev-parse --verify -q "$2^{tree}") || return 1
	[ "$tree" = "$PIN_TREE" ] || { say "$2 has tree $tree, not the pinned $PIN_TREE"; return 1; }
	git --git-dir="$1" -c core.autocrlf=false --work-tree="$3" checkout -q -f "$2" -- .
}

from_directory() { # SRC DEST
	if [ -e "$1/.git" ]; then
		local git
		git=$(cd "$1" && git rev-parse --absolute-git-dir) || return 1
		# A private index keeps the user's checkout untouched.
		GIT_INDEX_FILE=$(mktemp -u "$cache/index.XXXXXX") from_commit "$git" HEAD "$2"
	else
		cp -a "$1/." "$2/"
	fi
}

from_npm() { # DEST
	local tgz=$cache/download/$PIN_NPM-$PIN_NPM_VERSION.tgz work
	mkdir -p "$cache/download"
	if [ ! -f "$tgz" ]; then
		need npm npm; install_missing
		say "npm pack $PIN_NPM@$PIN_NPM_VERSION"
		work=$(mktemp -d "$cache/download/pack.XXXXXX")
		(cd "$work" && npm pack --silent "$PIN_NPM@$PIN_NPM_VERSION" >/dev/null) || { rm -rf "$work"; return 1; }
		mv "$work"/*.tgz "$tgz"
		rm -rf "$work"
	fi
	echo "$PIN_NPM_SHA512  $tgz" | sha512sum --check --status || {
		mv "$tgz" "$tgz.refused"
		die "$PIN_NPM-$PIN_NPM_VERSION.tgz does not have the recorded sha512; kept as $tgz.refused"
	}
	work=$(mktemp -d "$cache/download/unpack.XXXXXX")
	tar -xzf "$tgz" -C "$work" "$PIN_NPM_BUNDLE"
	git init -q --bare "$work/git"
	git --git-dir="$work/git" fetch -q "$work/$PIN_NPM_BUNDLE" HEAD
	local rc=0
	from_commit "$work/git" FETCH_HEAD "$1" || rc=$?
	rm -rf "$work"
	return $rc
}

from_upstream() { # DEST
	local work
	work=$(mktemp -d "$cache/git.XXXXXX")
	git init -q --bare "$work"
	say "git fetch $PIN_UPSTREAM $PIN_TAG"
	local rc=0
	{ GIT_TERMINAL_PROMPT=0 timeout 600 git --git-dir="$work" fetch -q --depth 1 "$PIN_UPSTREAM" "refs/tags/$PIN_TAG" &&
		from_commit "$work" FETCH_HEAD "$1"; } || rc=$?
	rm -rf "$work"
	return $rc
}

# apply_patches DIR: our patches carry no upstream context, so the blob ids in their index lines are what ties
# them to the source: a patch whose preimage is another file does not apply, and its result must be the one recorded.
apply_patches() {
	local patch path old new
	for patch in "$here"/patches/*.patch; do
		path=$(sed -n 's,^+++ b/,,p' "$patch")
		read -r old new < <(sed -n 's,^index \([0-9a-f]\{40\}\)\.\.\([0-9a-f]\{40\}\).*,\1 \2,p' "$patch")
		[ "$(git hash-object --no-filters "$1/$path")" = "$old" ] || die "$(basename "$patch") no longer applies: $path changed"
		(cd "$1" && GIT_CEILING_DIRECTORIES=$(dirname "$1") git apply --unidiff-zero --whitespace=nowarn "$patch") ||
			die "$(basename "$patch") does not apply"
		[ "$(git hash-object --no-filters "$1/$path")" = "$new" ] || die "$(basename "$patch") did not give the recorded result"
	done
}

patches_digest() { cat "$here"/patches/*.patch | sha256sum | cut -c1-12; }

# source_dir: makes the verified, patched source exist in the cache and prints where.
source_dir() {
	local dest=$cache/src-${PIN_TREE:0:12}-$(patches_digest) tmp tree
	if [ -f "$dest/.verified" ] && [ -z "${LLAMA_CPP_SOURCE:-}" ]; then echo "$dest"; return; fi
	tmp=$(mktemp -d "$cache/src.XXXXXX")
	# shellcheck disable=SC2064
	trap "rm -rf '$tmp'" EXIT # of the subshell this runs in
	if [ -n "${LLAMA_CPP_SOURCE:-}" ]; then
		from_directory "$LLAMA_CPP_SOURCE" "$tmp" || die "LLAMA_CPP_SOURCE=$LLAMA_CPP_SOURCE is not llama.cpp $PIN_TAG"
	elif ! from_npm "$tmp" && ! from_upstream "$tmp"; then
		die "llama.cpp $PIN_TAG cannot be obtained: no npm registry and no $PIN_UPSTREAM; set LLAMA_CPP_SOURCE=<dir>"
	fi
	tree=$(tree_id "$tmp")
	[ "$tree" = "$PIN_TREE" ] || die "source has tree $tree, the pin is $PIN_TREE"
	if [ ! -f "$dest/.verified" ]; then
		apply_patches "$tmp"
		chmod 755 "$tmp"
		touch "$tmp/.verified"
		rm -rf "$dest"
		mv "$tmp" "$dest"
		say "source verified: tree $tree"
	else
		rm -rf "$tmp"
	fi
	echo "$dest"
}

cmake_flags() {
	local flags=(
		-DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DCMAKE_POSITION_INDEPENDENT_CODE=ON
		-DLLAMA_BUILD_COMMON=ON -DLLAMA_BUILD_TOOLS=ON -DLLAMA_BUILD_SERVER=ON -DLLAMA_BUILD_TESTS=OFF
		-DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF
		-DLLAMA_OPENSSL=OFF -DLLAMA_SUBPROCESS=OFF -DLLAMA_BUILD_IS_DEV=OFF
		-DLLAMA_BUILD_NUMBER=0 "-DLLAMA_BUILD_COMMIT=${PIN_TREE:0:12}"
		-DGGML_OPENMP=OFF -DGGML_BACKEND_DL=OFF
	)
	case ${CPU:-native} in
	native) flags+=(-DGGML_NATIVE=ON) ;;
	portable) flags+=(-DGGML_NATIVE=OFF) ;;
	*) die "CPU=$CPU: native or portable" ;;
	esac
	case ${GPU:-} in
	"") ;;
	cuda) flags+=(-DGGML_CUDA=ON -DGGML_CUDA_NCCL=OFF) ;;
	vulkan) flags+=(-DGGML_VULKAN=ON) ;;
	*) die "GPU=$GPU: cuda or vulkan" ;;
	esac
	printf '%s\n' "${flags[@]}"
}

# Sections that nothing refers to are dropped at the final link only if no symbol is exported: Go links with -rdynamic.
code_flags="-ffunction-sections -fdata-sections -fvisibility=hidden"

build_key() {
	{
		echo "$PIN_TREE"; cat "$here"/patches/*.patch; cmake_flags; echo "$code_flags"
		${CC:-gcc} --version | head -1; ${CXX:-g++} --version | head -1
		if [ "${CPU:-native}" = native ]; then ${CC:-gcc} -march=native -Q --help=target 2>/dev/null; fi
		if [ "${GPU:-}" = cuda ]; then nvcc --version 2>/dev/null || true; fi
	} | sha256sum | cut -c1-24
}

configure() { # SRC ENTRY
	local flags
	mapfile -t flags < <(cmake_flags)
	cmake -S "$1" -B "$2/cmake" -G Ninja "${flags[@]}" \
		-DCMAKE_C_FLAGS="$code_flags -ffile-prefix-map=$1=llama.cpp" \
		-DCMAKE_CXX_FLAGS="$code_flags -fvisibility-inlines-hidden -ffile-prefix-map=$1=llama.cpp" >"$2/configure.log" 2>&1 ||
		{ tail -20 "$2/configure.log" >&2; die "cmake could not configure; see $2/configure.log"; }
}

compile() { # ENTRY TARGET...
	local entry=$1; shift
	CCACHE_BASEDIR=$cache CCACHE_NOHASHDIR=1 ninja -C "$entry/cmake" -j "${JOBS:-$(nproc)}" "$@" >"$entry/build.log" 2>&1 ||
		{ grep -E 'error|FAILED' -A5 "$entry/build.log" | head -40 >&2; die "build failed; see $entry/build.log"; }
}

libraries() { # DIR: the archives to link, wherever under DIR they lie, most dependent first
	local name
	for name in llama-common llama-common-base llama cpp-httplib ggml ggml-cuda ggml-vulkan ggml-cpu ggml-base; do
		find "$1" -name "lib$name.a" -print -quit
	done
}

build_libraries() { # SRC ENTRY
	[ -f "$2/complete" ] && { say "cached: $2"; return; }
	mkdir -p "$2/lib"
	say "building llama.cpp $PIN_VERSION into $2 (minutes)"
	[ -f "$2/cmake/build.ninja" ] || configure "$1" "$2"
	compile "$2" llama llama-common
	libraries "$2/cmake" | while read -r lib; do cp -f "$lib" "$2/lib/"; done
	touch "$2/complete"
}

# gpu_libraries: what the chosen backend needs from the system when everything is linked into one program.
gpu_libraries() {
	case ${GPU:-} in
	cuda) echo "-L${CUDA_HOME:-/usr/local/cuda}/lib64 -lcudart -lcublas -lcublasLt -L${CUDA_HOME:-/usr/local/cuda}/lib64/stubs -lcuda" ;;
	vulkan) echo "-lvulkan" ;;
	esac
}

# write_binding KEY ENTRY: the link line and the build's identity. It is Go source because Go looks at the package's
# own files to decide what to rebuild, and would otherwise keep a binary linked with an older library.
write_binding() {
	local out=$binding/native_generated.go tmp archives
	mkdir -p "$binding"
	archives=$(libraries "$2/lib" | xargs -n1 basename | sed 's,^,${SRCDIR}/../../../third_party/llama.cpp/build/lib/,' | tr '\n' ' ')
	tmp=$(mktemp "$cache/binding.XXXXXX")
	cat >"$tmp" <<GO
// Code generated by third_party/llama.cpp/build.sh; DO NOT EDIT.

package llama

// #cgo LDFLAGS: -Wl,--start-group ${archives}-Wl,--end-group $(gpu_libraries)
import "C"

const (
	// Version is the pinned release of llama.cpp.
	Version = "$PIN_VERSION"
	// SourceTree is the git tree id of the source that was built, before our patches.
	SourceTree = "$PIN_TREE"
	// BuildKey identifies the native build: source, patches, flags, compiler and, for a native build, the CPU.
	BuildKey = "$1"
	// Accelerator is the GPU backend built in: "", "cuda" or "vulkan".
	Accelerator = "${GPU:-}"
)
GO
	gofmt -w "$tmp" 2>/dev/null || true
	chmod 644 "$tmp"
	cmp -s "$tmp" "$out" && rm -f "$tmp" || mv "$tmp" "$out"
}

lock() { # NAME: one build of a kind at a time; held until the script ends
	exec 9>"$cache/$1.lock"
	flock -n 9 || { say "waiting for another build ($cache/$1.lock)"; flock 9; }
}

point() { # TARGET LINK
	[ "$(readlink "$2" 2>/dev/null)" = "$1" ] || { rm -rf "$2.new"; ln -s "$1" "$2.new"; mv -T "$2.new" "$2"; }
}

main() {
	local command=${1:-libraries} src key entry
	[ $# -gt 0 ] && shift
	mkdir -p "$cache"
	need git git; need sha512sum coreutils
	if [ "$command" != source ]; then need cmake cmake; need ninja ninja-build; need gcc gcc; need g++ g++; fi
	case ${GPU:-} in
	vulkan)
		need glslc glslc
		[ -e /usr/include/vulkan/vulkan.h ] || missing+=(libvulkan-dev)
		[ -d /usr/include/spirv ] || missing+=(spirv-headers)
		;;
	cuda) command -v nvcc >/dev/null 2>&1 || die "GPU=cuda needs nvcc of the CUDA toolkit on PATH" ;;
	esac
	install_missing
	[ "$command" = key ] && { build_key; return; }

	src=$cache/src-${PIN_TREE:0:12}-$(patches_digest)
	if [ ! -f "$src/.verified" ] || [ -n "${LLAMA_CPP_SOURCE:-}" ]; then
		lock source
		src=$(source_dir)
	fi
	point "$src" "$here/src"
	[ "$command" = source ] && { echo "$src"; return; }
	key=$(build_key)
	entry=$cache/$key
	mkdir -p "$entry"
	# What is there is used without waiting for a build of something else.
	[ -f "$entry/complete" ] || lock "$key"
	build_libraries "$src" "$entry"
	point "$entry" "$here/build"
	write_binding "$key" "$entry"
	case $command in
	libraries) ;;
	tools)
		[ $# -gt 0 ] || set -- llama-bench llama-quantize
		for name; do # an entry never changes, so a program that is there is the right one
			[ -x "$entry/cmake/bin/$name" ] && continue
			say "building $name"
			lock "$key"
			compile "$entry" "$name"
		done
		;;
	*) die "unknown command $command" ;;
	esac
	say "ready: build key $key"
}

main "$@"
