# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sweep costs, in multiples of `ansible all -m ping` on the same inventory in the same run: one system, all five, and 1 to 200 hosts.

Timed are whole processes, from `fork` to `wait`. The five systems are hosts of the laboratory, reached by the docker connection; the many hosts
are names for this machine, each looked at as a FITS server whose queues lie in one PostgreSQL, so that what a node does is paid for here, too.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from databases import fill
from lab.fits.schema import OWNER
from lab.hosts import Lab
from lab.hosts.fleet import QUICK, Fleet
from lab.pg import Postgres
from measure import Usage, run

HERE = Path(__file__).resolve().parent
OWN = "fieldops.runbooks."
NO_MODULE = ("include_", "import_", "set_fact", "set_stats", "meta", "debug", "fail", "assert", "add_host", "validate_argument_spec", "runbook_plan")


@dataclass
class Row:
    """One line of a table: the targets are for the wall, but where they are for memory."""

    label: str
    target: str = ""
    tasks: int | None = None
    ping: list[Usage] = field(default_factory=list)
    own: list[Usage] = field(default_factory=list)

    def cells(self) -> list[str]:
        wall = [own.wall / ping.wall for own, ping in zip(self.own, self.ping, strict=True)]
        cpu = [own.cpu / ping.cpu for own, ping in zip(self.own, self.ping, strict=True)]
        peak = [own.peak_mib / ping.peak_mib for own, ping in zip(self.own, self.ping, strict=True)]
        numbers = [f"{median(ping.wall for ping in self.ping):.2f}", f"{median(own.wall for own in self.own):.2f}", f"{median(wall):.2f}"]
        spread = f"{min(wall):.2f} - {max(wall):.2f}"
        return [self.label, *numbers, spread, f"{median(cpu):.2f}", f"{median(peak):.2f}", str(self.tasks or ""), self.target]


HEAD = ["what", "ping s", "s", "wall x ping", "min - max", "cpu x ping", "peak x ping", "tasks", "target"]


def show(title: str, rows: list[Row]) -> None:
    """One table."""
    table = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(cells[n]) for cells in table) for n in range(len(HEAD))]
    aligned = [[cell.ljust(width) if n in (0, 8) else cell.rjust(width) for n, (cell, width) in enumerate(zip(cells, widths, strict=True))] for cells in table]
    lines = ["  ".join(cells) for cells in aligned]
    print(f"\n{title}\n{lines[0].rstrip()}\n{'-' * len(lines[0])}\n" + "\n".join(line.rstrip() for line in lines[1:]), flush=True)


class Bench:
    """Runs of Ansible's commands with one inventory."""

    def __init__(self, work: Path, inventory: dict[str, Any]) -> None:
        self.work = work
        self.inventory = work / "hosts.json"
        self.inventory.write_text(json.dumps(inventory), encoding="utf-8")
        home = str(work / "ansible")
        self.env = dict(os.environ, ANSIBLE_HOME=home, ANSIBLE_NOCOLOR="1", ANSIBLE_CONFIG=str(HERE.parent / "ansible.cfg"))

    def ping(self, hosts: str) -> Usage:
        return run(["ansible", "-i", str(self.inventory), hosts, "-m", "ansible.builtin.ping", "-o"], self.work, self.env)[0]

    def module(self, name: str, args: dict[str, Any]) -> Usage:
        command = ["ansible", "-i", str(self.inventory), "all", "-m", f"{OWN}{name}", "-a", json.dumps(args)]
        return run(command, self.work, self.env)[0]

    def sweep(self, hosts: str, **env: str) -> Usage:
        command = ["ansible-playbook", "-i", str(self.inventory), f"{OWN}triage", "--limit", hosts]
        return run(command, self.work, dict(self.env, **env))[0]

    def tasks(self, hosts: str) -> int:
        """Tasks of a sweep that run a module on a host, counted in a run that is not timed; and none of its looks may fail."""
        times, report = self.work / "times", self.work / "report.json"
        times.unlink(missing_ok=True)
        enabled = {"ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback_plugins"), "ANSIBLE_CALLBACKS_ENABLED": f"task_times,{OWN}summary"}
        self.sweep(hosts, TASK_TIMES=str(times), FIELDOPS_REPORT=str(report), **enabled)
        failed = json.loads(report.read_text(encoding="utf-8"))["failed"]
        if failed:
            raise SystemExit(f"a look failed, so this measures nothing: {failed[0]}")
        entries = [json.loads(line) for line in times.read_text(encoding="utf-8").splitlines()]
        return len({entry["task"] for entry in entries if not entry["action"].rpartition(".")[2].startswith(NO_MODULE)})

    def measured(self, hosts: str, label: str, rounds: int, target: str) -> Row:
        row = Row(label, target, self.tasks(hosts))
        for number in range(rounds):
            both = [(row.ping, self.ping), (row.own, self.sweep)]
            for usages, act in both if number % 2 else both[::-1]:
                usages.append(act(hosts))
        return row


def systems(rounds: int, work: Path) -> None:
    """Each of the five systems, and all of them."""
    with Lab() as lab:
        fleet = Fleet.up(lab)
        inventory = lab.inventory()
        inventory["all"]["vars"] = {**QUICK, "ansible_python_interpreter": "/usr/bin/python3"}
        bench = Bench(work, inventory)
        names = [server.host.name for server in fleet.all]
        rows = [bench.measured(name, name, rounds, "2") for name in names]
        rows.append(bench.measured(",".join(names), "all five", rounds, "6, 12 tasks"))
    show("All checks of a system, on hosts of the laboratory, docker connection", rows)


@contextmanager
def served(work: Path) -> Iterator[dict[str, Any]]:
    """What a host of many is told about itself."""
    with Postgres() as server:
        template = fill(server, "C", 1000, 1)
        for name in ("scripts", "logs", "locks"):
            (work / name).mkdir()
        yield {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "fits_generation": "C",
            "fits_login_unix_socket": server.socket_dir,
            "fits_login_port": server.port,
            "fits_login_user": OWNER,
            "fits_login_db": template.name,
            "fits_scripts_dir": str(work / "scripts"),
            "fits_log_dir": [str(work / "logs")],
            "fits_lockfile_dir": [str(work / "locks")],
            "fits_watch": 0,
        }


def idle(variables: dict[str, Any], rounds: int, work: Path) -> None:
    """A fix that has nothing to do, beside its check and a ping."""
    names = {"login_unix_socket", "login_port", "login_user", "login_db", "scripts_dir", "log_dir", "lockfile_dir"}
    args = {name: variables[f"fits_{name}"] for name in names}
    bench = Bench(work, {"fits_servers": {"hosts": {"fits": variables}}})
    check = {**args, "queues": ["ingest"]}
    fix = {**args, "queue": "ingest", "journal_dir": str(work / "journal"), "limits_dir": str(work / "limits")}
    bench.module("fits_queue_reset", fix)  # the one orphan
    seconds: dict[str, list[float]] = {"ping": [], "check": [], "fix": []}
    for _round in range(rounds):
        seconds["ping"].append(bench.ping("all").wall)
        seconds["check"].append(bench.module("fits_queue_info", check).wall)
        seconds["fix"].append(bench.module("fits_queue_reset", fix).wall)
    beyond = [(each - check) / ping for ping, check, each in zip(*seconds.values(), strict=True)]
    print("\nfits_queue_reset with nothing to do, one task of `ansible`")
    print("  ".join(f"{name} {median(each):.2f} s" for name, each in seconds.items()), end="; ")
    print(f"the fix is its check + {median(beyond):.2f} pings ({min(beyond):.2f} - {max(beyond):.2f}; target 1)", flush=True)


def many(counts: list[int], rounds: int, work: Path) -> None:
    """A sweep of so many hosts, beside a ping of the same."""
    rows = []
    with served(work) as variables:
        for count in counts:
            hosts = {f"fits-{number:03}": variables for number in range(count)}
            bench = Bench(work, {"fits_servers": {"hosts": hosts}})
            target = "2.5; peak 1.3" if count == 50 else ""
            rows.append(bench.measured("all", f"{count} host{'s' if count > 1 else ''}", rounds if count < 200 else 1, target))
        idle(variables, rounds, work)
    show("FITS servers on this machine, local connection", rows)


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (default: %(default)s)")
    parser.add_argument("--hosts", default="1,10,50,200", help="numbers of hosts (default: %(default)s); none for no such table")
    parser.add_argument("--no-systems", action="store_true", help="leave the hosts of the laboratory out")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    counts = [int(count) for count in options.hosts.split(",") if count]
    with tempfile.TemporaryDirectory(prefix="fieldops-bench-") as work:
        if not options.no_systems:
            systems(options.rounds, Path(work))
        if counts:
            many(counts, options.rounds, Path(work))
    print(f"\nmedian of {options.rounds} rounds; load {load:.1f} before, {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
