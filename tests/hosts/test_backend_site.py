# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend is what the facts describe, jobs run through it to their end, and every fault is real."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from lab.hosts import Host
from lab.hosts.backend_host import CHECKOUTS, CONFIG, DATABASE, HIGH, MEDIUM, BackendHost

pytestmark = pytest.mark.thorough  # of the laboratory alone; what is shipped, and runs on it, is tested all the time
OUTPUTS = {"moderately_sensitive": {"t": "output/*.csv"}}
ACTIONS = {
    "first": {"run": "python:v2 sh -c 'mkdir /workspace/output; echo a,b >/workspace/output/t.csv'", "outputs": OUTPUTS},
    "second": {"run": "python:v2 cat /workspace/output/t.csv", "needs": ["first"]},
}


# -- as it should be ------------------------------------------------------------------------------------------------------------


def test_host(backend: BackendHost) -> None:
    host = backend.host
    assert host.failed_units() == []
    assert host.run(["id", "opensafely"]).stdout.strip().startswith("uid=10000(opensafely) gid=10000(opensafely) groups=10000(opensafely),")
    assert "docker" in host.run(["id", "-Gn", "opensafely"]).stdout
    assert host.run(["getent", "group", "reviewers"]).stdout.split(":")[2] == "10010"
    names = {f"{CONFIG}/02_secrets.env": "opensafely:opensafely 600", f"{CONFIG}/01_defaults.env": "opensafely:opensafely 640"}
    names |= {HIGH: "opensafely:opensafely 750", MEDIUM: "opensafely:reviewers 750", DATABASE: "opensafely:opensafely 640"}
    for path, wanted in names.items():
        assert host.run(["stat", "-c", "%U:%G %a", path]).stdout.strip() == wanted, path
    assert host.run(["findmnt", "--noheadings", "/e"]).stdout


def test_service(backend: BackendHost) -> None:
    found = backend.unit("User", "Group", "Type", "Restart", "RestartUSec", "WorkingDirectory", "ExecMainStatus", "SubState")
    wanted = {"User": "opensafely", "Group": "reviewers", "Type": "simple", "Restart": "on-failure", "RestartUSec": "1min", "SubState": "running"}
    assert found == {**wanted, "WorkingDirectory": CHECKOUTS["code"], "ExecMainStatus": "0"}
    assert "jobrunner.service started (release 2024-01-03)" in backend.log()
    assert "jobrunner-db" in backend.host.run(["docker", "network", "ls"]).stdout
    backend.stop()
    assert backend.unit("SubState", "Result") == {"SubState": "dead", "Result": "success"}


def test_rights_of_opensafely(backend: BackendHost) -> None:
    """Without a password there are five commands, word for word."""
    allowed = backend.shell("sudo --non-interactive systemctl restart jobrunner; sudo --non-interactive journalctl -u jobrunner -n1", check=False)
    assert (allowed.returncode, allowed.stderr) == (0, "")
    refused = backend.shell("sudo --non-interactive sh -c true", check=False)
    assert refused.returncode == 1
    assert "password is required" in refused.stderr


def test_jobs_run_to_their_end(backend: BackendHost) -> None:
    backend.request("request-of-a-person", ACTIONS)
    backend.host.wait_for(lambda: len(backend.rows()) == 2, "job-runner takes the request")
    first, second = sorted(backend.rows().values(), key=lambda row: str(row["action"]))
    assert backend.wait_code(first["id"], "succeeded")["status_message"] == "Completed successfully"
    backend.wait_code(second["id"], "succeeded")
    assert backend.host.read(f"{MEDIUM}/workspaces/ws/output/t.csv") == b"a,b\n"
    assert backend.objects(first["id"]) == {"container": None, "manager": None, "volume": None}
    assert b"a,b" in backend.host.read(f"{HIGH}/workspaces/ws/metadata/second.log")
    backend.host.wait_for(lambda: [job["status"] for job in backend.posts()[-1]["body"]] == ["succeeded"] * 2, "job-server is told")
    assert backend.posts()[0]["headers"]["Authorization"] == backend.secrets["JOB_SERVER_TOKEN"]


def test_commands_of_the_person_who_is_logged_in(backend: BackendHost) -> None:
    job = backend.job_running(workspace="ws1", action="a1")
    assert backend.shell("~/bin/lsjobs").stdout == f"/os-job-{job} : ws1 : a1\n"
    assert backend.shell("python3 -m jobrunner.cli.flags set paused=true").stdout.startswith("paused=true (2")
    assert backend.shell(f"python3 -m jobrunner.cli.kill_job --cleanup {job}", answer="\n").returncode == 0
    assert backend.code(job) == "killed_by_admin"
    assert backend.shell("~/bin/lsjobs", check=False).returncode == 1


def test_a_database_job_has_a_network_and_a_secret(backend: BackendHost) -> None:
    job = backend.add_job("pending", "created", volume=False, database=True, run="sleep 1000")
    backend.wait_code(job, "executing")
    (found,) = json.loads(backend.host.run(["docker", "inspect", f"os-job-{job}"]).stdout)
    assert f"DATABASE_URL={backend.secrets['DEFAULT_DATABASE_URL']}" in found["Config"]["Env"]
    assert list(found["NetworkSettings"]["Networks"]) == ["jobrunner-db"]


# -- faults: jobs, engine, database -----------------------------------------------------------------------------------------------


def test_a_running_job_outlives_the_service(backend: BackendHost) -> None:
    job = backend.job_running()
    backend.host.run(["systemctl", "restart", "jobrunner"])
    assert (backend.code(job), backend.objects(job)["container"]) == ("executing", "running")


def test_executed_and_not_filed_away(backend: BackendHost) -> None:
    job = backend.job_executed()
    assert (backend.code(job), backend.objects(job)["container"]) == ("executed", "exited")
    backend.start()
    backend.wait_code(job, "succeeded")


def test_internal_error(backend: BackendHost) -> None:
    job = backend.job_internal_error()
    assert backend.objects(job)["container"] == "exited"
    assert backend.unit("ActiveState", "Result") == {"ActiveState": "activating", "Result": "exit-code"}
    backend.unblock()
    backend.shell(f"python3 -m jobrunner.cli.retry_job {job}", answer="\n")
    backend.start()
    backend.wait_code(job, "succeeded")


@pytest.mark.parametrize("kill", [False, True])
def test_engine_down(backend: BackendHost, kill: bool) -> None:
    job = backend.job_running()
    (found,) = json.loads(backend.host.run(["docker", "inspect", f"os-job-{job}"]).stdout)
    backend.engine_down(kill)
    assert "Cannot connect" in backend.host.run(["docker", "ps"], check=False).stderr
    assert backend.host.exists(f"/proc/{found['State']['Pid']}") == kill
    backend.wait_unit("auto-restart")
    assert backend.code(job) == "internal_error"
    backend.engine_up()
    assert backend.objects(job)["container"] == "exited"


def test_restart_loop(backend: BackendHost) -> None:
    backend.restart_loop()
    assert "'waiting_for_godot' is not a valid StatusCode" in backend.log()
    backend.host.run(["systemctl", "restart", "jobrunner"])
    backend.wait_unit("auto-restart")


def test_paused(backend: BackendHost) -> None:
    backend.paused()
    job = backend.add_job("pending", "created", volume=False)
    backend.wait_code(job, "paused")
    backend.paused("1")
    backend.wait_code(job, "succeeded")


def test_text_timestamp(backend: BackendHost) -> None:
    backend.text_timestamp()
    backend.host.run(["systemctl", "restart", "jobrunner"])
    backend.host.wait_for(lambda: "TypeError" in backend.log(60), "the thread fails")
    assert backend.unit("SubState")["SubState"] == "running"


def test_wal(backend: BackendHost) -> None:
    backend.wal()
    assert backend.host.run(["sqlite3", DATABASE, "PRAGMA journal_mode"], user="opensafely").stdout == "wal\n"
    backend.wait_unit("running")


def test_leftovers(backend: BackendHost) -> None:
    found = backend.leftovers()
    states = {name: backend.objects(job)["container"] for name, job in found.items()}
    assert states == {"reset": "running", "ended": "exited", "unknown": "exited"}
    assert set(backend.rows()) == {found["reset"], found["ended"]}


# -- faults: checkouts, configuration, files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("checkout", ["code", "lib", "backend-server"])
def test_dirty_checkouts(backend: BackendHost, checkout: str) -> None:
    backend.ctime_dirty(checkout)
    raw = ["git", "-C", CHECKOUTS[checkout], "-c", f"safe.directory={CHECKOUTS[checkout]}", "diff-files", "--quiet"]
    user = "root" if checkout == "backend-server" else "opensafely"
    assert backend.host.run(raw, user=user, check=False).returncode == 1
    assert backend.git(checkout, "status", "--short") == ""
    file = backend.dirty_checkout(checkout)
    assert backend.git(checkout, "status", "--short") == f"M {file}"
    backend.detached_head(checkout)
    assert backend.git(checkout, "branch", "--show-current") == ""


def test_upstream_s_deploy_has_its_defects(backend: BackendHost) -> None:
    backend.behind()
    before = backend.git("lib", "rev-parse", "HEAD")
    done = backend.shell("~/bin/update-jobrunner.sh", check=False)
    assert done.returncode == 1
    assert "the dependencies are version 1, and this release needs 2" in done.stderr
    assert backend.git("code", "rev-parse", "HEAD") == backend.git("code", "rev-parse", "origin/main")
    assert backend.git("lib", "rev-parse", "HEAD") == before


def test_a_release_and_its_migration(backend: BackendHost) -> None:
    backend.behind()
    for checkout in ("lib", "code"):
        backend.git(checkout, "pull", "--quiet")
    backend.host.run(["systemctl", "restart", "jobrunner"])
    backend.wait_unit("auto-restart")
    assert "is out of date. Update with migrate command" in backend.log()
    assert backend.shell("python3 -m jobrunner.cli.migrate").stdout == "Applied migrations: 3\n"
    backend.start()
    backend.wait_unit("running")
    backend.wait_code(backend.add_job("pending", "created", volume=False), "succeeded")


def test_management(backend: BackendHost) -> None:
    backend.drift()
    backend.missing_secret()
    assert b"JOB_SERVER_TOKEN" not in backend.host.read(f"{CONFIG}/02_secrets.env")
    backend.host.run(["/srv/backend-server/scripts/manage.sh"])
    assert b"POLL_INTERVAL=99" not in backend.host.read(f"{CONFIG}/01_defaults.env")
    assert b"POLL_INTERVAL=99" in backend.host.read(f"{CONFIG}/01_defaults.env.bak")


def test_level_3_and_4(backend: BackendHost) -> None:
    path = backend.output("ws", "output/it's here.csv")
    assert backend.host.run(["stat", "-c", "%U:%G %a", path]).stdout.strip() == "opensafely:reviewers 640"
    sent = backend.level3_file("ws/output/sent.csv")
    backend.sync_loop()
    backend.host.wait_for(lambda: backend.host.exists(f"{MEDIUM}/workspaces/ws/output/sent.csv"), "the loop copies")
    backend.unmount()
    assert not backend.host.exists(sent)
    assert backend.host.exists("/e")
    backend.mount()
    assert backend.host.exists(sent)


def test_nothing_of_a_fault_is_left(host: Callable[..., Host]) -> None:
    """After all the tests above, each of which was mended and cleared."""
    site = BackendHost(host("backend"))
    assert site.host.failed_units() == []
    assert (site.rows(), site.jobs("flags"), site.posts()) == ({}, {}, [])
    assert [site.git(checkout, "status", "--short", "--branch") for checkout in CHECKOUTS] == ["## main...origin/main"] * 3
    assert site.host.run(["docker", "ps", "--all", "--quiet"]).stdout == ""
    assert site.unit("SubState")["SubState"] == "running"
