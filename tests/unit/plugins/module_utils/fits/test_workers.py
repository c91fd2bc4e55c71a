# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What logs, lock files and argv tell of workers, in the formats of all generations."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import Process
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits import workers
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.workers import Places, gather, is_worker, last_lines

SCRIPT = "/opt/FitsStorage/fits_storage/scripts/service_ingest_queue.py"


def worker(pid: int, *argv: str, owner: str = "fitsdata") -> Process:
    return Process(pid, 1, argv or ("/usr/bin/python3", SCRIPT, "--demon", "--lockfile", "--name=siq1"), owner)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("/usr/bin/python3", SCRIPT, "--demon"), True),
        (("python3", "-u", SCRIPT), True),
        ((SCRIPT, "--demon"), True),
        (("grep", "service_ingest_queue.py"), False),
        (("vim", SCRIPT), False),
        (("python3", "/home/me/not_service_ingest_queue.py"), False),
        (("python3", "/opt/FitsStorage/fits_storage/scripts/service_export_queue.py"), False),
        (("python3", "-c", "service_ingest_queue.py"), False),
        ((), False),
    ],
)
def test_a_worker_is_known_by_its_script(argv: Any, expected: bool) -> None:
    assert is_worker(Process(1, 1, argv, "fitsdata"), "ingest", Places()) is expected


def test_owner_and_folder_narrow_it_down() -> None:
    assert not is_worker(worker(1, owner="me"), "ingest", Places(worker_user="fitsdata"))
    assert is_worker(worker(1), "ingest", Places(worker_user="fitsdata", scripts_dir=os.path.dirname(SCRIPT)))
    assert not is_worker(worker(1), "ingest", Places(scripts_dir="/home/me/FitsStorage/fits_storage/scripts"))


def log(directory: Path, name: str, *messages: str, pid: int = 7) -> None:
    text = "".join("2026-01-01 10:00:%02d,000 %d:service_ingest_queue:136 INFO: %s\n" % (n, pid, message) for n, message in enumerate(messages))
    (directory / name).write_text(text)


@pytest.mark.parametrize(
    ("messages", "filename", "row_id", "idle"),
    [
        (["Ingesting a.fits - 12 (3 on queue)"], "a.fits", 12, False),
        (["Ingesting a.fits - 12"], "a.fits", 12, False),
        (["Ingesting a.fits, (3 in queue)"], "a.fits", None, False),
        (["Ingesting a.fits (id 12)"], "a.fits", 12, False),
        (["Exporting a - 4.fits - 12 (3 on queue)"], "a - 4.fits", 12, False),
        (["Exporting a.fits, (3 in queue)"], "a.fits", None, False),
        (["Ingesting a.fits - 12 (3 on queue)", "Adding new DiskFile entry for file a.fits"], "a.fits", 12, False),
        (["Ingesting a.fits - 12 (3 on queue)", "Nothing on queue... Waiting"], None, None, True),
        (["Nothing on Queue... Waiting"], None, None, True),
        (["Nothing on queue... Waiting", "Ingesting b.fits, (0 in queue)"], "b.fits", None, False),
        (["starting up"], None, None, False),
    ],
)
def test_last_log_line(tmp_path: Path, messages: Any, filename: Any, row_id: Any, idle: bool) -> None:
    log(tmp_path, "service_ingest_queue.py-siq1.log", *messages)
    line = last_lines("ingest", Places(log_dir=[str(tmp_path)]), [worker(7)])[7]
    assert (line.message, line.filename, line.row_id, line.idle) == (messages[-1], filename, row_id, idle)
    assert line.age is not None


def test_lines_of_others_tell_nothing(tmp_path: Path) -> None:
    log(tmp_path, "service_ingest_queue.py-siq1.log", "Ingesting a.fits, (0 in queue)", pid=8)
    log(tmp_path, "service_export_queue.py-seq1.log", "Exporting a.fits, (0 in queue)")
    (tmp_path / "service_ingest_queue.py-1.log").write_text("Traceback (most recent call last):\n  File x\n")
    (tmp_path / "service_ingest_queue.py-2.log").mkdir()
    assert last_lines("ingest", Places(log_dir=[str(tmp_path), str(tmp_path / "none")]), [worker(7)]) == {}


def test_the_age_of_an_idle_line_counts_only_while_it_is_the_newest_of_its_file(tmp_path: Path) -> None:
    log(tmp_path, "service_ingest_queue.py-siq1.log", "Nothing on queue... Waiting")
    places = Places(log_dir=[str(tmp_path)])
    assert gather("ingest", places, [worker(7)], last_lines("ingest", places, [worker(7)])).asleep == [7]
    os.utime(tmp_path / "service_ingest_queue.py-siq1.log", (1, 1))
    gathered = gather("ingest", places, [worker(7)], last_lines("ingest", places, [worker(7)]))
    assert (gathered.asleep, gathered.idle) == ([], [7])
    with open(tmp_path / "service_ingest_queue.py-siq1.log", "a") as file:
        file.write("2026-01-01 10:00:59,000 9:service_ingest_queue:136 INFO: starting up\n")
    assert gather("ingest", places, [worker(7)], last_lines("ingest", places, [worker(7)])).asleep == []


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("siq1.lock", True),
        ("service_ingest_queue.lock", True),
        ("service_ingest_queue.py-1.lock", True),
        ("seq1.lock", False),
        ("service_export_queue.py-1.lock", False),
        ("siq1.lock.old", False),
    ],
)
def test_lock_file_names(tmp_path: Path, name: str, counts: bool) -> None:
    (tmp_path / name).write_text("999999999\n")
    found = gather("ingest", Places(lockfile_dir=[str(tmp_path)]), [], {}).lock_files
    assert [lock.state for lock in found] == (["stale"] if counts else [])


def test_lock_file_states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {1: worker(1), 2: worker(2, "nginx")}
    monkeypatch.setattr(workers, "read_process", known.get)
    for number, text in enumerate(("1\n", "2\n", "3\n", "", "x")):
        (tmp_path / ("siq%d.lock" % number)).write_text(text)
    found = gather("ingest", Places(lockfile_dir=[str(tmp_path)]), [], {}).lock_files
    assert [lock.state for lock in found] == ["live", "recycled", "stale", "stale", "stale"]


def test_hidden_processes_may_be_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "hides_others", lambda: True)
    gathered = gather("ingest", Places(lockfile_dir=[]), [], {})
    assert gathered.may_be_live
    assert "hidepid" in gathered.unknown[0]
