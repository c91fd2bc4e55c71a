# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container beside a job, with the job's volume: what it is like, and what would be done about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.docker import UNNAMED
from ..procedure.envelope import Change, Finding, Image, Remedy
from ..procedure.errors import Refusal
from .info_state import DEBUG
from .names import volume_name

LABEL = "fieldops.runbooks.debug"
WORKSPACE = "/workspace"
SUBJECT = "container:"
_RUNBOOK = ("opensafely-jobrunner.md", "Mount the volume of a running job")
_WANTED = ("image", "volume", "writable", "privileged", "lifetime")


@dataclass(frozen=True)
class Wanted:
    """The container that is asked for."""

    job_id: str
    image: str
    lifetime: int
    writable: bool
    privileged: bool

    @property
    def name(self) -> str:
        return debug_name(self.job_id)


@dataclass(frozen=True)
class DebugState:
    """``volume`` is the name of the job's volume, or the path of its folder; None where there is neither.

    ``there`` is the container as it is, ``foreign`` that it is somebody else's, ``written`` what it wrote beside its volume.
    """

    volume: Optional[str]
    there: Optional[Image]
    foreign: bool = False
    running: bool = False
    written: Sequence[str] = ()
    image_here: bool = True
    half: Optional[Image] = None
    """One that a run was starting when it was cut off; the next one that is started takes its place."""


def debug_name(job_id: str) -> str:
    return DEBUG + job_id


def configuration(image: Mapping[str, Any]) -> Dict[str, Any]:
    """For ``POST /containers/create``. Without a network, and gone by itself when its time is over."""
    options = "rw" if image["writable"] else "ro"
    host: Dict[str, Any] = {
        "NetworkMode": "none",
        "Binds": ["%s:%s:%s" % (image["volume"], WORKSPACE, options)],
        "AutoRemove": True,
        "Privileged": bool(image["privileged"]),
    }
    if image["privileged"]:
        host["PidMode"] = "host"
    return {
        "Image": image["image"],
        "Entrypoint": ["sleep"],
        "Cmd": [str(image["lifetime"])],
        "WorkingDir": WORKSPACE,
        "NetworkDisabled": True,
        "Labels": {LABEL: image["volume"]},
        "HostConfig": host,
    }


def shape(inspected: Mapping[str, Any]) -> Image:
    """What a container is like, from the engine's answer."""
    config, host = inspected["Config"], inspected["HostConfig"]
    bind = str((host.get("Binds") or [""])[0])
    volume, _colon, rest = bind.partition(":%s" % WORKSPACE)
    command = list(config.get("Cmd") or [])
    return {
        "image": config["Image"],
        "volume": volume,
        "writable": rest.lstrip(":") != "ro",
        "privileged": bool(host.get("Privileged")),
        "lifetime": int(command[0]) if command and str(command[0]).isdigit() else 0,
    }


def is_ours(inspected: Mapping[str, Any]) -> bool:
    return LABEL in (inspected["Config"].get("Labels") or {})


def plan(state: DebugState, wanted: Wanted, present: bool) -> List[Change]:
    subject = SUBJECT + wanted.name
    if not present:
        half = [] if state.half is None else [Change("remove", subject + UNNAMED, state.half, None, "it was being started when a run was cut off")]
        if state.there is None:
            return half
        loss = "files written in %s outside %s" % (wanted.name, WORKSPACE) if state.written else ""
        return [*half, Change("remove", subject, state.there, None, "the looking is over", data_loss=loss)]
    if state.there is not None or state.volume is None:
        return []
    after = {"image": wanted.image, "volume": state.volume, "writable": wanted.writable, "privileged": wanted.privileged, "lifetime": wanted.lifetime}
    return [Change("create", subject, None, after, "to look at the volume of job %s" % wanted.job_id)]


def guards(state: DebugState, wanted: Wanted, present: bool) -> List[Refusal]:
    found: List[Refusal] = []
    if state.foreign:
        reason = "there is a container %s that this module did not make." % wanted.name
        return [Refusal("foreign", reason, "see whose it is; remove or rename it with docker.")]
    if not present:
        return []
    if state.there is None and state.volume is None:
        reason = "job %s has no volume: neither %s nor a folder." % (wanted.job_id, volume_name(wanted.job_id))
        found.append(Refusal("volume", reason, "a job that has one; volumes are removed when a job has ended and its results are filed away."))
    if state.there is None and not state.image_here:
        reason = "there is no image %s on this node, and nothing is pulled along the way." % wanted.image
        found.append(Refusal("image", reason, "name an image that is here, or get it with fieldops.runbooks.jobrunner_image."))
    others = differences(state, wanted)
    if others:
        reason = "%s is there already, with other settings: %s." % (wanted.name, ", ".join("%s %s" % each for each in others))
        found.append(Refusal("settings", reason, "remove it first: state: absent."))
    return found


def differences(state: DebugState, wanted: Wanted) -> List[Tuple[str, Any]]:
    """Settings of the container that is there, where they are not the ones asked for."""
    there = state.there or {}
    asked = {"image": wanted.image, "writable": wanted.writable, "privileged": wanted.privileged, "lifetime": wanted.lifetime}
    return [(name, there[name]) for name in _WANTED if name in there and name in asked and there[name] != asked[name]]


def diagnose(state: DebugState, wanted: Wanted) -> List[Finding]:
    name = wanted.name
    if state.there is None:
        return [Finding("jobrunner.debug.absent", "ok", name, "there is no container for debugging job %s" % wanted.job_id, {}, None, _RUNBOOK)]
    detail = dict(state.there, running=state.running, written=list(state.written[:20]))
    text = "%s has the volume of job %s at %s%s: docker exec -it %s sh" % (
        name,
        wanted.job_id,
        WORKSPACE,
        "" if state.there["writable"] else ", read-only",
        name,
    )
    remedy = Remedy("fieldops.runbooks.jobrunner_debug with state: absent when the looking is over; until then the volume cannot be removed")
    return [Finding("jobrunner.debug.present", "info", name, text, detail, remedy, _RUNBOOK)]
