# Everything a fresh Debian 12 needs is set up by tools/provision.py (docs/adr/0002-provisioning.md);
# what it prints goes to standard error, so a target's standard output is the command's own.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
CACHE := $(or $(UNS_CACHE),$(CURDIR)/.cache)
TOO_OLD := Python 3.11 or newer is needed: make PYTHON=python3.11 ...
CHECK := import sys; sys.version_info >= (3, 11) or sys.exit("$(TOO_OLD)")
PROVISION := $(PYTHON) -c '$(CHECK)' && $(PYTHON) -m tools.provision
SOAKED := $(addprefix tests/integration/,test_cuts.py test_restarts.py test_opcua_restarts.py)
SIDE_BY_SIDE := -n logical --maxprocesses 2 --dist loadfile
TEST_PATH := PATH="$(CURDIR)/$(BIN):$(CACHE)/bin:$$PATH"

.DEFAULT_GOAL := help
.PHONY: help demo test conformance soak sim faults day boards lint fmt bench docs lock clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: ## run a whole plant; ARGS="--duration 60 --json --data DIR" are passed on
	@$(PROVISION) demo
	@$(BIN)/uns demo $(ARGS)

test: lint ## lint, then every test; ARGS="-k oee" are pytest's
	@$(PROVISION) test
	@$(TEST_PATH) $(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

conformance: ## Sparkplug 3.0, requirement by requirement: run the tests that show them, and count
	@$(PROVISION) test
	@$(TEST_PATH) $(BIN)/python -m tools.conformance $(ARGS)

soak: ## 200 cuts of 0.1 to 20 s and 500 restarts a protocol, with figures; takes long
	@$(PROVISION) test
	@UNS_SOAK=1 $(TEST_PATH) $(BIN)/python -m pytest -s $(SOAKED) $(ARGS)

sim: ## 10,000 seeds in virtual time; ARGS="200" for fewer, ARGS="--seed 7 --trace" to see one
	@$(PROVISION) test
	@UNS_FAULTS=full $(TEST_PATH) $(BIN)/python -m tests.sim $(ARGS)

faults: ## kill, cut, fill and freeze at full length; the figures go to docs/reliability.md; hours
	@$(PROVISION) test
	@UNS_FAULTS=full $(TEST_PATH) $(BIN)/python -m pytest -s $(or $(ARGS),tests/faults); \
	found=$$?; $(BIN)/python -m tools.reliability && exit $$found

day: ## 24 hours of the demo plant in 24 minutes: memory and open files of each process
	@$(PROVISION) test
	@$(TEST_PATH) $(BIN)/python -m bench.soak $(ARGS)

boards: ## the demo for 10 minutes at speed 60, every query of the boards, pictures of the report
	@$(PROVISION) test
	@$(TEST_PATH) $(BIN)/python -m bench.boards $(ARGS)

lint: ## ruff, mypy and the import contracts
	@$(PROVISION) lint
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fmt: ## format and mend what can be mended
	@$(PROVISION) lint
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: ## measure, each figure beside its ceiling; ARGS are the bench's
	@$(PROVISION) test
	@$(TEST_PATH) $(BIN)/python -m bench $(ARGS)

docs: ## write the command reference, the JSON Schema and the AsyncAPI document
	@$(PROVISION) lint
	@$(BIN)/typer uns.cli.app utils docs --name uns --output docs/cli.md
	@$(BIN)/uns schema namespace > docs/namespace.schema.json
	@$(BIN)/uns schema asyncapi > docs/asyncapi.json
	@$(BIN)/python -m tools.conformance --write

lock: ## resolve the dependencies anew into tools/lock
	@$(PROVISION) lint
	@$(PYTHON) -m tools.lock

clean: ## remove all that make has set up here
	@rm -rf .venv .cache tests/node/node_modules .mypy_cache .ruff_cache .hypothesis
	@rm -rf .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
