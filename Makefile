# What can be done with this repository, from one place. The work itself is in deploy/local/ (Python, no packages).
# Ports and settings are variables, here or in .env: `make up POSTGRES_PORT=15432`.

# The first Python that will do, the distribution's own before that of the PATH: it is built with profile-guided
# optimization, which one that pyenv compiles by default is not, and the services take a seventh less CPU. What only
# looks like a Python, as pyenv's shims for versions that aren't active do, is passed over. One that lacks ensurepip
# comes last: Debian keeps it in a package, which has to be installed first.
FOUND = $(shell for imports in 'sys, ensurepip' sys; do \
	for python in /usr/bin/python3 python3 python3.15 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c "import $$imports; sys.exit(sys.version_info < (3, 11))" 2>/dev/null && echo $$python && exit; \
	done; done)
PYTHON ?= $(or $(FOUND),$(error Python 3.11 or newer is needed, and there is none here: install one, or name one that you have: make PYTHON=/path/to/python3))
RUN = $(PYTHON) -c '' 2>/dev/null || { echo 'error: PYTHON=$(PYTHON) does not run: name another, or leave PYTHON out.' >&2; exit 1; }; \
	exec $(PYTHON) deploy/local/run.py
# The variables of make's command line: deploy/local/cli.py refuses a misspelt one.
export COMMAND_LINE := $(foreach name,$(.VARIABLES),$(if $(findstring command,$(origin $(name))),$(name)))
SERVICE ?=
ONLY ?=
CHANGED ?=
FILE ?=
ROLE ?=
SUB ?=
ARGS ?=
export ARGS

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install poetry up down token start stop logs reset status demo load books dead-letters events backup restore reconcile simulate chaos bench mutate test test-all contracts check sbom audit pin test-compose

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## Fill every project's .venv from its lock file
	@$(RUN) install

up: ## Start the system, by Docker or natively (RUN_WITH=native|docker chooses; EDGE=1 ORDER_SERVICE_REPLICAS=3: with HTTPS and replicas; OBSERVE=1: with Prometheus; SECURE=1: as in production)
	@$(RUN) up

token: ## An access token for the system of SECURE=1 (ROLE=customer SUB=<uuid>, ROLE=staff; ARGS="--seconds 60")
	@$(RUN) token --role "$(ROLE)" --sub "$(SUB)"

down: ## Stop it; the data is kept
	@$(RUN) down

stop: ## Stop one service, e.g. to start it by hand (SERVICE=order-service); `make start` starts it again
	@$(RUN) stop $(or $(SERVICE),$(error Which one? make stop SERVICE=order-service))

start: ## Start one service that was stopped (SERVICE=order-service)
	@$(RUN) start $(or $(SERVICE),$(error Which one? make start SERVICE=order-service))

logs: ## Follow the four services' logs (SERVICE=order-service: that one's)
	@$(RUN) logs --only "$(SERVICE)"

status: ## What runs, and where its log is
	@$(RUN) status

reset: ## Stop it and forget all data; asks first (YES=1 answers)
	@$(RUN) reset

demo: ## Place orders on the running system and show how each ends
	@$(RUN) demo

load: ## Place 5,000 orders of 64 clients on it, cancel a tenth, check the books (ARGS="--orders 500")
	@$(RUN) load

books: ## Whether the running system's orders, stock, reservations and payments agree
	@$(RUN) books

dead-letters: ## The events that were set aside (ARGS="redrive order-service --all", show, drop, --id, --dry-run)
	@$(RUN) dead-letters

events: ## Follow the events as they pass (ARGS="--order ID", --json)
	@$(RUN) events

backup: ## Write a backup of the running system's database, checked (FILE=backups/<time>.dump)
	@$(RUN) backup --file "$(FILE)"

restore: ## Make the database anew from a backup and start again; the old one is kept (FILE=..., YES=1 answers the question)
	@$(RUN) restore --file "$(FILE)"

reconcile: ## After a restore: undo what is left of forgotten orders (ARGS="--charges FILE", the gateway's report; --dry-run)
	@$(RUN) reconcile

simulate: install ## The whole saga under a seeded scheduler of faults (RUNS=1000 SEED=1; one SEED alone replays it)
	@cd system-tests && .venv/bin/python -m simulation $(ARGS)

chaos: ## The real system under load and a seeded plan of kills, stops, cut links (SEED=4711 MINUTES=2, on its own servers)
	@$(RUN) chaos

bench: ## Floor, baseline and system side by side, on servers of their own: 6 minutes (ARGS="--help" for the options)
	@$(RUN) bench

mutate: ## Small mistakes put into the code, and whether a test notices (ONLY=folder or file, CHANGED=1: changed lines only)
	@$(RUN) mutate --only "$(ONLY)" --changed "$(CHANGED)"

test: ## All tests, on a PostgreSQL and a RabbitMQ of their own (ONLY=order-service, ARGS="-k cancel")
	@$(RUN) test --only "$(ONLY)"

test-all: ## System tests, restore drill and chaos (SEED=4711 MINUTES=2), in development and in production: an hour and more (ONLY=production)
	@$(RUN) test-all --only "$(ONLY)"

contracts: ## Write what follows from the declared events: contracts/, queues and bindings, the table of docs/events.md
	@$(RUN) contracts

check: ## Format, lint, types, layers, lock files, contracts (ONLY=order-service)
	@$(RUN) check --only "$(ONLY)"

sbom: ## List the packages in each image (CycloneDX), in dist/sbom/
	@$(RUN) sbom

audit: ## Ask PyPI for known holes in the packages of the images; says so where nobody answers
	@$(RUN) audit

pin: ## Tie base images and GitHub's actions to what is behind their tags now (needs a network, and Docker's buildx)
	@$(RUN) pin

poetry: ## Print the path of the Poetry in use; one is put under .run/ where the machine has none
	@$(RUN) poetry

test-compose: ## Build and run the compose files, development and secure, with the README's lines as the test
	@exec $(PYTHON) deploy/local/compose_test.py
