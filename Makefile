# make demo | test | setup | notebooks | docs. Each sets up by itself; everything is installed in .venv, which is made
# where it is missing.
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.10; do $$p -c 'import sys; sys.exit(not (3,10) <= sys.version_info < (3,13))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: setup demo test export readme notebooks docs clean
.DELETE_ON_ERROR:

setup: $(STAMP)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.10, 3.11 or 3.12 found; install one, or name it: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sysconfig, pathlib, sys; sys.exit(not pathlib.Path(sysconfig.get_paths()["include"], "Python.h").exists())' \
	  || { echo "make: $(PYTHON) has no headers, which pesq is compiled with; on Debian: apt-get install python3-dev gcc" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "make: $(PYTHON) -m venv failed; on Debian: apt-get install python3-venv" >&2; exit 1; }

# --no-compile: each module is compiled when it is first imported, most of the twenty thousand never are.
$(STAMP): settings.ini setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-compile -e '.[dev]'
	$(BIN)/python -m pip install --quiet --no-compile --no-deps $$(sed -n 's/^bare_packages = //p' settings.ini)
	@touch $@
	@$(BIN)/chinese-mimi --version

demo: setup
	$(BIN)/chinese-mimi demo --out demo

test: setup
	$(BIN)/python tools/test.py

# What is generated: modules, clean notebooks, README.md, and the package's copies of styles.css and of the recipes.
export: setup
	$(BIN)/python tools/links.py
	$(BIN)/nbdev_export
	$(BIN)/nbdev_clean
	mkdir -p chinese_mimi/assets/configs
	cp styles.css chinese_mimi/assets/styles.css
	cp configs/*.yaml chinese_mimi/assets/configs/
	$(BIN)/python tools/readme.py

readme: setup
	$(BIN)/python tools/readme.py

# Runs every notebook in order and stores what it shows.
notebooks: setup
	$(BIN)/nbdev_export
	@for nb in nbs/[0-9]*.ipynb nbs/index.ipynb; do \
	  echo "$$nb"; \
	  $(BIN)/jupyter nbconvert --log-level=WARN --to notebook --execute --inplace --ExecutePreprocessor.timeout=900 --ExecutePreprocessor.store_widget_state=False "$$nb" || exit 1; \
	done
	$(BIN)/nbdev_clean
	$(BIN)/python tools/tidy.py
	$(BIN)/python tools/readme.py

# The site, in _docs.
docs: setup
	$(BIN)/python tools/docs.py

clean:
	rm -rf build dist *.egg-info demo _proc _docs
