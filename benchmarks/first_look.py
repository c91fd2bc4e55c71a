# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a first look at a FITS host costs, in multiples of one `ansible.builtin.ping` task on the same host in the same run; beside it the
runbook's own commands, each as a task.

The look is the role's: `node_health_info` (web site, API back end, disks, ingest, DHS), `fits_queue_info` (ingest, export) and
`runbook_journal_info`, together in one task; beside it the first two as tasks of their own. The host is one of the laboratory, with systemd,
PostgreSQL and all services.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from lab.hosts import Lab

HERE = Path(__file__).resolve().parent
OWN = "fieldops.runbooks."
TOGETHER, *ALONE = (f"{OWN}{name}" for name in ("runbook_looks", "node_health_info", "fits_queue_info"))
SQL = (
    "select * from ingestqueue where failed or inprogress limit 100",
    "select * from exportqueue where failed or inprogress limit 100",
    "select count(*) from diskfile where canonical",
)
PSQL = ["sudo", "-u", "fitsdata", "psql", "-c"]
LOGS = ("/opt/modwsgi-default/error_log", "/opt/modwsgi-default/access_log", "/data/logs/copy_from_dhs.py.log", "/data/logs/service_export_queue.py-seq1.log")


def runbook() -> list[dict[str, Any]]:
    """What the runbook has one type, in its order."""
    typed = [f"ps -Aef | grep {word}" for word in ("http", "api", "dhs", "ingest", "export")] + ["df -h"]
    tasks: list[dict[str, Any]] = [{"name": f"runbook: {line}", "ansible.builtin.shell": line} for line in typed]
    tasks += [{"name": f"runbook: tail {path}", "ansible.builtin.command": {"argv": ["tail", "-100", path]}} for path in LOGS]
    return tasks + [{"name": f"runbook: {statement}", "ansible.builtin.command": {"argv": [*PSQL, statement, "fitsdata"]}} for statement in SQL]


def look() -> list[dict[str, Any]]:
    """The role's own tasks."""
    role = {"name": "fieldops.runbooks.fits"}
    asked = {"__fits_generation": "A", "__fits_worker_queue": "ingest", "__fits_aspects_now": ["web", "api", "disk", "ingest", "dhs"]}
    queues = {"__fits_queues": ["ingest", "export"], "fits_watch": 0}
    aspects = {"fits_generation": "A", "fits_sources": ["dhs"], "fits_triage_aspects": ["web", "api", "ingest", "export"], "fits_watch": 0}
    return [
        {"name": "together", "ansible.builtin.include_role": {**role, "tasks_from": "triage"}, "vars": aspects},
        {"name": "health", "ansible.builtin.include_role": {**role, "tasks_from": "look"}, "vars": asked},
        {"name": "queues", "ansible.builtin.include_role": {**role, "tasks_from": "queue_look"}, "vars": queues},
    ]


def times(lab: Lab, connection: str, rounds: int, work: Path) -> dict[str, list[float]]:
    """Seconds of every task, by its name, round by round."""
    inventory, playbook, written = work / "hosts.json", work / "play.json", work / "times"
    content = lab.inventory(connection)
    content["all"]["vars"] = {"ansible_become": connection == "ssh"}
    inventory.write_text(json.dumps(content), encoding="utf-8")
    tasks = [{"name": "ping", "ansible.builtin.ping": None}, *look(), *runbook()]
    play = {"hosts": "fits-a", "gather_facts": False, "tasks": tasks}
    playbook.write_text(json.dumps([play] * (rounds + 1)), encoding="utf-8")  # the first round only warms up
    written.unlink(missing_ok=True)
    env = dict(os.environ, TASK_TIMES=str(written), ANSIBLE_CALLBACK_PLUGINS=str(HERE / "callback_plugins"), ANSIBLE_CALLBACKS_ENABLED="task_times")
    done = subprocess.run(["ansible-playbook", "-i", str(inventory), str(playbook)], env=env, text=True, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"the benchmark did not get to its end:\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}")
    found: dict[str, list[float]] = {}
    for line in written.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        name = entry["action"] if entry["action"].startswith(OWN) else entry["task"]
        found.setdefault(name, []).append(entry["seconds"])
    return {name: seconds[1:] for name, seconds in found.items()}


def show(connection: str, found: dict[str, list[float]]) -> None:
    """Medians of sums, round by round, in multiples of that round's ping."""
    groups = {
        "ansible.builtin.ping": ["ping"],
        "look: together, as in a triage": [TOGETHER],
        "look: node_health_info alone": [ALONE[0]],
        "look: fits_queue_info alone": [ALONE[1]],
        f"runbook: its {len(runbook())} commands": [task["name"] for task in runbook()],
    }
    print(f"\n{connection} connection\n{'what':<32}{'s':>8}{'x ping':>9}{'min - max':>16}\n{'-' * 65}")
    for label, names in groups.items():
        sums = [sum(parts) for parts in zip(*(found[name] for name in names), strict=True)]
        ratios = [total / ping for total, ping in zip(sums, found["ping"], strict=True)]
        print(f"{label:<32}{median(sums):>8.2f}{median(ratios):>9.2f}{f'{min(ratios):.2f} - {max(ratios):.2f}':>16}")


def main() -> None:
    """Both ways to reach a host."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=9, help="timed rounds (default: %(default)s)")
    options = parser.parse_args()
    with Lab() as lab, tempfile.TemporaryDirectory(prefix="fieldops-bench-") as work:
        lab.up("fits-a")
        load = os.getloadavg()[0]
        for connection in ("docker", "ssh"):
            show(connection, times(lab, connection, options.rounds, Path(work)))
        print(f"\nmedian of {options.rounds} rounds; load {load:.1f} before, {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
