# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a host: a method of `lab.jobrunner.jobs.Jobs`, by name, for the backend that is there. Standard input: [method, arguments, options] as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from lab.jobrunner.jobs import Jobs
from lab.jobrunner.lab_secrets import SECRETS

DATABASE = Path("/home/opensafely/jobrunner/workdir/db.sqlite")
HIGH = Path("/srv/high_privacy")


class CommandLine:
    """The host's engine."""

    def docker(self, *arguments: str) -> str:
        """What the client answers."""
        done = subprocess.run(["docker", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"docker {' '.join(arguments[:2])}: {done.stderr}")
        return done.stdout.strip()

    def inspect(self, thing: str, kind: str = "container") -> dict[str, Any] | None:
        """A container or volume, if there is one."""
        done = subprocess.run(["docker", "inspect", "--type", kind, thing], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
        return found[0] if found else None


def main() -> None:
    """Call it, and print what it gave."""
    method, arguments, options = json.load(sys.stdin)
    jobs = Jobs(DATABASE, HIGH, CommandLine(), 2, SECRETS["DEFAULT_DATABASE_URL"])
    with jobs.connection() as connection:
        jobs.user_version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    print(json.dumps(getattr(jobs, method)(*arguments, **options)))


if __name__ == "__main__":
    main()
