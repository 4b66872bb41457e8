# Bulkhead: `make help` says what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup build kernel check test unit-test e2e-test bench demo protos install uninstall clean

STEP := scripts/step.sh
PREFIX ?= /usr
DESTDIR ?=

help: ## this list
	@printf 'Bulkhead, a Kubernetes container runtime that runs every pod in a virtual machine.\n\n'
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r target text; do \
	  printf '  make %-10s %s\n' "$$target" "$$text"; done
	@printf '\nSettings: BULKHEAD_CACHE (what outlives a checkout, /var/cache/bulkhead), BULKHEAD_ACCEL (kvm, tcg),\n'
	@printf 'BENCH_ROUNDS, and PREFIX and DESTDIR for install.\n'

setup: ## install what is missing: Debian packages, users, a Python environment (as root)
	@scripts/setup.sh

kernel: ## build the guest's kernel, or take it from the cache
	@$(STEP) kernel 'Guest kernel (10 minutes the first time, then from the cache)' kernel-config/build.sh

build: ## build the daemon, its tools, the guest's kernel, agent and boot image into build/
	@scripts/build.sh

check: ## format, lint, scripts, generated code; warnings are errors in every build
	@scripts/check.sh

test: setup build check unit-test e2e-test ## set-up, build, check and every test

unit-test: ## the unit tests of each module
	@scripts/unit-test.sh

e2e-test: ## drive the built daemon and real virtual machines through its socket
	@scripts/e2e-test.sh

bench: setup build ## measure speed and memory into build/bench.json, and show them beside their bars
	@scripts/python.sh Benchmarks/bench.py

demo: ## from nothing to a pod in a virtual machine, and what it prints
	@scripts/demo.sh

protos: ## make the Swift code of the .proto files anew
	@scripts/protos.sh

install: build ## install into $(DESTDIR)$(PREFIX), /etc and systemd
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' scripts/install.sh

uninstall: ## take away what install put there; configuration and state stay
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' scripts/install.sh --uninstall

clean: ## delete what was built; the caches outside of the checkout stay
	rm -rf build .build .build-*
