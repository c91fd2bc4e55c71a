# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Single jobs from all sides: real containers that write real logs, log directories of several months, a service's journal."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from lab.jobrunner.backend import SECRETS, Backend
from play import eventually
from support import run_ok, run_refused

SAFE = ["PATH=/usr/bin", "OPENSAFELY_BACKEND=test"]
LEAKED = f"DATABASE_URL={SECRETS['DEFAULT_DATABASE_URL']}"


def look(backend: Backend, *jobs: str, **options: Any) -> list[dict[str, Any]]:
    return list(answer(backend, *jobs, **options)["jobs"])


def answer(backend: Backend, *jobs: str, **options: Any) -> dict[str, Any]:
    return run_ok("jobrunner_job_info", {**backend.params, "job_id": list(jobs), "service_lines": 0, **options})


def codes(result: dict[str, Any]) -> set[str]:
    return {finding["code"].removeprefix("jobrunner.job.") for finding in result["findings"]}


def keep(backend: Backend, job: str, month: str, lines: str = "one\ntwo\nthree\n", environment: list[str] | None = None, age: float = 0) -> Path:
    """A log directory as upstream leaves one."""
    folder = backend.high / "logs" / month / f"os-job-{job}"
    folder.mkdir(parents=True)
    (folder / "logs.txt").write_text(lines, encoding="utf-8")
    container = {"Id": "f" * 64, "Config": {"Env": SAFE if environment is None else environment, "Cmd": ["python"]}}
    metadata = {"job_definition_id": job, "exit_code": "0", "container_metadata": container, "outputs": {"output/x.csv": "highly_sensitive"}}
    (folder / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    os.utime(folder, (time.time() - age, time.time() - age))
    return folder


# -- which job -------------------------------------------------------------------------------------------------------------------


@pytest.mark.step("O9")
def test_rows_of_several_jobs_in_the_order_asked_for(backend: Backend) -> None:
    first = backend.add_job("succeeded", "succeeded", volume=False, outputs={"a.csv": "1"})
    second = backend.add_job("failed", "nonzero_exit", volume=False)
    found = look(backend, second, f"os-job-{first}", second)
    assert [job["id"] for job in found] == [second, first]
    stored = backend.row(first)
    assert found[1]["row"]["outputs"] == (json.loads(stored["outputs"]) if stored["outputs"] else stored["outputs"])
    for name in ("state", "status_code", "status_code_updated_at", "created_at", "workspace"):
        assert found[1]["row"][name] == stored[name]


@pytest.mark.step("O9")
def test_a_fragment_is_refused_with_what_it_would_match(backend: Backend) -> None:
    job = backend.add_job("running", "executing", volume=False)
    said = run_refused("jobrunner_job_info", {**backend.params, "job_id": [job[2:9]]})["msg"]
    assert "ids are compared whole" in said
    assert job in said
    said = run_refused("jobrunner_job_info", {**backend.params, "job_id": ["a" * 16]})["msg"]
    assert f"'{'a' * 16}' is no job of this backend" in said
    said = run_refused("jobrunner_job_info", {**backend.params, "job_id": ["%"]})["msg"]
    assert "is no job id" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"job_id": []}, "job_id is empty"),
        ({"log_lines": -1}, "log_lines must be 0 to 100000"),
        ({"follow_seconds": 601}, "follow_seconds must be 0 to 600"),
        ({"follow_seconds": float("nan")}, "follow_seconds must be"),
        ({"workdir": "/nowhere"}, "there is no database /nowhere/db.sqlite"),
    ],
)
def test_bad_input(backend: Backend, options: dict[str, Any], said: str) -> None:
    assert said in run_refused("jobrunner_job_info", {**backend.params, "job_id": ["a" * 16], **options})["msg"]


def test_a_later_layout_is_refused_by_name(backend: Backend) -> None:
    with backend.connection() as connection:
        connection.execute("PRAGMA user_version = 9")
    assert "user_version 9" in run_refused("jobrunner_job_info", {**backend.params, "job_id": ["a" * 16]})["msg"]


# -- logs of ended jobs ----------------------------------------------------------------------------------------------------------


@pytest.mark.step("O9")
def test_log_directories_of_whatever_month(backend: Backend) -> None:
    job = backend.add_job("failed", "nonzero_exit", volume=False)
    other = backend.add_job("failed", "nonzero_exit", volume=False)
    older = keep(backend, job, "2023-11", "old\n", age=9000)
    newer = keep(backend, job, "2024-02", "".join(f"line {n}\n" for n in range(200)))
    keep(backend, other, "2024-02", "another job\n")
    (backend.high / "logs" / "not-a-month" / f"os-job-{job}").mkdir(parents=True)
    (found,) = look(backend, job, log_lines=3)
    assert [folder["path"] for folder in found["folders"]] == [str(older), str(newer)]
    assert found["log"]["source"] == str(newer / "logs.txt")
    assert found["log"]["lines"] == ["line 197", "line 198", "line 199"]
    assert found["log"]["complete"] is False
    assert found["metadata"]["outputs"] == {"output/x.csv": "highly_sensitive"}
    (whole,) = look(backend, job, log_lines=500)
    assert (len(whole["log"]["lines"]), whole["log"]["complete"]) == (200, True)


@pytest.mark.step("O9")
def test_a_large_log_is_read_from_its_end(backend: Backend) -> None:
    job = backend.add_job("failed", "nonzero_exit", volume=False)
    folder = keep(backend, job, "2024-02", "")
    with open(folder / "logs.txt", "wb") as file:
        file.write(b"x" * (20 << 20) + b"\n")
        file.write(b"".join(b"entry %d\n" % n for n in range(100000)))
    began = time.monotonic()
    (found,) = look(backend, job, log_lines=2, query_lines=10)
    assert found["log"]["lines"] == ["entry 99998", "entry 99999"]
    assert time.monotonic() - began < 5


@pytest.mark.step("O9")
def test_a_link_in_the_place_of_a_log_is_not_followed(backend: Backend, tmp_path: Path) -> None:
    job = backend.add_job("failed", "nonzero_exit", volume=False)
    folder = keep(backend, job, "2024-02")
    outside = tmp_path / "outside"
    outside.write_text("not a log\n", encoding="utf-8")
    (folder / "logs.txt").unlink()
    (folder / "logs.txt").symlink_to(outside)
    (found,) = look(backend, job)
    assert found["log"]["lines"] == []
    assert "cannot be read" in found["missing"]["log"]


@pytest.mark.step("O9")
def test_metadata_that_is_broken_is_said(backend: Backend) -> None:
    job = backend.add_job("failed", "nonzero_exit", volume=False)
    folder = keep(backend, job, "2024-02")
    (folder / "metadata.json").write_text("{", encoding="utf-8")
    (found,) = look(backend, job)
    assert found["metadata"] is None
    assert "metadata.json cannot be read" in found["folders"][0]["problem"]


@pytest.mark.step("O9")
def test_a_job_without_any_log(backend: Backend) -> None:
    job = backend.add_job("failed", "cancelled_by_user", volume=False)
    result = answer(backend, job)
    assert "no_log" in codes(result)


# -- secrets -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.step("O9")
def test_what_upstream_leaves_in_clear_is_hidden_and_told(backend: Backend) -> None:
    job = backend.add_job("failed", "killed_by_admin", volume=False)
    own = "mssql://other:Pa%2Fss-word-9@db.example.org/X"
    folder = keep(backend, job, "2024-02", f"connecting to {own}\nlogin with Pa/ss-word-9 failed\n", [*SAFE, f"OTHER_DATABASE_URL={own}", LEAKED])
    result = answer(backend, job)
    assert "lab-secret" not in str(result)
    assert "ss-word-9" not in str(result)
    (found,) = result["jobs"]
    assert found["metadata"]["container_metadata"]["Config"]["Env"] == [*SAFE, "OTHER_DATABASE_URL=********", "DATABASE_URL=********"]
    assert found["log"]["lines"][1] == "login with ******** failed"
    (leak,) = [each for each in result["findings"] if each["code"] == "jobrunner.job.secrets_in_metadata"]
    assert leak["detail"] == {"paths": [str(folder)], "variables": ["DATABASE_URL", "OTHER_DATABASE_URL"]}


@pytest.mark.step("O9")
def test_what_upstream_has_hidden_already_is_no_leak(backend: Backend) -> None:
    job = backend.add_job("failed", "nonzero_exit", volume=False)
    keep(backend, job, "2024-02", environment=[*SAFE, "DATABASE_URL=xxxx-REDACTED-xxxx"])
    assert "secrets_in_metadata" not in codes(answer(backend, job))


# -- running jobs ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.step("O10")
def test_the_log_of_a_running_job_and_its_container(backend: Backend) -> None:
    run = "sh -c 'for n in 1 2 3 4 5; do echo line $n; done; echo $DATABASE_URL; sleep 1000'"
    job = backend.add_job("running", "executing", container="running", database=True, run=run)
    eventually(lambda: len(look(backend, job)[0]["log"]["lines"]) == 6)
    (found,) = look(backend, job, log_lines=3)
    assert found["log"]["source"] == f"container os-job-{job}"
    assert [line.partition(" ")[2] for line in found["log"]["lines"]] == ["line 4", "line 5", "********"]
    assert (found["container"]["status"], found["container"]["exit_code"]) == ("running", None)
    assert found["objects"]["volume"] == f"os-volume-{job}"
    assert "DATABASE_URL=********" in found["container_metadata"]["Config"]["Env"]
    assert "lab-secret" not in str(found)


@pytest.mark.step("O10")
def test_it_is_followed_for_no_longer_than_asked_for(backend: Backend) -> None:
    job = backend.add_job("running", "executing", container="running", run="sh -c 'n=0; while :; do n=$((n+1)); echo line $n; sleep 0.2; done'")
    eventually(lambda: look(backend, job)[0]["log"]["lines"])
    began = time.monotonic()
    (found,) = look(backend, job, follow_seconds=2, log_lines=1000)
    assert 2 <= time.monotonic() - began < 6
    numbers = [int(line.rpartition(" ")[2]) for line in found["log"]["lines"]]
    assert numbers == list(range(1, len(numbers) + 1))  # nothing twice, nothing left out
    assert found["log"]["followed"] >= 4
    assert found["log"]["ended"] is False


@pytest.mark.step("O10")
def test_following_ends_with_the_job(backend: Backend) -> None:
    job = backend.add_job("running", "executing", container="running", run="sh -c 'echo first; sleep 1; echo last; exit 3'")
    began = time.monotonic()
    (found,) = look(backend, job, follow_seconds=60)
    assert time.monotonic() - began < 20
    assert found["log"]["ended"] is True
    assert found["log"]["lines"][-1].endswith(" last")
    assert look(backend, job)[0]["container"]["exit_code"] == 3


@pytest.mark.step("O10")
def test_an_engine_that_is_away_leaves_the_rest(backend: Backend) -> None:
    job = backend.add_job("running", "executing", container="running")
    keep(backend, job, "2024-02")
    backend.engine.kill()
    result = answer(backend, job)
    (found,) = result["jobs"]
    assert found["row"]["state"] == "running"
    assert found["log"]["lines"] == ["one", "two", "three"]
    assert "no engine answers" in found["missing"]["docker"]
    assert "unknown_docker" in codes(result)


# -- the query -----------------------------------------------------------------------------------------------------------------------------

EHRQL = [
    "[info   ] Compiling dataset definition from analysis/dataset.py",
    "[info   ] Running query 001 / 002",
    "[info   ] SQL:",
    "          SELECT 1",
    "[info   ] Finished running query 001 / 002 (duration=0.10)",
    "",
    "[info   ] Running query 002 / 002",
    "[info   ] SQL:",
    "          SELECT patient_id",
    "          FROM big_table",
]


def writes(lines: list[str]) -> str:
    quoted = " ".join(f'"{line}"' for line in lines)
    return f"sh -c 'for line in {quoted}; do echo \"$line\"; done; sleep 1000'"


@pytest.mark.step("O16")
def test_the_query_that_a_job_waits_for(backend: Backend) -> None:
    job = backend.add_job("running", "executing", container="running", run=writes(EHRQL), database=True)
    eventually(lambda: len(look(backend, job, log_lines=100)[0]["log"]["lines"]) >= len(EHRQL))
    result = answer(backend, job)
    query = result["jobs"][0]["query"]
    assert {key: query[key] for key in ("program", "name", "running", "statement")} == {
        "program": "ehrql",
        "name": "query 002 / 002",
        "running": True,
        "statement": None,
    }
    assert 0 <= query["age"] < 60
    assert "query_running" in codes(result)
    assert look(backend, job, statement=True)[0]["query"]["statement"] == "SELECT patient_id\nFROM big_table"
    (late,) = [each for each in answer(backend, job, max_query_age=0)["findings"] if each["code"] == "jobrunner.job.query_running"]
    assert (late["severity"], "mssql_table_progress_info" in late["remedy"]["text"]) == ("warning", True)


@pytest.mark.step("O16")
def test_the_query_of_an_old_cohortextractor_job_whatever_the_year(backend: Backend) -> None:
    job = backend.add_job("running", "executing", volume=False)
    log = (
        "2026-03-01T10:00:00.000000001Z 2026-03-01 10:00:00 [info     ] cohortextractor-stats timing=start timing_id=4\n"
        "2026-03-01T10:00:01.000000001Z 2026-03-01 10:00:01 [info     ] cohortextractor-stats sql=SELECT *\n"
        "2026-03-01T10:00:01.000000002Z FROM x timing_id=4\n"
    )
    keep(backend, job, "2026-03", log)
    query = look(backend, job, statement=True)[0]["query"]
    assert (query["program"], query["issued_at"], query["running"]) == ("cohortextractor", "2026-03-01T10:00:01Z", True)
    assert query["statement"] == "SELECT *\nFROM x"


# -- the service's log ---------------------------------------------------------------------------------------------------------------------

JOURNALCTL = """#!/usr/bin/env python3
import json, sys
open({asked!r}, "w").write(" ".join(sys.argv[1:]))
for number, text in enumerate({texts!r}):
    if isinstance(text, list):
        message = text
    else:
        message = text
    print(json.dumps({{"__REALTIME_TIMESTAMP": str(1700000000000000 + number * 1000000), "MESSAGE": message}}), flush=True)
{last}
"""


def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: list[Any], last: str = "") -> Path:
    """A stand-in of journalctl that has these lines."""
    folder = tmp_path / "bin"
    folder.mkdir()
    asked = tmp_path / "asked"
    script = folder / "journalctl"
    script.write_text(JOURNALCTL.format(asked=str(asked), texts=texts, last=last), encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return asked


@pytest.mark.step("O3")
def test_what_the_service_wrote_about_one_job_and_no_other(backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = backend.add_job("running", "executing", volume=False, created_at=1700000000)
    odd = list(f"caf\xe9 id={job}".encode("latin-1"))
    texts = [f"one id={job}", f"other id={job}x", f"other id=a{job}", f"two id={job} token={SECRETS['JOB_SERVER_TOKEN']}", "nothing", odd]
    asked = journal(tmp_path, monkeypatch, texts)
    (found,) = look(backend, job, service_lines=50)
    assert [line["text"] for line in found["service_log"]] == [f"one id={job}", f"two id={job} token=********", f"caf\\xe9 id={job}"]
    assert found["service_log"][0]["time"] == "2023-11-14T22:13:20Z"
    assert found["service_log_complete"] is True
    words = asked.read_text(encoding="utf-8")
    assert words.startswith("-u jobrunner ")
    assert f"--since=@{1700000000 - 3600}" in words
    assert job not in words  # it is never given to another program
    assert [line["text"] for line in look(backend, job, service_lines=1)[0]["service_log"]] == [f"caf\\xe9 id={job}"]


@pytest.mark.step("O3")
def test_a_journal_that_does_not_end_is_left(backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = backend.add_job("running", "executing", volume=False)
    journal(tmp_path, monkeypatch, [f"one id={job}"], "import time; time.sleep(100)")
    began = time.monotonic()
    (found,) = look(backend, job, service_lines=50, service_timeout=1.5)
    assert time.monotonic() - began < 10
    assert ([line["text"] for line in found["service_log"]], found["service_log_complete"]) == ([f"one id={job}"], False)


@pytest.mark.step("O3")
def test_a_journal_that_may_not_be_read_is_said(backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = backend.add_job("running", "executing", volume=False)
    journal(tmp_path, monkeypatch, [], "sys.exit('No journal files were opened due to insufficient permissions.')")
    result = answer(backend, job, service_lines=50)
    assert "insufficient permissions" in result["jobs"][0]["missing"]["service_log"]
    assert "unknown_service_log" in codes(result)


# -- what ended badly ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.step("O14")
@pytest.mark.parametrize("there", [True, False])
def test_an_internal_error_says_whether_it_can_be_retried(backend: Backend, there: bool) -> None:
    job = backend.add_job("failed", "internal_error", container="exited" if there else None, volume=there)
    (found,) = [each for each in answer(backend, job)["findings"] if each["code"] == "jobrunner.job.internal_error"]
    assert found["detail"]["retryable"] is there
    assert (found["remedy"] is not None) is there
