# The stable commands. Each does all of its own set-up; `make help` lists them.

VENV := .venv
PYTHON ?= python3
RUN := $(VENV)/bin
READY := $(VENV)/.ready
EXTRAS := cli operator trainer dev
export OMP_NUM_THREADS ?= 1

.PHONY: help setup demo test lint types imports unit distributed integration faults e2e cluster cluster-down binaries images audit fuzz rights sbom equality bench robustness chaos soak generate lock clean

help: ## list the commands
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | column -t -s '	'

setup: $(READY) ## make .venv with everything, from hash-locked requirements

$(READY): requirements/bootstrap.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "UltraThink needs Python 3.11 or newer; set PYTHON=")'
	@$(PYTHON) -c 'import sys; sys.exit(sys.platform != "linux" and "UltraThink trains on Linux; elsewhere use a container")'
	test -x $(RUN)/pip || $(PYTHON) -m venv --clear $(VENV)
	$(RUN)/python -m pip install --quiet --require-hashes -r requirements/bootstrap.txt
	$(RUN)/uv pip install --compile-bytecode --python $(RUN)/python --require-hashes --build-constraints requirements/dev.txt -r requirements/dev.txt
	$(RUN)/uv pip install --quiet --python $(RUN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## train the quickstart job here, on Ray, and show the checkpoint it made
	$(RUN)/utk run --local manifests/examples/quickstart.yaml

test: lint types imports unit distributed integration faults ## everything but the real cluster

lint: $(READY)
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .

types: $(READY)
	$(RUN)/mypy

imports: $(READY)
	$(RUN)/lint-imports

unit: $(READY) ## fast tests
	$(RUN)/pytest tests/unit -n 2

distributed: $(READY) ## real process groups on gloo
	$(RUN)/pytest tests/distributed

faults: $(READY) ## the operator killed, lied to and cut off: a seeded tenth of what `make robustness` does
	$(RUN)/pytest tests/faults

integration: $(READY) ## a real kube-apiserver, a real S3 server, real Ray
	$(RUN)/pytest tests/integration

e2e: $(READY) ## a real cluster: operator from its chart, Ray pods, object store
	$(RUN)/pytest e2e

cluster: $(READY) ## a Kubernetes on this machine for trying things by hand
	@$(RUN)/python -m testbed cluster up

cluster-down: $(READY)
	@$(RUN)/python -m testbed cluster down

binaries: $(READY) ## build the test bed's programs into the user's cache
	@$(RUN)/python -m testbed binaries

images: $(READY) ## both images; REGISTRY= pushes, KIND= loads
	$(RUN)/python images/build.py

audit: $(READY) ## licences, pins and known weaknesses of what the images and tools are made of
	$(RUN)/python images/audit.py

fuzz: $(READY) ## 20,000 specs at random: command line, operator and API server judge alike
	UTK_FUZZ_SPECS=20000 $(RUN)/pytest tests/integration/api/test_fuzz.py -q

rights: $(READY) ## what the operator's Roles grant, against what it asks a real API server for
	$(RUN)/pytest tests/integration/operator/test_rights.py -q

sbom: $(READY) ## dist/ultrathink-*.cdx.json: what each image is made of, as CycloneDX
	@mkdir -p dist
	@for image in operator trainer; do \
		$(RUN)/python images/sbom.py $$image > dist/ultrathink-$$image.cdx.json || exit 1; echo dist/ultrathink-$$image.cdx.json; done

equality: $(READY) ## the long proof: all layouts train the same model; resumable; writes docs/equality.md
	$(RUN)/python -m distributed.suite

bench: $(READY) ## every benchmark; results in bench/results
	@for module in $$(ls bench/*.py | xargs -n1 basename | sed 's/\.py$$//' | grep -v -E '^(report|__init__|layer|small_run)$$'); do \
		$(RUN)/python -m bench.$$module || exit 1; done

robustness: $(READY) ## every test of the fault matrices, then docs/robustness.md and security.md; goes on where it was
	$(RUN)/pytest tests e2e --faults bench/results/faults.jsonl; status=$$?; $(RUN)/python -m faults.page && $(RUN)/python -m faults.security && exit $$status

chaos: $(READY) ## a hundred runs under random faults, each compared with an undisturbed one; goes on where it was
	$(RUN)/python -m faults.chaos

soak: $(READY) ## ten thousand steps with a save every ten: memory flat, the store as retention says
	$(RUN)/python -m faults.soak

generate: $(READY) ## CRDs, chart files, install.yaml and pages of docs from code
	$(RUN)/python -m ultrathink_api.crd > manifests/crds.yaml
	$(RUN)/python charts/generate.py
	$(RUN)/python docs/generate.py

lock: $(READY) ## requirements/*.txt from pyproject.toml
	$(RUN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --no-header requirements/bootstrap.in -o requirements/bootstrap.txt
	$(RUN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11 images/tools.in -o images/tools.txt
	@for extra in dev cli operator trainer; do \
		$(RUN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11 \
			$$(test $$extra = dev || echo --constraint requirements/dev.txt) --extra $$extra pyproject.toml -o requirements/$$extra.txt || exit 1; done

clean: ## what can be made again
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist
