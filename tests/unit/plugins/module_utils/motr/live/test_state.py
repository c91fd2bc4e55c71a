# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a look means, by what a real m0d with services, foms and connections has told."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.ids import Fid
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.live.processes import Process
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.live.requests import guards, image
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.live.state import Live, age, diagnose, facts

WALK = (Path(__file__).parents[1] / "fixtures" / "gdb_walk_ios1.txt").read_text(encoding="utf-8")
PROCESS = Process(7, 77, Fid(0x7200000000000001, 0), "0@lo:12345:33:900", ("m0d",), "root")
NOW = 1800000000.0
STATES = ["Initializing", "Initialized", "Starting", "Started", "Stopping", "Stopped", "Failed"]


def machine(state: int, name: str | None, seconds: float | None = 0) -> dict[str, Any]:
    return {"state": state, "name": name, "epoch": 0 if seconds is None else int((NOW - seconds) * 1e9)}


def real() -> dict[str, Any]:
    """The walk of a real ios, as the script would tell it."""
    reqh = re.search(r"reqh (0x\w+) fid (<\S+>) state (\d) (\w+)", WALK)
    assert reqh is not None
    services = [
        {"type": kind, "fid": fid, "machine": machine(STATES.index(state), state)} for kind, fid, state in re.findall(r"service (\S+) (<\S+>) (\w+)", WALK)
    ]
    foms = [
        {
            "address": address,
            "service": service,
            "type": kind,
            "phase": machine(int(phase), name),
            "state": machine(3, "Waiting"),
            "transitions": 3,
            "fop": None,
            "internal": True,
            "queue": "waiting",
            "locality": 0,
        }
        for address, service, kind, phase, name in re.findall(r"fl_wail (0x\w+).*? (\S+) (\S+) phase (\d+) (\S+) fop None", WALK)
    ]
    pattern = r"rm_(\w+)_conns (0x\w+) dest (\S+) state (\w+) svc (<\S+>) flags (\d) sessions \[\((\d+), '(\w+)'"
    rpc: dict[str, Any] = {"endpoint": PROCESS.endpoint, "incoming": [], "outgoing": []}
    for side, address, peer, state, service, flags, session, told in re.findall(pattern, WALK):
        sessions = [{"id": hex(int(session)), "machine": machine(2, told), "cancelled": False}]
        row = {"address": address, "peer": peer, "machine": machine(2, state), "service": service, "flags": int(flags), "sessions": sessions}
        rpc[side].append(row)
    return {
        "reqh": {"address": reqh[1], "fid": reqh[2], "machine": machine(int(reqh[3]), reqh[4])},
        "services": services,
        "localities": [{"index": 0, "foms": 5, "queued": 0, "waiting": 5, "handler": True}],
        "foms": foms,
        "counted": {"queued": 0, "waiting": len(foms), "running": 0},
        "internal": len(foms),
        "rpc": [rpc],
        "main": ["pause", "main"],
        "cut": False,
        "torn": [],
        "now": NOW,
    }


def live(**changed: Any) -> Live:
    return Live(PROCESS, dict(real(), **changed))


def codes(seen: Live, stuck_after: float = 60) -> list[str]:
    return [finding.code for finding in diagnose(seen, stuck_after)]


def test_a_real_process_is_told_as_it_was() -> None:
    told = facts(live())
    assert told["requests"] == "running" and told["handler"]["fid"] == "<7200000000000001:0>" and told["complete"]
    assert len(told["services"]) == 17 and {row["state_name"] for row in told["services"]} == {"Started"}
    assert [row["type"] for row in told["foms"]] == [
        "m0_dtm0_pruner",
        "ha_link_outgoing_fom",
        "m0_be_tx_group_fom",
        "m0_be_tx_group_fom",
        "fdmi-src-dock-fom-sm",
    ]
    (rpc,) = told["rpc"]
    assert len(rpc["connections"]) == WALK.count("_conns ")
    assert {row["sender"] for row in rpc["connections"] if row["direction"] == "outgoing"} == {True}
    assert codes(live()) == ["motr.process.ok"]


def test_internal_foms_may_wait_for_ever() -> None:
    rows = copy.deepcopy(real()["foms"])
    for row in rows:
        row["phase"]["epoch"] = row["state"]["epoch"] = int((NOW - 86400) * 1e9)
    assert codes(live(foms=rows)) == ["motr.process.ok"]
    rows[0].update(internal=False, fop="write")
    assert codes(live(foms=rows)) == ["motr.fom.stuck"] and codes(live(foms=rows), 100000) == ["motr.process.ok"]


@pytest.mark.parametrize(
    ("epochs", "seconds"),
    [
        ([0, 0], None),
        ([int(NOW * 1e9)], 0.0),
        ([0, int((NOW - 5) * 1e9)], 5.0),
        ([int((NOW - 9) * 1e9), int((NOW - 5) * 1e9)], 5.0),
        ([2**64 - 1], None),
        ([10**9], None),
    ],
)
def test_an_age_that_is_not_kept_is_none(epochs: list[int], seconds: float | None) -> None:
    assert age(epochs, NOW) == seconds


@pytest.mark.parametrize(
    ("changed", "code", "wanted", "refused"),
    [
        ({}, "motr.process.ok", "stopped", []),
        ({"reqh": {"address": "0x1", "fid": "<1:1>", "machine": machine(2, "Drain")}}, "motr.requests.stopped", "running", []),
        ({"reqh": {"address": "0x1", "fid": "<1:1>", "machine": machine(3, "SvcsStop")}}, "motr.requests.other", "running", ["state"]),
        ({"main": ["m0_cs_fini", "main"]}, "motr.process.ending", "stopped", ["ending"]),
        ({"reqh": None}, "motr.requests.unknown", "running", ["state"]),
        ({"cut": True}, "motr.process.partial", "stopped", []),
        ({"torn": ["a list"]}, "motr.process.partial", "stopped", []),
    ],
)
def test_each_condition_is_one_finding(changed: dict[str, Any], code: str, wanted: str, refused: list[str]) -> None:
    seen = live(**changed)
    assert code in codes(seen)
    assert ("motr.process.ok" in codes(seen)) == (code in ("motr.process.ok", "motr.process.partial"))
    assert [refusal.guard for refusal in guards(seen, wanted)] == refused


def test_requests_that_were_stopped_have_a_playbook_that_serves_them_again() -> None:
    seen = live(reqh={"address": "0x1", "fid": "<1:1>", "machine": machine(2, "Drain")})
    (found,) = [finding for finding in diagnose(seen, 60) if finding.code == "motr.requests.stopped"]
    assert found.remedy is not None
    assert (found.remedy.playbook, found.remedy.vars["motr_requests_state"]) == ("fieldops.runbooks.motr_requests", "running")


def test_services_that_stopped_for_good_are_not_resumed() -> None:
    services = copy.deepcopy(real()["services"])
    services[0]["machine"] = machine(4, "Stopping")
    seen = live(services=services, reqh={"address": "0x1", "fid": "<1:1>", "machine": machine(2, "Drain")})
    assert [refusal.guard for refusal in guards(seen, "running")] == ["services"] and guards(seen, "stopped") == []
    assert image(PROCESS, seen) == {"requests": "stopped", "pid": 7, "started": 77}
