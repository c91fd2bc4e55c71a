# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test does on a host with a Sesam node: asks it, breaks it, looks at what is left.

sesam = SesamHost(host("sesam"))
sesam.wait_up()
sesam.get("/status"), sesam.pipes(), sesam.runtime("crm-0"), sesam.metadata(), sesam.config()    # `lab.sesam.client`
sesam.fault(unwell=["stuck"])                # any setting of lab.sesam.standin.settings, while it runs
sesam.freeze_api(), sesam.freeze_process(), sesam.kill(), sesam.crash_loop(), sesam.not_caught()
sesam.container(), sesam.pid, sesam.traces(), sesam.log("node_health"), sesam.requests, sesam.runs("tick-0")
sesam.mend()                                 # a fresh node, nothing left of faults, files and requests
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from lab.hosts.common import LabError
from lab.hosts.host import Host
from lab.hosts.sesam_sites import CONTAINER, CONTROL, DATA, LOGS, NODE, OWNER, PORT, RUN, fresh
from lab.sesam.client import Client
from lab.sesam.standin import auth, settings

JOURNALS = "/var/lib/fieldops/runbooks"
SEND = """
import base64, http.client, json, sys
asked = json.load(sys.stdin)
body = None if asked["body"] is None else base64.b64decode(asked["body"])
connection = http.client.HTTPConnection("127.0.0.1", asked["port"], timeout=asked["timeout"])
try:
    connection.request(asked["method"], asked["path"], body, asked["headers"])
    answer = connection.getresponse()
    found = [answer.status, base64.b64encode(answer.read()).decode()]
except (OSError, http.client.HTTPException) as error:
    found = [0, repr(error)]
print(json.dumps(found))
"""
FIND = """
for pid in $(docker top {container} -eo pid | tail -n +2); do
    tr '\\0' '\\n' </proc/$pid/cmdline | head -n 2 | grep -q '^\\(.*/\\)\\?lake$' && echo $pid
done
"""


class SesamHost(Client):
    """`host` with what is particular to a Sesam node."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.settings = dict(settings.DEFAULTS)

    def send(self, method: str, path: str, data: bytes | None, headers: Mapping[str, str], timeout: float) -> tuple[int, bytes]:
        """On the host itself, whether or not it has a network."""
        body = None if data is None else base64.b64encode(data).decode()
        asked = {"method": method, "path": path, "body": body, "headers": dict(headers), "timeout": timeout, "port": PORT}
        done = self.host.run(["python3", "-c", SEND], input=json.dumps(asked), timeout=timeout + 60)
        status, text = json.loads(done.stdout)
        if not status:
            raise ConnectionError(text)
        return int(status), base64.b64decode(text)

    # -- what there is ------------------------------------------------------------------------------------------------

    def container(self) -> dict[str, Any]:
        """What the engine says of the container; nothing when there is none."""
        done = self.host.run(["docker", "inspect", "--type=container", CONTAINER], check=False)
        return dict(json.loads(done.stdout)[0]) if done.returncode == 0 else {}

    @property
    def pid(self) -> int:
        """The node's process on the host; 0 when there is none."""
        found = self.host.run(["sh", "-c", FIND.format(container=CONTAINER)], check=False).stdout.split()
        return int(found[0]) if found else 0

    def traces(self) -> list[str]:
        """Names of stack traces in the log folder, the newest first."""
        names = self.host.run(["find", LOGS, "-maxdepth", "1", "-name", "stacktrace.html*", "-printf", "%f\\n"]).stdout.split()
        return sorted(names, key=lambda name: (len(name), name))

    def log(self, name: str = "node") -> str:
        """One of the node's logs."""
        return self.host.read(f"{LOGS}/{name}.log").decode(errors="replace")

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What was asked by others than its own health thread."""
        text = self.host.run(["sh", "-c", f"cat {CONTROL}/{settings.REQUESTS} 2>/dev/null || true"]).stdout
        return [entry for entry in map(json.loads, text.splitlines()) if entry["who"] != auth.HEALTH]

    def runs(self, pipe: str) -> int:
        """How often a pump has run to its end."""
        text = self.host.run(["sh", "-c", f"cat {DATA}/pumps.json 2>/dev/null || echo '{{}}'"]).stdout
        return int(json.loads(text).get(pipe, {}).get("runs", 0))

    def startup_options(self) -> Any:
        """What startup_options.json holds; None when it is not there."""
        path = f"{DATA}/startup_options.json"
        return json.loads(self.host.read(path)) if self.host.exists(path) else None

    # -- faults -----------------------------------------------------------------------------------------------------------

    def fault(self, **chosen: Any) -> None:
        """Change settings of the stand-in, from now on."""
        unknown = sorted(set(chosen) - set(settings.DEFAULTS))
        if unknown:
            raise LabError(f"no such settings: {', '.join(unknown)}")
        path = f"{CONTROL}/{settings.CONTROL}"
        content = {**json.loads(self.host.read(path)), **chosen}
        self.host.put(json.dumps(content).encode(), f"{path}.part", mode=0o666)
        self.host.run(["sh", "-c", f"mv {path}.part {path} && sleep 0.2"])
        self.settings.update(chosen)

    def freeze_api(self, on: bool = True, once: bool = False) -> None:
        """It accepts connections and answers nobody, in the end until it is started again; a signal still has its effect."""
        self.fault(frozen_api="once" if on and once else on, health_interval=1.0 if on else 5.0, health_timeout=1.0 if on else 10.0)

    def freeze_process(self) -> None:
        """Nothing of the node goes on, and a signal that it handles has no effect."""
        self._signal("STOP")

    def thaw(self) -> None:
        """It goes on."""
        self._signal("CONT")

    def kill(self) -> None:
        """The process dies, and Docker starts it again."""
        self._signal("KILL")

    def _signal(self, name: str) -> None:
        pid = self.pid
        if not pid:
            raise LabError(f"{self.host.name}: there is no process of the node")
        self.host.run(["kill", f"-{name}", str(pid)])

    def engine_kill(self) -> None:
        """`docker kill`: nobody starts it again."""
        self.host.run(["docker", "kill", CONTAINER])

    def crash_loop(self, pipe: str = "tick-0") -> None:
        """A pipe takes the node with it whenever the scheduler starts it."""
        self.fault(crash_pipe=pipe)

    def not_caught(self) -> None:
        """From its next start on, which is now, the node does not catch SIGUSR1, and as a shell's child it dies of it."""
        self.anew(begins="shell", sigusr1="default")

    def shell_first(self, argv0: str = "lake") -> None:
        """PID 1 of the container is a shell, and the node its child."""
        self.anew(begins="shell", argv0=argv0)

    def recreate(self) -> None:
        """As watchtower does it: another container, another pid, the same folders."""
        self.host.run(["docker", "rm", "--force", CONTAINER])
        self.host.run([RUN])
        self.wait_up()

    # -- the end --------------------------------------------------------------------------------------------------------------

    def anew(self, config: Sequence[Mapping[str, Any]] | None = None, arguments: str = "", begins: str = "exec", **chosen: Any) -> None:
        """A node that never was before, with these settings."""
        fresh(self.host, config, arguments, begins, **chosen)
        self.settings = {**settings.DEFAULTS, **chosen}
        self.wait_up()

    def mend(self) -> None:
        """As it was: no fault, no file and no request is left, and nothing that modules keep for a next time."""
        self.host.run(["systemctl", "start", "docker"])
        self.host.run(["rm", "-rf", JOURNALS])
        self.anew()


__all__ = ["CONTAINER", "CONTROL", "DATA", "LOGS", "NODE", "OWNER", "PORT", "SesamHost"]
