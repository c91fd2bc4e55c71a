# Every command builds what it needs below .cache first (tools/project.py); `make clean` removes all of it.
RUN := tools/bootstrap
CHECK := $(RUN) python tools/check.py
STAGES := lint sanity docs unit integration coverage molecule

.DEFAULT_GOAL := help
.PHONY: help setup test demo bench shell clean $(STAGES)

help:  ## this list
	@sed -n 's/^\([a-z ]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup:  ## build the virtual environment and the collection's path
	@$(RUN)

test:  ## everything below, with one summary
	@$(CHECK)

lint:  ## ruff, mypy, yamllint, ansible-lint
sanity:  ## ansible-test sanity, on every Python found on PATH
docs:  ## antsibull-docs, antsibull-changelog
unit:  ## tests/unit
integration:  ## tests/integration and tests/lab, on real servers
coverage:  ## how much of plugins/ the last unit and integration runs covered
molecule:  ## the scenarios in extensions/molecule
$(STAGES):
	@$(CHECK) $@

demo:  ## break, find, repair and undo, on real servers
	@$(RUN) python tools/demo.py

bench:  ## compare with the runbook's own statements
	@$(RUN) python benchmarks/run.py

shell:  ## a shell in the project's environment
	@$(RUN) $${SHELL:-sh}

clean:  ## remove all that the other commands made
	rm -rf .cache tests/output
