# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans for a reboot, by tables: Docker first, the row last, unfinished business finished, and never while the service runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.objects import Container, Objects
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.reboot_plan import ActiveJob, RebootState, diagnose, guards, plan
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.reboot_service import ServiceSeen
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.service import ServiceState
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.tables import CODES

ID = "ab2cd3ef4gh5ij6k"
STOPPED = ServiceSeen("jobrunner.service", ServiceState("jobrunner.service", True, "inactive", "dead"))
RUNNING = ServiceSeen("jobrunner.service", ServiceState("jobrunner.service", True, "active", "running"), (4711,))
LOOPING = ServiceSeen("jobrunner.service", ServiceState("jobrunner.service", True, "activating", "auto-restart"))
BY_HAND = replace(STOPPED, pids=(4711,))
NOBODY = ServiceSeen("jobrunner.service")


def job(state: str, code: str, container: str | None = None, volume: bool = False) -> ActiveJob:
    status = {"running": "Up 1 hour", "exited": "Exited (137) 1 hour ago", "finished": "Exited (0) 1 hour ago", None: ""}[container]
    name = "exited" if container == "finished" else str(container)
    one = Container("c" * 64, "os-job-" + ID, name, status, {}, "r", 0) if container else None
    manager = Container("m" * 64, "os-volume-%s-manager" % ID, "running", "Up", {}, "busybox", 0) if volume else None
    row = {"id": ID, "state": state, "status_code": code, "status_message": "as it was", "action": "a", "workspace": "ws"}
    row.update({"started_at": 1, "completed_at": None, "status_code_updated_at": 10**18, "updated_at": 5})
    return ActiveJob(row, Objects(ID, one, manager, "os-volume-" + ID if volume else None))


def steps(one: ActiveJob) -> list[tuple[str, str, bool]]:
    return [(change.action, change.subject.partition(":")[0], change.reversible) for change in plan(RebootState((one,), STOPPED), False)]


GONE = [("remove", "container", False), ("remove", "container", False), ("remove", "volume", False)]


@pytest.mark.step("O19")
@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (job("running", "executing", "running", True), [("kill", "process", False), *GONE, ("reset", "job", False)]),
        (job("running", "executing", "exited", True), [*GONE, ("reset", "job", False)]),
        (job("running", "prepared", None, True), [*GONE[1:], ("reset", "job", False)]),
        (job("running", "preparing"), [("reset", "job", True)]),
        (job("pending", "created"), []),
        (job("pending", "waiting_on_reboot"), []),
        (job("pending", "waiting_on_reboot", "exited", True), GONE),
        (job("pending", "waiting_on_reboot", "running", True), [("kill", "process", False), *GONE]),
        (job("pending", "paused", None, True), GONE[1:]),
    ],
)
def test_docker_first_and_the_row_last(one: ActiveJob, wanted: Any) -> None:
    assert steps(one) == wanted


@pytest.mark.step("O19")
@pytest.mark.parametrize("code", CODES["running"])
def test_every_running_code_is_reset(code: str) -> None:
    change = plan(RebootState((job("running", code),), STOPPED), False)[-1]
    message = "Job restarted - waiting for server to reboot"
    assert change.after == {"id": ID, "state": "pending", "status_code": "waiting_on_reboot", "status_message": message, "started_at": None}
    assert change.before is not None
    assert set(change.before) == {"id", "state", "status_code", "status_message", "started_at", "status_code_updated_at"}


@pytest.mark.parametrize(
    ("one", "lost"),
    [
        (job("running", "executed", "exited", True), True),
        (job("running", "executing", "finished", True), True),
        (job("running", "finalizing", None, True), True),
        (job("running", "executing", "running", True), False),
        (job("running", "executed"), False),
        (job("pending", "waiting_on_reboot", "exited", True), False),
    ],
)
def test_finished_results_are_named_as_long_as_they_are_there(one: ActiveJob, lost: bool) -> None:
    losses = {change.data_loss for change in plan(RebootState((one,), STOPPED), False)} - {""}
    assert losses == ({"results of job %s (a)" % ID} if lost else set())
    found = [finding.code for finding in diagnose(RebootState((one,), STOPPED))]
    assert ("jobrunner.reboot.unsaved" in found) is lost


@pytest.mark.step("O19")
@pytest.mark.parametrize(
    ("service", "stop", "refused", "stops"),
    [
        (STOPPED, False, False, False),
        (STOPPED, True, False, False),
        (RUNNING, False, True, False),
        (RUNNING, True, False, True),
        (LOOPING, False, True, False),
        (LOOPING, True, False, True),
        (BY_HAND, False, True, False),
        (BY_HAND, True, True, False),
        (NOBODY, False, False, False),
    ],
)
@pytest.mark.parametrize("jobs", [(), (job("running", "executing", "running", True),)])
def test_never_while_the_service_runs(service: ServiceSeen, stop: bool, refused: bool, stops: bool, jobs: Any) -> None:
    state = RebootState(jobs, service)
    assert bool(guards(state, stop)) is refused
    changes = plan(state, stop)
    assert [change.action for change in changes[:1]] == (["stop"] if stops else ["kill"] if jobs else [])
    if stops:
        assert (changes[0].subject, changes[0].before, changes[0].after) == ("service:jobrunner.service", {"active": "active"}, {"active": "inactive"})
        assert changes[0].reversible


def test_ready_is_when_nothing_is_left() -> None:
    waiting = job("pending", "waiting_on_reboot")
    assert RebootState((waiting,), STOPPED).ready
    assert [finding.code for finding in diagnose(RebootState((waiting,), STOPPED))] == ["jobrunner.reboot.ready"]
    for state in (RebootState((), RUNNING), RebootState((job("running", "executing"),), STOPPED), RebootState((job("pending", "paused", "exited"),), STOPPED)):
        assert not state.ready
        assert "jobrunner.reboot.ready" not in [finding.code for finding in diagnose(state)]
    assert "jobrunner.reboot.service_unknown" in [finding.code for finding in diagnose(RebootState((), NOBODY))]
