# make demo   set everything up and serve the app on http://127.0.0.1:7860
# make test   set everything up and run linters and tests
# Both keep what they set up in .venv, so a second run starts at once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_USER := 0
# Tests at once: one more than there are cores, since many of them wait for browsers and servers; more than 4 want memory.
WORKERS = $(shell $(BIN)/python -c "import os; print(min(4, 1 + (os.cpu_count() or 1)))")

.PHONY: demo test lint style bench space examples clean

demo: $(VENV)/app.stamp
	$(BIN)/python app.py

# mypy runs beside the tests: alone it would leave all cores but one idle for most of a minute.
test: style
	@$(BIN)/mypy & types=$$!; \
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal; tests=$$?; \
	wait $$types || { echo "mypy found errors: see above, or run make lint"; exit 1; }; exit $$tests

lint: style
	$(BIN)/mypy

style: $(VENV)/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check

bench: $(VENV)/app.stamp
	$(BIN)/python -m lte_core bench detect

# A folder that can be pushed as a Hugging Face Space as it is.
space:
	@test -n "$(DIR)" || { echo "usage: make space DIR=folder"; exit 2; }
	@case '$(DIR)' in '~'*) echo "DIR begins with ~, which is no folder here: write it out, as in DIR=$$HOME/space"; exit 2;; esac
	@git rev-parse --verify -q HEAD:app.py >/dev/null || { echo "make space takes the program from a git checkout: clone it"; exit 2; }
	mkdir -p "$(DIR)"
	git archive HEAD app.py demo docs lte_core review requirements.txt LICENSE | tar -x -C "$(DIR)"
	cp demo/space/env "$(DIR)/.env"
	cat demo/space/front-matter.md README.md > "$(DIR)/README.md"
	printf '%s filter=lfs diff=lfs merge=lfs -text\n' '*.safetensors' '*.png' '*.jpg' > "$(DIR)/.gitattributes"
	@echo "$(DIR) is ready: hf upload YOU/NAME $(DIR) . --repo-type space"
	@echo "or with git: git init it there, git lfs install (the hub takes no large files otherwise), push to the Space."

# The synthetic scenes that the page offers to try.
examples: $(VENV)/app.stamp
	$(BIN)/python -m demo.examples

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make environments; on Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(VENV)/app.stamp: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

$(VENV)/dev.stamp: pyproject.toml $(VENV)/app.stamp
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	@touch $@
