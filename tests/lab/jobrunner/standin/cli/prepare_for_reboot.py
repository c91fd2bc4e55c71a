# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``prepare_for_reboot``: every running job is killed and becomes pending. The row is written before Docker is asked to do anything."""

from __future__ import annotations

from ..loop import Loop
from .asking import confirm, opened

WARNING = (
    "== DANGER ZONE ==\n\nThis will kill all running jobs and reset them to the PENDING state, ready\nto be restarted following a reboot.\n\n"
    "It should only be run when the job-runner service has been stopped.\n"
)


def run() -> None:
    """The command."""
    config, store = opened()
    print(WARNING)
    confirm("Are you sure you want to continue? (y/N)", "y")
    loop = Loop(config, store)
    for job in store.jobs("state = 'running'"):
        print(f"reseting job {job.id} to PENDING")
        loop.set_code(job, "waiting_on_reboot", "Job restarted - waiting for server to reboot")
        loop.executor.client.kill(f"os-job-{job.id}")
        loop.executor.clean(job)


if __name__ == "__main__":
    run()
