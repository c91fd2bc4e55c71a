# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a broken replica set of one to a write that a majority acknowledges: with our module, and with the runbook's own sequence.

The runbook's is what a restart of its database does: the server is killed and started, ten seconds later it is initiated and a configuration is forced,
and somebody tries to write until that works. Beside it, the same without the ten seconds. Ends with 1 when any of them does not end with a write.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from lab.keeper import keeper
from lab.mongo import Mongod, binaries, free_port, wait_for
from measure import CommandFailed, Usage, run
from run import rotated, snapshot
from table import Line, render

OURS = """
import json, sys
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb.repair import Repair
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.guard import GuardOptions
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.run import Engine
params, journal = json.loads(sys.argv[1]), sys.argv[2]
result = Engine(Repair(params), GuardOptions(journal_dir=journal), check_mode=False).run()
print(json.dumps({"actions": [change.action for change in result.changes], "proven": result.facts["replica_set"]["proven_at"]}))
"""
RUNBOOKS = """
import json, sys, time
from pymongo import MongoClient, WriteConcern
from pymongo.errors import PyMongoError
params, pause = json.loads(sys.argv[1]), float(sys.argv[2])
time.sleep(pause)
host, port = params["login_host"], params["login_port"]
client = MongoClient(host, port, directConnection=True, retryWrites=False)
config = {"_id": "rs0", "version": 1, "members": [{"_id": 0, "host": "%s:%d" % (host, port)}]}
for command, more in (("replSetInitiate", {}), ("replSetReconfig", {"force": True})):
    try:
        client.admin.command(command, config, **more)
    except PyMongoError:
        pass  # as its shell does: it goes on
collection = client.proof.get_collection("writes", write_concern=WriteConcern("majority", wtimeout=30000))
deadline = time.monotonic() + 60
while True:
    try:
        collection.insert_one({})
        break
    except PyMongoError:
        if time.monotonic() > deadline:
            raise
        time.sleep(0.05)
print(json.dumps({"proven": True}))
"""
DEFAULTS: dict[str, Any] = {"host": None, "replica_set": None, "stepped_down": "lift", "wait": 60.0, "probe_database": "fieldops_probe", "accept_data_loss": []}
PAUSE = 10.0
Case = Callable[[Path], Mongod]


def not_initiated(place: Path) -> Mongod:
    return Mongod(place).start()


def removed(place: Path) -> Mongod:
    """Its port is another one than in its configuration."""
    mongod = Mongod(place).start().initiate()
    mongod.write()
    mongod.restart(port=free_port())
    wait_for(mongod.config, "its configuration is loaded")
    return mongod


CASES: dict[str, Case] = {"not initiated": not_initiated, "removed": removed}


class Bench:
    """All contenders on a fresh server each."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.env = dict(os.environ, PYTHONPATH=str(snapshot(work / "tree")), LC_ALL="C")
        self.lines: dict[str, Line] = {}
        self.done: dict[str, list[str]] = {}

    def play(self, case: str, contender: str) -> None:
        label, against = f"{case}: {contender}", f"{case}: runbook"
        place = self.work / "mongod"
        mongod = CASES[case](place)
        try:
            usage = self._ours(mongod) if contender == "module" else self._runbooks(mongod, PAUSE if contender == "runbook" else 0.0)
            mongod.write()  # what was printed is true
        finally:
            mongod.close()
            shutil.rmtree(place)
        self.lines.setdefault(label, Line(label, against)).usages.append(usage)

    def _ours(self, mongod: Mongod) -> Usage:
        params = json.dumps({**DEFAULTS, **mongod.params})
        usage, printed = run([sys.executable, "-c", OURS, params, str(self.work / "journal")], self.work, self.env)
        told = json.loads(printed)
        if told["proven"] is None:
            raise CommandFailed(f"nothing was repaired: {printed}")
        self.done.setdefault(" ".join(told["actions"]), []).append(told["proven"])
        return usage

    def _runbooks(self, mongod: Mongod, pause: float) -> Usage:
        """Its container is killed and started again, which takes time as well."""
        started = time.monotonic()
        mongod.kill()
        mongod.start()
        restarted = time.monotonic() - started
        usage, _printed = run([sys.executable, "-c", RUNBOOKS, json.dumps(mongod.params), str(pause)], self.work, self.env)
        return Usage(usage.wall + restarted, usage.cpu, usage.peak_mib)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds (default: %(default)s)")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("it takes at least one round")
    return options


def main() -> int:
    options = arguments()
    contenders = ["runbook", "runbook without its sleep", "module"]
    with tempfile.TemporaryDirectory(prefix="fieldops-bench-") as name:
        keeper().watch_directory(name)
        bench = Bench(Path(name))
        try:
            for number in range(options.rounds):
                for case in CASES:
                    for contender in rotated(contenders, number):
                        bench.play(case, contender)
        except CommandFailed as exc:
            print(f"The benchmark did not get to its end: {exc}", file=sys.stderr)
            return 1
    print(f"From a broken set of one to a write that a majority has; median of {options.rounds} rounds")
    versions = f"MongoDB {binaries.version_of('6.0')} on the same machine, Python {platform.python_version()}"
    print(f"{os.cpu_count()} cores, {versions}; load {os.getloadavg()[0]:.1f}\n\n{render(ordered(bench.lines, contenders))}\n")
    print("Our module did: " + "; ".join(f"{actions} ({len(proven)} times)" for actions, proven in bench.done.items()))
    return 0


def ordered(lines: dict[str, Line], contenders: list[str]) -> dict[str, Line]:
    return {label: lines[label] for case in CASES for label in (f"{case}: {contender}" for contender in contenders)}


if __name__ == "__main__":
    sys.exit(main())
