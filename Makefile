# make            set everything up; build the book, release the assignments, grade a sample class
# make test       set up what the tests need, and run them: some of each long list of cases
# make test-all   the same with every case
# make help       the rest

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
CLASS  := _build/sample-class

.DEFAULT_GOAL := all
.PHONY: all help env book assignments grade test test-all test-quick needs lint pdf experiments bench bench-grading serve lock clean

all: book assignments grade  ## the book, the assignments and a graded sample class
	@echo
	@echo "The book:        _build/html/index.html  (make serve shows it at http://127.0.0.1:8000)"
	@echo "The assignments: assignments/"
	@echo "A feedback page: $(CLASS)/feedback/carl/batchnorm/batchnorm.html"

help:  ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(VENV)/ready  ## the Python environment, from the lock file
$(VENV)/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("Python 3.11 or newer is needed, %s is %d.%d; name another: make PYTHON=python3.12" % (sys.executable, *v[:2]))'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

book: env  ## the site, in _build/html
	$(BIN)/python book/build.py

assignments: env  ## assignments/ from solutions/, if out of date
	$(BIN)/dlnorm release

grade: env  ## a sample class, made and graded with nbgrader, in _build/sample-class
	@$(BIN)/python tests/sample_class/make.py $(CLASS)
	@# where no sandbox can be had, our own sample class needs none; exit status 1 only says that
	@# a submission needs a person, and one here does by design
	@$(BIN)/python -m nbwarden.bubblewrap || { export NBWARDEN_NO_SANDBOX=1; \
	  echo "The sample class, which is our own code, is graded without one."; }; \
	  $(BIN)/dlnorm grade --class-dir $(CLASS) || [ $$? -eq 1 ]

# the book is built meanwhile, and goes first. Each file of tests is for one worker, so that what
# its tests share is made once.
BUILD  := mkdir -p _build; $(BIN)/python book/build.py >_build/book.log 2>&1 &
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --durations=10

test: env needs  ## every kind of test, on a sample of each long list of cases
	@$(BUILD) nice $(PYTEST); status=$$?; wait; exit $$status

test-all: env needs  ## the tests with every case
	@$(BUILD) nice $(PYTEST) --all; status=$$?; wait; exit $$status

test-quick: env  ## what needs no sandbox, no browser, no training and little time
	@$(PYTEST) -m "not sandbox and not browser and not training and not slow"

needs: env  ## a browser for the tests and `make pdf`, installed if there is none
	@$(BIN)/python -m tests.needs

lint: env  ## ruff, mypy and codespell
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

pdf: book needs  ## the book as one PDF, in _build/book.pdf
	$(BIN)/python book/pdf.py

experiments: env  ## what the record lacks, measured at full settings (an hour); for the book
	$(BIN)/python book/measure.py

bench: env  ## time every norm against the textbook form (and PyTorch, if installed); for the book
	$(BIN)/python -m dlnorm.bench --out book/data/bench.json

bench-grading: env  ## honest submissions, 60 at a time, graded by us and by plain nbgrader, side by side
	$(BIN)/python tests/bench/grading.py

serve: book  ## show the book at http://127.0.0.1:8000
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html 8000

lock: env  ## pin the newest versions that pyproject.toml allows
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
	  --generate-hashes --no-strip-extras --no-emit-index-url --no-header --quiet \
	  --upgrade -o requirements.lock

clean:  ## remove what was made, but not the environment
	rm -rf _build solutions/*/*.ipynb solutions/*/checker.py solutions/*/*.npz solutions/*/.made-from
