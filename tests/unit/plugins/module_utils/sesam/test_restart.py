# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a node is to be restarted, by what, and what refuses; and what the waiting believes of a node that is told step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.docker import DockerError, EngineAway
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import plan_sha256
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam import restart as acting
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.container import Container
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.errors import SesamError
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.restart import Manner, Restarted, RestartFailed, restart
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.restart_plan import ApiSeen, RestartState, Wish, diagnose, guards, plan, trouble, way

NODE = Container("f" * 64, "sesam-node", "sesam/sesam-node", running=True, status="running", pid=50, started_at=100.0)
FINE = ApiSeen(start_time="noon", health="ok", running=())
FROZEN = ApiSeen("timeout", "no answer")
URL = "http://localhost:9042/api"
WORKS = RestartState(FINE, URL, NODE)


def wish(method: str = "auto", policy: str = "always", **others: Any) -> Wish:
    return Wish(Manner(method), policy, **others)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, ""),
        ({"api": FROZEN}, "the API does not answer"),
        ({"api": ApiSeen("unreachable", "refused")}, "the API is not there"),
        ({"api": replace(FINE, health="unwell")}, "it is unwell"),
        ({"api": ApiSeen(status_kind="auth")}, ""),
        ({"container": None}, ""),
        (
            {"container": replace(NODE, running=False, status="exited", exit_code=137, oom_killed=True)},
            "its container is exited (exit code 137, killed for want of memory)",
        ),
        ({"container": replace(NODE, restarting=True, status="restarting")}, "it flaps"),
        ({"container": replace(NODE, paused=True)}, "its container is paused"),
    ],
)
def test_what_is_wrong_with_it(changed: dict[str, Any], words: str) -> None:
    state = replace(WORKS, **changed)
    assert trouble(state).startswith(words)
    assert bool(trouble(state)) == bool(words)
    assert bool(plan(state, wish(policy="unhealthy"))) == bool(words)
    (change,) = plan(state, wish())
    assert not change.reversible
    assert change.action == ("start" if state.container is not None and not state.container.running and not state.container.restarting else "restart")
    assert words in change.reason
    made = Restarted("api", "", "node_start_time", "noon", "one", None, "ok", 1.0)
    assert plan(replace(state, made=made), wish()) == []


def test_a_plan_is_the_same_a_minute_later() -> None:
    later = replace(WORKS, container=replace(NODE, pid=60, started_at=200.0), api=replace(FINE, start_time="later"))
    assert plan_sha256("x", plan(WORKS, wish())) == plan_sha256("x", plan(later, wish()))


@pytest.mark.parametrize(
    ("method", "api", "container", "wanted"),
    [
        ("auto", FINE, NODE, "api"),
        ("auto", FROZEN, NODE, "container"),
        ("auto", ApiSeen(status_kind="auth"), NODE, "container"),
        ("auto", FINE, None, "api"),
        ("auto", FROZEN, None, "no_way"),
        ("api", FROZEN, NODE, "api_silent"),
        ("api", ApiSeen(status_kind="auth"), NODE, "admin"),
        ("container", FINE, NODE, "container"),
    ],
)
def test_by_what(method: str, api: ApiSeen, container: Container | None, wanted: str) -> None:
    state = RestartState(api, URL, container)
    refusals = guards(state, wish(method), plan(state, wish(method)), 900.0)
    assert (way(state, wish(method))[0] or refusals[0].guard) == wanted
    assert bool(refusals) == (wanted not in ("api", "container"))


def test_runs_that_would_be_cut_off() -> None:
    state = replace(WORKS, api=replace(FINE, running=tuple(f"pipe-{number:02}" for number in range(12))))
    (refusal,) = guards(state, wish(), plan(state, wish()), 900.0)
    assert (refusal.guard, "pipe-00" in refusal.reason, "pipe-11" in refusal.reason, "and 2 more" in refusal.reason) == ("running_pipes", True, False, True)
    assert guards(state, wish(allow_running_pipes=True), plan(state, wish()), 900.0) == []
    unknown = replace(WORKS, api=replace(FINE, running=None))
    assert guards(unknown, wish(), plan(unknown, wish()), 900.0) == []
    assert guards(state, wish(policy="unhealthy"), [], 900.0) == []
    assert [each.guard for each in guards(WORKS, wish(), plan(WORKS, wish()), 600.0)] == ["lock_expiry"]


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({}, {"sesam.node.answers"}),
        ({"api": FROZEN}, {"sesam.api.frozen"}),
        ({"api": ApiSeen("unreachable", "refused")}, {"sesam.api.down"}),
        ({"api": ApiSeen(status_kind="auth")}, {"sesam.api.needs_admin"}),
        ({"api": replace(FINE, health="unwell", running=("a",))}, {"sesam.health.unwell", "sesam.pipes.running"}),
        ({"container": replace(NODE, running=False)}, {"sesam.container.down"}),
        ({"container": replace(NODE, restarting=True)}, {"sesam.container.flapping"}),
        ({"container": replace(NODE, paused=True)}, {"sesam.container.paused"}),
        ({"unfit": "no process is lake"}, {"sesam.process.unseen"}),
        ({"failed": "it did not come up"}, {"sesam.restart.failed"}),
    ],
)
def test_findings(changed: dict[str, Any], wanted: set[str]) -> None:
    found = diagnose(replace(WORKS, **changed), wish())
    assert {finding.code for finding in found} == wanted
    remedies = [finding.remedy for finding in found if finding.remedy is not None and finding.remedy.playbook]
    assert all(remedy.vars.get("sesam_repair") is True for remedy in remedies), "the playbook would only look"


# -- acting ------------------------------------------------------------------------------------------------------------


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.01)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(acting, "time", made)
    return made


class Told:
    """An engine and a node that are told what they are at each time: (from second, start time or kind of error, container)."""

    docker_host = "unix:///lab.sock"

    def __init__(self, clock: Clock, story: Sequence[tuple[float, str, Container | None]], **others: Any) -> None:
        self.clock, self.story, self.did = clock, story, []  # type: ignore[var-annotated]
        self.refuses, self.fails, self.acted = others.get("refuses", ""), others.get("fails"), None
        self.limits: list[float] = []

    def _now(self) -> tuple[float, str, Container | None]:
        since = -1.0 if self.acted is None else self.clock.now - self.acted
        return [each for each in self.story if each[0] <= since][-1]

    # the engine
    def limit(self, seconds: float) -> None:
        self.limits.append(seconds)

    def inspect(self, _name: str) -> dict[str, Any] | None:
        told = self._now()[2]
        if told is None:
            return None
        state = {"Running": told.running, "Status": told.status, "Pid": told.pid, "ExitCode": told.exit_code, "Restarting": told.restarting}
        stamp = f"1970-01-01T00:{int(told.started_at or 0) // 60:02}:{int(told.started_at or 0) % 60:02}Z"
        return {"Id": told.id, "Name": "/" + told.name, "RestartCount": told.restart_count, "State": {**state, "StartedAt": stamp}, "Config": {}}

    def _do(self, what: str) -> None:
        self.did.append(what)
        self.acted = self.clock.now
        if self.fails is not None and what == "restart":
            raise self.fails

    def restart(self, _name: str, _stop: int) -> None:
        self._do("restart")

    def kill(self, _name: str) -> None:
        self._do("kill")

    def start_again(self, _name: str) -> None:
        self._do("start")

    # the node
    def _answer(self) -> str:
        told = self._now()[1]
        if told in ("timeout", "unreachable"):
            raise SesamError("no answer", told)
        return told

    def get(self, _path: str, timeout: float) -> Any:
        told = self._answer()
        if told == "auth":
            raise SesamError("403", "auth")
        return {"node_start_time": told}

    def text(self, _path: str, **_options: Any) -> Any:
        self._answer()
        return type("Reply", (), {"status": 200, "body": b"{}", "json": lambda _self: {}})()

    def post_form(self, _path: str, fields: dict[str, str], timeout: float) -> None:
        assert fields == {"operation": "restart"}
        if self.refuses:
            raise SesamError("it refuses", self.refuses)
        self._do("api")


def run(told: Told, method: str = "auto", container: Container | None = NODE, timeout: float = 300.0) -> Restarted:
    return restart(told, container, told, Manner(method, timeout))  # type: ignore[arg-type]


AGAIN = replace(NODE, started_at=200.0, pid=60)
NEW = replace(AGAIN, id="e" * 64)
DOWN = replace(NODE, running=False, status="exited", pid=0, exit_code=1)


def test_errors_while_it_is_down_are_as_it_should_be(clock: Clock) -> None:
    told = Told(clock, [(-1, "noon", NODE), (0, "noon", NODE), (1, "unreachable", NODE), (5, "timeout", NODE), (9, "one", NODE)])
    made = run(told)
    assert (told.did, made.method, made.proof, made.before, made.after, made.health) == (["api"], "api", "node_start_time", "noon", "one", "ok")
    assert clock.now < 60


def test_the_same_start_time_is_no_restart(clock: Clock) -> None:
    told = Told(clock, [(-1, "noon", NODE)])
    with pytest.raises(
        RestartFailed, match=r"it did not come up within 300 s\. last seen: the API answers, and tells the same start time as before \(noon\)"
    ) as failed:
        run(told, "api")
    assert told.did == ["api"]
    assert failed.value.acted
    assert 300 <= clock.now < 320


def test_what_the_api_does_not_do_the_engine_does(clock: Clock) -> None:
    story = [(-1, "noon", NODE), (0, "unreachable", DOWN), (2, "one", AGAIN)]
    refused = Told(clock, story, refuses="auth")
    made = run(refused)
    assert (refused.did, made.method, made.after) == (["restart"], "container", "one")
    assert "the API did not take it" in made.notes[0]
    with pytest.raises(RestartFailed, match="the API did not take the restart: it refuses") as failed:
        run(Told(clock, story, refuses="auth"), "api")
    assert not failed.value.acted


def test_one_that_the_api_restarted_and_that_takes_its_time_is_not_restarted_again(clock: Clock) -> None:
    """Its container was started anew: the engine could only begin that once more."""
    told = Told(clock, [(-1, "noon", NODE), (0, "noon", NODE), (2, "unreachable", AGAIN), (250, "one", AGAIN)])
    made = run(told, timeout=600)
    assert (told.did, made.method, made.after) == (["api"], "api", "one")
    never = Told(clock, [(-1, "noon", NODE), (0, "noon", NODE), (2, "unreachable", AGAIN)])
    began = clock.now
    with pytest.raises(RestartFailed, match="it did not come up within 600 s"):
        run(never, timeout=600)
    assert clock.now - began < 660


def test_without_a_start_time_the_container_is_the_proof(clock: Clock) -> None:
    made = run(Told(clock, [(-1, "auth", NODE), (0, "auth", NODE), (3, "auth", AGAIN)]))
    assert (made.method, made.proof, made.before, made.after) == ("container", "container", None, None)
    with pytest.raises(RestartFailed, match="the container is still the same one"):
        run(Told(clock, [(-1, "auth", NODE)]), timeout=30)


@pytest.mark.parametrize(
    ("story", "words"),
    [
        ([(0, "unreachable", DOWN)], r"container sesam-node did not stay up: it is exited \(exit code 1\)"),
        ([(0, "unreachable", replace(DOWN, restarting=True, restart_count=9))], "flaps: it has ended 9 times"),
        ([(0, "one", AGAIN), (4, "two", replace(AGAIN, started_at=250.0))], "flaps: it came up, and is now running"),
        ([(0, "one", AGAIN), (4, "two", AGAIN)], "the node flaps: it came up at one, and again at two"),
        ([(0, "one", AGAIN), (4, "unreachable", AGAIN)], "it came up and answered, and does so no more"),
        ([(0, "timeout", AGAIN)], "it did not come up within"),
        ([(0, "timeout", None)], "it did not come up within"),
    ],
)
def test_what_does_not_hold(clock: Clock, story: list[Any], words: str) -> None:
    with pytest.raises(RestartFailed, match=words) as failed:
        run(Told(clock, [(-1, "timeout", NODE), *story]))
    assert failed.value.acted
    assert clock.now < 330


def test_an_engine_that_hangs_and_one_that_was_quicker(clock: Clock) -> None:
    told = Told(clock, [(-1, "timeout", NODE), (0, "timeout", NODE), (5, "one", AGAIN)], fails=EngineAway("no engine answers"))
    made = run(told)
    assert told.did == ["restart", "kill", "start"]
    assert "so it was killed and started" in made.notes[0]
    assert all(0 < limit <= 20 for limit in told.limits)
    other = Told(clock, [(-1, "timeout", NODE), (0, "one", NEW)], fails=DockerError("No such container"))
    assert "somebody else restarted it" in run(other).notes[0]
    with pytest.raises(RestartFailed, match="cannot be stopped"):
        run(Told(clock, [(-1, "timeout", NODE)], fails=DockerError("cannot be stopped")))


def test_one_that_is_down_is_started_and_one_without_a_container_needs_its_api(clock: Clock) -> None:
    told = Told(clock, [(-1, "unreachable", DOWN), (0, "unreachable", AGAIN), (2, "one", AGAIN)])
    assert run(told, container=DOWN).after == "one"
    assert told.did == ["start"]
    with pytest.raises(RestartFailed, match="by it no restart can be asked for, nor proven"):
        run(Told(clock, [(-1, "timeout", None)]), container=None)
    with pytest.raises(RestartFailed, match="there is no container to restart"):
        run(Told(clock, [(-1, "noon", None)]), "container", None)
    assert run(Told(clock, [(-1, "noon", None), (0, "one", None)]), container=None).proof == "node_start_time"
