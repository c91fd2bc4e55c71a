# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers of Talus, found by name, hostname or image, and the addresses that one holds of another."""

from __future__ import annotations

import io
import re
import tarfile
from dataclasses import dataclass, field, replace
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..connect.docker import Docker, timestamp
from .names import COMPONENTS, Named, container_named, environment_named, image_named

_ADDRESS = re.compile(r"tcp://\[?(?P<address>[^\]/]*?)\]?:(?P<port>\d+)")
_LARGEST_HOSTS = 1 << 20
_LONGEST_LINE = 1000
_SECRET = re.compile(r"passw|secret|token|credential", re.IGNORECASE)
HIDDEN = "(a line that may hold a secret)"
_FOUND_BY = ("name", "hostname", "image")
"""How a container was recognised, the surest way first."""


@dataclass(frozen=True)
class Container:
    """One container. ``networks`` are its addresses by network; the engine's one address outside of them is empty on networks of users."""

    id: str
    name: str
    component: str
    spelling: str
    kind: str
    found_by: str
    image: str
    hostname: str
    status: str
    running: bool
    pid: int = 0
    exit_code: Optional[int] = None
    restarts: int = 0
    started: Optional[float] = None
    ports: Tuple[Mapping[str, Any], ...] = ()
    mounts: Tuple[Mapping[str, Any], ...] = ()
    networks: Mapping[str, str] = field(default_factory=dict)
    network_mode: str = ""
    links: Tuple[str, ...] = ()
    aliases: Tuple[str, ...] = ()
    command: Tuple[str, ...] = ()

    @property
    def addresses(self) -> List[str]:
        return [address for address in self.networks.values() if address]

    @property
    def on_default_bridge(self) -> bool:
        """Where names do not resolve, and only links tell addresses."""
        return self.network_mode in ("default", "bridge", "")

    def mount_at(self, *destinations: str) -> Optional[Mapping[str, Any]]:
        return next((mount for mount in self.mounts if mount["destination"] in destinations), None)


@dataclass(frozen=True)
class Held:
    """An address of a component that something else goes by. ``where`` is hosts or environment, ``local`` that it is one of this host."""

    holder: str
    component: str
    where: str
    name: str
    address: str
    local: bool = False


def container_of(seen: Mapping[str, Any]) -> Optional[Container]:
    """From the engine's answer; None for what is not of Talus."""
    config, host, state = seen["Config"], seen["HostConfig"], seen["State"]
    name = str(seen["Name"]).lstrip("/")
    recognised = _recognised(name, str(config.get("Hostname") or ""), str(config.get("Image") or ""))
    if recognised is None:
        return None
    named, found_by = recognised
    networks = (seen.get("NetworkSettings") or {}).get("Networks") or {}
    return Container(
        id=seen["Id"],
        name=name,
        component=named.component,
        spelling=named.spelling,
        kind=named.kind,
        found_by=found_by,
        image=str(config.get("Image") or ""),
        hostname=str(config.get("Hostname") or ""),
        status=str(state.get("Status") or ("running" if state.get("Running") else "exited")),
        running=bool(state.get("Running")),
        pid=int(state.get("Pid") or 0),
        exit_code=None if state.get("Running") else state.get("ExitCode"),
        restarts=int(seen.get("RestartCount") or 0),
        started=timestamp(str(state.get("StartedAt") or "")),
        ports=tuple(_ports((seen.get("NetworkSettings") or {}).get("Ports") or host.get("PortBindings") or {})),
        mounts=tuple(_mounts(seen.get("Mounts") or ())),
        networks={network: str(settings.get("IPAddress") or "") for network, settings in sorted(networks.items())},
        network_mode=str(host.get("NetworkMode") or ""),
        links=tuple(_links(host, networks)),
        aliases=tuple(sorted({alias for settings in networks.values() for alias in settings.get("Aliases") or ()})),
        command=tuple(map(str, [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())])),
    )


def choose(containers: Sequence[Container]) -> Tuple[Dict[str, Optional[Container]], List[Container]]:
    """For each component the container that serves it, and the rest: the running one, then the one that is named so, then the latest."""
    chosen: Dict[str, Optional[Container]] = {}
    for component in COMPONENTS:
        fitting = [each for each in containers if each.component == component and each.kind == "service"]
        best = sorted(fitting, key=lambda each: (not each.running, _FOUND_BY.index(each.found_by), -(each.started or 0)))
        chosen[component] = best[0] if best else None
    return chosen, [each for each in containers if each is not chosen[each.component]]


def read_containers(docker: Docker) -> List[Container]:
    """All of Talus, whatever their state. Each is inspected, since a list does not tell hostnames."""
    inspected = (docker.inspect(listed["Id"]) for listed in docker.containers())
    found = (container_of(seen) for seen in inspected if seen)
    return sorted((each for each in found if each is not None), key=lambda each: each.name)


def held_by(docker: Docker, container: Container, proc: str = "/proc") -> List[Held]:
    """Addresses of other components in the hosts file of a running container, and in the environment of its first process."""
    told = [replace(each, holder=container.component) for each in in_hosts(hosts_of(docker, container.name))]
    told += in_environment(container.component, environment_of(container.pid, proc))
    own = set(container.addresses)
    return [each for each in dict.fromkeys(told) if each.component != container.component and each.address not in own]


def in_hosts(text: str) -> Iterator[Held]:
    """Entries that name a component."""
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        for name in words[1:]:
            named = container_named(name)
            if named is not None:
                yield Held("", named.component, "hosts", name, words[0])


def in_environment(holder: str, environment: Mapping[str, str]) -> List[Held]:
    """What links and start_raw tell a process. An empty address comes of asking the engine for the wrong field."""
    found = []
    for name, value in sorted(environment.items()):
        named, parsed = environment_named(name), _ADDRESS.fullmatch(value)
        if named and parsed:
            found.append(Held(holder, named[0], "environment", name, parsed["address"]))
    return found


def environment_of(pid: int, proc: str = "/proc") -> Dict[str, str]:
    """The variables of a process that tell addresses of Talus, and no others; none where they may not be read."""
    try:
        with open("%s/%d/environ" % (proc, pid), "rb") as file:
            pairs = [entry.decode("utf-8", "replace").partition("=") for entry in file.read().split(b"\0")]
    except OSError:
        return {}
    return {name: value for name, _sign, value in pairs if environment_named(name)}


def hosts_of(docker: Docker, name: str) -> str:
    """The hosts file of a container, through the engine: the file on the host is for root alone."""
    answer = docker.maybe("read /etc/hosts of container %s" % name, lambda: _archive(docker, name))
    if answer is None:
        return ""
    with tarfile.open(fileobj=io.BytesIO(answer)) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is not None:
                return file.read(_LARGEST_HOSTS).decode("utf-8", "replace")
    return ""


def log_of(docker: Docker, name: str, lines: int) -> List[str]:
    """The end of a container's log. Lines that may hold a secret are not told."""
    text = docker.logs(name, tail=lines).decode("utf-8", "replace")
    return [HIDDEN if _SECRET.search(line) else line[:_LONGEST_LINE] for line in text.splitlines()]


def _archive(docker: Docker, name: str) -> bytes:
    stream, _stat = docker.api.get_archive(name, "/etc/hosts")
    packed = b""
    for chunk in stream:
        packed += chunk
        if len(packed) > 2 * _LARGEST_HOSTS:
            break
    return packed


def _recognised(name: str, hostname: str, image: str) -> Optional[Tuple[Named, str]]:
    for word, named in zip(_FOUND_BY, (container_named(name), container_named(hostname), image_named(image))):
        if named is not None:
            return named, word
    return None


def _ports(bindings: Mapping[str, Any]) -> Iterator[Dict[str, Any]]:
    for inside, outside in sorted(bindings.items()):
        for binding in outside or ():
            yield {"container": inside, "address": binding.get("HostIp") or "", "port": int(binding.get("HostPort") or 0)}


def _mounts(mounts: Sequence[Mapping[str, Any]]) -> Iterator[Dict[str, Any]]:
    for mount in sorted(mounts, key=lambda each: str(each.get("Destination"))):
        yield {"source": mount.get("Name") or mount.get("Source"), "destination": mount.get("Destination"), "writable": bool(mount.get("RW"))}


def _links(host: Mapping[str, Any], networks: Mapping[str, Any]) -> Iterator[str]:
    """As ``container:alias``: those of the default bridge, and those of other networks."""
    for link in host.get("Links") or ():
        target, _colon, alias = str(link).partition(":")
        yield "%s:%s" % (target.rpartition("/")[2], alias.rpartition("/")[2])
    for settings in networks.values():
        yield from map(str, settings.get("Links") or ())
