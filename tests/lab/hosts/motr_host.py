# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test does on a server of Motr: breaks it, looks at what is left.

motr = MotrHost(host("motr"))
motr.ask_m0d()                               # what a client's request gets: reqh.SERVED or reqh.REFUSED
motr.stop_requests()                         # as whoever follows the runbook does, and forgets it
motr.drive("failed")                         # Hare's state of the first drive
motr.values(), motr.events(), motr.health(NODE, "critical")     # `lab.hare.Keys`
motr.mend()
"""

from __future__ import annotations

from lab.hare import fid
from lab.hosts.motr_sites import FIFO, PORT, PROCESS, Client, fill
from lab.motr.reqh import REFUSED, SERVED

JOURNALS = "/var/lib/fieldops/runbooks"
DRIVE = fid("k", 0x41)
SDEV = fid("d", 0x31)
DRAIN = 2
ASK = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(open(sys.argv[1]).readline())), timeout=60) as client:
    client.sendall(b"write\\n")
    print(client.makefile().readline())
"""


class MotrHost(Client):
    """`host` with what is particular to a server of Motr."""

    def ask_m0d(self) -> int:
        """What a client gets for a request."""
        return int(self.host.run(["python3", "-c", ASK, PORT]).stdout)

    def stop_requests(self) -> None:
        """The request handler drains, and nobody has it serve again."""
        self._say(f"state {DRAIN}")
        self.host.wait_for(lambda: self.ask_m0d() == REFUSED, "requests are refused")

    def drive(self, state: str) -> None:
        """Hare's state of the first drive of the first node, as hax sets it."""
        (key,) = (key for key in self.values("m0conf/nodes/") if key.endswith(f"/sdevs/{SDEV}") and PROCESS in key)
        self.put(key, {**self.values(key)[key], "state": state})

    @property
    def drive_state(self) -> str:
        (value,) = (value for key, value in self.values("m0conf/nodes/").items() if key.endswith(f"/sdevs/{SDEV}"))
        return str(value["state"])

    def mend(self) -> None:
        """As it was, and nothing that modules keep for a next time."""
        self.host.run(["rm", "-rf", JOURNALS])
        self.host.run(["systemctl", "restart", "m0d.service"])
        fill(self.host)
        self.host.wait_for(lambda: self.host.read(PORT).strip() and self.ask_m0d() == SERVED, "requests are served")

    def _say(self, line: str) -> None:
        self.host.run(["sh", "-c", f"echo '{line}' >{FIFO}"])


__all__ = ["DRIVE", "PROCESS", "REFUSED", "SDEV", "SERVED", "MotrHost"]
