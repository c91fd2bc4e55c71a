# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a broker, by the first way that leads to one."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from ..connect.docker import Docker, DockerError
from ..connect.rabbitmq import BrokerDown, BrokerError, BrokerSilent, Management, evaluate, evaluate_in, resolve
from ..procedure.check import Check
from ..procedure.envelope import Finding
from . import management, question
from .errors import RabbitMQError
from .state import Broker, Down, Look, Wanted, facts
from .verdict import canonical, diagnose, healthy

MANAGEMENT, CTL, CONTAINER = "management", "rabbitmqctl", "container"
LOCAL_URL = "http://127.0.0.1:15672"
GUEST = "guest"
LONGEST_WAIT = 3600.0
_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
"""Seconds between two looks while it waits."""
_SPARE = 3.0
"""Seconds that rabbitmqctl needs for itself of those that it has."""
_NAME_TIMEOUT = 5.0
_ERRORS = (BrokerError, DockerError)


class BrokerInfo(Check[Look]):
    """Reads only."""

    name = "rabbitmq_info"
    judged_by = ("wanted",)

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        if any(sign in (params["management_url"] or "") for sign in "@?#"):  # not shown: a password may be in it
            raise RabbitMQError("management_url must be http(s)://host:port alone; user and password are management_user and management_password")
        self.timeout = _between("timeout", params["timeout"], 1, 600)
        self.wait = _between("wait", params["wait"], 0, LONGEST_WAIT)
        self.wanted = Wanted(
            params["vhost"],
            tuple(params["expected_queues"]),
            int(_between("max_depth", params["max_depth"], 0, 2**62)),
            int(_between("min_connections", params["min_connections"], 0, 2**31)),
        )
        self.ways = ways(params)
        self.docker = Docker(params["docker_host"], timeout=self.timeout)
        self._gateways: Tuple[str, ...] = ()

    def close(self) -> None:
        self.docker.close()

    def observe(self) -> Look:
        """Once, or again and again until it is as it should be, or time is up."""
        deadline, pause = time.monotonic() + self.wait, _PAUSE
        known = resolve(self.params["expected_clients"], _NAME_TIMEOUT)
        expected = tuple((name, tuple(sorted({canonical(address) for address in known.get(name, ())}))) for name in self.params["expected_clients"])
        while True:
            look = self._look(expected)
            left = deadline - time.monotonic()
            if left <= 0 or healthy(look, self.wanted):
                return look
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def diagnose(self, state: Look) -> List[Finding]:
        return diagnose(state, self.wanted)

    def facts(self, state: Look) -> Mapping[str, Any]:
        return dict(facts(state), healthy=healthy(state, self.wanted))

    def evidence(self, state: Look) -> Mapping[str, Any]:
        clients = {name: list(addresses) for name, addresses in state.expected}
        return {"ways": list(self.ways), "uid": os.geteuid(), "clients": clients, "proxies": list(state.proxies)}

    def _look(self, expected: Sequence[Tuple[str, Tuple[str, ...]]]) -> Look:
        """The first way that leads to a broker counts; else one that knows that there is none, and else there is nothing to tell."""
        tried: Dict[str, str] = {}
        last: Optional[Look] = None
        for way in self.ways:
            found = self._try(way, tried)
            if isinstance(found, Broker):
                return Look(way, found, None, tried, self._proxies(way), expected)
            if found is not None:
                last = Look(way, None, found, tried, (), expected)
        if last is None:
            raise RabbitMQError("nothing can be said of the broker: %s" % "; ".join("%s: %s" % item for item in tried.items()))
        return last

    def _try(self, way: str, tried: Dict[str, str]) -> Union[Broker, Down, None]:
        try:
            return self._broker(way)
        except _ERRORS as exc:
            tried[way] = str(exc)
            kind = "down" if isinstance(exc, BrokerDown) else "silent" if isinstance(exc, BrokerSilent) else None
            return Down(kind, self._subject(way), str(exc)) if kind else None

    def _broker(self, way: str) -> Broker:
        if way == MANAGEMENT:
            return self._by_management()
        expression = question.expression(max(1.0, self.timeout - _SPARE) / 2)
        program = self.params["rabbitmqctl"] or "rabbitmqctl"
        if way == CTL:
            value = evaluate(program, self.params["node"], expression, self.timeout)
        else:
            value = evaluate_in(self.docker, self._container(), program, self.params["node"], expression, self.timeout)
        try:
            broker = question.broker_of(value)
        except (TypeError, ValueError, IndexError, KeyError) as exc:
            raise BrokerError("the node's answer is not understood: %s" % exc) from exc
        if broker is None:
            raise BrokerError("rabbitmqctl did not answer what it was asked")
        return broker

    def _by_management(self) -> Broker:
        deadline = time.monotonic() + self.timeout
        password = self.params["management_password"]
        user = self.params["management_user"]
        if password is None and user != GUEST:
            raise BrokerError("management_password is missing for user %s" % user)
        api = Management(
            self.params["management_url"] or LOCAL_URL, user, GUEST if password is None else password, self.params["validate_certs"], self.params["ca_cert"]
        )
        overview, *others = management.paths().items()
        answers: Dict[str, Any] = {overview[0]: api.get(overview[1], self.timeout)}
        if not isinstance(answers[overview[0]], dict) or "node" not in answers[overview[0]]:
            raise BrokerError("what answers at %s is no management API" % api.url)
        missing: Dict[str, str] = {}
        for part, path in others:
            answers[part] = self._part(api, path, max(0.1, deadline - time.monotonic()), missing, part)
        return management.broker_of(answers, missing)

    @staticmethod
    def _part(api: Management, path: str, timeout: float, missing: Dict[str, str], part: str) -> Any:
        try:
            return api.get(path, timeout)
        except BrokerError as exc:
            missing[part] = str(exc)
            return None

    def _container(self) -> str:
        name: str = self.params["container"]
        found = self.docker.inspect(name)
        if found is None:
            raise BrokerDown("there is no container %s" % name)
        state = found.get("State") or {}
        if not state.get("Running") or state.get("Paused"):
            status = state.get("Status", "not running")
            code = " with exit code %s" % state.get("ExitCode") if status == "exited" else ""
            raise (BrokerSilent if state.get("Paused") else BrokerDown)("container %s is %s%s" % (name, status, code))
        self._gateways = gateways(found)
        return str(found["Id"])

    def _proxies(self, way: str) -> Tuple[str, ...]:
        """Behind a published port, Docker's own proxy stands for every client; the broker sees the gateway of its network."""
        named = tuple(self.params["proxies"])
        return named + (self._gateways if way == CONTAINER else ())

    def _subject(self, way: str) -> str:
        if way == CONTAINER:
            return str(self.params["container"])
        return str(self.params["management_url"] or LOCAL_URL) if way == MANAGEMENT else str(self.params["node"] or "this node")


def ways(params: Mapping[str, Any]) -> Tuple[str, ...]:
    """What is tried, in its order: what is named, and where nothing is named, what belongs to this node."""
    via = params["via"]
    if via == CONTAINER and not params["container"]:
        raise RabbitMQError("via=container needs the name of a container: container")
    if via != "auto":
        return (via,)
    named = [(MANAGEMENT, "management_url"), (CONTAINER, "container"), (CTL, CTL)]
    found = tuple(way for way, option in named if params[option])
    if params["container"]:  # rabbitmqctl is the program in the container then
        found = tuple(way for way in found if way != CTL)
    return found or (MANAGEMENT, CTL)


def gateways(container: Mapping[str, Any]) -> Tuple[str, ...]:
    """Of a container's networks."""
    networks = (container.get("NetworkSettings") or {}).get("Networks") or {}
    named = [network.get(key) for network in networks.values() for key in ("Gateway", "IPv6Gateway")]
    return tuple(sorted({str(address) for address in named if address}))


def _between(option: str, value: float, least: float, most: float) -> float:
    if not least <= value <= most:
        raise RabbitMQError("%s must be from %g to %g, not %g" % (option, least, most, value))
    return value
