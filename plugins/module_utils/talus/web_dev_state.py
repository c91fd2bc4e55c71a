# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The web server's container for development: what it is like, and what would be done about it. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.docker import UNNAMED
from ..procedure.envelope import Change, Finding, Image, Remedy, canonical
from ..procedure.errors import Refusal
from .containers import Container, Held
from .names import FILE, SPELLINGS, container_name

LABEL = "fieldops.runbooks.talus.web_dev"
"""What it was made with, as the journal has it. The engine forgets a link when what it leads to is removed."""
SUBJECT = "container:"
SOURCES = "/web"
SUFFIX = "_dev"
IMAGES = {"underscore": "talus_web", "hyphen": "talus/talus-web"}
MOUNTS = (
    "/talus/install:/talus_install:rw",
    "/talus/talus_code_cache:/code_cache:rw",
    "/tmp/talus/tmp:/tmp:rw",  # noqa: S108 - where upstream has them
    "/var/lib/libvirt/images:/images:ro",
    "/var/log/talus:/logs:rw",
)
"""As upstream starts it, apart from the sources."""
_SHELLS = ("bash", "sh", "dash", "ash", "zsh")
_RUNBOOK = (FILE, "Webserver")


@dataclass(frozen=True)
class Wanted:
    """What is asked for. ``image`` and ``mounts`` are None where the production's are to be taken."""

    source: str
    command: Tuple[str, ...] = ("bash",)
    address: str = "0.0.0.0"  # noqa: S104 - developers are elsewhere
    port: int = 8080
    image: Optional[str] = None
    mounts: Optional[Tuple[str, ...]] = None
    environment: Tuple[str, ...] = ()
    """Names only. Values are given to the container and kept nowhere else."""


@dataclass(frozen=True)
class WebDevState:
    """``there`` is the container as it was made, ``after`` what would be made. ``foreign`` is one that this module did not make."""

    name: str
    database: Optional[Container]
    there: Optional[Image] = None
    foreign: bool = False
    running: bool = False
    written: Sequence[str] = ()
    half: Optional[Image] = None
    """One that a run was starting when it was cut off; the next one that is started takes its place."""
    after: Optional[Image] = None
    image_here: bool = True
    lacking: Sequence[str] = ()
    """Directories of the host that are to be mounted and are not there."""
    taken: str = ""
    """What has the port."""
    stale: Sequence[Held] = field(default_factory=tuple)


def dev_name(spelling: str) -> str:
    return container_name("web", spelling, SUFFIX)


def spelling_for(asked: Optional[str], there: Sequence[str], database: Optional[Container]) -> str:
    """As asked for; else as the container for development that is there, else as the database's container."""
    if asked:
        return asked
    found = [spelling for spelling in SPELLINGS if dev_name(spelling) in there]
    if found:
        return found[0]
    return database.spelling if database is not None else "hyphen"


def wanted_image(wanted: Wanted, database: Optional[Container], web: Optional[Container], spelling: str) -> Optional[Image]:
    """The container that would be made; None without a database to connect it to."""
    if database is None:
        return None
    inherited = [_bind(mount) for mount in web.mounts] if web is not None and web.mounts else list(MOUNTS)
    mounts = [mount for mount in (inherited if wanted.mounts is None else wanted.mounts) if _target(mount) != SOURCES]
    network = next((name for name in sorted(database.networks) if name not in ("bridge", "none", "host")), None)
    return {
        "image": wanted.image or (web.image if web is not None else IMAGES[spelling]),
        "command": list(wanted.command),
        "mounts": sorted([*mounts, "%s:%s:rw" % (wanted.source, SOURCES)], key=_target),
        "port": "%s:%d" % (wanted.address, wanted.port),
        "network": network or "default",
        "link": None if network else "%s:%s" % (database.name, database.name),
        "environment": sorted(wanted.environment),
    }


def configuration(image: Mapping[str, Any], values: Optional[Mapping[str, str]] = None) -> Dict[str, Any]:
    """For ``POST /containers/create``: with a terminal that nobody sits at, so that a shell stays, and gone by itself when it ends."""
    address, _colon, port = str(image["port"]).rpartition(":")
    inside = "%s/tcp" % port
    return {
        "Image": image["image"],
        "Entrypoint": list(image["command"]),
        "Cmd": [],
        "WorkingDir": SOURCES,
        "Tty": True,
        "OpenStdin": True,
        "Env": ["%s=%s" % pair for pair in sorted((values or {}).items())],
        "ExposedPorts": {inside: {}},
        "Labels": {LABEL: canonical(dict(image))},
        "HostConfig": {
            "AutoRemove": True,
            "Binds": list(image["mounts"]),
            "NetworkMode": image["network"],
            "Links": [image["link"]] if image["link"] else [],
            "PortBindings": {inside: [{"HostIp": address.strip("[]"), "HostPort": port}]},
        },
    }


def shape(inspected: Mapping[str, Any]) -> Optional[Image]:
    """What a container was made with; None for one that this module did not make."""
    label = (inspected["Config"].get("Labels") or {}).get(LABEL)
    try:
        made = json.loads(label) if label else None
    except (ValueError, RecursionError):
        return None
    return made if isinstance(made, dict) and {"image", "mounts", "environment", "command"} <= set(made) else None


def targets(image: Mapping[str, Any]) -> List[str]:
    return [_target(mount) for mount in image["mounts"]]


def beside(written: Sequence[str], places: Sequence[str]) -> List[str]:
    """Paths that are in no mount and lead to none. What Python compiles is no loss."""
    return [path for path in written if not path.endswith((".pyc", "__pycache__")) and not any(_touches(path, place) for place in places)]


def plan(state: WebDevState, present: bool) -> List[Change]:
    subject = SUBJECT + state.name
    if present:
        if state.there is not None or state.foreign or state.after is None:
            return []
        return [Change("create", subject, None, state.after, "to work on the sources in %s" % _source(state.after))]
    changes = []
    if state.half is not None:
        changes.append(Change("remove", subject + UNNAMED, state.half, None, "it was being started when a run was cut off", not state.half["environment"]))
    if state.there is not None and not state.foreign:
        loss = "files written in %s outside its mounts" % state.name if state.written else ""
        again = not state.there["environment"]  # values are kept nowhere
        changes.append(Change("remove", subject, state.there, None, "the work on the sources is over", again, loss))
    return changes


def guards(state: WebDevState, wanted: Wanted, present: bool) -> List[Refusal]:
    if state.foreign:
        reason = "there is a container %s that this module did not make, by upstream's start script perhaps." % state.name
        return [Refusal("foreign", reason, "see whose it is; remove it with docker rm --force %s." % state.name)]
    if not present:
        return []
    if state.there is not None:
        return _settings(state, wanted)
    found: List[Refusal] = []
    if state.database is None or not state.database.running:
        known = state.database
        reason = "no container of the database is there." if known is None else "the database's container %s does not run (%s)." % (known.name, known.status)
        found.append(Refusal("database", reason, "start it first, with fieldops.runbooks.talus_stack_restart."))
    if state.after is not None and not state.image_here:
        reason = "there is no image %s on this node, and nothing is pulled or built along the way." % state.after["image"]
        found.append(Refusal("image", reason, "name an image that is here: image; or build it with upstream's web/bin/build."))
    if state.lacking:
        reason = "these are to be mounted and are not there: %s. The engine would make empty ones of root." % ", ".join(state.lacking)
        found.append(Refusal("mounts", reason, "make them (a start of the production web server does), or name others: volumes."))
    if state.taken:
        found.append(Refusal("port", "port %d is taken: %s." % (wanted.port, state.taken), "name another one: port."))
    return found


def _settings(state: WebDevState, wanted: Wanted) -> List[Refusal]:
    """Only what was asked for counts, not what would be taken over from production today."""
    there = state.there or {}
    asked = {"command": list(wanted.command), "port": "%s:%d" % (wanted.address, wanted.port), "environment": sorted(wanted.environment)}
    if wanted.image is not None:
        asked["image"] = wanted.image
    if wanted.mounts is not None and state.after is not None:
        asked["mounts"] = state.after["mounts"]
    differing = ["%s is %s" % (name, there.get(name)) for name, value in asked.items() if there.get(name) != value]
    if _source(there) != wanted.source:
        differing.append("sources are %s" % _source(there))
    if not state.running:
        differing.append("it does not run")
    if not differing:
        return []
    reason = "%s is there already, with other settings: %s." % (state.name, "; ".join(differing))
    return [Refusal("settings", reason, "remove it first: state: absent.")]


def diagnose(state: WebDevState) -> List[Finding]:
    name = state.name
    if state.foreign:
        text = "there is a container %s that this module did not make" % name
        return [Finding("talus.web_dev.foreign", "warning", name, text, {}, Remedy("see whose it is"), _RUNBOOK)]
    if state.there is None:
        return [Finding("talus.web_dev.absent", "ok", name, "there is no container for development of the web server", {}, None, _RUNBOOK)]
    detail = dict(state.there, running=state.running, written=list(state.written[:20]))
    text = "%s has the sources of %s at %s, on port %s: %s" % (name, _source(state.there), SOURCES, state.there["port"], exec_line(name, state.there))
    remedy = Remedy("fieldops.runbooks.talus_web_dev with state: absent when the work is over")
    found = [Finding("talus.web_dev.present", "info", name, text, detail, remedy, _RUNBOOK)]
    if state.stale:
        text = "%s goes by %s for the database, which is not its address any more" % (name, state.stale[0].address)
        remedy = Remedy("fieldops.runbooks.talus_web_dev with state: absent, and then again with state: present")
        found.append(Finding("talus.web_dev.stale", "warning", name, text, {"address": state.stale[0].address}, remedy, _RUNBOOK))
    return found


def exec_line(name: str, image: Mapping[str, Any]) -> str:
    """What a person types to get a shell in it."""
    first = str(image["command"][0]).rpartition("/")[2] if image["command"] else ""
    return "docker exec -it %s %s" % (name, first if first in _SHELLS else "sh")


def _source(image: Mapping[str, Any]) -> str:
    return next((mount.partition(":")[0] for mount in image.get("mounts", ()) if _target(mount) == SOURCES), "")


def _bind(mount: Mapping[str, Any]) -> str:
    return "%s:%s:%s" % (mount["source"], mount["destination"], "rw" if mount["writable"] else "ro")


def _target(mount: str) -> str:
    return mount.split(":")[1]


def _touches(path: str, place: str) -> bool:
    return path == place or path.startswith(place + "/") or place.startswith(path + "/")
