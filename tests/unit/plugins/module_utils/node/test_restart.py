# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with services and what would be done about it, by tables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import Pattern, Process
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.service import Manager, Service
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.systemd import full_name
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.restart import (
    RestartState,
    Seen,
    diagnose,
    guards,
    plan,
    problems,
    settle_time,
    stop_limit,
)
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.restart_act import Steward
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.restart_options import Spec, Wish
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import plan_sha256

PROCESS = Process(12, 4711, ("python3", "/opt/service.py", "--password=hunter2"), "fitsdata")


def service(name: str = "one", **values: Any) -> Service:
    known = {
        "name": name,
        "manager": "systemd",
        "known": True,
        "active": "active",
        "sub": "running",
        "id": name + ".service",
        "load": "loaded",
        "type": "simple",
        "main_pid": 12,
    }
    return Service(**dict(known, **values))


def seen(name: str = "one", spec: Spec | None = None, **values: Any) -> Seen:
    own = {key: values.pop(key) for key in list(values) if key in ("running", "missing", "probe", "flapped", "because_of", "killed", "own")}
    return Seen(spec or Spec(name), service(name, **values), **own)


def down(name: str = "one", **values: Any) -> Seen:
    return seen(name, **dict({"active": "inactive", "sub": "dead", "main_pid": None}, **values))


RESTARTING = {"active": "activating", "sub": "auto-restart", "restarts": 12, "exit_code": 0, "main_pid": None}


@pytest.mark.parametrize(
    ("state", "codes"),
    [
        (seen(), []),
        (seen(active="reloading", sub="reload"), []),
        (down(), ["inactive"]),
        (down(active="failed", sub="failed", result="exit-code", exit_code=3), ["failed"]),
        (down(running=(PROCESS,)), ["left_running"]),
        (down(active="failed", running=(PROCESS,)), ["left_running"]),
        (seen(**RESTARTING), ["flapping"]),
        (seen(**{**RESTARTING, "sub": "auto-restart-queued"}), ["flapping"]),
        (seen(missing=("worker.py",), **RESTARTING), ["flapping"]),
        (seen(flapped=True), ["flapping"]),
        (seen(active="activating", sub="start"), ["not_up"]),
        (seen(active="deactivating", sub="stop-sigterm"), ["not_up"]),
        (seen(missing=("worker.py",)), ["process_missing"]),
        (seen(probe="refused"), ["probe_failed"]),
        (seen(missing=("worker.py",), probe="refused"), ["process_missing", "probe_failed"]),
        (seen(active="unknown", running=(PROCESS,)), []),
        (seen(active="unknown"), ["state_unknown"]),
        (seen(spec=Spec("one", (Pattern("worker.py"),)), active="unknown"), ["inactive"]),
    ],
)
def test_problems(state: Seen, codes: list[str]) -> None:
    assert [code for code, _text in problems(state)] == codes


def test_no_command_line_is_told() -> None:
    ((_code, text),) = problems(down(running=(PROCESS,)))
    assert text == "is inactive, but pid 12 (/opt/service.py, of fitsdata) runs"


@pytest.mark.parametrize(
    ("state", "policy", "all_", "changes"),
    [
        ("restarted", "always", [seen("a"), down("b")], [("restart", "a"), ("start", "b")]),
        ("restarted", "unhealthy", [seen("a"), down("b"), seen("c", probe="no")], [("start", "b"), ("restart", "c")]),
        ("restarted", "unhealthy", [seen("a")], []),
        ("restarted", "always", [down("a", running=(PROCESS,))], [("restart", "a")]),
        ("started", "always", [seen("a"), down("b"), seen("c", **RESTARTING)], [("start", "b")]),
        ("stopped", "always", [seen("a"), down("b"), seen("c", **RESTARTING)], [("stop", "c"), ("stop", "a")]),
        ("stopped", "always", [down("a", running=(PROCESS,))], [("stop", "a")]),
        ("restarted", "always", [seen("a"), seen("b", because_of="a.service")], [("restart", "a"), ("restart", "b")]),
        ("restarted", "always", [seen("a"), down("b", because_of="a.service")], [("restart", "a")]),
        ("restarted", "always", [down("a"), seen("b", because_of="a.service")], [("start", "a")]),
        ("restarted", "unhealthy", [seen("a"), seen("b", because_of="a.service", probe="no")], []),
        ("restarted", "always", [seen("a"), seen("b", because_of="a.service"), seen("c", because_of="b.service")], [("restart", x) for x in "abc"]),
        ("stopped", "always", [seen("a"), seen("b", because_of="a.service")], [("stop", "b"), ("stop", "a")]),
        ("restarted", "always", [seen("a", known=False), seen("b")], [("restart", "b")]),
        # One that was named is stopped along as well, and one of several causes is enough.
        ("restarted", "unhealthy", [seen("a", probe="no", stops=("b.service",)), seen("b")], [("restart", "a"), ("restart", "b")]),
        ("restarted", "unhealthy", [seen("b"), seen("a", probe="no", stops=("b.service",))], [("restart", "b"), ("restart", "a")]),
        ("restarted", "unhealthy", [seen("a", probe="no", stops=("b.service",)), down("b")], [("restart", "a"), ("start", "b")]),
        ("restarted", "unhealthy", [seen("a", stops=("b.service",)), seen("b", probe="no")], [("restart", "b")]),
        (
            "restarted",
            "unhealthy",
            [seen("a", stops=("c.service",)), seen("b", probe="no", stops=("c.service",)), seen("c", because_of="a.service")],
            [("restart", "b"), ("restart", "c")],
        ),
    ],
)
def test_the_plan(state: str, policy: str, all_: list[Seen], changes: list[tuple[str, str]]) -> None:
    made = plan(RestartState(tuple(all_)), Wish((), state, policy))
    assert [(change.action, change.subject) for change in made] == [(action, "service:%s.service" % name) for action, name in changes]


def test_why_one_that_works_is_restarted() -> None:
    _cause, taken = plan(RestartState((seen("a", probe="no", stops=("b.service",)), seen("b"))), Wish((), "restarted", "unhealthy"))
    assert taken.reason == "systemd stops it together with a.service"


def test_what_can_be_taken_back() -> None:
    wish = Wish((), "restarted")
    restart, start, left = plan(RestartState((seen("a"), down("b"), down("c", running=(PROCESS,)))), wish)
    assert (restart.reversible, start.reversible, left.reversible) == (False, True, False)
    stop, kill = reversed(plan(RestartState((seen("a"), down("b", running=(PROCESS,)))), Wish((), "stopped")))
    assert (stop.reversible, kill.reversible) == (True, False)
    assert (stop.before, stop.after) == ({"active": "active"}, {"active": "inactive"})


def test_a_plan_is_the_same_while_nothing_has_moved() -> None:
    """Another pid, another time, a moment of a service that flaps: the same plan."""
    moments = [seen(**RESTARTING), seen(main_pid=4711, restarts=13, since=1.0), seen(probe="no"), seen(active="reloading", run="other")]
    hashes = {plan_sha256("service_restart", plan(RestartState((moment,)), Wish(()))) for moment in moments}
    assert len(hashes) == 1
    assert plan_sha256("service_restart", plan(RestartState((down(),)), Wish(()))) not in hashes


@pytest.mark.parametrize("state", ["restarted", "started", "stopped"])
@pytest.mark.parametrize("before", [seen(), down(), down(running=(PROCESS,)), seen(**RESTARTING)])
def test_a_plan_carried_out_leaves_an_empty_plan(state: str, before: Seen) -> None:
    wish = Wish((), state)
    wanted = replace(down() if state == "stopped" else seen(), spec=before.spec)
    for change in plan(RestartState((before,)), wish):
        assert change.subject == "service:one.service"
    assert plan(RestartState((wanted,), frozenset(["one.service"])), wish) == []


def test_what_was_made_and_does_not_hold_is_planned_again() -> None:
    assert len(plan(RestartState((seen(probe="no"),), frozenset(["one.service"])), Wish(()))) == 1


@pytest.mark.parametrize(
    ("state", "before", "guard"),
    [
        ("restarted", seen(known=False, load="not-found"), "unknown_service"),
        ("stopped", seen(known=False, load="not-found"), "unknown_service"),
        ("restarted", seen(known=False, load="template", id="w@.service"), "unknown_service"),
        ("restarted", seen(load="masked"), "masked"),
        ("started", down(load="masked"), "masked"),
        ("stopped", seen(load="masked"), ""),
        ("started", down(load="bad-setting"), "not_loadable"),
        ("stopped", seen(load="error"), ""),
        ("restarted", seen(manual=False), "by_hand"),
        ("started", seen(manual=False), ""),
        ("started", down(type="oneshot"), "no_daemon"),
        ("started", down(type="oneshot", remains=True), ""),
        ("restarted", down(running=(PROCESS,)), "left_running"),
        ("restarted", seen(own=True), "own_service"),
        ("stopped", seen(own=True), "own_service"),
        ("started", seen(own=True), ""),
        ("restarted", seen(active="unknown"), "state_unknown"),
        ("started", seen(active="unknown"), "state_unknown"),
        ("stopped", seen(active="unknown"), "state_unknown"),
        ("stopped", seen(active="unknown", running=(PROCESS,)), ""),
        ("stopped", seen(spec=Spec("one", (Pattern("worker.py"),)), active="unknown"), ""),
    ],
)
def test_what_refuses(state: str, before: Seen, guard: str) -> None:
    wish = Wish((), state)
    states = RestartState((before,))
    assert [refusal.guard for refusal in guards(states, wish, plan(states, wish), 900.0)] == [guard] * bool(guard)


def test_two_names_of_one_unit() -> None:
    one, other = seen(spec=Spec("ssh")), seen(spec=Spec("sshd"))
    states = RestartState((one, other))
    (refusal,) = guards(states, Wish(()), plan(states, Wish(())), 900.0)
    assert refusal.guard == "ambiguous" and "ssh and sshd name the same unit" in refusal.reason


def test_a_target_that_would_go_down() -> None:
    states = RestartState((seen(),), targets={"one.service": "multi-user.target"})
    (refusal,) = guards(states, Wish(()), plan(states, Wish(())), 900.0)
    assert refusal.guard == "stops_target" and "multi-user.target" in refusal.reason
    assert guards(states, Wish((), "started"), [], 900.0) == []


class Fixed(Manager):
    """A manager whose services never change."""

    name = "systemd"

    def __init__(self, *services: Service) -> None:
        self.services = {each.id: each for each in services}

    def read(self, names: Sequence[str]) -> list[Service]:
        return [self.services[full_name(name)]._replace(asked=name) for name in names]

    def start(self, name: str, timeout: float) -> None:
        raise NotImplementedError

    def stop(self, name: str, timeout: float) -> None:
        raise NotImplementedError


def test_every_cause_of_a_target_counts() -> None:
    causes = [service(name, stops=("all.target",)) for name in ("a", "b")]
    steward = Steward(Fixed(*causes, service("all", id="all.target")), force_kill=False)
    state = steward.look([Spec("a"), Spec("b")], dependents=True, probing=False, defaults=Spec(""))
    assert state.targets == {"a.service": "all.target", "b.service": "all.target"}


def test_waiting_must_not_outlast_the_lock() -> None:
    """90 + 10 to stop, 60 to start, 5 to settle, for each."""
    states = RestartState(tuple(seen(name, stop_timeout=90.0) for name in "ab"))
    changes = plan(states, Wish(()))
    assert guards(states, Wish(()), changes, 326.0) == []
    (refusal,) = guards(states, Wish(()), changes, 325.0)
    assert refusal.guard == "lock_expiry" and "lock_expiry: 385" in refusal.allow


@pytest.mark.parametrize(
    ("spec", "values", "limit", "settle"),
    [
        (Spec("a"), {}, 100.0, 5.0),
        (Spec("a"), {"stop_timeout": 90.0, "restart_delay": 10.0}, 100.0, 15.0),
        (Spec("a"), {"stop_timeout": float("inf"), "restart_delay": 600.0}, 100.0, 60.0),
        (Spec("a", stop_timeout=0.0, settle=0.0), {"stop_timeout": 90.0, "restart_delay": 10.0}, 0.0, 0.0),
    ],
)
def test_how_long_is_waited(spec: Spec, values: Any, limit: float, settle: float) -> None:
    assert (stop_limit(spec, service(**values)), settle_time(spec, service(**values))) == (limit, settle)


@pytest.mark.parametrize(
    ("state", "all_", "found"),
    [
        ("restarted", [seen()], [("ok", "ok")]),
        ("restarted", [seen("a"), down("b")], [("inactive", "critical")]),
        ("restarted", [seen(killed="pid 3 (x, of y)")], [("killed", "warning")]),
        ("restarted", [seen(reload_needed=True)], [("reload_needed", "warning")]),
        ("restarted", [seen(known=False)], [("unknown", "critical")]),
        ("stopped", [down()], [("ok", "ok")]),
        ("stopped", [seen(active="unknown")], [("state_unknown", "critical")]),
        ("stopped", [seen()], [("active", "info"), ("ok", "ok")]),
        ("stopped", [down(running=(PROCESS,))], [("left_running", "critical")]),
        ("stopped", [down(active="failed", result="timeout")], [("killed", "warning")]),
        ("stopped", [down(triggered=("one.socket",))], [("triggered", "info"), ("ok", "ok")]),
    ],
)
def test_findings(state: str, all_: list[Seen], found: list[tuple[str, str]]) -> None:
    findings = diagnose(RestartState(tuple(all_)), Wish((), state))
    assert [(finding.code, finding.severity) for finding in findings] == [("node.service." + what, severity) for what, severity in found]


def test_one_that_this_run_has_stopped_is_down_although_its_manager_does_not_tell() -> None:
    (finding,) = diagnose(RestartState((seen(active="unknown"),), frozenset(["one.service"])), Wish((), "stopped"))
    assert finding.severity == "ok"


def test_the_service_that_this_runs_in() -> None:
    steward = Steward(Fixed(service("a", pids=(os.getpid(),)), service("b", pids=(os.getppid(),))), force_kill=False)
    state = steward.look([Spec("a"), Spec("b")], dependents=False, probing=False, defaults=Spec(""))
    assert [each.own for each in state.seen] == [True, False]
