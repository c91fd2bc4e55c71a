# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The thread that asks the node's own API how it is, and writes down where every thread is when nobody answers."""

from __future__ import annotations

import http.client
import threading
import time

from lab.sesam.standin import stacktrace
from lab.sesam.standin.state import State


class HealthChecker(threading.Thread):
    """A thread."""

    def __init__(self, node: State, secret: str) -> None:
        super().__init__(name="health-checker", daemon=True)
        self.node, self.secret = node, secret

    def run(self) -> None:
        """For ever."""
        while True:
            time.sleep(self.node.settings["health_interval"])
            self.node.look_at_licence()
            if not self.node.starting and not self.node.settings["certificate"]:
                self.look()

    def look(self) -> None:
        """Once."""
        settings = self.node.settings
        try:
            connection = http.client.HTTPConnection("127.0.0.1", settings["port"], timeout=settings["health_timeout"])
            connection.request("GET", "/api/health", headers={"X-Lab-Health": self.secret, "Accept": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            self.node.logs.write("node_health", f"The call to /api/health failed: {error!r}. Writing a stacktrace.", "ERROR")
            stacktrace.write(self.node.logs.folder, settings["stacktrace_bytes"], settings["stacktrace_seconds"])
            return
        self.node.logs.write("node_health", f"/api/health: {answer.status} {text}", "INFO" if answer.status == 200 else "WARNING")
