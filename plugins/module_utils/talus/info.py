# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a host of Talus: what starts it, containers, daemons, records, boxes. What fails is told, and the rest goes on."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, TypeVar

from ..connect.docker import Docker, DockerError
from ..connect.mongo import IMPORT_ERROR, Mongo, MongoError
from ..connect.procfs import hides_others
from ..connect.service import ServiceError
from ..procedure.check import Check
from ..procedure.envelope import Finding
from .boxes import read_boxes
from .broker import Broker, ask_broker
from .connections import is_local
from .containers import Container, Held, choose, held_by, log_of, read_containers
from .daemons import Daemons, read_daemons, replaced
from .errors import TalusError
from .init import Init, read_init
from .names import COMPONENTS, DAEMONS
from .records import Database, Records, read_database, read_records
from .restart import restarts, with_dependants
from .state import MASTER, PARTS, SLAVE, Limits, Ports, TalusState, facts
from .verdict import diagnose, healthy
from .verdict_daemons import in_touch

T = TypeVar("T")
LONGEST_WAIT = 3600.0
_LONGEST_WATCH = 60.0
_MOST_LINES = 1000
_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
_ERRORS = (TalusError, MongoError, DockerError, ServiceError)


class TalusInfo(Check[TalusState]):
    """Reads only."""

    name = "talus_info"
    judged_by = ("limits",)

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        self.asked: Sequence[str] = params["parts"] or ()
        self.roles: Sequence[str] = params["roles"] or ()
        self.components: Sequence[str] = params["components"] or ()
        self.limits = Limits(
            heartbeat=_within("heartbeat_timeout", params["heartbeat_timeout"], 1),
            image=_within("image_timeout", params["image_timeout"], 0),
            settle=_within("settle", params["settle"], 0),
        )
        self.watch = _within("watch", params["watch"], 0, _LONGEST_WATCH)
        self.log_lines = int(_within("log_lines", params["log_lines"], 0, _MOST_LINES))
        self.wait = _within("wait", params["wait"], 0, LONGEST_WAIT)
        _within("amqp_port", params["amqp_port"], 1, 65535)
        self.ports = Ports(params["amqp_port"], params["login_port"])
        if not params["database"] or set(params["database"]) & set('/\\. "$\0'):
            raise TalusError("database must be the name of a database of MongoDB, not %r" % params["database"])
        self.docker = Docker(params["docker_host"], timeout=params["timeout"])
        self.mongo = Mongo(params) if IMPORT_ERROR is None else None  # it refuses options that cannot be
        self.missing: Dict[str, str] = {}

    def close(self) -> None:
        self.docker.close()
        if self.mongo is not None:
            self.mongo.close()

    def observe(self) -> TalusState:
        """Once, or again and again until nothing calls for a restart and the daemons are in touch, or time is up."""
        deadline, pause = time.monotonic() + self.wait, _PAUSE
        while True:
            state = self._look()
            left = deadline - time.monotonic()
            if left <= 0 or (not restarts(diagnose(state, self.limits)) and in_touch(state)):
                return state
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def diagnose(self, state: TalusState) -> List[Finding]:
        return diagnose(state, self.limits)

    def facts(self, state: TalusState) -> Mapping[str, Any]:
        findings = self.diagnose(state)
        restart = with_dependants(set(self.components)) if self.components else restarts(findings)
        return dict(facts(state, self.limits), healthy=healthy(findings), restart=restart)

    def evidence(self, state: TalusState) -> Mapping[str, Any]:
        place = {name: self.params[name] for name in ("docker_host", "boxes_dir", "images_dir", "files_dir", "init_dir")}
        mongodb = "%s:%d" % (self.params["login_host"], self.params["login_port"])
        return dict(place, mongodb=mongodb, missing=dict(state.missing), uid=os.geteuid())

    # -- one look ------------------------------------------------------------------------------------------------------------

    def _look(self) -> TalusState:
        self.missing = {}
        init = self._try("manager", lambda: read_init(self.params["manager"], self.params["init_dir"]))
        daemons = self._try("daemons", lambda: read_daemons(hides_others())) if self._wants("daemons") or not self.roles else None
        seen = self._containers(init, daemons)
        roles = tuple(self.roles) or roles_of(init, daemons, seen)
        state = TalusState(time.time(), roles, init, daemons=daemons if self._wants("daemons") else None, ports=self.ports)
        if seen is not None and self._has("containers", roles):
            chosen, others = choose(seen)
            state = replace(state, containers=chosen, others=tuple(others), held=tuple(self._held(chosen)), logs=self._logs(seen))
        if self._has("records", roles):
            state = self._with_records(state)
        if state.daemons is not None:
            state = replace(state, broker=self._broker(state), daemons=self._watched(state, state.daemons))
        if self._has("boxes", roles):
            names = ("boxes_dir", "images_dir", "files_dir")
            state = replace(state, boxes=self._try("boxes", lambda: read_boxes(*[self.params[name] for name in names])))
        return replace(state, missing=dict(self.missing))

    def _wants(self, part: str) -> bool:
        return not self.asked or part in self.asked

    def _has(self, part: str, roles: Sequence[str]) -> bool:
        """Parts that only a master has are looked at elsewhere when they are named."""
        return part in self.asked or (not self.asked and MASTER in roles)

    def _containers(self, init: Optional[Init], daemons: Optional[Daemons]) -> Optional[List[Container]]:
        """Where nothing else says that this is a master, an engine that is away is no fault: a slave has none."""
        if self.roles and not self._has("containers", self.roles):
            return None
        seen = self._try("containers", lambda: read_containers(self.docker))
        if not self._has("containers", self.roles or roles_of(init, daemons, seen)):
            self.missing.pop("containers", None)
        return seen

    def _held(self, chosen: Mapping[str, Optional[Container]]) -> List[Held]:
        """Of what needs another one. The broker needs nobody."""
        found: List[Held] = []
        for container in chosen.values():
            if container is not None and container.running and container.component != "amqp":
                found += self._try("links", partial(held_by, self.docker, container)) or []
        return [replace(held, local=bool(held.address) and is_local(held.address)) for held in found]

    def _logs(self, containers: Sequence[Container]) -> Dict[str, List[str]]:
        wanted = containers if self.log_lines else ()
        return {each.name: self._try("logs", partial(log_of, self.docker, each.name, self.log_lines)) or [] for each in wanted}

    def _with_records(self, state: TalusState) -> TalusState:
        database: Optional[Database] = None
        records: Optional[Records] = None
        mongo = self.mongo
        if mongo is None:
            self.missing["records"] = "the Python library pymongo is missing on this node (Debian and Ubuntu: python3-pymongo)"
            return state
        database = self._try("records", lambda: read_database(mongo))
        if database is not None:
            now = database.time or state.now
            records = self._try("records", lambda: read_records(mongo, self.params["database"], now))
        return replace(state, database=database, records=records)

    def _broker(self, state: TalusState) -> Optional[Broker]:
        """Where it was said, or where this host's daemons look for it."""
        slaves = state.daemons.of(SLAVE) if state.daemons else []
        host = self.params["amqp_host"] or (slaves[0].broker if slaves else None) or ("localhost" if MASTER in state.roles else None)
        return ask_broker(host, self.ports.amqp, min(5.0, self.params["timeout"])) if host else None

    def _watched(self, state: TalusState, daemons: Daemons) -> Daemons:
        """Daemons that are young, or away, are looked at a little longer where the manager does not count what it starts again."""
        counted = {kind for kind in DAEMONS for unit in [state.init.unit(kind) if state.init else None] if unit and unit.service.restarts is not None}
        young = [kind for kind in state.roles if kind not in counted and all(daemon.age < self.limits.settle for daemon in daemons.of(kind))]
        expected = [kind for kind in young if daemons.of(kind) or (state.init and _is_on(state.init, kind) and not daemons.hidden)]
        return replace(daemons, restarted=tuple(replaced(daemons.found, expected, self.watch))) if expected and self.watch else daemons

    def _try(self, part: str, read: Callable[[], T]) -> Optional[T]:
        try:
            return read()
        except _ERRORS as exc:
            self.missing[part] = str(exc)
        except OSError as exc:
            self.missing[part] = "%s: %s" % (exc.filename or part, exc.strerror or exc)
        return None


def roles_of(init: Optional[Init], daemons: Optional[Daemons], containers: Optional[Sequence[Container]]) -> Tuple[str, ...]:
    """What a host is, by what is installed or runs on it."""
    found = {unit.component for unit in (init.units if init else ())} | {file.named for file in (init.files if init else ())}
    found |= {daemon.kind for daemon in (daemons.found if daemons else ())}
    found |= {container.component for container in containers or () if container.kind == "service"}
    return tuple(role for role, parts in ((MASTER, {MASTER, *COMPONENTS}), (SLAVE, {SLAVE})) if found & parts)


def _is_on(init: Init, kind: str) -> bool:
    unit = init.unit(kind)
    return unit is not None and unit.service.on


def _within(option: str, value: float, least: float, most: float = float("inf")) -> float:
    if not least <= value <= most:
        limits = "%g or more" % least if most == float("inf") else "%g to %g" % (least, most)
        raise TalusError("%s must be %s, not %g" % (option, limits, value))
    return value


__all__ = ["PARTS", "TalusInfo", "roles_of"]
