# holdfast: build, run, test. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

GO         ?= go
BIN        := bin/holdfast
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
VERSION    := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS    := -s -w -X main.version=$(VERSION)
# These are about the embedded model as it is shipped, whatever settings and rules somebody has.
run examples model-eval rollout-check: export XDG_CONFIG_HOME = /nonexistent
# An ordinary user for the tests that must not run as root only.
NOBODY     := setpriv --reuid 65534 --regid 65534 --clear-groups

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

.PHONY: deps
deps: ## check for what the build needs; as root, install what is missing
	@.ci/deps

.PHONY: native
native: deps ## build llama.cpp (cached) and the toolbox of the cells
	@third_party/llama.cpp/build.sh
	@$(MAKE) --no-print-directory toolbox

.PHONY: toolbox
toolbox: ## build the small static program that runs file tools inside cells
	@$(GO) generate ./tools

.PHONY: build
build: native ## build bin/holdfast
	@$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/holdfast

.PHONY: run
run: build ## build everything and run one task on the embedded model
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && cp examples/first/* "$$dir" && \
	$(BIN) run -C "$$dir" --ask never "what is the port in server.conf?"

.PHONY: examples
examples: build ## run every example task and print expected against got (SEED=N repeats a draw)
	@$(BIN) eval examples --tasks examples/tasks.jsonl $(if $(SEED),--seed $(SEED)) $(if $(NEED),--need $(NEED))

.PHONY: test
test: native ## run all tests, the sandbox's as root and as an ordinary user
	@$(GO) vet ./...
	@{ $(GO) test -v ./... 2>&1; echo "status $$?"; } | awk -f .ci/told.awk
	@$(MAKE) --no-print-directory test-unprivileged

.PHONY: test-unprivileged
test-unprivileged: native ## run the tests of sandbox and tools as an ordinary user
	@if [ "$$(id -u)" != 0 ]; then echo "already an ordinary user: the tests above were run as one"; exit 0; fi; \
	set -e; dir=$$(mktemp -d /tmp/holdfast-test.XXXXXX); trap 'rm -rf "$$dir"' EXIT; chmod 755 "$$dir"; \
	for p in sandbox sandbox/verify sandbox/internal/overlay sandbox/internal/cgroup sandbox/internal/netgate tools; do \
	  t="$$dir/$$(echo $$p | tr / -).test"; $(GO) test -c -o "$$t" ./$$p; \
	  mkdir -p "$$dir/$$p"; [ ! -d $$p/testdata ] || cp -r $$p/testdata "$$dir/$$p/"; chmod -R a+rX "$$dir"; \
	  (cd "$$dir/$$p" && HOME=/nonexistent TMPDIR=/tmp $(NOBODY) "$$t" -test.v -test.timeout 10m 2>&1 && s=0 || s=$$?; \
	    [ $$s = 0 ] && echo "ok  	$$p as an ordinary user" || echo "FAIL	$$p as an ordinary user"; echo "status $$s") | awk -f .ci/told.awk; \
	done

.PHONY: test-race
test-race: native ## run the Go packages under the race detector
	@$(GO) test -race ./runtime/... ./safety/... ./tools/... ./models/... ./eval/...

.PHONY: lint
lint: native ## gofmt, go vet and staticcheck
	@out=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); [ -z "$$out" ] || { echo "not gofmt-ed:"; echo "$$out"; exit 1; }
	@$(GO) vet ./...
	@$(GO) run $(STATICCHECK) ./...

.PHONY: fuzz
fuzz: native ## fuzz every parser of untrusted text for FUZZTIME each (default 20s)
	@set -e; $(GO) list ./... | while read -r p; do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $${FUZZTIME:-20s} $$p; \
	  done; done

.PHONY: bench
bench: build ## measure against llama-bench and bubblewrap, interleaved in one run
	@third_party/llama.cpp/build.sh tools llama-bench llama-quantize
	@.ci/bench

.PHONY: soak
soak: build ## 10,000 cells, 64 at once: nothing may be left behind (minutes)
	@$(BIN) sandbox verify --soak 10000 RS08

.PHONY: rollout-check
rollout-check: build ## rollouts killed and resumed, shards merged, every export read again, one training step (minutes; N=17 is 306 runs)
	@models/recipe/train/rollout_check.sh $(BIN) $(or $(N),2)

.PHONY: cover
cover: native ## test coverage by package
	@$(GO) test -cover ./...

.PHONY: model
model: build ## train the reference model again from its recipe (hours on a CPU)
	@models/recipe/make.sh full

.PHONY: model-smoke
model-smoke: build ## the whole recipe at a tiny size, in minutes
	@models/recipe/make.sh smoke

.PHONY: check
check: lint test ## what a change must pass

.PHONY: model-eval
model-eval: build ## measure the embedded model in the real loop on its three splits (minutes)
	@$(BIN) eval model --seed 1

.PHONY: clean
clean: ## remove what was built here; the native cache stays
	@rm -rf bin tools/toolbox.bin
