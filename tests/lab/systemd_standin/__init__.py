# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for systemd, for machines whose first process is another: units that run, restart and stop real processes.

It answers the calls of `systemctl` that ansible.builtin.systemd_service and the roles make, in systemd's words and with
its exit codes, and keeps to the settings of upstream's units: Type=simple, Restart=always, TimeoutStopSec, KillMode=control-group.
What it does not know it refuses. The real systemd is tested on hosts that have it.

    units = Units(tmp_path / "systemd")
    units.define("fits-service_ingest_queue1", command, environment)
    os.environ["PATH"] = f"{units.bin}:{os.environ['PATH']}"     # `systemctl` is the stand-in from here on
"""
