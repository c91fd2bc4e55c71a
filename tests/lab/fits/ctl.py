# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stop and start the workers of one root and queue, for hosts where systemd does not run them.

    python ctl.py <root> stop|start|status ingest|export|all [--timeout SECONDS]

Exit codes: stop 0 all ended by themselves, 1 some had to be killed; start 0 all run, 1 not; status 0 all run, 3 none
runs, 1 some do. Nothing but the processes recorded in <root>/workers.json is ever signalled.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lab.fits.procs import Entry, Processes


def _show(entries: list[Entry], word: str) -> None:
    for entry in entries:
        print(f"{entry['queue']} {entry['name']} {word} pid {entry['pid']}")


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("action", choices=("stop", "start", "status"))
    parser.add_argument("queue", choices=("ingest", "export", "all"))
    parser.add_argument("--timeout", type=float, default=90.0)
    options = parser.parse_args(arguments)
    queue = None if options.queue == "all" else options.queue
    processes = Processes(options.root, guarded=False)
    defined = processes.defined(queue)
    if options.action == "stop":
        living = processes.running(queue)
        killed = processes.stop(queue, options.timeout)
        _show([entry for entry in living if entry not in killed], "stopped")
        _show(killed, "killed")
        return 1 if killed else 0
    if options.action == "start":
        _show(processes.start(queue), "started")
    living = processes.running(queue)
    if options.action == "status":
        _show(living, "running")
        return 0 if len(living) >= len(defined) > 0 else (1 if living else 3)
    return 0 if len(living) >= len(defined) else 1


if __name__ == "__main__":
    sys.exit(main())
