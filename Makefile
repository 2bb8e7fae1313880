# make run    starts a pod on http://localhost:9090 (data in ./data)
# make test   installs what tests need and runs all of them
# make build  leaves build/out/kinopod
GO       ?= go
FUZZTIME ?= 30s

out    := build/out/kinopod
bundle := webapp/bundle/files/bundle.json

# What the binary and the web app are made of: nothing is built twice.
sources     := $(shell find pod shared webapp -name '*.go' -not -name '*_test.go') go.mod go.sum
app_sources := $(shell find shared webapp build/bundle -type f -not -name '*_test.go' -not -path 'webapp/bundle/files/*') go.mod go.sum

.PHONY: run network build test lint fuzz bench clean tools test-tools

run: tools $(out)
	@exec $(out) serve --data ./data --listen :9090 --host localhost:9090 $(ARGS)

build: $(out)

$(out): $(bundle) $(sources)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $@ ./pod/cmd/kinopod

$(bundle): $(app_sources)
	$(GO) run ./build/bundle
	@touch $@

# Installs what is missing, where it may.
tools:
	@command -v redis-server >/dev/null && command -v ffmpeg >/dev/null || $(GO) run ./build/setup run

test-tools:
	$(GO) run ./build/setup test

test: test-tools build lint
	$(GO) test -race -timeout 40m ./...
	$(GO) test -run TestCopiesOfFiftyViewers ./webapp/swarm # eight gigabytes under -race
	$(GO) test -run TestComingAndGoing -count 5 ./pod/seeder # pion has a race of its own here

lint: $(bundle)
	@unformatted=$$($(GO) tool gofumpt -l build pod shared webapp); \
	if [ -n "$$unformatted" ]; then echo "not formatted (go tool gofumpt -w): $$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	GOOS=js GOARCH=wasm $$($(GO) tool -n staticcheck) -tests=false ./webapp/... ./shared/...
	$(GO) test ./build/rules

# Each fuzz target for FUZZTIME; `go test` runs their seeds. Making an interesting input
# small may take a minute each, in which nothing else is tried: it is cut short.
fuzz: $(bundle)
	@for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' pod shared webapp | xargs -n1 dirname | sort -u); do \
		for target in $$(grep -h '^func Fuzz' $$dir/*_test.go | sed 's/^func \([A-Za-z0-9_]*\).*/\1/'); do \
			echo "== $$dir $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 200x ./$$dir || exit 1; \
		done; \
	done

# A network to play with: N pods on this machine, friends of each other.
network: tools $(out)
	@$(GO) run ./build/network -n $(or $(N),5)

bench: test-tools build
	$(GO) run ./build/bench

clean:
	rm -rf build/out build/node/node_modules build/tracker-conformance/node_modules
	find webapp/bundle/files -type f -not -name '.*' -delete
