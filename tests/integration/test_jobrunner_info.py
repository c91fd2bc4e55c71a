# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a backend stands: each fault is made for real, in a real database, a real engine, real files, and the look must find it."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner import info
from lab.jobrunner.backend import SECRETS, Backend
from lab.systemd_standin.units import Units
from support import run_ok, run_refused


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Units]:
    """A stand-in of systemd whose unit jobrunner does nothing but run."""
    made = Units(tmp_path / "systemd").create()
    path = f"{made.bin}:{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    made.define("jobrunner", ["/bin/sleep", "1000"], {"PATH": path}, restart_sec=60)
    made.start("jobrunner")
    yield made
    made.close()


@pytest.fixture
def look(backend: Backend, units: Units) -> Any:
    """The module on a backend whose service runs."""
    return lambda **options: run_ok("jobrunner_info", {**backend.params, **options})


def codes(result: dict[str, Any]) -> set[str]:
    return {finding["code"].removeprefix("jobrunner.") for finding in result["findings"] if not finding["code"].startswith("jobrunner.config.")}


def finding(result: dict[str, Any], code: str) -> dict[str, Any]:
    (found,) = [each for each in result["findings"] if each["code"] == f"jobrunner.{code}"]
    return dict(found)


# -- a backend that works -------------------------------------------------------------------------------------------------


@pytest.mark.step("O8")
@pytest.mark.parametrize("backend", [{"user_version": 2}, {"user_version": 3, "journal_mode": "wal"}], indirect=True)
def test_a_backend_that_works(backend: Backend, look: Any) -> None:
    backend.configure()
    job = backend.add_job("running", "executing", container="running", action="generate", workspace="covid")
    backend.add_job("succeeded", "succeeded", volume=False)
    backend.add_job("failed", "nonzero_exit", volume=False)
    before = backend.database.read_bytes()
    result = look()
    assert backend.database.read_bytes() == before
    assert result["changed"] is False
    assert "ok" in codes(result)
    (running,) = result["running"]
    assert {key: running[key] for key in ("id", "action", "workspace", "status_code")} == {
        "id": job,
        "action": "generate",
        "workspace": "covid",
        "status_code": "executing",
    }
    assert (running["container"]["state"], running["cpus"]) == ("running", None)
    assert result["jobs"]["by_state"] == {"running": 1, "succeeded": 1, "failed": 1}
    assert result["jobs"]["active"] == 1
    assert result["database"]["user_version"] == backend.user_version
    assert result["leftovers"] == []
    assert (result["missing"], result["paused"]) == ({}, False)
    assert result["service"]["active"] == "active"
    assert result["service"]["main_pid"]


@pytest.mark.step("O12")
def test_what_jobs_use(backend: Backend, look: Any) -> None:
    busy = backend.add_job("running", "executing", container="running", run="sh -c 'while :; do :; done'")
    idle = backend.add_job("running", "executing", container="running")
    used = {row["id"]: row for row in look(stats=True)["running"]}
    assert used[busy]["cpus"] > 0.2
    assert used[idle]["cpus"] < 0.1
    assert all(0 <= used[job]["memory"] < 1 << 30 for job in (busy, idle))
    machine = look()["machine"]
    assert machine["memory_total"] > machine["memory_available"] > 0
    assert len(machine["load"]) == 3


@pytest.mark.step("O8")
def test_one_look_costs_little(backend: Backend, look: Any) -> None:
    for _number in range(3):
        backend.add_job("running", "executing", container="running")
    requests: list[str] = []
    real = info.Docker.errors

    def counted(self: Any, what: str) -> Any:
        requests.append(what)
        return real(self, what)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(info.Docker, "errors", counted)
        look()
    assert sorted(what for what in requests if what != "connect") == ["describe itself", "list containers", "list volumes"]


# -- the service -------------------------------------------------------------------------------------------------------------


@pytest.mark.step("O2")
def test_a_stopped_service(look: Any, units: Units) -> None:
    units.stop("jobrunner")
    found = finding(look(), "service.stopped")
    assert (found["severity"], found["remedy"]["playbook"]) == ("critical", "fieldops.runbooks.jobrunner_after_restart")


@pytest.mark.step("O2")
def test_a_restart_loop_is_not_taken_for_health(look: Any, units: Units) -> None:
    units.stop("jobrunner")
    units.define("jobrunner", [sys.executable, "-c", "import time; time.sleep(0.2); raise SystemExit(1)"], {"PATH": os.environ["PATH"]}, restart_sec=0.3)
    units.start("jobrunner")
    seen = set()
    deadline = time.monotonic() + 20
    while len(seen) < 2 and time.monotonic() < deadline:
        result = look()
        if not result["service"]["restarts"] and not result["service"]["sub"].startswith("auto-restart"):
            continue
        assert finding(result, "service.restart_loop")["severity"] == "critical"
        seen.add(result["service"]["sub"].partition("-")[0])
    assert seen == {"running", "auto"}


@pytest.mark.step("O2")
def test_a_loop_that_hangs_while_its_unit_is_active(backend: Backend, look: Any, units: Units) -> None:
    job = backend.add_job("running", "executing", container="running")
    backend.change(job, updated_at=int(time.time()) - 7200)
    young = look()
    assert "service.loop_stuck" not in codes(young)  # it has just been started
    assert young["service"]["heartbeat_age"] >= 7200
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.service.age", lambda _process: 4000.0)
        found = finding(look(), "service.loop_stuck")
        backend.change(job, updated_at=int(time.time()) - 30)
        assert "service.loop_stuck" not in codes(look())
    assert found["severity"] == "critical"


@pytest.mark.step("O21")
def test_it_waits_until_jobs_are_taken_up_again(backend: Backend, look: Any) -> None:
    job = backend.add_job("pending", "waiting_on_reboot", volume=False)
    assert look(settle=0)["healthy"] is False
    service = threading.Timer(1.0, lambda: backend.change(job, status_code="waiting_on_workers", updated_at=int(time.time())))
    service.start()
    began = time.monotonic()
    result = look(settle=0, wait=30)
    service.join()
    assert result["healthy"] is True
    assert 1 <= time.monotonic() - began < 10


@pytest.mark.step("O21")
def test_it_waits_no_longer_than_asked_for_and_says_what_it_saw(backend: Backend, look: Any, units: Units) -> None:
    units.stop("jobrunner")
    began = time.monotonic()
    result = look(wait=2)
    assert 2 <= time.monotonic() - began < 8
    assert result["healthy"] is False
    assert "service.stopped" in codes(result)
    units.start("jobrunner")
    assert look(settle=1.5, wait=20)["healthy"] is True


@pytest.mark.step("O2")
def test_no_such_unit(look: Any) -> None:
    assert finding(look(service="nobody"), "service.not_found")["severity"] == "critical"


# -- flags and words ---------------------------------------------------------------------------------------------------------


@pytest.mark.step("O22")
@pytest.mark.parametrize(
    ("value", "paused", "code"), [("true", True, "paused"), ("True", True, "paused"), ("1", False, "not_paused"), ("yes", False, "not_paused")]
)
def test_paused_is_read_as_upstream_reads_it(backend: Backend, look: Any, value: str, paused: bool, code: str) -> None:
    backend.set_flag("paused", value)
    result = look()
    assert result["paused"] is paused
    assert finding(result, f"flag.{code}")["severity"] == "warning"


@pytest.mark.step("O22")
def test_a_cleared_flag_is_no_finding(backend: Backend, look: Any) -> None:
    backend.set_flag("paused", None)
    result = look()
    assert not {code for code in codes(result) if code.startswith("flag.")}
    assert result["flags"]["paused"]["value"] is None


@pytest.mark.step("O22")
def test_a_time_that_is_text_kills_the_sync(backend: Backend, look: Any) -> None:
    backend.set_flag("paused", None, "now")
    with pytest.raises(TypeError):
        from lab.jobrunner.standin.store import Store

        store = Store(backend.database, backend.user_version)
        try:
            [time.gmtime(stamp) for _value, stamp in backend.flags().values()]
        finally:
            store.close()
    assert finding(look(), "flag.text_timestamp")["severity"] == "critical"


def test_a_word_that_nobody_knows(backend: Backend, look: Any) -> None:
    job = backend.add_job("pending", "created", volume=False)
    backend.change(job, status_code="initiated")
    found = finding(look(), "jobs.unknown_code")
    assert (found["severity"], found["detail"]["status_code"]) == ("critical", "initiated")
    with pytest.raises(ValueError, match="initiated"):
        backend.loop_turns(1)


# -- what is left behind -------------------------------------------------------------------------------------------------------


@pytest.mark.step("O19")
def test_a_preparation_for_reboot_that_was_cut_off(backend: Backend, look: Any) -> None:
    job = backend.add_job("pending", "waiting_on_reboot", container="exited")
    done = backend.add_job("pending", "waiting_on_reboot", volume=False)
    found = finding(look(), "reboot.unfinished")
    assert found["detail"]["job_ids"] == [job]
    assert done not in str(found)
    assert (found["severity"], found["remedy"]["playbook"]) == ("critical", "fieldops.runbooks.jobrunner_prepare_for_reboot")


def test_leftovers_by_why_they_are_there(backend: Backend, look: Any) -> None:
    long_ago = {"completed_at": int(time.time()) - 5000}
    ended = backend.add_job("succeeded", "succeeded", container="exited", **long_ago)
    volume = backend.add_job("failed", "nonzero_exit", volume="directory", **long_ago)
    killed = backend.add_job("failed", "killed_by_admin", container="exited", **long_ago)
    retry = backend.add_job("failed", "internal_error", container="exited", **long_ago)
    pending = backend.add_job("pending", "created", container="exited")
    just = backend.add_job("succeeded", "succeeded", container="exited", completed_at=int(time.time()))
    backend.engine.docker("volume", "create", "os-volume-aaaaaaaaaaaaaaaa")
    result = look()
    kinds = {code.removeprefix("leftover."): finding(result, code)["detail"]["job_ids"] for code in codes(result) if code.startswith("leftover.")}
    assert kinds == {
        "ended": sorted([ended, volume]),
        "killed": [killed],
        "retryable": [retry],
        "pending": [pending],
        "unknown": ["aaaaaaaaaaaaaaaa"],
    }
    assert {row["job_id"] for row in result["leftovers"]} == {ended, volume, killed, retry, pending, just, "aaaaaaaaaaaaaaaa"}


def test_a_result_that_nobody_files_away_and_a_container_that_is_gone(backend: Backend, look: Any) -> None:
    late = backend.add_job("running", "executed", container="exited")
    lost = backend.add_job("running", "executing", volume=True)
    result = look(finalise_timeout=0)
    assert finding(result, "jobs.not_finalised")["detail"]["job_ids"] == [late]
    assert finding(result, "jobs.without_container")["detail"]["job_ids"] == [lost]
    assert "jobs.not_finalised" not in codes(look())


def test_a_container_for_debugging_is_told(backend: Backend, look: Any) -> None:
    job = backend.add_job("running", "executing", container="running")
    backend.engine.docker("run", "--detach", "--network=none", "--name", f"os-debug-{job}", backend.engine.image, "sleep", "1000")
    assert finding(look(), "debug.present")["detail"]["job_ids"] == [job]


# -- parts that cannot be read ---------------------------------------------------------------------------------------------------


def test_an_engine_that_is_away(backend: Backend, look: Any) -> None:
    backend.add_job("running", "executing", container="running")
    backend.engine.kill()
    result = look()
    assert finding(result, "docker.away")["severity"] == "critical"
    assert (result["docker"], list(result["missing"])) == (None, ["docker"])
    assert len(result["running"]) == 1
    assert not {code for code in codes(result) if code.startswith(("jobs.", "leftover."))}


@pytest.mark.parametrize("version", [1, 4, 9, 13])
def test_another_layout_is_refused_by_name_and_the_rest_is_told(backend: Backend, look: Any, version: int) -> None:
    with backend.connection() as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    result = look()
    found = finding(result, "layout.unsupported")
    assert f"user_version {version}" in found["summary"]
    assert (result["jobs"], result["running"], result["paused"]) == (None, None, None)
    assert result["docker"]["version"]
    assert result["service"]["active"] == "active"


def test_a_database_that_is_not_there_is_not_made(backend: Backend, look: Any) -> None:
    backend.database.unlink()
    result = look()
    assert "central controller" in finding(result, "database.unreadable")["summary"]
    assert not backend.database.exists()


def test_the_later_layout_is_told_by_its_unit() -> None:
    from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.service import service_of

    later = service_of(
        "jobrunner", {"LoadState": "loaded", "Id": "jobrunner.service", "Type": "oneshot", "ExecStart": "{ path=/usr/bin/just ; argv[]=just deploy ; }"}
    )
    assert later.compose


def test_nothing_can_be_said(backend: Backend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(info, "read_service", _no_systemd)
    refused = run_refused("jobrunner_info", {"workdir": str(tmp_path / "none"), "config_files": [], "docker_host": "unix:///nowhere.sock"})
    assert "nothing can be said of this backend" in refused["msg"]
    assert all(part in refused["msg"] for part in ("no engine answers", "there is no database", "no systemctl"))


def _no_systemd(_unit: str) -> Any:
    from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.service import ServiceError

    raise ServiceError("no systemctl")


def test_a_writer_that_holds_the_lock_does_not_keep_the_look_out(backend: Backend, look: Any) -> None:
    backend.add_job("running", "executing", container="running")
    with backend.locked():
        assert len(look()["running"]) == 1


def test_reading_leaves_no_file_behind_that_is_not_the_owners(backend: Backend, look: Any) -> None:
    look()
    assert {path.name for path in backend.workdir.iterdir()} == {"db.sqlite"}


# -- configuration -------------------------------------------------------------------------------------------------------------------


@pytest.mark.step("O4")
def test_every_value_with_its_origin_and_no_secret(backend: Backend, look: Any) -> None:
    backend.configure(MAX_WORKERS="7")
    result = look()
    workers = [(row["value"], Path(row["path"]).name, row["shadowed"]) for row in result["config"] if row["name"] == "MAX_WORKERS"]
    assert workers == [("20", "03_backend.env", True), ("7", "04_local.env", False)]
    assert {row["name"]: row["value"] for row in result["config"] if row["name"] in SECRETS} == dict.fromkeys(SECRETS, "********")
    assert "lab-secret" not in str(result)


@pytest.mark.step("O4")
def test_what_somebody_changed_in_a_generated_file(backend: Backend, look: Any, tmp_path: Path) -> None:
    checkout = tmp_path / "backend-server"
    source = checkout / "services" / "jobrunner" / "defaults.env"
    source.parent.mkdir(parents=True)
    text = Path(backend.config_files[0]).read_text(encoding="utf-8")
    source.write_text("".join(line + "\n" for line in text.splitlines() if not line.startswith("#")), encoding="utf-8")
    same = look(backend_server_dir=str(checkout))
    with open(backend.config_files[0], "a", encoding="utf-8") as file:
        file.write("POLL_INTERVAL=99\n")
    drifted = look(backend_server_dir=str(checkout))
    new = {each["code"] for each in drifted["findings"]} - {each["code"] for each in same["findings"]}
    assert new == {"jobrunner.config.drift"}
    assert "POLL_INTERVAL" in finding(drifted, "config.drift")["summary"]


@pytest.mark.step("O4")
def test_a_configuration_file_that_is_missing(backend: Backend, look: Any) -> None:
    Path(backend.config_files[1]).unlink()
    result = look()
    assert any(each["code"].startswith("jobrunner.config.") and each["severity"] == "critical" for each in result["findings"])


# -- bad input ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"loop_timeout": 5}, "loop_timeout must be 60 or more"),
        ({"disk_min_percent": -1}, "disk_min_percent must be 0 or more"),
        ({"wait": 4000}, "wait must be 3600"),
    ],
)
def test_bad_input(backend: Backend, options: dict[str, Any], said: str) -> None:
    assert said in run_refused("jobrunner_info", {**backend.params, **options})["msg"]


def test_disks_that_are_nearly_full(look: Any) -> None:
    result = look(disk_min_percent=100)
    assert "disk.space" in codes(result)
    assert {place for disk in result["disks"] for place in disk["places"]} == {
        "high privacy files",
        "medium privacy files",
        "the database",
        "containers and volumes",
    }


def test_a_file_that_is_no_database(backend: Backend, look: Any) -> None:
    backend.database.write_bytes(b"not a database")
    assert "is no SQLite database" in finding(look(), "database.unreadable")["summary"]
