# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``kill_job [--cleanup] ID...``: an active job fails at once; its container is killed and its logs are kept, of whatever job."""

from __future__ import annotations

import argparse
import sys

from ..executor import admin_metadata, define
from ..loop import Loop
from .asking import choose, confirm, opened


def run(argv: list[str]) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="kill_job")
    parser.add_argument("--cleanup", action="store_true")
    parser.add_argument("partial_job_ids", nargs="+")
    given = parser.parse_args(argv)
    config, store = opened()
    chosen = [choose(store, part) for part in given.partial_job_ids]
    if any(sure for _job, sure in chosen):
        print("About to kill jobs:", *(f"  {job.title}" for job, _sure in chosen), sep="\n")
        confirm("\nEnter to continue, Ctrl-C to quit ")
    loop = Loop(config, store)
    for job, _sure in chosen:
        if job.state in {"pending", "running"}:
            loop.set_code(job, "killed_by_admin", "An OpenSAFELY admin manually killed this job")
        loop.executor.client.kill(f"os-job-{job.id}")
        container = loop.executor.client.inspect(f"os-job-{job.id}")
        if container is not None:
            loop.executor.filing.write_logs(job, admin_metadata(define(config, job), container), copy=False)
        if given.cleanup:
            loop.executor.clean(job)


if __name__ == "__main__":
    run(sys.argv[1:])
