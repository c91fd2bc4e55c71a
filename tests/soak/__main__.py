# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make soak`: SOAK_MINUTES (60), SOAK_SEED (any), SOAK_ROUNDS (as many as there is time for), SOAK_HOSTS (all that there are faults for)."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

from lab.hosts.laboratory import Lab
from operating import Operator
from play import ROOT, Run

from . import invariants
from .faults import FAULTS, SAID, SERVERS, data, seed, up
from .plan import Round, counted, reproduce, round_of

KILL = """
import os, signal
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        words = open("/proc/%s/cmdline" % pid, "rb").read().split(b"\\0")
    except OSError:
        continue
    piped = len(words) == 2 and b"python" in words[0]  # a module that came through a pipe
    if (piped or any(b"AnsiballZ_" in word for word in words)) and int(pid) != os.getpid():
        os.kill(int(pid), signal.SIGKILL)
"""
LOG = ROOT / ".cache" / "soak" / "plays.log"
CALM = 600.0
SETTLED = 3
"""Remediations after which all is mended: what a killed one has left may have to be looked at before it is."""


def said(text: str) -> None:
    """To the person who waits; what Ansible says goes elsewhere."""
    print(text, file=sys.__stdout__, flush=True)
    print(text, flush=True)


class Soak:
    """Rounds on the hosts of one laboratory."""

    def __init__(self, lab: Lab, names: list[str], seed_: int, work: Path) -> None:
        self.names, self.seed = names, seed_
        self.operator = Operator(lab, work)
        self.servers = up(lab, names)
        seed(self.servers)
        self.data = data(self.servers)
        if not self.data or not all(self.data.values()):
            raise RuntimeError(f"nothing was put there that could be lost: {self.data}")
        self.faults = {name: fault for name, fault in FAULTS.items() if fault.host in names}
        self.told: dict[str, list[str]] = {key: [] for key in ("made", "found", "mended", "refused", "killed", "undone", "judged", "wrong")}
        self.journals: dict[str, list[str]] = {name: [] for name in names}

    def round(self, this: Round) -> None:
        said(f"round {this.number}: {', '.join(this.faults)}{f'; killed after {this.kill_after} s' if this.kill_after else ''}")
        for name in this.faults:
            self.faults[name].make(self.server(name))
        self.told["made"] += this.faults
        swept = self.operator.play("triage", *self.servers.values(), **SAID)
        self.judge(invariants.unseen({name: self.faults[name].code for name in this.faults}, sorted(swept.standing)), "each fault is found")
        self.told["found"] += [name for name in this.faults if self.faults[name].code in swept.standing]
        if this.kill_after is not None:
            self.killed(this)
            self.calm()
        done = self.mended()
        self.told["mended"] += this.faults
        if this.undo and done is not None:
            self.undone(this.undo, done)
        self.whole(this.kill_after is not None)

    def server(self, fault: str) -> Any:
        return self.servers[self.faults[fault].host]

    def broken(self) -> list[str]:
        return [name for name, fault in self.faults.items() if fault.broken(self.server(name))]

    def remedy(self) -> dict[str, Any]:
        return {**SAID, "remediate_codes": sorted(fault.code for fault in self.faults.values())}

    def mended(self) -> Run | None:
        """The last remediation; it may be refused at first, for what a killed one has left."""
        done = None
        for _try in range(SETTLED):
            done = self.operator.play("remediate", *self.servers.values(), **self.remedy())
            if done.rc == 0 and not self.broken():
                break
            self.told["refused"] += done.failures.splitlines() or ["it ended well, and all was not mended"]
        self.judge([f"still broken: {name}" for name in self.broken()], "all is mended")
        return done

    def killed(self, this: Round) -> None:
        """At a moment of no choice. A module whose operator is lost goes on by itself, and holds the lock until it has ended."""

        limit = ",".join(self.names)
        words = [str(ROOT / "playbooks" / "remediate.yml"), "--limit", limit, "-e", json.dumps(self.remedy())]
        command = self.operator.command("ansible-playbook", *words)
        process = subprocess.Popen(
            command,
            env=self.operator.environment,
            cwd=self.operator.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(this.kill_after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if this.node:
                for server in self.servers.values():
                    server.host.run(["python3", "-c", KILL])
            self.told["killed"].append("the operator's machine and the modules on the nodes" if this.node else "the operator's machine")

    def calm(self) -> None:
        """What goes on by itself is waited for. One that was killed itself holds nothing, so that this is short."""
        deadline = time.monotonic() + CALM
        for name, server in self.servers.items():
            while lock := self.operator.module(server, "runbook_journal_info", limit=1)["lock"]:
                if time.monotonic() > deadline:
                    self.told["wrong"].append(f"{name}: {CALM:g} s after a kill there is still a lock: {lock}")
                    break
                time.sleep(2)

    def undone(self, name: str, done: Run) -> None:
        """Taken back, the fault is there again; then it is mended again."""
        fault = self.faults[name]
        command = next((each["command"] for each in done.report["undo"] if each["host"] == fault.host and fault.undo in each["undo_id"]), None)
        if command is None:
            return  # a killed remediation had mended it before

        back = self.operator._call(shlex.split(command), timeout=180)
        self.judge([f"undo of {name!r} failed: {back.stdout[-500:]}"] if back.returncode else [], "what can be undone is")
        self.judge([] if fault.broken(self.server(name)) else [f"undo of {name!r} did not give the old state back"], "undo gives the old state back")
        self.told["undone"].append(name)
        self.mended()

    def whole(self, killed: bool) -> None:
        self.judge(invariants.lost(self.data, data(self.servers)), "nothing is lost")
        for name, server in self.servers.items():
            told = self.operator.module(server, "runbook_journal_info", limit=10000)
            self.judge([f"{name}: {each}" for each in invariants.locked(told)], "no lock is left")
            self.judge([f"{name}: {each}" for each in invariants.incomplete(told["runs"], self.journals[name], killed)], "the journal is complete")
            self.journals[name] = [run["undo_id"] for run in told["runs"]]

    def judge(self, wrong: list[str], what: str) -> None:
        self.told["judged"].append(what)
        self.told["wrong"] += wrong

    def summary(self, rounds: int) -> str:
        lines = [f"{rounds} rounds, seed {self.seed}, hosts {', '.join(self.names)}"]
        for key in ("made", "found", "mended", "killed", "undone", "refused", "judged"):
            lines += [f"{key}:", *(f"  {number:4d}  {what[:200]}" for what, number in counted(self.told[key]).items())]
        return "\n".join([*lines, "VIOLATED:" if self.told["wrong"] else "All held.", *(f"  {each}" for each in self.told["wrong"])])


def main() -> int:
    minutes, most = float(os.environ.get("SOAK_MINUTES") or 60), int(os.environ.get("SOAK_ROUNDS") or 10**9)
    chosen = int(os.environ.get("SOAK_SEED") or secrets.randbelow(10**9))
    names = (os.environ.get("SOAK_HOSTS") or ",".join(SERVERS)).split(",")
    LOG.parent.mkdir(parents=True, exist_ok=True)
    print(f"seed {chosen}; hosts {', '.join(names)}; what Ansible says is in {LOG}", flush=True)
    with tempfile.TemporaryDirectory() as work, Lab() as lab, LOG.open("w", encoding="utf-8") as log, contextlib.redirect_stdout(log):
        soak = Soak(lab, names, chosen, Path(work))
        deadline, number = time.monotonic() + 60 * minutes, 0
        undoable = [name for name, fault in soak.faults.items() if fault.undo]
        while number < most and time.monotonic() < deadline and not soak.told["wrong"]:
            number += 1
            soak.round(round_of(chosen, number, list(soak.faults), undoable))
        said("\n" + textwrap.indent(soak.summary(number), "  "))
    if soak.told["wrong"]:
        print(f"The same again: {reproduce(chosen, number, names)}")
    return 1 if soak.told["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
