# The verbs of this repository; `make help` prints them. Each is short on purpose:
# what needs more than a line stands in tools/. FULL=1 runs the full figures instead
# of the short ones: hours, resumable, progress kept in dist/full.
SHELL := /bin/bash
export CGO_ENABLED := 0
export FULL BROKER

.DEFAULT_GOAL := help

help: ## print the verbs
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

build: ## build bin/warren
	go build -trimpath -o bin/warren ./cmd/warren

run: build ## serve on loopback, data in ./warren-data
	bin/warren serve

test: ## all tests that need nothing but Go
	go test ./...

# What has no goroutine has no race: the pure core and the simulators, which
# purity_test.go and one turn at a time keep so, the verbs of ctl, and the rules of
# the tree.
RACELESS = (/core/(queue|exchange|message)|/cluster/(placement|reconcile|steer)|/cli/ctl|/test/(sim|shard))?

# Tests that do what others do as well, for longer.
RACETWICE = ^Test(ManyChanges|Transfers|DamageIsRepaired|DamagedStateIsRepaired|ForgetGoesOn|ForgetOfTwo|InterruptedForming|HealthOfCluster|RollingRestart|ManyMove|MirrorAll|PlacedAsAsked|Multicast|Leaves|Minority|ReplicasVoteWithoutLease|OlderCopyIsRepaired|RecoverInterrupted|DNS|FormingSays|MoveToAShardWhoseLeaderEnds|ColdStart)$$

# Those that wait most begin first.
race: ## the tests of all that has goroutines, under the race detector, shuffled
	tools/need.sh gcc
	CGO_ENABLED=1 go test -race -shuffle=on -timeout=285s -skip '$(RACETWICE)' ./test/amqp091 ./node $$(go list ./... | grep -vxE 'github.com/warrenmq/warren$(RACELESS)')

fuzz: ## every fuzz target for a while (FULL=1: 2 minutes each)
	tools/fuzz.sh

sim: ## the simulator's seeds (FULL=1: 150,000)
	tools/sim.sh

chaos: build ## kills, partitions, failing disks and a deep backlog under confirmed load (FULL=1: 18 scenarios of 180 s, 1,000,000 messages)
	WARREN=$(CURDIR)/bin/warren tools/chaos.sh
	tools/need.sh strace nsenter
	WARREN=$(CURDIR)/bin/warren go test -tags faults -count=1 -timeout 60m ./test/faults $(if $(FULL),-args -kills 50)
	WARREN=$(CURDIR)/bin/warren go test -tags faults -count=1 -timeout 60m ./test/forming $(if $(FULL),-args -boots 100,./test/backlog)
	$(if $(FULL),WARREN=$(CURDIR)/bin/warren go test -tags faults -count=1 -timeout 60m ./test/backlog -args -messages 1000000 -flow 2048)

interop: build ## other people's clients against Warren (BROKER=rabbitmq: against the peer)
	WARREN=$(CURDIR)/bin/warren tools/interop.sh

bench: build ## Warren beside RabbitMQ on the rows of docs/performance.md (FULL=1: bars judged on 7 pairs)
	WARREN=$(CURDIR)/bin/warren test/bench/scripts/bars.sh

lint: ## format, vet, linters, and no diff from `make generate` (FIX=1 mends)
	tools/lint.sh

generate: ## write the generated files anew
	go generate ./...

release: ## static binaries and checksums in dist/
	tools/release.sh

.PHONY: help build run test race fuzz sim chaos interop bench lint generate release
