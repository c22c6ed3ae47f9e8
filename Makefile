# What a newcomer needs: `make try` and `make test`. Both do all their set-up.
.PHONY: help try test bench sim crashes fuzz soak pictures fmt lint

help: ## what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

try: ## watch Slipway release a good version and take back a bad one; ARGS=--keep leaves it running
	@scripts/try $(ARGS)

test: ## everything that has to hold before a change goes in
	@scripts/test

bench: ## how fast, beside its peers where there are any
	@scripts/bench $(ARGS)

sim: ## random stories over the real planner, checked at every tick; SIM_SECONDS=600 for longer
	@scripts/sim

crashes: ## the control plane killed at every write and act of every kind of rollout, on both databases
	@scripts/crashes

fuzz: ## bytes that nobody chose, guided by coverage; FUZZ_SECONDS=600 for longer, FUZZ_TARGETS=guard for one
	@scripts/fuzz

soak: ## pages of the console left open for an hour; SOAK_MINUTES=10 for less
	@scripts/soak

pictures: ## take the picture of the README anew, from a real rollout in a real browser
	@scripts/pictures

fmt: ## put the code into shape
	cargo fmt --all

lint: ## what `make test` checks before it runs any test
	@scripts/lint
