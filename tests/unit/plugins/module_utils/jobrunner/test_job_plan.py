# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans for jobs that are killed or retried, by tables: their order, what is irreversible, what would be lost, what refuses."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.job_objects import unsaved
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.job_plan import Job, JobsState, Wish, diagnose, guards, plan
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.objects import Container, Objects
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.tables import CODES
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change, plan_sha256

ID = "ab2cd3ef4gh5ij6k"
LOGS = "/high/logs/2026-01/os-job-" + ID
RETRYING = {"status_message": "Re-attempting to extract outputs"}


def container(state: str = "running", status: str = "Up 3 hours", name: str = "os-job-" + ID) -> Container:
    return Container("0123" * 16, name, state, status, {}, "r", 0)


EXITED = container("exited", "Exited (0) 3 minutes ago")
MANAGER = container(name="os-volume-%s-manager" % ID)


def objects(job: Container | None = None, volume: bool = True, directory: bool = False) -> Objects:
    return Objects(ID, job, MANAGER if volume else None, "os-volume-" + ID if volume else None, "/high/volumes/" + ID if directory else None)


def job(state: str, code: str, of: Objects, **more: Any) -> Job:
    row = {"id": ID, "state": state, "status_code": code, "status_message": "as it was", "action": "a", "workspace": "ws", "cancelled": 0}
    row.update({"started_at": 1, "completed_at": None, "status_code_updated_at": 10**18, "updated_at": 5}, **more.pop("row", {}))
    return Job(row, of, LOGS, **more)


def changes(one: Job, wish: Wish, made: frozenset[str] = frozenset()) -> list[Change]:
    return plan(JobsState((one,), made=made), wish)


def steps(one: Job, wish: Wish) -> list[tuple[str, str, bool]]:
    return [(change.action, change.subject.partition(":")[0], change.reversible) for change in changes(one, wish)]


KILL, CLEAN, RETRY, FORCE = Wish("killed"), Wish("killed", cleanup=True), Wish("retried"), Wish("retried", force=True)


@pytest.mark.step("O15")
@pytest.mark.parametrize(
    ("one", "wish", "wanted"),
    [
        (job("pending", "created", objects(volume=False)), KILL, [("kill", "job", True)]),
        (job("pending", "created", objects(volume=False)), CLEAN, [("kill", "job", True)]),
        (job("running", "executing", objects(container())), KILL, [("kill", "job", False), ("kill", "process", False), ("save_logs", "logs", True)]),
        (
            job("running", "executing", objects(container())),
            CLEAN,
            [
                *[("kill", "job", False), ("kill", "process", False), ("save_logs", "logs", True)],
                *[("remove", "container", False), ("remove", "container", False), ("remove", "volume", False)],
            ],
        ),
        (job("running", "executed", objects(EXITED)), KILL, [("kill", "job", True), ("save_logs", "logs", True)]),
        (job("running", "executed", objects(EXITED), saved=LOGS), KILL, [("kill", "job", True)]),
        (job("running", "executed", objects(EXITED), log_there=True), KILL, [("kill", "job", True), ("save_logs", "logs", False)]),
        (job("running", "prepared", objects()), CLEAN, [("kill", "job", False), ("remove", "container", False), ("remove", "volume", False)]),
        (
            job("running", "executing", objects(container("paused", "Up 1 hour (Paused)"), volume=False, directory=True), saved=LOGS),
            CLEAN,
            [("kill", "job", False), ("kill", "process", False), ("remove", "container", False), ("remove", "directory", False)],
        ),
        (job("succeeded", "succeeded", objects(volume=False)), CLEAN, []),
        (job("failed", "killed_by_admin", objects(EXITED), saved=LOGS), KILL, []),
        (
            job("failed", "killed_by_admin", objects(container("created", "Created")), saved=LOGS),
            CLEAN,
            [("remove", "container", False), ("remove", "container", False), ("remove", "volume", False)],
        ),
        (job("failed", "internal_error", objects(container()), saved=LOGS), KILL, [("kill", "process", False)]),
    ],
)
def test_the_row_first_then_the_process_then_what_is_left(one: Job, wish: Wish, wanted: Any) -> None:
    assert steps(one, wish) == wanted


@pytest.mark.step("O15")
def test_the_manager_goes_before_its_volume() -> None:
    subjects = [change.subject for change in changes(job("running", "executing", objects(container())), CLEAN) if change.action == "remove"]
    assert subjects == ["container:os-job-" + ID, "container:os-volume-%s-manager" % ID, "volume:os-volume-" + ID]


def test_a_plan_names_no_time_of_its_own_and_stays_the_same() -> None:
    one, later = job("pending", "created", objects(volume=False)), job("pending", "created", objects(volume=False), row={"updated_at": 65})
    (change,) = changes(one, KILL)
    before = {"state": "pending", "status_code": "created", "status_message": "as it was", "completed_at": None, "status_code_updated_at": 10**18}
    assert change.before == {"id": ID, **before}
    message = "An OpenSAFELY admin manually killed this job"
    assert change.after == {"id": ID, "state": "failed", "status_code": "killed_by_admin", "status_message": message}
    assert plan_sha256("x", [change]) == plan_sha256("x", changes(later, KILL))


@pytest.mark.parametrize("code", ["executed", "finalizing", "finalized"])
def test_results_that_are_not_filed_are_named(code: str) -> None:
    loss = "results of job %s (a)" % ID
    found = changes(job("running", code, objects(container())), CLEAN)
    assert {change.data_loss for change in found if change.action == "remove"} == {loss}
    assert not any(change.data_loss for change in changes(job("running", code, objects(container())), KILL))


@pytest.mark.parametrize(
    ("state", "code", "status", "lost"),
    [
        ("running", "executing", "Exited (0) 1 second ago", True),
        ("running", "executing", "Exited (137) 1 second ago", False),
        ("running", "executing", "Exited (1) 1 second ago", False),
        ("failed", "internal_error", "Exited (0) 1 second ago", True),
        ("failed", "cancelled_by_user", "Exited (0) 1 second ago", False),
        ("succeeded", "succeeded", "Exited (0) 1 second ago", False),
        ("pending", "waiting_on_reboot", "Exited (137) 1 second ago", False),
    ],
)
def test_a_container_that_ended_well_has_results(state: str, code: str, status: str, lost: bool) -> None:
    one = job(state, code, objects(container("exited", status)))
    assert bool(unsaved(one.row, one.objects)) is lost


@pytest.mark.step("O14")
@pytest.mark.parametrize("code", CODES["failed"])
def test_a_failed_job_is_retried(code: str) -> None:
    one = job("failed", code, objects(EXITED), row={"completed_at": 9})
    (change,) = changes(one, RETRY)
    assert change.before == {"id": ID, "state": "failed", "status_code": code, "status_message": "as it was", "completed_at": 9}
    assert change.after == {"id": ID, "state": "running", "status_code": "executing", **RETRYING, "completed_at": None}
    assert change.reversible
    assert guards(JobsState((one,)), RETRY) == []


@pytest.mark.step("O14")
@pytest.mark.parametrize(
    ("one", "guard", "guard_if_forced"),
    [
        (job("failed", "internal_error", objects()), "container_gone", "container_gone"),
        (job("running", "executing", objects(container())), "not_failed", None),
        (job("pending", "created", objects(EXITED)), "not_failed", None),
        (job("succeeded", "succeeded", objects(EXITED)), "not_failed", None),
        (job("failed", "internal_error", objects(EXITED, volume=False)), "volume_gone", None),
        (job("failed", "internal_error", objects(EXITED, volume=False, directory=True)), None, None),
        (job("running", "executing", objects(EXITED), row=RETRYING), None, None),
    ],
)
def test_a_retry_that_would_do_harm_is_refused(one: Job, guard: str | None, guard_if_forced: str | None) -> None:
    assert [refusal.guard for refusal in guards(JobsState((one,)), RETRY)] == ([guard] if guard else [])
    assert [refusal.guard for refusal in guards(JobsState((one,)), FORCE)] == ([guard_if_forced] if guard_if_forced else [])


def test_the_words_of_upstream_for_a_container_that_is_gone() -> None:
    (refusal,) = guards(JobsState((job("failed", "internal_error", objects()),)), RETRY)
    assert refusal.reason.startswith("Cannot reset job, associated container does not exist")


@pytest.mark.parametrize(("state", "code", "again"), [("running", "finalizing", 0), ("succeeded", "succeeded", 0), ("failed", "internal_error", 1)])
def test_a_retry_holds_when_the_main_loop_goes_on_with_it(state: str, code: str, again: int) -> None:
    one = job(state, code, objects(EXITED))
    assert len(changes(one, FORCE, frozenset([ID]))) == again


@pytest.mark.parametrize("wish", [KILL, CLEAN])
def test_a_killed_job_that_runs_again_was_overwritten(wish: Wish) -> None:
    one = job("running", "executed", objects(EXITED), saved=LOGS)
    assert "job:" + ID in [change.subject for change in changes(one, wish, frozenset([ID]))]


def test_findings_say_what_follows() -> None:
    waits = job("running", "executing", objects(container()), dependants=("zz2cd3ef4gh5ij7y",))
    codes = [finding.code for finding in diagnose(JobsState((waits,)), KILL)]
    assert codes == ["jobrunner.job.active", "jobrunner.job.dependants"]
    kept = job("failed", "killed_by_admin", objects(EXITED), saved=LOGS)
    assert [finding.code for finding in diagnose(JobsState((kept,)), KILL)] == ["jobrunner.job.ended", "jobrunner.job.kept"]
    cancelled = job("failed", "internal_error", objects(EXITED), row={"cancelled": 1})
    codes = [finding.code for finding in diagnose(JobsState((cancelled,), service="inactive"), RETRY)]
    assert codes == ["jobrunner.job.failed", "jobrunner.job.service_down", "jobrunner.job.cancelled"]


def test_a_kill_that_the_main_loop_overtook_is_said() -> None:
    one = job("failed", "internal_error", objects(volume=False))
    assert [finding.code for finding in diagnose(JobsState((one,), made=frozenset([ID])), CLEAN)] == ["jobrunner.job.overtaken"]
    assert [finding.code for finding in diagnose(JobsState((one,)), CLEAN)] == ["jobrunner.job.ended"]
