# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a node's container is to be reached: a wrong address looks just like a node that is down."""

from __future__ import annotations

import re
from typing import Any, Iterator, List, Mapping, Tuple
from urllib.parse import urlsplit

from ..connect.dial import place
from ..connect.docker import Docker, DockerError
from ..connect.procfs import open_files
from ..connect.sockets import listeners
from .api import Node
from .container import container_of, find
from .errors import SesamError
from .process import descendants, first_process

_ANY = ("", "0.0.0.0", "::")  # noqa: S104 - read, not bound to
_LOOPBACK = "127.0.0.1"
_PORT = re.compile(r"[0-9]{1,5}")
_HERE = (_LOOPBACK, "localhost", "::1")
_MOST = 8
_QUESTION = 5.0


def elsewhere(docker: Docker, name: Any, node: Node) -> str:
    """The address at which the API of the container answers, other than the one that was asked; empty where it answers nowhere, or that is not known."""
    try:
        seen = docker.inspect(find(docker, name).id)
        found = addresses(seen) if seen is not None else []
    except (SesamError, DockerError):
        return ""
    for host, port in found[:_MOST]:
        for scheme in ("http", "https"):
            url = "%s://%s" % (scheme, place(host, port))
            if not _same(url, node.url) and answers(url):
                return url
    return ""


def addresses(seen: Mapping[str, Any]) -> List[Tuple[str, int]]:
    """Hosts and ports of this machine that lead into a container that runs: those that are published, or all of one that has the machine's own network."""
    container = container_of(seen)
    if not container.running:
        return []
    if (seen.get("HostConfig") or {}).get("NetworkMode") == "host":
        family = descendants(first_process(container))
        sockets = open_files([each.pid for each in family]).sockets
        found = [(each.address, each.port) for each in listeners(("tcp",)) if each.inode in sockets and each.port]
    else:
        found = list(_published((seen.get("NetworkSettings") or {}).get("Ports") or {}))
    return sorted({(_LOOPBACK if host in _ANY else host, port) for host, port in found})


def _published(ports: Mapping[str, Any]) -> Iterator[Tuple[str, int]]:
    for inside, outside in ports.items():
        for each in (outside or ()) if inside.endswith("/tcp") else ():
            if _PORT.fullmatch(str(each.get("HostPort") or "")):
                yield str(each.get("HostIp") or ""), int(each["HostPort"])


def _same(one: str, other: str) -> bool:
    """Of the very address that was asked it is known that it does not answer."""
    first, second = urlsplit(one), urlsplit(other)
    hosts = [_LOOPBACK if each.hostname in _HERE else each.hostname for each in (first, second)]
    ports = [each.port or {"http": 80, "https": 443}[each.scheme] for each in (first, second)]
    return (first.scheme, hosts[0], ports[0]) == (second.scheme, hosts[1], ports[1])


def answers(url: str) -> bool:
    """Whether a node's API is there. It is asked without the token, which is for the address that was given."""
    node = Node({"api_url": url, "jwt": None, "ca_cert": None, "validate_certs": False, "request_timeout": _QUESTION})
    try:
        reply = node.text("ping", accept=(401, 403), limit=65536)
        return reply.status != 200 or isinstance(reply.json(), Mapping)
    except SesamError:
        return False
