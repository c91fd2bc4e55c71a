# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's container is put aside for one like it with another command, and comes back.

    over:  create NAME-fieldops.new, stop NAME, rename it to NAME-fieldops-ID.POLICY.aside, take its restart policy, rename the new one to NAME, start it
    back:  stop NAME, rename it to NAME-fieldops-gone.aside, give the one that was put aside its restart policy and its name, start it, remove the other

What was put aside has no restart policy: with ``always``, the engine would start it beside the other one as soon as the engine itself is started,
and two nodes would work on the same data. Wherever this is cut off, ``back`` ends it: the names tell how far it came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..connect.docker import Docker
from ..connect.images import Images
from .container import ContainerError, find
from .profiler_config import GONE, NEW, REPLACES, bound_of, command_of, disabled, enabled, has_option, kept_name, kept_of, name_of, other_networks

Seen = Mapping[str, Any]
_NO_POLICY = {"Name": "no", "MaximumRetryCount": 0}


@dataclass(frozen=True)
class Place:
    """What there is of one node, as the engine inspects it: under its name, put aside, and left by a run that was cut off."""

    name: str
    current: Optional[Seen] = None
    kept: Optional[Seen] = None
    new: Optional[Seen] = None
    gone: Optional[Seen] = None

    @property
    def running(self) -> bool:
        return bool(self.current and self.current["State"]["Running"])

    @property
    def option(self) -> bool:
        return self.current is not None and has_option(command_of(self.current))

    @property
    def ours(self) -> bool:
        """The option was added here: the container has the bound on its label."""
        return self.current is not None and bound_of(self.current) is not None

    @property
    def half(self) -> bool:
        """A run was cut off in the middle."""
        if self.new is not None or self.gone is not None:
            return True
        if self.kept is None or self.current is None:
            return self.kept is not None
        return not self.running and (self.option or self.current["State"].get("Status") == "created")  # it has its name, and was never started

    @property
    def stale(self) -> bool:
        """Somebody made a new container meanwhile, without the option: what was put aside is of no use any more."""
        return self.kept is not None and self.current is not None and not self.option and not self.replaced

    @property
    def replaced(self) -> bool:
        """What was put aside has the option in its owner's own command."""
        return self.kept is not None and has_option(command_of(self.kept))

    @property
    def state(self) -> str:
        """half, on, foreign (the option stands in the owner's own command), or off."""
        if self.half:
            return "half"
        if not self.option:
            return "off"
        return "on" if self.ours else "foreign"


def look(docker: Docker, name: str) -> Place:
    """Of what was put aside, that for which the current one was made; else the latest."""
    names = [each.lstrip("/") for row in docker.containers() for each in row.get("Names") or ()]
    kept = [each for each in names if (kept_of(each) or ("",))[0] == name]
    seen = [found for found in (docker.inspect(each) for each in kept) if found is not None]
    current = docker.inspect(name) if name in names else None
    label = ((current or {}).get("Config", {}).get("Labels") or {}).get(REPLACES)
    own = [each for each in seen if label and str(each["Id"]).startswith(label)]
    latest = max(own or seen, key=lambda each: str(each.get("Created") or ""), default=None)
    return Place(name, current, latest, _maybe(docker, names, name + NEW), _maybe(docker, names, name + GONE))


def _maybe(docker: Docker, names: Sequence[str], name: str) -> Optional[Seen]:
    return docker.inspect(name) if name in names else None


def locate(docker: Docker, wanted: Optional[str]) -> str:
    """The name of the node's container, also where a run was cut off while nothing had that name."""
    names = [each.lstrip("/") for row in docker.containers() for each in row.get("Names") or ()]
    aside = sorted({found[0] for found in map(kept_of, names) if found is not None and found[0] not in names})
    if wanted in aside:
        return str(wanted)
    try:
        found = find(docker, wanted).name
    except ContainerError:
        if wanted is None and len(aside) == 1:
            return aside[0]
        raise
    if wanted is None and aside:
        text = "container %s looks like a Sesam node, and %s was put aside by a run that was cut off. Name one of them with the option container."
        raise ContainerError(text % (found, ", ".join(aside)), kind="conflict")
    return found


def switch_on(docker: Docker, place: Place, size: int, logs: str, running: Sequence[str], stop_timeout: int) -> None:
    """The profiler on, in a file system of ``size`` bytes; ``place`` is off, or half."""
    if place.half:
        back(docker, place, stop_timeout)
        place = look(docker, place.name)
    if place.current is None:
        raise ContainerError("there is no container %s any more" % place.name)
    over(docker, place, enabled(place.current, size, logs, running), stop_timeout)


def switch_off(docker: Docker, place: Place, stop_timeout: int) -> None:
    """The container that was put aside comes back; where it is gone, or older than the software that runs now, one is made without the option."""
    if place.half:
        back(docker, place, stop_timeout)
        place = look(docker, place.name)
        if not place.option:
            return
    kept, current = place.kept, place.current
    if kept is not None and current is not None and current["Image"] == kept["Image"]:
        back(docker, place, stop_timeout)
        return
    if current is None:
        raise ContainerError("there is no container %s any more" % place.name)
    ours = place.ours
    over(docker, place, disabled(current), stop_timeout)
    if ours:  # what another one of ours replaced is of no use to anybody
        docker.remove(str(current["Id"]))
        if kept is not None:
            docker.remove(str(kept["Id"]))


def over(docker: Docker, place: Place, config: Dict[str, Any], stop_timeout: int) -> None:
    """Another container in the place of the current one, which is kept."""
    old = place.current
    if old is None:
        raise ContainerError("there is no container %s any more" % place.name)
    new = place.name + NEW
    labels = dict(config.get("Labels") or {}, **{REPLACES: str(old["Id"])[:12]})
    docker.remove(new)
    try:
        docker.create(new, dict(config, Image=image_of(docker, old), Labels=labels))
        for network, endpoint in other_networks(old).items():
            _connect(docker, new, network, endpoint)
        docker.stop(str(old["Id"]), stop_timeout)
        docker.rename(str(old["Id"]), kept_name(old))
        _set_policy(docker, str(old["Id"]), _NO_POLICY)
        docker.rename(new, place.name)
        docker.start_again(place.name)
    except Exception:
        back(docker, look(docker, place.name), stop_timeout)
        raise


def back(docker: Docker, place: Place, stop_timeout: int) -> None:
    """To the container that was put aside, from wherever this was cut off."""
    kept, gone = place.kept, place.name + GONE
    docker.remove(place.name + NEW)
    if kept is not None:
        if place.current is not None and place.current["Id"] != kept["Id"]:
            docker.remove(gone)
            docker.stop(str(place.current["Id"]), stop_timeout)
            docker.rename(str(place.current["Id"]), gone)
        told = kept_of(name_of(kept))
        _set_policy(docker, str(kept["Id"]), told[2] if told else _NO_POLICY)
        docker.rename(str(kept["Id"]), place.name)
    docker.start_again(place.name)
    docker.remove(gone)


def image_of(docker: Docker, seen: Seen) -> str:
    """The name of the image while that is still the same one, else its id: what runs is to be the same software."""
    name = str((seen.get("Config") or {}).get("Image") or "")
    found = Images(docker).get(name) if name else None
    return name if found is not None and found.id == seen["Image"] else str(seen["Image"])


def _connect(docker: Docker, name: str, network: str, endpoint: Mapping[str, Any]) -> None:
    fixed = endpoint.get("IPAMConfig") or {}
    asked = {
        "ipv4_address": fixed.get("IPv4Address"),
        "ipv6_address": fixed.get("IPv6Address"),
        "aliases": endpoint.get("Aliases"),
        "links": [tuple(link.split(":", 1)) for link in endpoint.get("Links") or ()] or None,
        "driver_opt": endpoint.get("DriverOpts"),
    }
    with docker.errors("connect container %s to network %s" % (name, network)):
        docker.api.connect_container_to_network(name, network, **{key: value for key, value in asked.items() if value})


def _set_policy(docker: Docker, name: str, policy: Mapping[str, Any]) -> None:
    with docker.errors("set the restart policy of container %s" % name):
        docker.api.update_container(name, restart_policy=dict(policy))


def others_of(docker: Docker, place: Place) -> List[Seen]:
    """The other containers of the engine, for what hangs on this one."""
    own = {str(each["Id"]) for each in (place.current, place.kept, place.new, place.gone) if each is not None}
    rows = [str(row["Id"]) for row in docker.containers()]
    return [seen for seen in (docker.inspect(id_) for id_ in rows if id_ not in own) if seen is not None]
