# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host of every system, each broken in two ways at once: one sweep names all ten, the plan that it shows mends them, another sweep is green."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from lab.hosts import Lab
from lab.hosts.backend_host import BackendHost
from lab.hosts.fits_host import FitsHost
from lab.hosts.fleet import QUICK, REMEDIES, SAID, Fleet
from lab.hosts.motr_host import MotrHost
from lab.hosts.sesam_host import SesamHost
from lab.hosts.talus_host import TalusHost
from operating import Operator
from play import Run

LEFT = {"sesam.stacktrace.left", "sesam.health_log.failures"}
"""Of what was wrong, for whoever wants to know why."""


@pytest.fixture
def newcomers(lab: Lab) -> Iterator[None]:
    """Hosts that no test before has needed are taken down again: the kernel lets one user have only so many that watch files."""
    before = {host.name for host in lab.hosts()}
    yield
    for host in lab.hosts():
        if host.name not in before:
            lab.down(host.name)


@pytest.fixture
def fleet(newcomers: None, fits_c: FitsHost, talus: TalusHost, sesam: SesamHost, backend: BackendHost, motr: MotrHost) -> Fleet:
    return Fleet(fits_c, talus, sesam, backend, motr)


@pytest.mark.thorough
def test_ten_faults_on_five_systems(fleet: Fleet, operator: Operator) -> None:
    operator.variables = {**QUICK, "sesam_fetch_dir": str(operator.directory)}
    assert fleet.broken() == []
    before = operator.play("triage", *fleet.all)
    fleet.break_everything()
    assert len(fleet.broken()) == 9  # in Talus, one fault hides the other
    swept = operator.play("triage", *fleet.all)
    assert (swept.rc, swept.changed) == (0, 0), swept.failures
    assert {code: playbook for code, playbook in remedies(swept).items() if code in REMEDIES} == REMEDIES
    shown = operator.play("remediate", *fleet.all, check=True, **SAID)
    assert shown.rc == 0, shown.failures
    assert len(fleet.broken()) == 9
    done = operator.play("remediate", *fleet.all, remediate_approved_plan=sha256(shown), **SAID)
    assert done.rc == 0, done.failures
    assert fleet.broken() == []
    assert not done.standing & set(REMEDIES)
    assert {finding["code"] for finding in done.report["findings"] if finding["cleared"]} >= set(REMEDIES), "the report shows the way from red to green"
    after = operator.play("triage", *fleet.all, triage_fail_on="critical")
    assert (after.rc, after.changed, after.standing - before.standing - LEFT) == (0, 0, set()), after.failures
    again = operator.play("remediate", *fleet.all, **SAID)
    assert (again.rc, again.changed, again.changes) == (0, 0, []), again.failures


def sha256(run: Run) -> str:
    """What somebody approves."""
    found = re.search(r"Plan ([0-9a-f]{64}): ", run.output)
    assert found
    return found.group(1)


def remedies(run: Run) -> dict[str, str]:
    """The playbook that mends a finding, by its code."""
    names = {remedy["n"]: (remedy["playbook"] or "").rpartition(".")[2] for remedy in run.report["remedies"]}
    return {group["code"]: names[n] for group in run.report["findings"] for n in group["remedies"]}
