# Huanxin. `make run` shows a subsidised purchase end to end on a machine that has only Go and make.
SHELL    := /bin/bash
VERSION  := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unversioned)
PURE_GO  := CGO_ENABLED=0 go
FUZZTIME ?= 60s
DRILL    ?= all

SEEDS    ?= 2000
FROM     ?= 1

.PHONY: build run smoke test lint fuzz bench graphs drill sim sim-teeth clean generate

build: ## programs into bin/, without a C compiler
	@mkdir -p bin
	$(PURE_GO) build -buildvcs=false -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/ ./cmd/...

run: build ## everything on 127.0.0.1: 7001 cup, 7002 nac, 7003 and 7004 with keys, 8080 HTTP; state in var/; until Ctrl-C
	@bin/huanxin db ensure
	@bin/drill run

smoke: build ## the same twice, on free ports in var/smoke, every figure checked; exits
	@bin/huanxin db ensure
	@bin/drill smoke

test: build ## go vet and all tests with the race detector, end to end and a PKCS#11 token (SoftHSM) included
	@scripts/c-compiler.sh
	@bin/huanxin db ensure
	go vet ./...
	CGO_ENABLED=1 go vet -tags pkcs11 ./switch/keys/p11
	library=$$(scripts/softhsm.sh) && CGO_ENABLED=1 SOFTHSM2_LIBRARY=$$library go test -race -tags pkcs11 ./switch/keys/p11
	CGO_ENABLED=1 go test -race -timeout 15m ./...

lint: ## gofmt, go vet, staticcheck, govulncheck
	@scripts/lint.sh

fuzz: ## every fuzz target for FUZZTIME
	@scripts/fuzz.sh $(FUZZTIME)

bench: build ## the switch beside its peers, a table and var/bench.json; ONLY=pingpong,codec DURATION=5s for a look
	@bin/huanxin db ensure
	@bin/bench --only '$(ONLY)' --duration '$(DURATION)'

graphs: build ## throughput and latency over load, connections and state, drawn into docs/performance
	@bin/bench graphs --duration '$(DURATION)'

drill: build ## kills, outages and bad manners under load, then the books compared; DRILL=kill9 for one (bin/drill --help)
	@bin/huanxin db ensure
	@bin/drill $(DRILL)

sim: ## SEEDS histories of the whole switch under faults, from seed FROM on; a failure is shrunk and printed
	@mkdir -p bin
	@$(PURE_GO) build -buildvcs=false -trimpath -o bin/ ./cmd/sim
	@bin/sim -seeds $(SEEDS) -from $(FROM)

sim-teeth: ## builds with one of ten bugs each, which the simulation must find within SEEDS seeds
	@scripts/sim-teeth.sh $(SEEDS)

clean: ## stops what runs from this checkout's var/, then removes var/ and bin/
	@scripts/clean.sh

generate: ## Go code of the event schema
	@scripts/generate.sh
