# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host of a Sesam node is as the documentation has it, and breaks in the ways that the flows are for."""

from __future__ import annotations

import pytest
from lab.hosts.sesam_host import CONTAINER, DATA, LOGS, NODE, SesamHost

pytestmark = pytest.mark.thorough  # of the laboratory alone; what is shipped, and runs on it, is tested all the time


def test_the_node_runs_and_breaks(sesam: SesamHost) -> None:
    found = sesam.container()
    assert found["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert {mount["Destination"]: mount["Source"] for mount in found["Mounts"]} == {"/sesam": NODE, "/sesam/data": f"{NODE}/data", "/lab": "/var/lib/lab-sesam"}
    assert sesam.host.run(["readlink", "-f", f"{NODE}/data"]).stdout.strip() == DATA
    assert sesam.host.run(["stat", "-c", "%u:%g", f"{LOGS}/node.log"]).stdout.strip() == "777:777"
    assert sesam.pid == found["State"]["Pid"]
    assert sesam.get("/health") == {"status": "ok", "problems": []}
    sesam.wait_runs("tick-0")
    sesam.freeze_api()
    with pytest.raises(ConnectionError):
        sesam.ask("GET", "/ping", timeout=1)
    sesam.wait_for(sesam.traces, "its health thread leaves a stack trace")
    sesam.freeze_api(on=False)
    former = sesam.get("/status")["node_start_time"]
    sesam.freeze_process()
    sesam.kill()
    sesam.wait_up(former)
    sesam.not_caught()
    assert sesam.pid != sesam.container()["State"]["Pid"]
    assert sesam.traces() == []
    sesam.crash_loop()
    sesam.wait_for(lambda: sesam.container()["RestartCount"] >= 1, f"Docker starts {CONTAINER} again")
