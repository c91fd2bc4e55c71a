# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for upstart, which no distribution of today carries: `initctl`, with upstart's words, refusals and exit codes.

Its jobs are run by what runs the units of the stand-in for systemd, with upstart's settings: respawn at once, and a kill after 5 seconds.

    jobs = Jobs(tmp_path / "upstart").create()
    jobs.define("talus_slave", command, environment)
    os.environ["PATH"] = f"{jobs.bin}:{os.environ['PATH']}"     # `initctl` is the stand-in from here on
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence

from lab.systemd_standin.units import TESTS, Units

KILL_TIMEOUT = 5.0


class Jobs(Units):
    """Below one directory. Everything ends when the process that made it is gone."""

    def create(self) -> Jobs:
        """Make the directory and the command."""
        self.bin.mkdir(parents=True)
        command = [sys.executable, "-m", "lab.upstart_standin.initctl", str(self.directory)]
        script = self.bin / "initctl"
        script.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(TESTS))} exec {shlex.join(command)} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
        return self

    def define(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], *, timeout_stop: float = KILL_TIMEOUT, restart_sec: float = 0.05
    ) -> None:
        """A job with `respawn`."""
        super().define(name, command, environment, timeout_stop=timeout_stop, restart_sec=restart_sec)
