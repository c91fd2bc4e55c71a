# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts a container of the web server for development beside the production's, with the sources of a checkout, and takes it away again."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.docker import UNNAMED, Docker
from ..connect.images import Images
from ..connect.sockets import listeners
from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Image, Outcome
from ..procedure.errors import Refusal
from ..procedure.undo import matches
from .containers import Container, Held, choose, container_of, held_by, read_containers
from .errors import TalusError
from .web_dev_state import (
    SOURCES,
    SUBJECT,
    Wanted,
    WebDevState,
    beside,
    configuration,
    dev_name,
    diagnose,
    exec_line,
    guards,
    plan,
    shape,
    spelling_for,
    targets,
    wanted_image,
)

_CHANGED = "the container was made, changed or removed since it was looked at: left alone"
_BELOW = ("", "app", "src/web/app", "web/app")
"""Where in a checkout, or at it, the application is."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VOLUME = re.compile(r"(?P<source>/[^:]*|[A-Za-z0-9][A-Za-z0-9_.-]+):(?P<target>/[^:]*)(?::(?P<mode>ro|rw))?")


class WebDev(Procedure[WebDevState]):
    """``state: present`` and ``state: absent``."""

    name = "talus_web_dev"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.present = params["state"] == "present"
        self.spelling: Optional[str] = params["spelling"]
        self.values = {str(name): str(value) for name, value in (params["environment"] or {}).items()}
        for name in self.values:
            if not _VARIABLE.fullmatch(name):
                raise TalusError("environment: %r is not the name of a variable" % name)
        self.wanted = Wanted(
            app_of(params["source"]) if self.present else "",
            command_of(params["command"]),
            params["address"],
            params["port"],
            params["image"],
            None if params["volumes"] is None else tuple(map(volume_of, params["volumes"])),
            tuple(sorted(self.values)),
        )
        if not 1 <= self.wanted.port <= 65535:
            raise TalusError("port must be 1 to 65535, not %d" % self.wanted.port)
        if not _is_address(self.wanted.address):
            raise TalusError("address must be an address of this node, such as 127.0.0.1, not %r" % self.wanted.address)
        if self.wanted.image == "":
            raise TalusError("image is empty: name an image that is on this node, or leave it out")
        self.docker_host: str = params["docker_host"]
        self.docker = Docker(self.docker_host, timeout=params["timeout"])

    def close(self) -> None:
        self.docker.close()

    def observe(self) -> WebDevState:
        chosen, others = choose(read_containers(self.docker))
        database = chosen["db"]
        spelling = spelling_for(self.spelling, [container.name for container in others], database)
        name = dev_name(spelling)
        seen, half = self.docker.inspect(name), self.docker.inspect(name + UNNAMED)
        there = shape(seen) if seen else None
        after = wanted_image(self.wanted, database, chosen["web"], spelling) if self.present else None
        missing = self.present and seen is None and after is not None
        return WebDevState(
            name,
            database,
            there,
            foreign=seen is not None and there is None,
            running=bool(seen and seen["State"]["Running"]),
            written=written(self.docker, name, there) if there is not None else (),
            half=shape(half) if half else None,
            after=after,
            image_here=not missing or after is None or Images(self.docker).get(after["image"]) is not None,
            lacking=lacking(after) if missing and after is not None else (),
            taken=taken(self.wanted.address, self.wanted.port) if missing and not half else "",
            stale=self._stale(seen, database),
        )

    def _stale(self, seen: Optional[Mapping[str, Any]], database: Optional[Container]) -> Sequence[Held]:
        container = container_of(seen) if seen else None
        if container is None or not container.running or database is None or not database.running:
            return ()
        return [held for held in held_by(self.docker, container) if held.component == "db" and held.address not in database.addresses]

    def diagnose(self, state: WebDevState) -> List[Finding]:
        return diagnose(state)

    def facts(self, state: WebDevState) -> Mapping[str, Any]:
        there: Optional[Dict[str, Any]] = None
        if state.there is not None:
            there = dict(state.there, name=state.name, running=state.running, written=list(state.written), shell=exec_line(state.name, state.there))
        return {"container": there, "database": state.database.name if state.database else None}

    def evidence(self, state: WebDevState) -> Mapping[str, Any]:
        return {"docker_host": self.docker_host, "name": state.name}

    def plan(self, state: WebDevState) -> List[Change]:
        return plan(state, self.present)

    def guards(self, state: WebDevState, plan: Sequence[Change]) -> List[Refusal]:
        return guards(state, self.wanted, self.present)

    def context(self) -> Mapping[str, Any]:
        return {"docker_host": self.docker_host}

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [move(self.docker, change, self.values) for change in changes]


def move(docker: Docker, change: Change, values: Optional[Mapping[str, str]] = None) -> Outcome:
    """From one image to the other, if it is still as it was looked at."""
    name = change.subject[len(SUBJECT) :]
    seen = docker.inspect(name)
    now = shape(seen) if seen else None
    if not matches(change.before, now) or (seen is not None and now is None):
        return Outcome(False, _CHANGED)
    if change.after is None:
        docker.remove(name)
    else:
        docker.start(name, configuration(change.after, values))
    return Outcome(True)


def written(docker: Docker, name: str, image: Image) -> List[str]:
    """What would be lost with a container."""
    return beside(docker.written(name), targets(image))


def app_of(path: Optional[str]) -> str:
    """The application's directory in a checkout, or at it."""
    if not path:
        raise TalusError("source is required with state: present: a checkout of Talus, or its src/web/app")
    for below in _BELOW:
        found = os.path.join(path, below) if below else path
        if os.path.isfile(os.path.join(found, "manage.py")):
            resolved = os.path.realpath(found)
            if ":" in resolved:
                raise TalusError("source: %s has a colon in its name, which the engine cannot mount" % resolved)
            return resolved
    raise TalusError("source: there is no manage.py in %s, nor in its src/web/app: a checkout of Talus is wanted, or its src/web/app" % path)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def command_of(words: Sequence[str]) -> Tuple[str, ...]:
    if not words or not words[0]:
        raise TalusError("command is empty: name a program of the image, for example [bash]")
    return tuple(words)


def volume_of(text: str) -> str:
    """A mount as the engine has it, with its mode."""
    found = _VOLUME.fullmatch(text)
    if found is None:
        raise TalusError("volumes: %r is not of the form /on/the/host:/in/the/container, or with :ro at its end" % text)
    if found["target"].rstrip("/") == SOURCES:
        raise TalusError("volumes: %s is where the sources go: source" % SOURCES)
    return "%s:%s:%s" % (found["source"], found["target"], found["mode"] or "rw")


def lacking(image: Mapping[str, Any]) -> List[str]:
    """Directories that would be mounted and are not there; names are of volumes, which the engine makes."""
    sources = [mount.partition(":")[0] for mount in image["mounts"]]
    return [source for source in sources if source.startswith("/") and not os.path.exists(source)]


def taken(address: str, port: int) -> str:
    """What listens there already, in words."""
    found = [each for each in listeners(("tcp",)) if each.port == port and each.serves(None if address in ("", "0.0.0.0", "::") else address)]  # noqa: S104
    return "something listens at %s" % found[0].address if found else ""
