.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
DATA ?=
PARTS ?=
SEED ?=
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: help demo test chaos bench gpu-check check format readme dashboard audit clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "urgency-router needs Python 3.11 or newer; set PYTHON=python3.11 (this is " + sys.version.split()[0] + ")")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt \
		--editable '.[email,finetune,export,local,traces,test,check]'
	@touch $@

demo: $(INSTALLED) ## train, export and route a few hundred comments through a real Kafka; DATA=FILE streams yours
	@$(BIN)/python -m deploy.local demo $(if $(DATA),--data '$(DATA)')

.cache/java.aot: $(INSTALLED)
	-@$(BIN)/python -m tests.java_cache $@

test: $(INSTALLED) .cache/java.aot ## run all tests, those against a real Kafka included
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

chaos: $(INSTALLED) ## let faults strike a cluster of three for 45 minutes and count; SEED=N draws the same again
	$(BIN)/python -m tests.integration.faults $(if $(SEED),--seed $(SEED))

bench: $(INSTALLED) ## measure speed, delay and growth against baselines and the hardware's limit; PARTS=…, DATA=FILE
	$(BIN)/python -m tests.bench $(if $(PARTS),--parts $(PARTS)) $(if $(DATA),--data '$(DATA)')

gpu-check: $(INSTALLED) ## show all that a GPU can show, in a table; PARTS=…, DATA=FILE; ends with 3 where there is none
	$(BIN)/python -m tests.gpu $(if $(PARTS),--parts $(PARTS)) $(if $(DATA),--data '$(DATA)')

check: $(INSTALLED) ## lint, format and type checks
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/hadolint deploy/docker/*.Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec deploy/docker/compose.yaml

format: $(INSTALLED) ## format the code and mend what the linter can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

readme: $(INSTALLED) ## write anew what is made of the code: the README's tables, the messages' JSON Schemas
	$(BIN)/python -m tests.readme
	$(BIN)/python -m tests.asyncapi

dashboard: $(INSTALLED) ## write the Grafana dashboard anew
	$(BIN)/python -m deploy.grafana.dashboard

audit: ## ask PyPI whether a pinned package has known holes; needs the network
	$(PYTHON) -m venv .cache/audit
	.cache/audit/bin/python -m pip install --disable-pip-version-check --quiet pip-audit==2.10.1
	.cache/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

clean: ## delete the environment, the demo's model and all caches
	rm -rf .venv .demo .bench .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
