# The front doors: make demo, make test, make check, make bench.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

COMPILED := build/compiled/.made

.PHONY: install demo models model-servers image helm test test-long test-clients check docs compiled test-compiled bench bench-peers soak format clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[all,dev]"
	touch $(STAMP)

demo: install
	$(BIN)/python demo/demo.py

# A real model of 135M parameters for tests, tutorials and benchmarks: into the user's cache, never into the repository.
models: install
	$(BIN)/python tests/support/real_models.py

# Real model servers for the long tests, each in an environment of its own; without them their tests are skipped.
model-servers: .peers/triton .peers/kserve .peers/torchserve

.peers/triton:
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet nvidia-pytriton==0.7.0 'numpy<2'

.peers/kserve:
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet kserve==0.21.0 'pandas<3'

# It needs a Java of at least 17 too (openjdk-17-jre-headless).
.peers/torchserve:
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet --constraint constraints.txt torch
	$@/bin/python -m pip install --quiet torchserve==0.12.0 torch-model-archiver Pillow wheel enum-compat pyyaml numpy

# The serving image; behind a proxy with a certificate of its own, DOCKER_CA names the file that holds it.
DOCKER_CA ?= /etc/ssl/certs/ca-certificates.crt
image:
	DOCKER_BUILDKIT=1 docker build --network=host --target serve --secret id=ca,src=$(DOCKER_CA) --tag flyball .

# The chart: linted, rendered over its values, checked against the schemas of Kubernetes, and its pods run as processes.
helm: install
	$(BIN)/python tests/support/helm_program.py
	$(BIN)/python -m pytest -m "long or not long" tests/deploy

# A file's tests stay in one worker; `serial` ones run alone (tests/support/serial_tests.py).
PYTEST := $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: install
	$(PYTEST)

# What takes minutes: simulations, kills and load on real servers, training on Banking77.
test-long: install
	$(PYTEST) -m long

# The gateway's way of a request as machine code, beside the checkout: PYTHONPATH=$PWD/build/compiled runs it.
# Compiled twice: first to count, under mixed load, which branches are taken; then laid out by those counts.
compiled: install $(COMPILED)

COMPILE := $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation
$(COMPILED): export FLYBALL_PROFILE := $(CURDIR)/build/profile
$(COMPILED): setup.py pyproject.toml $(shell find src -name '*.py')
	rm -rf build
	FLYBALL_COMPILE=count $(COMPILE) --target build/counting .
	PYTHONPATH=$(CURDIR)/build/counting $(BIN)/python bench/soak.py --minutes 0.75 --rate 150 | grep '"compiled": true'
	rm -rf build/temp.* build/lib.*
	FLYBALL_COMPILE=1 $(COMPILE) --target build/compiled .
	rm -rf build/counting
	touch $@

# What reaches a module that setup.py compiles.
COMPILED_TESTS := tests/gateway tests/cost tests/security tests/inference/test_prompt_path.py \
	tests/inference/test_request_fields.py tests/records/test_identity.py
test-compiled: compiled
	PYTHONPATH=$(CURDIR)/build/compiled $(BIN)/python -c "from flyball.gateway.http import server; assert server.__file__.endswith('.so')"
	PYTHONPATH=$(CURDIR)/build/compiled $(PYTEST) $(COMPILED_TESTS)

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The site under build/docs: warnings are errors, every link is followed, nothing is loaded from elsewhere.
docs: install
	$(BIN)/python -m sphinx -W --keep-going -q -b html -c docs . build/docs
	$(BIN)/python docs/check_site.py build/docs

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Each prints its JSON object last; all together take most of an hour on two cores that do nothing else.
bench: install compiled
	for name in loop engines gateway contagion growth rollout crashes switches equals load gate_statistics drift; do $(BIN)/python bench/$$name.py || exit 1; done

# The gateways that bench/gateway.py compares with, and the drift detectors of bench/drift.py, each in an environment of its own.
bench-peers:
	$(PYTHON) -m venv .peers/litellm
	.peers/litellm/bin/python -m pip install --quiet 'litellm[proxy]==1.106.12'
	$(PYTHON) -m venv .peers/tensorzero
	.peers/tensorzero/bin/python -m pip install --quiet 'tensorzero==2026.6.0' openai
	$(PYTHON) -m venv .peers/river
	.peers/river/bin/python -m pip install --quiet river==0.26.1
	$(PYTHON) -m venv .peers/evidently
	.peers/evidently/bin/python -m pip install --quiet evidently==0.7.23 'pandas<3'

# Other people's clients, each in an environment of its own; without them their tests are skipped.
.peers/sdks-node:
	npm install --silent --prefix $@ openai ai @ai-sdk/openai-compatible

.peers/sdks-python:
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet langchain-openai==1.7.4 litellm==1.110.2

test-clients: install .peers/sdks-node .peers/sdks-python
	$(BIN)/python -m pytest tests/gateway/test_client_sdks.py

soak: install
	$(BIN)/python bench/soak.py --minutes 30

clean:
	rm -rf .venv .peers build dist demo/work .mypy_cache .ruff_cache .pytest_cache .hypothesis
