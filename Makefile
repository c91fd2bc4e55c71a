# Every command builds what it needs below .cache first (tools/project.py); `make clean` removes all of it.
RUN := tools/bootstrap
CHECK := $(RUN) python tools/check.py
LAB_HOSTS := $(RUN) env -C tests python -m lab.hosts
STAGES := lint sanity docs unit integration coverage hosts molecule newest

.DEFAULT_GOAL := help
.PHONY: help setup test thorough demo demo-queues bench fuzz soak lab-up lab-down shell clean $(STAGES)

help:  ## this list
	@sed -n 's/^\([a-z -]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup:  ## build the virtual environment and the collection's path
	@$(RUN)

test:  ## everything below, with one summary
	@$(CHECK)

thorough:  ## the same with every test, which takes more than an hour
	@FIELDOPS_THOROUGH=1 $(CHECK)

lint:  ## ruff, mypy, yamllint, ansible-lint
sanity:  ## ansible-test sanity, on every Python found on PATH
docs:  ## antsibull-docs, antsibull-changelog; the site, in .cache/site
unit:  ## tests/unit
integration:  ## tests/integration and tests/lab, on real servers
coverage:  ## how much of plugins/ the last unit and integration runs covered
hosts:  ## tests/hosts, on hosts with systemd in containers
molecule:  ## the scenarios in extensions/molecule
newest:  ## the newest ansible-core, where a Python for it is found
$(STAGES):
	@$(CHECK) $@

demo:  ## all five systems: break, find, approve, mend and undo, on hosts in containers
	@$(RUN) python tools/demo.py

demo-queues:  ## the queues of three generations of FITS hosts, on a real PostgreSQL, without containers
	@$(RUN) python tools/demo_queues.py

bench:  ## compare with the runbook's own commands and statements, with grep and with find
	@$(RUN) python benchmarks/first_look.py
	@$(RUN) python benchmarks/scale.py
	@$(RUN) python benchmarks/log_scan.py
	@$(RUN) python benchmarks/tree_search.py
	@$(RUN) python benchmarks/replica_set.py
	@$(RUN) python benchmarks/sesam_pipes.py
	@$(RUN) python benchmarks/motr_maps.py
	@$(RUN) python benchmarks/run.py

fuzz:  ## every parser of foreign text, with many examples: FUZZ_EXAMPLES=3000
	@FIELDOPS_FUZZ=$${FUZZ_EXAMPLES:-3000} $(RUN) env -C tests pytest -q unit/fuzz

soak:  ## faults at random, some remediations killed, on hosts in containers: SOAK_MINUTES=60 SOAK_SEED= SOAK_HOSTS=backend,fits-c,motr,sesam,talus-master
	@$(RUN) env -C tests PYTHONPATH=.:integration:hosts python -m soak

lab-up:  ## bring hosts with systemd up and leave them: LAB="fits-a archive", or all
	@$(LAB_HOSTS) up $(LAB)

lab-down:  ## take them down
	@$(LAB_HOSTS) down

shell:  ## a shell in the project's environment
	@$(RUN) $${SHELL:-sh}

clean:  ## remove all that the other commands made
	@[ ! -e .cache/lab/docker ] || $(LAB_HOSTS) purge
	rm -rf .cache tests/output
