# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pausing, and waiting for the jobs that run, as an operator does it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from lab.jobrunner.backend import Backend
from test_jobrunner_flows import Flows


@pytest.mark.step("O22")
def test_jobs_that_cannot_be_looked_for_are_not_called_drained(backend: Backend, tmp_path: Path) -> None:
    backend.add_job("running", "executing", container="running")
    elsewhere = backend.workdir / "elsewhere.sqlite"

    def take_away() -> None:
        deadline = time.monotonic() + 60
        while not backend.flags() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.2)  # the flag is set, and its task over soon
        backend.database.rename(elsewhere)

    thread = threading.Thread(target=take_away)
    thread.start()
    run = Flows(backend, tmp_path).run("pause", jobrunner_drain_timeout=1)
    thread.join()
    elsewhere.rename(backend.database)
    assert backend.flags()["paused"][0] == "true"
    assert run.rc != 0
    assert "0 jobs still run" not in run.output
    assert "whether jobs still run is not known: " in run.failures
    assert "there is no database" in run.failures


@pytest.mark.step("O22")
def test_jobs_that_run_on_are_named(backend: Backend, tmp_path: Path) -> None:
    job = backend.add_job("running", "executing", container="running")
    run = Flows(backend, tmp_path).run("pause", jobrunner_drain_timeout=1)
    assert run.rc == 0
    assert f"After 1 s 1 jobs still run: {job}" in run.output
