# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node with 2,000 pipes: our look at it, beside fetching the very same with curl, and beside what the runbook fetches.

The node is the laboratory's stand-in, whose pipes have 2 to 3 kB each. Ends with 1 when the module does not see every pipe, when it asks more than one
request for all of them, or when ten times as many pipes take it noticeably more memory.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from lab.keeper import keeper
from lab.sesam import samples
from lab.sesam.plain import PlainSesam
from measure import CommandFailed, run
from run import rotated, snapshot
from table import Line, render

MODULE = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.fieldops.runbooks.plugins.modules import sesam_node_info
with patch_module_args(json.loads(sys.stdin.read())):
    sesam_node_info.main()
"""
STREAM = """
import json, sys, time
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.api import Node
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.pipes import Limits, read_pipes
params = json.loads(sys.stdin.read())
found = read_pipes(Node(params).stream("pipes", {"fields": "runtime"}), time.time(), Limits(), 100)
print(json.dumps({"pipes": {"total": found.total, "complete": found.complete}}))
"""
LOADS = """
import json, sys
print(json.dumps({"pipes": {"total": len(json.loads(sys.stdin.read())), "complete": True}}))
"""
SAME, WHOLE = "pipes?fields=runtime", "pipes"
CONTENDERS = ("curl, the same", "stream", "module, pipes alone", "module, all that the API tells", "curl, the runbook's", "curl, the same, and json.loads")
AGAINST = "curl, the same"
NO_ENGINE = "unix:///nonexistent/docker.sock"
MORE = 10
GROWTH_MIB = 16.0


class Bench:
    """All contenders on one node."""

    def __init__(self, work: Path, pipes: int) -> None:
        self.work, self.pipes = work, pipes
        self.env = dict(os.environ, PYTHONPATH=str(snapshot(work / "tree")), LC_ALL="C")
        self.lines = {label: Line(f"{pipes}: {label}", f"{pipes}: {AGAINST}") for label in CONTENDERS}
        self.bytes: dict[str, int] = {}
        self.node = PlainSesam(work / "node", config=samples.config(pipes=pipes - 2, scheduled=1, interval=3600))

    def play(self, contender: str) -> None:
        """Once, and what it says is held against what is so."""
        self.node.forget_requests()
        if contender.startswith("curl"):
            printed = self._curl(contender)
            told = self.pipes if printed is None else json.loads(printed)["pipes"]["total"]
        else:
            told = self._ours(contender)
        asked = [entry["path"] for entry in self.node.requests].count("/api/pipes")
        if (told, asked) != (self.pipes, 1):
            raise CommandFailed(f"{contender}: {told} of {self.pipes} pipes were told, with {asked} requests")

    def _ours(self, contender: str) -> int:
        params = {"api_url": self.node.url, "jwt": self.node.token(), "request_timeout": 300, "validate_certs": True, "ca_cert": None}
        if contender == "stream":
            command = [sys.executable, "-c", STREAM]
        else:
            command = [sys.executable, "-c", MODULE]
            parts = ["pipes"] if contender == "module, pipes alone" else ["health", "status", "license", "pipes", "scheduler"]
            params.update(parts=parts, data_folder=str(self.node.data), docker_host=NO_ENGINE)
        usage, printed = run(command, self.work, self.env, json.dumps(params))
        self.lines[contender].usages.append(usage)
        found = json.loads(printed)["pipes"]
        return int(found["total"]) if found["complete"] else 0

    def _curl(self, contender: str) -> str | None:
        """The token comes out of a file, so that it is in no list of processes. The answer goes to a file, or to Python."""
        path = WHOLE if "runbook" in contender else SAME
        answer = self.work / "answer"
        words = ["curl", "-sf", "--config", "-", "-H", "Accept: application/json", f"{self.node.url}/{path}"]
        token = f'header = "Authorization: Bearer {self.node.token()}"\n'
        if not contender.endswith("json.loads"):
            usage, _printed = run([*words, "-o", str(answer)], self.work, self.env, token)
            self.bytes[path] = answer.stat().st_size
            self.lines[contender].usages.append(usage)
            return None
        quoted = " ".join("'%s'" % word.replace("'", "'\\''") for word in words)
        usage, printed = run(["sh", "-c", f'{quoted} | "{sys.executable}" -c "$LOADS"'], self.work, {**self.env, "LOADS": LOADS}, token)
        self.lines[contender].usages.append(usage)
        return printed

    def peak(self, contender: str) -> float:
        return max(usage.peak_mib for usage in self.lines[contender].usages)


def measured(work: Path, pipes: int, rounds: int, contenders: tuple[str, ...]) -> Bench:
    """So many rounds, each of which begins with another contender; one before them is not counted."""
    work.mkdir()
    bench = Bench(work, pipes)
    try:
        bench.node.start()
        for contender in contenders:
            bench.play(contender)
            bench.lines[contender].usages.clear()
        for number in range(rounds):
            for contender in rotated(contenders, number):
                bench.play(contender)
    finally:
        bench.node.close()
    return bench


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pipes", type=int, default=2000, help="pipes of the node (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (default: %(default)s)")
    options = parser.parse_args()
    if options.rounds < 1 or options.pipes < 2:
        parser.error("it takes at least one round and two pipes")
    return options


def main() -> int:
    options = arguments()
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="fieldops-bench-") as name:
        keeper().watch_directory(name)
        try:
            many = measured(Path(name) / "many", options.pipes, options.rounds, CONTENDERS)
            more = measured(Path(name) / "more", MORE * options.pipes, 1, ("stream", "module, pipes alone", AGAINST))
        except CommandFailed as exc:
            print(f"The benchmark did not get to its end: {exc}", file=sys.stderr)
            return 1
    sizes = f"{many.bytes[SAME] / 1e6:.1f} MB of runtime, {many.bytes[WHOLE] / 1e6:.1f} MB in all"
    print(f"The pipes of a node, {options.pipes:,} of them ({sizes}); median of {options.rounds} rounds, and {MORE} times as many once")
    load = f"load {before:.1f} before, {os.getloadavg()[0]:.1f} after"
    print(f"{os.cpu_count()} cores, stand-in of a node on the same machine, Python {platform.python_version()}; {load}\n")
    lines = [*many.lines.values(), *(line for line in more.lines.values() if line.usages)]
    print(render({line.label: line for line in lines}))
    growth = max(more.peak(contender) - many.peak(contender) for contender in ("stream", "module, pipes alone"))
    print(f"\n{MORE} times as many pipes took {growth:+.1f} MiB more memory at the peak")
    return 1 if growth > GROWTH_MIB else 0


if __name__ == "__main__":
    sys.exit(main())
