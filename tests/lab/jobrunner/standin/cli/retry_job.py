# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``retry_job ID``: whatever state the job is in, it is executing again, if only its container is there; then job-server is told."""

from __future__ import annotations

import argparse
import sys
import time

from ..executor import Executor
from ..sync import Sync, remote
from .asking import choose, confirm, opened


def run(argv: list[str]) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="retry_job")
    parser.add_argument("partial_job_id")
    given = parser.parse_args(argv)
    config, store = opened()
    job, sure = choose(store, given.partial_job_id)
    if sure:
        print(f"About to reset job:\n  {job.title}\n")
        confirm("Enter to continue, Ctrl-C to quit ")
    if Executor(config).client.inspect(f"os-job-{job.id}") is None:
        raise RuntimeError("Cannot reset job, associated container does not exist")
    job.set(state="running", status_message="Re-attempting to extract outputs", status_code="executing", completed_at=None, updated_at=int(time.time()))
    print("\nUpdating job in database:")
    store.update(job)
    print("\nPOSTing update to job-server")
    Sync(config, store).ask("POST", "jobs/", [remote(job)])
    print("\nDone")


if __name__ == "__main__":
    run(sys.argv[1:])
