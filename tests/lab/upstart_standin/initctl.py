# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`initctl`, as far as it is needed here: version, list, start and stop. What it does not know it refuses."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lab.systemd_standin.units import NotFound
from lab.upstart_standin import Jobs

STATES = {"active": "start/running", "activating": "start/starting", "deactivating": "stop/killed", "inactive": "stop/waiting", "failed": "stop/waiting"}


def line(jobs: Jobs, unit: str) -> str:
    """One job as `list` shows it."""
    state = jobs.state(unit)
    process = f", process {state['MainPID']}" if state["MainPID"] else ""
    return f"{unit.removesuffix('.service')} {STATES[state['ActiveState']]}{process}"


def start(jobs: Jobs, name: str) -> str:
    """Why not, if it is refused."""
    if jobs.runner(name):
        return f"Job is already running: {name}"
    jobs.start(name)
    return ""


def stop(jobs: Jobs, name: str) -> str:
    """Likewise."""
    if not jobs.runner(name):
        return "Unknown instance: "
    jobs.stop(name, block=False)
    return ""


def main(arguments: Sequence[str]) -> int:
    """The command."""
    jobs, words = Jobs(arguments[0]), [word for word in arguments[1:] if word != "--no-wait"]
    verb, names = words[0], words[1:]
    if words == ["version"]:
        print("init (upstart 1.12.1)")
        return 0
    if words == ["list"]:
        print("\n".join(line(jobs, unit) for unit in jobs.names()))
        return 0
    if verb not in {"start", "stop"} or len(names) != 1:
        print(f"initctl: invalid command: {' '.join(words)}", file=sys.stderr)
        return 1
    try:
        jobs.unit(names[0])
        refusal = (start if verb == "start" else stop)(jobs, names[0])
    except NotFound:
        refusal = f"Unknown job: {names[0]}"
    if refusal:
        print(f"initctl: {refusal}", file=sys.stderr)
        return 1
    print(line(jobs, f"{names[0]}.service"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
